"""The stage validate: what it writes, and that a critical failure stops it after all is there to look at."""

import json

import pytest
from ingested_project import draw_samples, read_bytes, read_real_samples, write_ingested_project

from ferrule.emotions import EMOTIONS
from ferrule.errors import DataError, ValidationError
from ferrule.expectations import Limits, build_batches, validate_batches
from ferrule.quality import measure_quality
from ferrule.samples import Samples
from pipelines import validate
from pipelines.params import load_params


def run(root):
    validate.run(load_params(root), root)
    return json.loads((root / "artifacts" / "validate" / "result.json").read_text())


def test_sound_data_passes_with_the_same_bytes_each_time(tmp_path, capsys):
    write_ingested_project(tmp_path)
    result = run(tmp_path)
    assert (result["success"], result["critical_failed"], result["warnings"]) == (True, 0, 0)
    assert capsys.readouterr().out == f"{result['evaluated']} expectations over 176 images: no critical failure\n"
    first = read_bytes(tmp_path / "artifacts" / "validate")
    assert set(first) == {"result.json", "data_docs/index.html"}
    run(tmp_path)
    assert read_bytes(tmp_path / "artifacts" / "validate") == first


def test_a_critical_failure_stops_the_stage_after_everything_is_written(tmp_path):
    samples = draw_samples()
    table = samples.table.assign(label=samples.table["label"].mask(samples.table.index == 3))
    write_ingested_project(tmp_path, Samples(samples.images, table))
    with pytest.raises(ValidationError, match=r"got 1 \(rows without a label that are not marked Unlabelled: 1"):
        run(tmp_path)
    result = json.loads((tmp_path / "artifacts" / "validate" / "result.json").read_text())
    assert (result["success"], result["critical_failed"]) == (False, 1)
    (failed,) = [row for row in result["expectations"] if not row["success"]]
    assert (failed["column"], failed["observed"], failed["limit"], failed["examples"]) == ("label", 1, "0", [3])
    page = (tmp_path / "artifacts" / "validate" / "data_docs" / "index.html").read_text()
    assert "1 critical failure" in page


def test_warnings_are_told_and_let_the_stage_pass(tmp_path, capsys):
    write_ingested_project(tmp_path, validate={"max_faint_share": 0.001})
    result = run(tmp_path)
    assert (result["success"], result["warnings"]) == (True, 1)
    warning, _ = capsys.readouterr().out.splitlines()
    assert warning == "warning: share of images with hardly any contrast: 0.005682, expected at most 0.001"


def test_without_ingest_it_is_one_clear_sentence(tmp_path):
    write_ingested_project(tmp_path)
    (tmp_path / "artifacts" / "ingest" / "images.npy").unlink()
    with pytest.raises(DataError, match="run the stage that makes it"):
        run(tmp_path)
    former = tmp_path / "artifacts" / "validate" / "result.json"
    assert former.read_text() == '{"success": true}'  # as it was


@pytest.mark.real_data
def test_the_real_data_is_described_as_it_is(fer2013):
    samples = read_real_samples(fer2013)
    limits = Limits(500, 10, 0.6, 0.01, 0.02, 0.02)
    batches = build_batches(samples, measure_quality(samples.images), EMOTIONS)
    validation = validate_batches(batches, classes=EMOTIONS, limits=limits)
    assert validation.failed("critical") == validation.failed("warning") == []
    observed = {outcome.column: outcome.observed for outcome in validation.outcomes if outcome.suite != "formats"}
    assert (observed[None], observed["rows"]) == (35887, 547)
    assert (observed["Training"], observed["PublicTest"], observed["PrivateTest"]) == (436, 56, 55)
    assert observed["blank"] == pytest.approx(12 / 35887, abs=1e-6)
    assert observed["conflicting"] == pytest.approx(160 / 35887, abs=1e-6)
    assert batches["classes"].set_index("label").loc["disgust", "rows"] == 547
