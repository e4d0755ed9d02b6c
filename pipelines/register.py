"""Stage register: the trained model becomes a version in MLflow's registry, and the challenger."""

import json
from pathlib import Path

import pandas as pd

from ferrule.monitoring.archive import log_reference
from ferrule.portable.bundle import read_bundle
from ferrule.registry.bundles import log_bundle
from ferrule.registry.versions import TAGGED_SCORES, register_version
from ferrule.tracking import TEST_TAG, digest_file, digest_test_set, log_evaluation, log_stages
from pipelines.folders import fresh_folder
from pipelines.lineage import read_entries, read_lineage
from pipelines.params import Params


def run(params: Params, root: Path) -> None:
    """Register the model with lineage and test scores as tags, reference and bundle with its run; write version.json.

    The same bytes are the same version however often the stage runs. Scores and predictions are logged again, since the
    store may be newer than the artifacts of evaluate, which DVC can restore from its cache.
    """
    artifacts = root / "artifacts"
    network, evaluation = artifacts / "train" / "model.keras", artifacts / "evaluate"
    metrics = json.loads((evaluation / "metrics.json").read_text())
    model_md5, test_md5 = digest_file(network), digest_test_set(pd.read_parquet(evaluation / "predictions.parquet"))
    log_evaluation(root, model_md5, test_md5, metrics, evaluation)
    log_stages(root, model_md5, read_entries(root))
    log_reference(root, model_md5, artifacts / "reference")
    bundle = log_bundle(root, model_md5, [*(artifacts / "export").iterdir(), *(artifacts / "card").iterdir()])
    scores = {f"test_{name}": str(metrics["test"][name]["value"]) for name in TAGGED_SCORES}
    version = register_version(
        root,
        params.register.model_name,
        network,
        model_md5=model_md5,
        classes=params.ingest.classes,
        temperature=read_bundle(artifacts / "export").temperature,
        tags=read_lineage(root) | {TEST_TAG: test_md5} | scores | bundle,
    )
    with fresh_folder(artifacts / "register") as out:
        content = {"name": version.name, "version": version.version, "model_md5": model_md5}
        (out / "version.json").write_text(json.dumps(content, indent=2) + "\n")
    print(f"{version.name} version {version.version} is the challenger")
