"""The benchmark of runtimes: each of them runs the network that ships, and its page has the marks."""

import numpy as np
import pytest
from conftest import REPOSITORY

from bench.exports import HEAD, ask_all, measure
from bench.tables import marks


@pytest.mark.slow
def test_every_runtime_says_what_tensorflow_says():
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (12, 48, 48), dtype=np.uint8), rng.integers(0, 7, 12)
    lines = [
        line.strip("| ").split(" | ") for line in measure(images, labels, batches={1: 2, 8: 8}, rounds=1).splitlines()
    ]
    assert tuple(lines[0]) == HEAD
    rows = {row[0]: row[1:] for row in lines[2:]}
    assert len(rows) == 8
    for name, row in rows.items():
        assert row[2] == "100.00 %" or "int8" in name


def test_the_last_batch_is_filled_up_and_cut_off_again():
    images = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 48, 48), np.uint8)
    asked = []

    def ask(batch):
        asked.append(len(batch))
        return batch[:, 0, :1]

    assert ask_all(ask, images, 2)[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert asked == [2, 2, 2]


def test_the_page_has_the_marks():
    text = (REPOSITORY / "docs" / "export.md").read_text()
    assert all(mark in text for mark in marks("exports", "docs/export.md"))
