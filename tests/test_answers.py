"""Answers: their fields, and the forms in which they are written and shown."""

import csv
import json
import re

import pandas as pd
import pytest

from ferrule.answers import (
    NO_FACE,
    UNCERTAIN,
    UNREADABLE,
    Answer,
    choose_form,
    percent,
    tabulate,
    to_json,
    writing_answers,
)
from ferrule.errors import ParameterError

CLASSES = ("happy", "sad", "neutral")
SURE = Answer(
    "photos/é.jpg",
    box=(1, 2, 30, 40),
    detection=0.9876543,
    label="happy",
    confidence=0.7,
    probabilities={"happy": 0.7, "sad": 0.1 + 1e-9, "neutral": 0.2},
    model="ferrule version 3 (champion)",
)
ANSWERS = [
    SURE,
    Answer(
        "faces.csv", row=3, label=UNCERTAIN, confidence=0.4, probabilities={"happy": 0.3, "sad": 0.3, "neutral": 0.4}
    ),
    Answer("film.mp4", frame=12, seconds=0.48, track=2, label=NO_FACE, reason="no face was found"),
    Answer("broken.png", label=UNREADABLE, reason='truncated image: 9 bytes, "quoted"'),
]


def test_json_has_what_the_issue_asks_for_and_of_the_place_what_applies():
    told = json.loads(to_json(SURE))
    assert told == {
        "path": "photos/é.jpg",
        "box": [1, 2, 30, 40],
        "detection": 0.987654,
        "label": "happy",
        "confidence": 0.7,
        "probabilities": {"happy": 0.7, "sad": 0.1, "neutral": 0.2},
        "reason": None,
        "model": "ferrule version 3 (champion)",
    }
    assert json.loads(to_json(ANSWERS[1]))["row"] == 3
    assert {"frame", "seconds", "track"} <= json.loads(to_json(ANSWERS[2])).keys()


def test_the_best_class_is_also_that_of_an_uncertain_answer():
    assert [answer.best for answer in ANSWERS] == ["happy", "neutral", None, None]
    assert [name for name, _ in SURE.ranked] == ["happy", "neutral", "sad"]


@pytest.mark.parametrize("form", ["csv", "parquet", "json", "jsonl"])
def test_every_form_holds_every_answer(form, tmp_path):
    path = tmp_path / "new" / f"answers.{form}"
    with writing_answers(path, form, CLASSES) as write:
        write(ANSWERS[:1])
        write([])
        write(ANSWERS[1:])
        assert not path.exists()
    if form in ("json", "jsonl"):
        text = path.read_text()
        told = json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]
        assert told == [answer.as_dict() for answer in ANSWERS]
        return
    table = pd.read_csv(path) if form == "csv" else pd.read_parquet(path)
    assert list(table.columns) == list(SURE.as_row(CLASSES))
    assert table["label"].tolist() == [answer.label for answer in ANSWERS]
    assert table["probability_neutral"].tolist()[:2] == [0.2, 0.4]
    assert table.loc[0, ["x", "y", "width", "height"]].tolist() == [1, 2, 30, 40]
    assert table["reason"][3] == ANSWERS[3].reason
    assert table["model"][0] == SURE.model


def test_an_empty_file_has_its_header(tmp_path):
    for form in ("csv", "json"):
        with writing_answers(tmp_path / form, form, CLASSES):
            pass
    assert next(csv.reader((tmp_path / "csv").open()))[0] == "path"
    assert json.loads((tmp_path / "json").read_text()) == []


def test_what_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("before")
    with pytest.raises(AttributeError), writing_answers(path, "csv", CLASSES) as write:
        write([*ANSWERS, None])
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_ending_is_one_sentence(tmp_path):
    assert choose_form(tmp_path / "A.CSV") == "csv"
    with pytest.raises(ParameterError, match=r"ends with \.csv, \.json, \.jsonl, \.parquet; got 'a\.xlsx'"):
        choose_form(tmp_path / "a.xlsx")


def test_the_table_says_it_all_in_aligned_columns():
    lines = tabulate(ANSWERS).splitlines()
    assert len(lines) == 5
    shown = ["photos/é.jpg", "30×40 at 1,2", "happy", "70 %", "██████████████░░░░░░", "neutral 20 %, sad 10 %"]
    assert re.split(" {2,}", lines[1]) == shown
    assert "faces.csv row 3" in lines[2]
    assert re.search("uncertain +40 %", lines[2])
    assert "film.mp4 0.48 s" in lines[3]
    assert lines[4].endswith('truncated image: 9 bytes, "quoted"')
    assert len({line.index(answer.label) for line, answer in zip(lines[1:], ANSWERS, strict=True)}) == 1


@pytest.mark.parametrize(("share", "text"), [(0.0, "0 %"), (0.934, "93 %"), (0.9999, "99 %")])
def test_nothing_is_shown_as_certain(share, text):
    assert percent(share) == text
