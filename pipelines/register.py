"""Stage register: the trained model becomes a version in MLflow's registry, and the challenger."""

import json
from pathlib import Path

import pandas as pd

from ferrule.registry.versions import TAGGED_SCORES, register_version
from ferrule.tracking import TEST_TAG, digest_file, digest_test_set, log_evaluation, log_reference
from pipelines.folders import fresh_folder
from pipelines.lineage import read_lineage
from pipelines.params import Params


def run(params: Params, root: Path) -> None:
    """Register the model with its lineage and test scores as tags, its reference with its run; write version.json.

    The same bytes are the same version however often the stage runs. Scores and predictions are logged again, since the
    store may be newer than the artifacts of evaluate, which DVC can restore from its cache.
    """
    network, evaluation = root / "artifacts" / "train" / "model.keras", root / "artifacts" / "evaluate"
    metrics = json.loads((evaluation / "metrics.json").read_text())
    model_md5, test_md5 = digest_file(network), digest_test_set(pd.read_parquet(evaluation / "predictions.parquet"))
    log_evaluation(root, model_md5, test_md5, metrics, evaluation)
    log_reference(root, model_md5, root / "artifacts" / "reference")
    scores = {f"test_{name}": str(metrics["test"][name]["value"]) for name in TAGGED_SCORES}
    tags = read_lineage(root) | {TEST_TAG: test_md5} | scores
    version = register_version(
        root, params.register.model_name, network, model_md5=model_md5, classes=params.ingest.classes, tags=tags
    )
    with fresh_folder(root / "artifacts" / "register") as out:
        content = {"name": version.name, "version": version.version, "model_md5": model_md5}
        (out / "version.json").write_text(json.dumps(content, indent=2) + "\n")
    print(f"{version.name} version {version.version} is the challenger")
