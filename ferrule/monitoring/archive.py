"""The references of all models, each kept with the run of its model in MLflow."""

from pathlib import Path

import pandas as pd

from ferrule.monitoring.reference import TABLE
from ferrule.store import open_store
from ferrule.tracking import MODEL_TAG, digest_file, find_model_run, read_table, search_runs

FOLDER = "reference"  # of a run's files
REFERENCE_TAG = "ferrule.reference_md5"


def log_reference(root: Path, model_md5: str, folder: Path) -> None:
    """Keep the files of the stage reference, in `folder`, with the run of the model, unless they are there."""
    client, run_id = open_store(root), find_model_run(root, model_md5)
    reference_md5 = digest_file(folder / TABLE)
    is_known = client.get_run(run_id).data.tags.get(REFERENCE_TAG) == reference_md5
    if is_known and client.list_artifacts(run_id, FOLDER):
        return
    client.log_artifacts(run_id, str(folder), FOLDER)
    client.set_tag(run_id, REFERENCE_TAG, reference_md5)


def read_reference(root: Path, model_md5: str) -> pd.DataFrame | None:
    """Return the reference of a model (see `ferrule.monitoring.reference`), the newest of its runs, or None."""
    runs = search_runs(open_store(root), f"tags.`{MODEL_TAG}` = '{model_md5}' and tags.`{REFERENCE_TAG}` LIKE '%'")
    tables = (read_table(root, run.info.run_id, f"{FOLDER}/{TABLE}") for run in runs)
    return next((table for table in tables if table is not None), None)
