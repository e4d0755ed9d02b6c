"""Stage robustness: accuracy under common corruptions of validation images, and on slices of the test images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ferrule.charts.robustness import corruption_chart, severity_sheet, slice_chart
from ferrule.charts.style import save_figure
from ferrule.documents import say_score, say_share
from ferrule.emotions import class_ids
from ferrule.portable.bundle import MODELS, read_bundle, read_model
from ferrule.portable.session import Session
from ferrule.robustness.slices import describe_images, find_worst, score_slices
from ferrule.robustness.withstanding import predict_corrupted, summarize_corruptions, tabulate_corruptions
from ferrule.samples import Samples, load_samples
from pipelines.folders import fresh_folder
from pipelines.params import Params


def run(params: Params, root: Path) -> None:
    """Write robustness.json, corruptions.csv and slices.csv, and their pictures.

    Corrupted are validation images: the slices come from what evaluate kept, so no test image is looked at again.
    """
    artifacts = root / "artifacts"
    samples = load_samples(artifacts / "augment")
    predictions = pd.read_parquet(artifacts / "evaluate" / "predictions.parquet")
    summary, corruptions, example = withstand(params, samples, predictions, artifacts / "export")
    slices, right = slice_test(params, samples, predictions, artifacts)
    with fresh_folder(artifacts / "robustness") as out:
        content = summary | {"slices": len(slices), "worst_slices": find_worst(slices)}
        (out / "robustness.json").write_text(json.dumps(content, indent=2) + "\n")
        corruptions.to_csv(out / "corruptions.csv", index=False)
        slices.to_csv(out / "slices.csv", index=False)
        told = f"{summary['rows']:,} validation images; intervals of 95 %; grey: the other corruptions"
        save_figure(corruption_chart(corruptions, told), out / "corruptions.png")
        save_figure(severity_sheet(example), out / "severities.png")
        told = (
            f"{len(right):,} test images, {say_share(right.mean())} of them right; orange: below the rest beyond chance"
        )
        save_figure(slice_chart(slices, right.mean(), told), out / "slices.png")
    print(_say(summary))


def withstand(
    params: Params, samples: Samples, predictions: pd.DataFrame, export: Path
) -> tuple[dict[str, Any], pd.DataFrame, np.ndarray]:
    """Return what becomes of validation images under corruptions, in short and as a table, and one of the images."""
    val = predictions[predictions["split"] == "val"]
    if params.robustness.images:
        val = val.sample(min(params.robustness.images, len(val)), random_state=params.seed).sort_index()
    images = samples.images[samples.table["sample_id"].isin(val["sample_id"]).to_numpy()]
    print(f"asking the export about {len(images):,} validation images, each in 41 ways", flush=True)
    session = Session(read_model(export, MODELS["float32"], read_bundle(export)))
    predicted = predict_corrupted(session.ask, images, seed=params.seed)
    labels = np.array(class_ids(val["label"], params.ingest.classes), dtype=int)
    table = tabulate_corruptions(labels, predicted, params.ingest.classes)
    return summarize_corruptions(labels, predicted), table, images[0]


def slice_test(
    params: Params, samples: Samples, predictions: pd.DataFrame, artifacts: Path
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the scores of all slices of the test images, and of each image whether its class was predicted."""
    test = predictions[predictions["split"] == "test"].reset_index(drop=True)
    rows = np.flatnonzero(samples.table["sample_id"].isin(test["sample_id"]))
    described = describe_images(
        test,
        samples.images[rows],
        samples.table.iloc[rows],
        params.ingest.classes,
        split=pd.read_parquet(artifacts / "split" / "split.parquet"),
        groups=pd.read_parquet(artifacts / "audit" / "groups.parquet"),
    )
    right = test["label"].eq(test["predicted"]).to_numpy()
    return score_slices(right, described, min_slice=params.robustness.min_slice), right


def _say(summary: dict[str, Any]) -> str:
    hardest = min(summary["by_corruption"], key=lambda name: summary["by_corruption"][name]["value"])
    return (
        f"validation accuracy {say_score(summary['clean'])}; under corruption {say_score(summary['mean_corrupted'])}, "
        f"least under {hardest}: {say_score(summary['by_corruption'][hardest])}"
    )
