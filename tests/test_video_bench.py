"""The benchmark of smoothing: films that are films, and moments that are where they are said to be."""

import sys

import numpy as np
import pytest

from bench import video
from ferrule.samples import Samples
from ferrule.synthetic import paint_portraits


@pytest.fixture
def samples(make_samples):
    """Give drawn faces, all of PublicTest."""
    table = make_samples(70).table
    table["usage"] = "PublicTest"
    return Samples(paint_portraits(np.arange(70) % 7, 1), table)


def test_the_table_has_a_row_a_span_and_smoothing_flickers_less(samples, monkeypatch):
    monkeypatch.setattr(video, "FILMS", 6)
    monkeypatch.setattr(video, "SPANS", (0.0, 0.8))
    head, _, none, long, past = video.measure(samples).split("\n")
    assert {line.count("|") for line in (head, none, long, past)} == {10}
    assert none.startswith("| none |")
    assert past.startswith("| 0.4 s, of the past alone |")
    flicker = [float(line.split("|")[4].split()[0]) for line in (none, long)]
    assert flicker[0] > flicker[1]


def test_the_next_frame_of_a_face_is_like_it(samples):
    rng = np.random.default_rng(0)
    moved = np.stack([video.jitter(image, rng) for image in samples.images[:10]]).astype(float)
    within = np.abs(moved - samples.images[:10]).mean()
    between = np.abs(moved - samples.images[10:20]).mean()
    assert 0 < within < between / 2


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ([0, 0, 0, 1, 1, 1], 3),
        ([0, 1, 0, 0, 1, 1, 1], 4),
        ([0, 0, 0, 1, 1, 0, 1], 3),
        ([1, 1, 1], 0),
    ],
)
def test_a_change_is_where_it_parts_the_labels_best(named, found):
    assert video.find_change(np.array(named), 1) == found


def test_a_filter_of_the_past_does_not_know_what_comes():
    told = np.random.default_rng(0).dirichlet(np.ones(7), 20)
    other = told.copy()
    other[10:] = told[10:][::-1]
    assert (video.smooth_past(told, span=0.4)[:10] == video.smooth_past(other, span=0.4)[:10]).all()


def test_without_the_data_it_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["video", "--root", str(tmp_path)])
    assert video.main() == 1
    assert "dvc repro" in capsys.readouterr().err
