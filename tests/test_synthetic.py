"""The embedded sample: its bytes, its proportions, the faults planted in it, and what its faces show."""

import ast
import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import ferrule.synthetic
from ferrule.duplicates import find_copies
from ferrule.emotions import EMOTIONS
from ferrule.layouts import read_samples
from ferrule.quality import measure_quality
from ferrule.synthetic import (
    BLANK,
    CONFLICT,
    COUNTS,
    EXACT_COPY,
    FAINT,
    MALFORMED,
    NEAR_COPY,
    WRONG_LABEL,
    paint_portraits,
    write_sample,
)

SHA256 = "672297a0aa62f538191ecda51ade80f15f46191d6efffd3a38c7dc019f51d3c4"  # data.dvc pins the same bytes
IN_TURN = np.arange(32) % len(EMOTIONS)

# What the drawing may use of numpy: types, bookkeeping, and arithmetic whose result IEEE 754 fixes.
EXACT = {"float64", "int64", "ndarray", "random", "uint64", "uint8"}
EXACT |= {"arange", "argsort", "array", "choose", "concatenate", "flatnonzero", "pad", "split", "where"}
EXACT |= {"abs", "clip", "floor", "maximum", "minimum", "sign", "sqrt"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Give the file and the samples in it."""
    path = tmp_path_factory.mktemp("sample") / "fer2013.csv"
    return path, write_sample(path)


@pytest.fixture(scope="module")
def sample(written):
    return written[1]


@pytest.fixture(scope="module")
def reading(written):
    """Give what ingest reads of the file."""
    return read_samples(written[0], EMOTIONS, max_reject_fraction=0.01)


@pytest.fixture(scope="module")
def copies(sample):
    return find_copies(sample, measure_quality(sample.images), near_bits=12)


def rows_with(sample, fault):
    return np.flatnonzero(sample.table["fault"] == fault)


def count_pairs(sample, fault):
    """Return how many copies there are by split of the original and of the copy."""
    usages, originals = sample.table["usage"], sample.table["copy_of"]
    return Counter((usages[originals[row]], usages[row]) for row in rows_with(sample, fault))


# The bytes


def test_the_file_is_the_same_everywhere(written):
    assert hashlib.sha256(written[0].read_bytes()).hexdigest() == SHA256


def test_the_file_is_a_fer2013_csv(written):
    text = written[0].read_bytes()
    assert text.startswith(b"emotion,pixels,Usage\n")
    assert text.endswith(b",PrivateTest\n")
    assert b"\r" not in text
    assert [file.name for file in written[0].parent.iterdir()] == ["fer2013.csv"]


def test_another_instruction_set_draws_the_same_bytes():
    """With SIMD off, numpy runs other code: what is not exact would round differently."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    if not simd:
        pytest.skip("numpy found no instruction set here that can be switched off")
    program = (
        "import hashlib, numpy as np; from ferrule.synthetic import paint_portraits;"
        "print(hashlib.sha256(paint_portraits(np.arange(32) % 7, 1).tobytes()).hexdigest())"
    )
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(simd)}
    plain = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert plain.stdout.strip() == hashlib.sha256(paint_portraits(IN_TURN, 1).tobytes()).hexdigest()


def test_only_exact_operations_are_used():
    """What IEEE 754 leaves open (exp, sin, a matrix product, floats added up in any order) may differ elsewhere."""
    for path in Path(ferrule.synthetic.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        of_numpy = {node.attr for node in attributes if ast.unparse(node.value) == "np"}
        assert of_numpy <= EXACT, path.name
        assert not {node.attr for node in attributes} & {"mean", "std", "var", "prod", "dot", "cumsum"}, path.name
        assert not any(isinstance(node, ast.MatMult) for node in ast.walk(tree)), path.name
        sums = [
            node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("sum")
        ]
        assert all("dtype=np.int64" in ast.unparse(node) for node in sums), path.name


def test_people_depend_on_the_seed_alone():
    some, again, others = (paint_portraits(IN_TURN, seed) for seed in (1, 1, 2))
    assert np.array_equal(some, again)
    assert (some != others).mean() > 0.9


def test_nothing_is_divided_by_zero():
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        for seed in range(4):
            paint_portraits(IN_TURN, seed)


# The proportions


def test_counts_by_split_and_class(sample):
    for usage, counts in COUNTS.items():
        labels = sample.table.loc[sample.table["usage"] == usage, "label"].value_counts()
        assert labels.to_dict() == dict(zip(EMOTIONS, counts, strict=True))


def test_imbalance_and_shares_are_those_of_fer2013(sample):
    shares = sample.table["usage"].value_counts(normalize=True)
    assert [round(shares[usage], 2) for usage in COUNTS] == [0.80, 0.10, 0.10]
    classes = sample.table["label"].value_counts(normalize=True)
    fer2013 = {
        "angry": 4953,
        "disgust": 547,
        "fear": 5121,
        "happy": 8989,
        "sad": 6077,
        "surprise": 4002,
        "neutral": 6198,
    }
    for name, count in fer2013.items():
        assert classes[name] == pytest.approx(count / 35887, abs=0.012)
    assert classes.index[0] == "happy"
    assert classes.index[-1] == "disgust"


def test_the_rarest_class_can_be_measured_in_each_split(sample):
    rare = sample.table[sample.table["label"] == "disgust"]
    assert (rare["usage"].value_counts() >= 12).all()
    assert (rare["fault"] == "").all()


# The faults


@pytest.mark.parametrize(
    ("fault", "planted"), [("blank", BLANK), ("faint", FAINT), ("wrong label", WRONG_LABEL)], ids=str
)
def test_single_faults_are_counted(sample, fault, planted):
    assert Counter(sample.table["usage"].iloc[rows_with(sample, fault)]) == planted


@pytest.mark.parametrize(
    ("fault", "planted"), [("exact copy", EXACT_COPY), ("near copy", NEAR_COPY), ("conflict", CONFLICT)], ids=str
)
def test_copies_are_counted(sample, fault, planted):
    assert count_pairs(sample, fault) == planted


def test_quality_finds_the_blank_and_the_faint(sample):
    quality = measure_quality(sample.images)
    blank, faint = rows_with(sample, "blank"), rows_with(sample, "faint")
    assert np.flatnonzero(quality["blank"]).tolist() == blank.tolist()
    assert np.flatnonzero(quality["faint"] & ~quality["blank"]).tolist() == faint.tolist()


def test_a_wrong_label_is_not_what_was_drawn(sample):
    differs = (sample.table["label"] != sample.table["expression"]).to_numpy()
    assert np.flatnonzero(differs).tolist() == rows_with(sample, "wrong label").tolist()


def test_exact_copies_are_those_and_no_others(sample, copies):
    groups, originals = copies.groups["exact_group"], sample.table["copy_of"]
    planted = {
        frozenset((row, originals[row]))
        for row in np.flatnonzero(sample.table["fault"].isin(["exact copy", "conflict"]))
    }
    found = {frozenset(members.index) for _, members in groups.groupby(groups) if len(members) > 1}
    assert found == planted


def test_near_copies_are_found_and_no_others(sample, copies):
    """Each group has one original; different people are never taken for copies of each other."""
    copied = sample.table["copy_of"] != sample.table["sample_id"]
    groups = copies.groups["group_id"]
    assert (groups[copied].to_numpy() == groups[sample.table["copy_of"][copied]].to_numpy()).all()
    assert groups.nunique() == len(sample) - copied.sum()


def test_near_copies_are_near_but_not_exact(sample):
    rows = rows_with(sample, "near copy")
    apart = np.abs(sample.images[rows].astype(int) - sample.images[sample.table["copy_of"][rows]]).mean(axis=(1, 2))
    assert apart.min() > 0.5
    assert apart.max() < 20


def test_a_copy_has_its_originals_label_unless_it_is_a_conflict(sample):
    labels = sample.table["label"].to_numpy()
    differs = labels != labels[sample.table["copy_of"]]
    assert np.flatnonzero(differs).tolist() == rows_with(sample, "conflict").tolist()


def test_validation_passes_the_sample(sample):
    """params.yaml: blank under 1 %, rows in conflict under 2 %; malformed rows are well under the 2 % of ingest."""
    assert len(rows_with(sample, "blank")) < 0.01 * len(sample)
    assert 2 * len(rows_with(sample, "conflict")) < 0.02 * len(sample)
    assert len(MALFORMED) < 0.01 * len(sample)


def test_ingest_rejects_the_malformed_rows_and_no_others(sample, reading):
    assert reading.rejects["reason"].tolist() == [reason for reason, _ in MALFORMED]
    assert np.array_equal(reading.samples.images, sample.images)
    for column in ("label", "usage"):
        assert reading.samples.table[column].tolist() == sample.table[column].tolist()


# The faces


def test_every_expression_moves_the_face():
    """The same people, one expression after the other: the pictures differ, most in brows, eyes and mouth."""
    faces = {name: paint_portraits(np.full(32, number), 3).astype(int) for number, name in enumerate(EMOTIONS)}
    for name, images in faces.items():
        for other in set(faces) - {name}:
            moved = np.abs(images - faces[other]).mean(axis=0)
            assert moved[12:42, 12:36].mean() > 3, (name, other)
            assert moved[:6].mean() < 2, (name, other)


def test_portraits_show_people_not_one_face():
    images = paint_portraits(np.full(64, EMOTIONS.index("neutral")), 4).astype(float).reshape(64, -1)
    assert 40 < images.mean() < 215
    assert images.std(axis=0).mean() > 40
    assert (np.corrcoef(images) - np.eye(64)).max() < 0.97


def test_expressions_can_be_learnt_but_not_from_pixels_alone(sample):
    """A linear classifier on small pictures is above chance and far from perfect; a small CNN reaches some 90 %."""
    images = sample.images.reshape(-1, 16, 3, 16, 3).mean(axis=(2, 4)).reshape(len(sample), -1)
    images = (images - images.mean(axis=1, keepdims=True)) / (images.std(axis=1, keepdims=True) + 1)
    classes = np.array([EMOTIONS.index(label) for label in sample.table["label"]])
    training = (sample.table["usage"] == "Training").to_numpy()
    gram = images[training].T @ images[training] + 300 * np.eye(images.shape[1])
    weights = np.linalg.solve(gram, images[training].T @ (np.eye(len(EMOTIONS))[classes[training]]))
    accuracy = ((images[~training] @ weights).argmax(axis=1) == classes[~training]).mean()
    assert 0.35 < accuracy < 0.75
