"""`python -m pipelines STAGE`: run one stage in the current folder, as dvc.yaml does."""

import argparse
import importlib
import os
import sys
from pathlib import Path

STAGES = (
    "ingest",
    "validate",
    "audit",
    "explore",
    "augment",
    "split",
    "noise",
    "train",
    "evaluate",
    "reference",
    "export",
    "robustness",
    "card",
    "register",
    "report",
)


def main() -> int:
    """Run the stage that the command line names; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pipelines", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    stage = parser.parse_args().stage
    try:
        from ferrule.errors import FerruleError
        from pipelines.params import load_params
    except ModuleNotFoundError as error:
        print(f"{stage}: {error.name} is not installed for {sys.executable}; activate .venv first.", file=sys.stderr)
        return 1
    try:
        root = Path.cwd()
        params = load_params(root)
        os.environ.setdefault("KERAS_BACKEND", params.train.backend)  # read by Keras when a stage imports it
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no word of a GPU that is not there
        importlib.import_module(f"pipelines.{stage}").run(params, root)
    except (FerruleError, OSError) as error:
        print(f"{stage}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
