"""Stage reference: what the model sees and says on validation images, which later images are compared with (drift)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from ferrule.monitoring.reference import TABLE, summarize_reference, tabulate_reference, write_reference
from ferrule.samples import load_samples
from pipelines.folders import fresh_folder
from pipelines.params import Params


def run(params: Params, root: Path) -> None:
    """Write reference.parquet and reference.json from the validation rows of evaluate's predictions.

    The model is not loaded again: evaluate has kept what it says of these images.
    """
    classes, artifacts = params.ingest.classes, root / "artifacts"
    predictions = pd.read_parquet(artifacts / "evaluate" / "predictions.parquet")
    val = predictions[predictions["split"] == "val"]
    samples = load_samples(artifacts / "augment")
    images = samples.images[samples.table["sample_id"].isin(val["sample_id"]).to_numpy()]
    embeddings = np.load(artifacts / "evaluate" / "embeddings.npy")
    table, temperature = tabulate_reference(val, images, classes)
    summary = summarize_reference(table, temperature)
    with fresh_folder(artifacts / "reference") as out:
        write_reference(table, embeddings, out / TABLE)
        (out / "reference.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(f"reference of {len(val):,} validation images: mean confidence {table['confidence'].mean():.1%}")
