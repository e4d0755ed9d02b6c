"""The stage card: every number is the run's, every duty and limit is said, and the page needs nothing else."""

import json
import re
import shutil
from dataclasses import replace

import pytest
from conftest import REPOSITORY
from jinja2 import UndefinedError
from trained_project import CLASSES, run_stages, write_trained_project

from ferrule.emotions import EMOTIONS
from ferrule.modelcard.card import render_markdown, render_page, write_card_files
from ferrule.modelcard.origin import SAMPLE_MD5, recognise
from pipelines.card import read_facts
from pipelines.params import load_params

FER2013 = dict(zip(EMOTIONS, (4953, 547, 5121, 8989, 6077, 4002, 6198), strict=True))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("carded")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_trained_project(root, val=400)
        run_stages(root, "evaluate", "export", "card")
    return root


@pytest.fixture(scope="module")
def facts(project):
    return read_facts(load_params(project), project)


@pytest.fixture(scope="module")
def card(project):
    return (project / "artifacts" / "card" / "model_card.md").read_text()


def read(project, path):
    return json.loads((project / "artifacts" / path).read_text())


def test_its_numbers_are_those_of_the_run(project, card):
    metrics, calibration = read(project, "evaluate/metrics.json"), read(project, "evaluate/calibration.json")
    bundle = read(project, "export/bundle.json")
    accuracy = metrics["test"]["accuracy"]
    value, low, high = (f"{100 * accuracy[part]:.1f}" for part in ("value", "low", "high"))
    assert f"it names the label's class in {value} % ({low} to {high})" in card
    for label in CLASSES:
        recall = metrics["test"]["classes"][label]["recall"]
        assert re.search(
            rf"\| {label} \| {metrics['test']['classes'][label]['rows']} \| {100 * recall['value']:.1f} %", card
        )
    assert f"temperature {calibration['temperature']:.3f}" in card
    for when in ("before", "after"):
        ece = calibration["scores"]["test"]["ece"][when]["value"]
        assert f"| calibration error {when} | {100 * ece:.1f} %" in card
    rule = next(rule for rule in calibration["abstention"] if rule["target"] == 0.8)
    assert f"| 80 % | {100 * rule['threshold']:.1f} % | {100 * rule['coverage']:.1f} %" in card
    assert f"| float32 | {100 * bundle['parity']['float32']['agreement']:.2f} % of 60" in card
    assert bundle["model_md5"] in card
    assert bundle["data_md5"] in card
    assert "Of the 60 test images on which most of FER+'s ten voters agree" in card


def test_it_says_what_the_law_forbids_and_what_a_face_does_not_tell(card):
    for words in (
        "Regulation (EU) 2024/1689",
        "5(1)(f)",
        "Article 50(3)",
        "Annex III",
        "at work or in education",
        "but for medical or safety reasons",
        "Barrett",
        "an expression, not a feeling",
    ):
        assert words in card


def test_the_templates_hold_no_score():
    """Whatever looks like a measured share comes from the run: in the templates a digit stands in names and laws."""
    text = (REPOSITORY / "ferrule" / "modelcard" / "card.md.jinja").read_text()
    assert re.findall(r"\d[\d.,]* %(?!})", text) == ["95 %", "5 %"]  # of intervals; 65 ± 5 % of the paper


def test_equal_runs_give_equal_bytes(project, facts, tmp_path):
    write_card_files(tmp_path, facts)
    for path in (project / "artifacts" / "card").iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"model_card.md", "model_card.html"}


def test_the_page_loads_nothing_runs_nothing_and_shows_all_tables(project, card):
    page = (project / "artifacts" / "card" / "model_card.html").read_text()
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<link|<img|<iframe|(?:src|href)=|url\(|@import", page)
    assert page.count("<table>") == len(re.findall(r"^\|[-:|]+\|$", card, flags=re.MULTILINE))
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_what_stands_in_a_table_is_text_and_no_markup():
    page = render_page("<b>x</b>", "# <script>alert(1)</script>\n")
    assert "<script>" not in page
    assert "<b>x</b>" not in page


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("drawn", "No person is in"),
        ("fer2013", "Pierre-Luc Carrier and Aaron Courville"),
        ("unknown", "**Unknown to Ferrule.**"),
    ],
)
def test_it_says_what_is_known_of_the_data(facts, origin, words):
    text = render_markdown(replace(facts, data=replace(facts.data, origin=origin)))
    assert words in text
    assert ("65 ± 5 %" in text) == (origin == "fer2013")


@pytest.mark.parametrize(
    ("md5", "labels", "classes", "origin"),
    [
        (SAMPLE_MD5, {"happy": 3}, ("happy",), "drawn"),
        ("a.dir", FER2013, EMOTIONS, "fer2013"),
        (None, {name: FER2013[name] for name in ("happy", "sad")}, ("happy", "sad"), "fer2013"),
        ("a.dir", FER2013 | {"happy": 8988}, EMOTIONS, "unknown"),
        ("a.dir", {"happy": 3}, ("happy",), "unknown"),
    ],
)
def test_data_is_known_again_by_its_md5_or_its_counts(md5, labels, classes, origin):
    assert recognise(md5, labels, classes) == origin


def test_copies_that_were_kept_failures_and_thresholds_out_of_reach_are_said(facts):
    never = {"target": 0.9, "threshold": None, "coverage": None, "accuracy": None, "lower": None}
    told = {"target": 0.9, "threshold": None, "rows": 60, "coverage": 0.0, "accuracy": None}
    changed = replace(
        facts,
        split=facts.split | {"twins": "keep", "strategy": "official"},
        validation=facts.validation | {"success": False, "critical_failed": 1},
        calibration=facts.calibration | {"abstention": [never], "test": [told]},
        parity={"int8": facts.parity["float32"] | {"passed": False}},
        network={"name": "ferrule_ensemble", "networks": 3, "parameters": 9},
        audit=facts.audit | {"twins_by_usage": {"PrivateTest": {"held_out": 9, "exact": 1, "near": 2}}},
    )
    text = render_markdown(changed)
    for words in (
        "**Copies were left in training**",
        "Validation failed: 25 expectations, 0 warnings, 1 critical failure.",
        "| 90 % | no threshold reaches it | none |",
        "**failed**",
        "the mean of 3 networks",
        "| PrivateTest | 9 | 1 | 2 |",
        "the source's own",
    ):
        assert words in text
    with pytest.raises(UndefinedError):
        render_markdown(replace(facts, network={}))


@pytest.mark.parametrize(
    ("labels", "words"),
    [("given", None), ("cleaned", "| labels | **cleaned**"), ("ferplus_soft", "| labels | **FER+ votes**")],
)
def test_it_says_where_other_labels_than_the_datas_were_learned(labels, words, facts):
    text = render_markdown(replace(facts, train=facts.train | {"labels": labels}))
    assert (words or "network") in text
    assert ("| labels |" in text) == (words is not None)


def test_a_run_without_test_twins_or_ferplus_has_a_card_too(facts):
    metrics = {name: {key: block[key] for key in block if key != "ferplus"} for name, block in facts.metrics.items()}
    text = render_markdown(replace(facts, metrics=metrics, audit=facts.audit | {"twins_by_usage": {}}))
    assert "voters" not in text
    assert "marked as" not in text


def test_the_card_stays_as_it_is_where_a_stage_before_is_missing(project, tmp_path):
    root = shutil.copytree(project, tmp_path / "broken")
    (root / "artifacts" / "audit" / "audit.json").unlink()
    with pytest.raises(FileNotFoundError):
        run_stages(root, "card")
    assert (root / "artifacts" / "card" / "model_card.md").is_file()
