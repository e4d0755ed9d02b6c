"""Stage reference: what the model sees and says on validation images, which later images are compared with (drift)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from ferrule.drift import summarize_embeddings, summarize_shares, summarize_values
from ferrule.predictions import read_probabilities
from ferrule.quality import measure_quality
from ferrule.samples import load_samples
from pipelines.folders import fresh_folder
from pipelines.params import Params


def run(params: Params, root: Path) -> None:
    """Write reference.json and embeddings.npz from the validation rows of evaluate's predictions.

    The model was not trained on them, unlike train, and they cost no look, unlike test; the model is not loaded again.
    """
    classes, bins, artifacts = params.ingest.classes, params.reference.bins, root / "artifacts"
    predictions = pd.read_parquet(artifacts / "evaluate" / "predictions.parquet")
    val = predictions[predictions["split"] == "val"]
    samples = load_samples(artifacts / "augment")
    images = samples.images[samples.table["sample_id"].isin(val["sample_id"]).to_numpy()]
    quality = measure_quality(images)
    values = {
        "confidence": read_probabilities(val, classes).max(axis=1),
        "brightness": quality["mean"],
        "contrast": quality["std"],
        "sharpness": quality["sharpness"],
    }
    reference = {
        "rows": len(val),
        "labels": summarize_shares(val["label"], classes),
        "predictions": summarize_shares(val["predicted"], classes),
        "values": {name: summarize_values(of_images, bins=bins) for name, of_images in values.items()},
    }
    mean, covariance = summarize_embeddings(np.load(artifacts / "evaluate" / "embeddings.npy"))
    with fresh_folder(artifacts / "reference") as out:
        (out / "reference.json").write_text(json.dumps(reference, indent=2) + "\n")
        np.savez(out / "embeddings.npz", mean=mean, covariance=covariance)
    print(f"reference of {len(val):,} validation images: mean confidence {np.mean(values['confidence']):.1%}")
