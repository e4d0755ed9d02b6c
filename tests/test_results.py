"""Mean and spread over seeds, from the runs of a real store."""

import pytest

from ferrule.digests import digest_json
from ferrule.errors import WorkflowError
from ferrule.tracking import RECIPE_TAG, log_evaluation, training_run
from flows.results import SEEDS_HEAD, seeds_table

TEST = "a" * 32  # MD5 of the test images
BLOCKS = ("val_tta", "test", "test_leak_free_tta", "test_tta")


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Give a maker of runs that were trained and, unless `accuracy` is None, evaluated."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "files").mkdir()

    def make(recipe, seed, accuracy, **settings):
        params = {"seed": seed, "split.twins": "drop", "originals": 26900 + seed} | settings
        made = digest_json([recipe, seed, accuracy, settings])
        with training_run(tmp_path, params, {RECIPE_TAG: recipe}, fingerprint=made) as log:
            log.finish(made, {"train_seconds": 120.0})
        if accuracy is not None:
            score = {"value": accuracy, "low": accuracy, "high": accuracy}
            metrics = {name: {"rows": 9, "accuracy": score, "macro_f1": score, "classes": {}} for name in BLOCKS}
            log_evaluation(tmp_path, made, TEST, metrics, tmp_path / "files")

    return make


def test_seeds_of_equal_settings_are_one_row(train, tmp_path):
    train("quick", 1, 0.10)
    train("quick", 1, 0.60)  # again: the newest counts
    train("quick", 2, 0.62)
    train("quick", 3, None)  # was never evaluated
    train("quick", 2, 0.70, dropout=0.4)  # another recipe, whatever it is called
    train("cpu", 1, 0.7)
    train("cpu", 2, 0.9, **{"split.twins": "keep"})
    table = [line.strip("| ").split(" | ") for line in seeds_table(tmp_path).splitlines()]
    assert tuple(table[0]) == SEEDS_HEAD
    assert table[2:] == [
        ["`cpu`", "26,901", "1", "2.0", *["70.0%"] * 5],
        ["`cpu`", "26,902", "1", "2.0", *["90.0%"] * 5],
        ["`quick`", "26,902", "1", "2.0", *["70.0%"] * 5],
        ["`quick`", "26,902", "2", "2.0", *["61.0% ± 1.4"] * 5],
    ]


def test_without_a_run_it_says_what_to_run(tmp_path):
    with pytest.raises(WorkflowError, match="ferrule run"):
        seeds_table(tmp_path)
