"""Stage validate: hold every image's row against the expectation suites; a critical failure stops here."""

import json
from dataclasses import asdict
from pathlib import Path

from ferrule.datadocs import render_docs
from ferrule.expectations import Limits, build_batches, validate_batches
from ferrule.quality import measure_quality
from ferrule.samples import load_samples
from pipelines.folders import fresh_folder
from pipelines.params import Params


def run(params: Params, root: Path) -> None:
    """Write result.json and data_docs/index.html; raises ValidationError, after writing, on a critical failure."""
    samples = load_samples(root / "artifacts" / "ingest")
    batches = build_batches(samples, measure_quality(samples.images), params.ingest.classes)
    limits = Limits(**asdict(params.validate))
    validation = validate_batches(batches, classes=params.ingest.classes, limits=limits)
    with fresh_folder(root / "artifacts" / "validate") as out:
        (out / "result.json").write_text(json.dumps(validation.to_dict(), indent=2) + "\n")
        (out / "data_docs").mkdir()
        page = render_docs(validation, samples, batches["classes"])
        (out / "data_docs" / "index.html").write_text(page, encoding="utf-8")
    for warning in validation.failed("warning"):
        print(f"warning: {warning}")
    validation.require_success()
    print(f"{len(validation.outcomes)} expectations over {len(samples):,} images: no critical failure")
