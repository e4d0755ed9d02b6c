"""The expectation suites: each kind of damage fails its own expectation and no other, silently and offline."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from ferrule.datadocs import render_docs
from ferrule.errors import ValidationError
from ferrule.expectations import Limits, build_batches, list_checks, run_checks, validate_batches
from ferrule.quality import measure_quality
from ferrule.samples import Samples
from ferrule.validation import Outcome, Validation

CLASSES = ("happy", "sad")
LIMITS = Limits(
    min_rows=20, min_class_rows=5, max_class_share=0.7, max_blank_share=0.1, max_faint_share=0.2, max_conflict_share=0.1
)


def make_samples(n=40):
    """Make sound samples: two classes in turn, three usages, random images."""
    images = np.random.default_rng(1).integers(0, 256, (n, 48, 48), dtype=np.uint8)
    usages = ["Training"] * (n - 8) + ["PublicTest"] * 4 + ["PrivateTest"] * 4
    table = pd.DataFrame(
        {
            "sample_id": np.arange(n) + 100,
            "label": pd.array([CLASSES[i % 2] for i in range(n)], dtype="str"),
            "usage": pd.array(usages, dtype="str"),
            "source_file": "fer2013.csv",
            "source_row": np.arange(1, n + 1),
        }
    )
    return Samples(images, table)


def validate(samples=None, quality=None, limits=LIMITS):
    samples = make_samples() if samples is None else samples
    quality = measure_quality(samples.images) if quality is None else quality
    return validate_batches(build_batches(samples, quality, CLASSES), classes=CLASSES, limits=limits)


def failures(validation):
    """Return {(quantity, severity): (observed, limit)} of what failed."""
    failed = [*validation.failed("critical"), *validation.failed("warning")]
    return {(outcome.quantity, outcome.severity): (outcome.observed, outcome.limit) for outcome in failed}


def edited(**columns):
    """Return sound samples with {column: {row: value}} put in."""
    samples = make_samples()
    table = samples.table.copy()
    for name, cells in columns.items():
        for row, value in cells.items():
            table.loc[row, name] = value
    return Samples(samples.images, table)


def painted(images):
    """Return sound samples with {row: image or grey} painted in."""
    samples = make_samples()
    for row, image in images.items():
        samples.images[row] = image
    return samples


def test_sound_data_passes_every_expectation():
    validation = validate()
    assert failures(validation) == {}
    validation.require_success()
    suites = [outcome.suite for outcome in validation.outcomes]
    assert list(dict.fromkeys(suites)) == ["nulls", "formats", "value counts", "images"]
    assert len(validation.outcomes) >= 20


noise = np.random.default_rng(9).integers(0, 256, (48, 48), dtype=np.uint8)

SAMPLE_DAMAGE = [
    (
        "no label",
        edited(label={3: None}),
        {("rows without a label that are not marked Unlabelled", "critical"): (1, "0")},
    ),
    ("no source", edited(source_file={3: None}), {("rows without a source file", "critical"): (1, "0")}),
    ("an id twice", edited(sample_id={3: 100}), {("rows that share their id", "critical"): (2, "0")}),
    ("a row read twice", edited(source_row={3: 1}), {("rows read twice", "critical"): (2, "0")}),
    ("an odd usage", edited(usage={3: "Holdout"}), {("rows with an unknown usage", "critical"): (1, "0")}),
    (
        "a foreign label",
        edited(label={3: "bored"}),
        {
            ("rows with a label outside ingest.classes", "critical"): (1, "0"),
            ("classes that have rows", "critical"): ("bored, happy, sad", "happy, sad"),
        },
    ),
    (
        "a class without rows",
        edited(label=dict.fromkeys(range(40), "happy")),
        {
            ("classes that have rows", "critical"): ("happy", "happy, sad"),
            ("rows of the smallest class", "critical"): (0, "at least 5"),
            ("share of the largest class", "critical"): (1, "at most 0.7"),
            ("Training rows of the class with fewest", "critical"): (0, "at least 1"),
            ("PublicTest rows of the class with fewest", "warning"): (0, "at least 1"),
            ("PrivateTest rows of the class with fewest", "warning"): (0, "at least 1"),
        },
    ),
    (
        "a class too large",
        edited(label=dict.fromkeys(range(1, 24, 2), "happy")),
        {("share of the largest class", "critical"): (0.8, "at most 0.7")},
    ),
    (
        "a class that is never tested",
        edited(label={37: "happy", 39: "happy"}),
        {("PrivateTest rows of the class with fewest", "warning"): (0, "at least 1")},
    ),
    (
        "no training rows",
        edited(usage=dict.fromkeys(range(40), "PublicTest")),
        {("Training rows of the class with fewest", "critical"): (0, "at least 1")},
    ),
    (
        "blank images",
        painted({n: 7 * n for n in range(5)}),
        {("share of images in one grey", "critical"): (0.125, "at most 0.1")},
    ),
    (
        "faint images",
        painted({n: 100 + n + np.indices((48, 48)).sum(axis=0) % 2 for n in range(9)}),
        {("share of images with hardly any contrast", "warning"): (0.225, "at most 0.2")},
    ),
    (
        "copies with other labels",
        painted(dict.fromkeys(range(5), noise)),
        {("share of rows whose exact copy has another label", "warning"): (0.125, "at most 0.1")},
    ),
]


@pytest.mark.parametrize(("case", "samples", "expected"), SAMPLE_DAMAGE, ids=[case for case, *_ in SAMPLE_DAMAGE])
def test_damage_to_samples_fails_its_own_expectation(case, samples, expected):
    assert failures(validate(samples)) == expected


@pytest.mark.parametrize(
    ("column", "value", "quantity"),
    [
        ("pixel_hash", None, "rows without a pixel hash"),
        ("std", None, "rows without pixel statistics"),
        ("pixel_count", 2303, "images without 2304 pixels"),
        ("height", 47, "images not 48 pixels high"),
        ("width", 49, "images not 48 pixels wide"),
        ("dtype", "float32", "images not of type uint8"),
        ("minimum", -1, "images whose darkest pixel is outside 0-255"),
        ("maximum", 256, "images whose brightest pixel is outside 0-255"),
    ],
)
def test_damage_to_measurements_fails_its_own_expectation(column, value, quantity):
    quality = measure_quality(make_samples().images).astype({"minimum": int, "maximum": int})
    quality[column] = quality[column].astype(object)
    quality.loc[6, column] = value
    validation = validate(quality=quality)
    assert failures(validation) == {(quantity, "critical"): (1, "0")}
    assert validation.failed("critical")[0].examples == (106,)


def test_a_missing_column_is_a_failure_that_says_so():
    quality = measure_quality(make_samples().images).drop(columns="dtype")
    (((quantity, _), (observed, _)),) = failures(validate(quality=quality)).items()
    assert quantity == "images not of type uint8"
    assert observed.startswith("not evaluated:")
    assert '"dtype"' in observed


def test_too_few_rows():
    assert failures(validate(limits=replace(LIMITS, min_rows=1000))) == {("rows", "critical"): (40, "at least 1,000")}


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.7, 0.9])
def test_a_share_at_its_limit_is_within_it(share):
    """So that 1 - 0.9, which is a little less than 0.1, asks for nothing more."""
    samples = painted({n: 3 * n for n in range(round(40 * share))})
    assert failures(validate(samples, limits=replace(LIMITS, max_blank_share=share, max_faint_share=1.0))) == {}


def test_unlabelled_rows_need_no_label_and_count_in_no_class():
    samples = edited(label=dict.fromkeys(range(32, 40), None), usage=dict.fromkeys(range(32, 40), "Unlabelled"))
    validation = validate(samples)
    assert failures(validation) == {}
    assert {outcome.column for outcome in validation.outcomes} & {"PublicTest", "PrivateTest", "Unlabelled"} == set()


def test_rows_without_any_usage_are_training_rows():
    samples = make_samples()
    validation = validate(Samples(samples.images, samples.table.assign(usage=pd.array([None] * 40, dtype="str"))))
    assert failures(validation) == {}
    training = [outcome for outcome in validation.outcomes if outcome.column == "Training"]
    assert [outcome.observed for outcome in training] == [20]


def test_the_error_names_every_critical_failure_and_no_warning():
    validation = validate(
        edited(label={3: None, 37: "happy", 39: "happy"}), limits=replace(LIMITS, min_rows=1000, min_class_rows=30)
    )
    with pytest.raises(ValidationError) as error:
        validation.require_success()
    sentence = str(error.value)
    assert "got 3 (rows without a label that are not marked Unlabelled: 1, expected 0; rows: 40, expected" in sentence
    assert "rows of the smallest class: 17, expected at least 30" in sentence
    assert "PrivateTest" not in sentence


def test_the_record_counts_by_severity_and_is_plain_json():
    record = json.loads(json.dumps(validate(painted(dict.fromkeys(range(5), noise))).to_dict()))
    assert (record["success"], record["critical_failed"], record["warnings"]) == (True, 0, 1)
    assert record["evaluated"] == len(record["expectations"])
    assert record["expectations"][-1] == {
        "suite": "images",
        "expectation": "expect_column_values_to_be_in_set",
        "column": "conflicting",
        "quantity": "share of rows whose exact copy has another label",
        "severity": "warning",
        "success": False,
        "observed": 0.125,
        "limit": "at most 0.1",
        "examples": [100, 101, 102, 103, 104],
    }


def test_outcomes_come_in_the_order_of_the_checks():
    checks = list_checks(CLASSES, ["Training"], LIMITS)[::-1]
    samples = make_samples()
    outcomes = run_checks(checks, build_batches(samples, measure_quality(samples.images), CLASSES)).outcomes
    assert [outcome.quantity for outcome in outcomes] == [check.quantity for check in checks]


QUIET = """
import socket, sys

def refuse(*args, **kwargs):
    sys.stderr.write(f"network: {args}")
    raise OSError("no network")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
sys.path.insert(0, "tests")
from test_expectations import validate

validate().require_success()
"""


def test_validation_writes_nothing_anywhere_and_calls_nobody(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", QUIET],
        cwd=REPOSITORY,
        env={
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.rglob("*")) == []


# --- the data docs ---------------------------------------------------------------------------------------------------


def render(samples):
    batches = build_batches(samples, measure_quality(samples.images), CLASSES)
    return render_docs(validate_batches(batches, classes=CLASSES, limits=LIMITS), samples, batches["classes"])


def test_the_page_tells_the_verdict_the_counts_and_each_expectation():
    page = render(painted({n: 7 * n for n in range(5)}))
    assert "1 critical failure</b>, 0 warnings" in page
    assert "share of images in one grey: 0.125, expected at most 0.1" in page
    assert '<td>happy</td><td class="number">16</td><td class="number">2</td><td class="number">2</td>' in page
    assert page.count("data:image/png;base64,") >= 5
    for suite in ("Nulls", "Formats", "Value counts", "Images"):
        assert f"<h2>{suite}</h2>" in page
    assert '<b class="good">passed</b>, 0 warnings' in render(make_samples())


def test_the_page_needs_nothing_but_itself_and_is_the_same_each_time():
    page = render(make_samples())
    assert page == render(make_samples())
    for word in ("http", "<script", "<link", 'src="/', "url("):
        assert word not in page.replace("http-equiv", "")


def test_the_page_escapes_what_the_data_holds():
    evil = "<script>alert(1)</script>"
    outcome = Outcome("formats", "kind", "label", evil, "critical", False, evil, evil, (100,))
    counts = pd.DataFrame({"label": [evil], "Training": [1], "rows": [1], "share": [1.0]})
    page = render_docs(Validation((outcome,)), edited(label={0: evil}), counts)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 8
