"""Looks of a version at other data, in MLflow: experiment `evaluations`, a run a look, and a tag of the version."""

import json
from pathlib import Path
from typing import Any

from ferrule.documents import say_score
from ferrule.predictions import flatten_scores
from ferrule.registry.versions import VersionInfo
from ferrule.store import open_experiment, open_store
from ferrule.tracking import MODEL_TAG, Looks, log_metrics, search_runs

EXPERIMENT = "evaluations"
SET_TAG = "ferrule.set_md5"  # of the images and labels that were looked at: `tracking.digest_test_set`
NAME_TAG = "ferrule.set"
RESULT_TAG = "ferrule.evaluated/"  # of a version, followed by the beginning of that MD5

_FILE = "evaluation.json"


def log_look(root: Path, info: VersionInfo, report: dict[str, Any], set_md5: str) -> Looks:
    """Keep what `foreign.score_foreign` says of a version as a run and a tag of the version; return the looks so far.

    They are those at this very set: by this model, and by every model in the store; deleted runs count.
    """
    client = open_store(root)
    experiment = open_experiment(client, root, EXPERIMENT).experiment_id
    name = report["data"]["name"]
    tags = {MODEL_TAG: info.model_md5, SET_TAG: set_md5, NAME_TAG: name, "ferrule.model_version": info.version}
    run_id = str(client.create_run(experiment, tags=tags, run_name=f"{info.name} {info.version}: {name}").info.run_id)
    log_metrics(client, run_id, flatten_scores(report["scores"]))
    client.log_text(run_id, json.dumps(report, indent=2) + "\n", _FILE)
    client.set_terminated(run_id)
    client.set_model_version_tag(info.name, info.version, f"{RESULT_TAG}{set_md5[:8]}", _summarise(report))
    runs = search_runs(client, f"tags.`{SET_TAG}` = '{set_md5}'", experiment=experiment, deleted_too=True)
    return Looks(sum(run.data.tags[MODEL_TAG] == info.model_md5 for run in runs), len(runs))


def _summarise(report: dict[str, Any]) -> str:
    block, scores = next(iter(report["scores"].items()))
    return f"{report['data']['name']}: accuracy {say_score(scores['accuracy'])} on {scores['rows']:,} images ({block})"
