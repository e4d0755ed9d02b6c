"""What all tests share: the real data where it is present, and small made-up samples."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ferrule.emotions import EMOTIONS
from ferrule.samples import Samples
from flows.project import run_dvc

REPOSITORY = Path(__file__).parents[1]
REAL_DATA = Path(os.environ.get("FERRULE_FER2013", REPOSITORY.parent / "shared" / "data"))

CHAIN = """
stages:
  ingest:
    cmd: mkdir -p artifacts/ingest && cp data/raw.txt artifacts/ingest/x
    deps: [data]
    outs: [artifacts/ingest]
  split:
    cmd: mkdir -p artifacts/split && cp artifacts/ingest/x artifacts/split/x
    deps: [artifacts/ingest]
    outs: [artifacts/split]
"""

ANYTHING = {  # of the section `promotion`: a gate that lets through what is compared at all
    "mode": "not_worse",
    "margin": 1.0,
    "min_accuracy": 0.0,
    "min_class_recall": 0.0,
    "max_recall_loss": 1.0,
    "max_macro_f1_loss": 1.0,
    "max_log_loss_rise": 99.0,
    "max_ece_rise": 1.0,
}

# Where a shell starts the tests in the background, SIGINT is ignored in all that they start.
HEAR_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


@pytest.fixture(scope="session")
def fer2013() -> Path:
    """Give the folder with fer2013.parquet and materialise.py; skip, saying so, where it is absent."""
    if not (REAL_DATA / "fer2013.parquet").is_file():
        pytest.skip(f"the real FER-2013 is not at {REAL_DATA} (set FERRULE_FER2013 to its folder)")
    return REAL_DATA


@pytest.fixture
def make_samples():
    """Give a maker of `n` random but reproducible samples, labels and usages in turn."""

    def make(n: int, seed: int = 0) -> Samples:
        images = np.random.default_rng(seed).integers(0, 256, (n, 48, 48), dtype=np.uint8)
        usages = ["Training"] * 8 + ["PublicTest", "PrivateTest"]
        table = pd.DataFrame(
            {
                "sample_id": np.arange(n),
                "label": pd.array([EMOTIONS[i % 7] for i in range(n)], dtype="str"),
                "usage": pd.array([usages[i % 10] for i in range(n)], dtype="str"),
                "source_file": "made-up.csv",
                "source_row": np.arange(1, n + 1),
            }
        )
        return Samples(images, table)

    return make


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory):
    """Give Prefect a temporary database and server for the whole session."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=90):
        yield


@pytest.fixture
def toy_project(tmp_path, monkeypatch):
    """Give a maker of a DVC project without git from the text of its dvc.yaml; it becomes the current folder."""

    def make(dvc_yaml: str) -> Path:
        (tmp_path / ".dvc").mkdir()
        (tmp_path / ".dvc" / "config").write_text((REPOSITORY / ".dvc" / "config").read_text() + "    no_scm = true\n")
        (tmp_path / "dvc.yaml").write_text(dvc_yaml)
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "raw.txt").write_text("raw")
        monkeypatch.chdir(tmp_path)
        run_dvc(tmp_path, "add", "data")
        return tmp_path

    return make
