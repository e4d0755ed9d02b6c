"""The report: its numbers are the run's, its checks say yes only where that is so, its page needs nothing else."""

import json
import re
import shutil
import subprocess
from base64 import b64decode
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import sync_playwright
from test_web_page import CHROMIUM, QUIET
from trained_project import CLASSES, copy_project, run_stages, write_network, write_trained_project

from ferrule.cli import cli, join_commands
from ferrule.documents import say_share
from ferrule.errors import WorkflowError
from ferrule.noise.confident import rank_suspects, summarise_noise
from ferrule.promotion.comparison import Comparison, Difference
from ferrule.registry.aliases import CHAMPION, move_alias
from ferrule.report.blocks import Bars, Face, Faces, Facts, Line, Report, Section, Table, Text, plot, round_ticks
from ferrule.report.changes import Evaluation, describe_changes
from ferrule.report.data import (
    describe_data,
    describe_duplicates,
    describe_noise,
    describe_splits,
    describe_validation,
)
from ferrule.report.model import describe_evaluation, describe_robustness, describe_training
from ferrule.report.record import Effort, describe_cost, describe_lineage, read_effort
from ferrule.report.render import render_markdown, render_page
from ferrule.report.rivals import describe_comparison, describe_published, judge_comparison, read_published
from ferrule.samples import Samples, load_samples
from ferrule.tracking import Looks, count_look, read_looks, training_run
from flows.differences import read_evaluation, tell_changes
from flows.project import run_dvc
from pipelines.__main__ import STAGES
from pipelines.params import load_params
from pipelines.report import read_report

SETTINGS = {"draws": 100, "bins": 10, "seed": 1}
SECTIONS = (
    *("data", "validation", "duplicates", "noise", "balance", "splits", "training", "evaluation", "champion"),
    *("published", "calibration", "errors", "robustness", "lineage", "environment", "cost"),
)

join_commands(cli)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Give a project whose every stage has left something, with a registered version."""
    root = tmp_path_factory.mktemp("reported")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_trained_project(root, val=100)
        write_balance(root)
        write_noise(root)
        params = yaml.safe_load((root / "params.yaml").read_text())
        params["robustness"] |= {"min_slice": 10, "images": 20}
        (root / "params.yaml").write_text(yaml.safe_dump(params))
        run_stages(root, "evaluate", "export", "reference", "card", "robustness", "register", "report")
    return root


@pytest.fixture
def copy(project, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return copy_project(project, tmp_path / "copy")


def write_balance(root):
    balance = [{"label": name, "before": 10, "generated": 0, "after": 10} for name in CLASSES]
    (root / "artifacts" / "augment" / "balance.json").write_text(json.dumps(balance))


def write_noise(root):
    """Write what the stage noise makes of probabilities that suspect every third label."""
    table = load_samples(root / "artifacts" / "augment").table.dropna(subset="label").head(30)
    suggested = np.where(np.arange(30) % 3 == 0, "happy", table["label"])
    suspected = (suggested != table["label"]).to_numpy()
    found = table.assign(suggested=suggested, suspected=suspected, label_quality=np.linspace(0.1, 0.9, 30))
    folder = root / "artifacts" / "noise"
    folder.mkdir()
    ferplus = {"rows": 30, "auc": {"value": 0.9, "low": 0.8, "high": 0.95}, "precision_at": 5}
    ferplus["precision"] = {"value": 0.8, "low": 0.4, "high": 0.97}
    summary = {"folds": 3, "skipped": None} | summarise_noise(found, CLASSES) | {"ferplus": ferplus}
    (folder / "noise.json").write_text(json.dumps(summary))
    rank_suspects(found[suspected])[["sample_id", "label", "suggested"]].to_csv(folder / "suspects.csv", index=False)


def read(root, path):
    return json.loads((root / "artifacts" / path).read_text())


def read_section(root, name):
    return next(section for section in read_report(load_params(root), root).sections if section.name == name)


def tones(section):
    return [check.tone for check in section.checks]


def test_every_section_is_there_and_its_numbers_are_those_of_the_run(project):
    report = read_report(load_params(project), project)
    assert tuple(section.name for section in report.sections) == SECTIONS
    assert {section.name for section in report.sections if section.absent} == {"champion", "published"}
    page, text = ((project / "artifacts" / "report" / name).read_text() for name in ("index.html", "report.md"))
    metrics, noise = read(project, "evaluate/metrics.json"), read(project, "noise/noise.json")
    robustness = read(project, "robustness/robustness.json")
    for shown in (page, text):
        assert say_share(metrics["test"]["accuracy"]["value"]) in shown
        assert say_share(robustness["mean_corrupted"]["value"]) in shown
        assert "temperature" in shown
        for name in CLASSES:
            assert say_share(metrics["test"]["classes"][name]["recall"]["value"]) in shown
    assert f"<b>{noise['suspected']}</b>" in page
    assert read(project, "register/version.json")["model_md5"] in page
    assert report.title == "ferrule version 1"


def test_the_page_needs_nothing_else(project):
    page = (project / "artifacts" / "report" / "index.html").read_text()
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert not re.search(r"<script|<link|<iframe|@import|url\((?!#)", page)
    assert all(address.startswith("data:image/png;base64,") for address in re.findall(r'src="([^"]+)"', page))
    assert {address[1:] for address in re.findall(r'href="([^"]+)"', page)} <= set(SECTIONS)
    assert page.count("<section") == page.count("</section") == len(SECTIONS) + 1
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to show the page in")
def test_the_page_fits_every_window(project):
    faults = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = browser.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.goto((project / "artifacts" / "report" / "index.html").as_uri())
        for width in (360, 800, 1400):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("section").count() == len(SECTIONS) + 1
        browser.close()
    assert faults == []


def test_the_mistakes_shown_are_mistakes(project):
    """Each image of the section is the one that its table says, and the model does say that of it."""
    predictions = pd.read_parquet(project / "artifacts" / "evaluate" / "predictions.parquet")
    samples = load_samples(project / "artifacts" / "augment")
    wrong = predictions[(predictions["split"] == "test") & (predictions["label"] != predictions["predicted"])]
    faces = next(block for block in read_section(project, "errors").blocks if isinstance(block, Faces)).groups[0]
    assert len(faces) == min(24, len(wrong))
    told = {samples.images[row.sample_id].tobytes(): (row.label, row.predicted) for row in wrong.itertuples()}
    for face in faces:
        shown = cv2.imdecode(np.frombuffer(b64decode(face.address.partition(",")[2]), np.uint8), cv2.IMREAD_GRAYSCALE)
        label, predicted = told[shown.tobytes()]
        assert (face.caption, face.detail.split("\n")[0]) == (label, f"→ {predicted}")


@pytest.mark.parametrize("stage", ["validate", "audit", "noise", "robustness", "export"])
def test_what_did_not_run_is_said_and_the_rest_stands(stage, copy):
    shutil.rmtree(copy / "artifacts" / stage)
    report = read_report(load_params(copy), copy)
    absent = {section.name for section in report.sections if section.absent}
    about = {"validate": "validation", "audit": "duplicates", "export": None}.get(stage, stage)
    assert absent == {"champion", "published", about} - {None}
    assert (f"the stage `{stage}` has left nothing" in render_markdown(report)) == (about is not None)
    assert "<h1>" in render_page(report)


def test_nothing_at_all_can_be_reported(project, tmp_path):
    shutil.copy(project / "params.yaml", tmp_path)
    report = read_report(load_params(tmp_path), tmp_path)
    assert {section.name for section in report.sections if not section.absent} == {"lineage", "environment", "cost"}
    assert not (tmp_path / "mlruns").exists()
    assert "not run" in render_page(report)


def test_it_holds_a_version_against_the_champion_and_looks_at_no_test_image(copy):
    """A model that guesses comes after one that can see; then the first again, beside the one before it."""
    before = read_looks(copy, *find_look(copy))
    move_alias(copy, "ferrule", CHAMPION, "1", action="promotion", why="a test")
    write_network(copy / "artifacts" / "train" / "model.keras", skill=0.0)
    run_stages(copy, "evaluate", "export", "reference", "card", "register", "report")
    section = read_section(copy, "champion")
    assert tones(section) == ["bad"]
    assert "Version 2 is **less accurate** than version 1" in section.checks[0].text
    looks = read_looks(copy, *find_look(copy))
    assert (before, looks) == (Looks(1, 1), Looks(1, 2))
    assert "others were asked once: whoever picks" in read_section(copy, "evaluation").checks[0].text
    assert tones(read_section(copy, "evaluation"))[0] == "note"
    move_alias(copy, "ferrule", CHAMPION, "2", action="promotion", why="a test")
    assert "before it was version 1" in read_section(copy, "champion").blocks[0].text


def find_look(root):
    """Return the digests by which looks are counted."""
    from ferrule.tracking import digest_file, digest_test_set

    predictions = pd.read_parquet(root / "artifacts" / "evaluate" / "predictions.parquet")
    return digest_file(root / "artifacts" / "train" / "model.keras"), digest_test_set(predictions)


def test_another_network_than_the_registered_one_is_found_out(copy):
    assert "good" in tones(read_section(copy, "lineage"))
    write_network(copy / "artifacts" / "train" / "model.keras", skill=0.5)
    assert "bad" in tones(read_section(copy, "lineage"))


def test_a_second_look_is_noted(copy):
    assert tones(read_section(copy, "evaluation"))[0] == "good"
    count_look(copy, *find_look(copy))
    section = read_section(copy, "evaluation")
    assert tones(section)[0] == "note"
    assert "2 times" in section.checks[0].text


@pytest.mark.parametrize(
    ("success", "critical", "warnings", "tone"),
    [(True, 0, 0, "good"), (True, 0, 2, "note"), (False, 1, 0, "bad")],
)
def test_the_check_of_validation_is_its_verdict(success, critical, warnings, tone):
    counts = {"critical_failed": critical, "warnings": warnings, "evaluated": 9, "expectations": []}
    assert tones(describe_validation({"success": success} | counts)) == [tone]


OFFICIAL = {"strategy": "official", "dropped": {"blank": {"happy": 2}, "twin of test": {"happy": 5}}}
DRAWN = {"strategy": "stratified", "twins": "drop", "dropped": {}, "twins_kept": {}}


@pytest.mark.parametrize(
    ("split", "tone", "text"),
    [
        (OFFICIAL | {"twins": "drop", "twins_kept": {}}, "good", "4 images that the source marks .*; 5 images were"),
        (OFFICIAL | {"twins": "keep", "twins_kept": {"train with a copy in test": {"happy": 7}}}, "bad", "^7 images"),
        (OFFICIAL | {"twins": "keep", "twins_kept": {"test with a copy in unlabelled": {"sad": 7}}}, "good", "none is"),
        (DRAWN, "good", "^No copy of a held-out image is left in what is trained on"),
        (None, "note", "4 images that the source marks"),
    ],
)
def test_copies_that_were_left_in_training_speak_against_the_model(split, tone, text, project):
    samples = load_samples(project / "artifacts" / "ingest")
    groups = pd.read_parquet(project / "artifacts" / "audit" / "groups.parquet")
    audit = read(project, "audit/audit.json") | {"twins_by_usage": {"PrivateTest": {"held_out": 60}}}
    audit |= {"test_twins_near": 4, "twins_by_class": {"happy": {"held_out": 60, "exact": 1, "near": 4}}}
    section = describe_duplicates(samples, groups, audit, split)
    assert tones(section) == [tone]
    assert re.search(text, section.checks[0].text)


def test_the_layout_is_told(project):
    samples = load_samples(project / "artifacts" / "ingest")
    rows = samples.table.assign(source_file="fer2013.csv", votes_neutral=1)
    files = rows.assign(source_file=[f"images/{name}/sad/1.png" for name in np.resize(["train", "test"], len(rows))])
    for table, told in (
        (rows, ("layout", "pixels in CSV", "fer2013.csv; with FER+ votes")),
        (files, ("layout", "class folders", "in images/test, images/train; with FER+ votes")),
        (
            files.assign(source_file="sad/1.png"),
            ("layout", "class folders", "of images; with FER+ votes"),
        ),
    ):
        section = describe_data(Samples(samples.images, table), pd.DataFrame(), "unknown", CLASSES)
        assert told in section.blocks[1].rows
    text = render_markdown(wrap(section))
    counts = samples.table["label"].value_counts()
    assert re.search(rf"\| happy \|( [\d,]+ \|)+ {counts['happy']} \|", text)


def test_a_generated_image_outside_training_speaks_against_the_model(project):
    split = read(project, "split/split.json")
    assert tones(describe_splits(split, CLASSES)) == ["good"]
    assert tones(describe_splits(split | {"generated": {"test": {"happy": 1}}}, CLASSES)) == ["bad"]
    kept = describe_splits(split | {"twins": "keep", "twins_kept": {"val with a copy in test": {"happy": 3}}}, CLASSES)
    assert tones(kept) == ["bad"]
    assert "3 images have a copy in a **later split**" in kept.checks[0].text
    assert "it did not" not in kept.blocks[0].text


def test_twins_that_are_named_better_than_the_rest_are_noted(project):
    metrics = read(project, "evaluate/metrics.json")
    predictions = pd.read_parquet(project / "artifacts" / "evaluate" / "predictions.parquet")
    for accuracy, tone in ((0.5, "good"), (0.9, "note")):
        rows = {"test": 2000, "test_leak_free": 1000}
        shares = {"test": (0.5 + accuracy) / 2, "test_leak_free": 0.5}
        blocks = {
            name: metrics[name]
            | {"rows": rows[name], "accuracy": {"value": shares[name], "low": shares[name] - 0.03, "high": 0.53}}
            for name in rows
        }
        section = describe_evaluation(blocks, predictions, CLASSES, looks=None, parity=None)
        assert tones(section) == [tone]


def test_an_export_that_says_something_else_speaks_against_the_model(project):
    metrics = read(project, "evaluate/metrics.json")
    predictions = pd.read_parquet(project / "artifacts" / "evaluate" / "predictions.parquet")
    for passed, tone in ((True, "good"), (False, "bad")):
        parity = {"float32": {"rows": 60, "agreement": 0.9, "passed": passed}}
        section = describe_evaluation(metrics, predictions, CLASSES, looks=None, parity=parity)
        assert tones(section)[-1] == tone


@pytest.mark.parametrize("labels", ["given", "cleaned", "ferplus_soft"])
def test_doubtful_labels_are_noted_with_what_became_of_them(labels, project):
    noise, samples = read(project, "noise/noise.json"), load_samples(project / "artifacts" / "ingest")
    suspects = pd.read_csv(project / "artifacts" / "noise" / "suspects.csv")
    section = describe_noise(noise, suspects, samples, labels=labels, shown=3)
    assert tones(section) == ["note"]
    assert {"given": "as given", "cleaned": "left out", "ferplus_soft": "votes"}[labels] in section.checks[0].text
    (faces,) = (block.groups[0] for block in section.blocks if isinstance(block, Faces))
    assert [face.caption for face in faces] == suspects["label"].head(3).tolist()
    none = describe_noise(noise | {"suspected": 0}, suspects, samples, labels=labels, shown=0)
    assert tones(none) == ["good"]
    skipped = describe_noise(noise | {"skipped": "noise.folds is 0"}, suspects, samples, labels=labels, shown=0)
    assert skipped.absent
    assert "noise.folds is 0." in skipped.checks[0].text


@pytest.mark.parametrize(
    ("p_values", "tone", "text"),
    [
        ([0.9, 0.001], "note", "on 1 of 2 slices: worst on class: angry, 25.0 %"),
        ([0.9, 0.9], "good", "None of 2"),
        ([], "absent", "min_slice"),
    ],
)
def test_a_slice_that_is_weak_beyond_chance_is_noted(p_values, tone, text, project):
    """It need not be among the worst that are shown."""
    robustness = read(project, "robustness/robustness.json") | {"worst_slices": []}
    corruptions = pd.read_csv(project / "artifacts" / "robustness" / "corruptions.csv")
    rows = [("class", name, share, -0.5) for name, share in (("happy", 0.2), ("angry", 0.25))][: len(p_values)]
    slices = pd.DataFrame(rows, columns=["kind", "slice", "accuracy", "gap"]).assign(p_value=p_values)
    section = describe_robustness(robustness, corruptions, slices, 0.8)
    assert tones(section) == [tone]
    assert text in section.checks[0].text


@pytest.mark.parametrize(("won", "lost", "tone"), [(10, 3, "note"), (11, 3, "note"), (12, 2, "good"), (2, 12, "bad")])
def test_a_version_is_better_or_worse_where_a_two_sided_test_says_so(won, lost, tone):
    """Of 10 to 3 a one-sided test at 5 % makes a winner (p = 0.046); a class is red by its adjusted p-value."""
    difference = Difference(0.6, 0.5, -0.3, -0.1, p_worse=0.2, rows=100)
    recalls = {"happy": difference, "sad": replace(difference, p_worse=0.01)}
    found = Comparison(100, won, lost, {"accuracy": difference}, recalls)
    assert judge_comparison(found, "one", "other").tone == tone
    bars = next(block for block in describe_comparison(found, "one", "other").blocks if isinstance(block, Bars))
    assert [bar.tone for bar in bars.rows] == ["" if tone == "note" else tone, "", "bad"]


@pytest.mark.parametrize(("labels", "noted"), [("given", False), ("ferplus_soft", True)])
def test_votes_in_place_of_labels_are_noted_without_the_stage_noise(labels, noted, project):
    history, network = pd.read_csv(project / "artifacts/train/history.csv"), read(project, "evaluate/network.json")
    train = {"epochs": 2, "epoch_images": 10, "labels": labels}
    section = describe_training(history, network, train, "cpu", 1)
    assert tones(section) == ["note"] * noted
    published = describe_published(read(project, "evaluate/metrics.json"), True, labels=labels)
    assert ("learned FER+ votes" in published.blocks[0].text) == noted


def test_a_class_without_test_images_is_not_the_weakest(copy):
    path = copy / "artifacts" / "evaluate" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["test"]["classes"]["happy"] |= {"rows": 0, "recall": {"value": 0.0, "low": 0.0, "high": 1.0}}
    path.write_text(json.dumps(metrics))
    shown = {name for name, *_ in read_report(load_params(copy), copy).figures.rows}
    assert "weakest class, happy" not in shown


def test_a_chart_reaches_over_its_marks():
    line = Line("a", np.array([0.0, 1.0]), np.array([0.5, 0.6]))
    chart = plot("a", [line], "x", "y", marks=[(2.0, 0.1, "far away")])
    assert chart.x_range[1] == 2.0
    assert chart.y_range[0] < 0.1


def test_code_that_no_commit_holds_is_noted():
    for tags, tone in (
        ({}, "note"),
        ({"ferrule.git_commit": "c0ffee", "ferrule.git_dirty": "true"}, "note"),
        ({"ferrule.git_commit": "c0ffee", "ferrule.git_dirty": "false"}, "good"),
    ):
        assert tones(describe_lineage(tags, {}, {}, None, None)) == [tone]


def test_published_figures_say_where_they_are_from_and_which_were_selected_on_their_test_images(project):
    figures = read_published()
    assert all(0 < figure["accuracy"] < 1 and figure["source"] for figure in figures)
    assert all(figure["fault"] for figure in figures if figure["selected_on"] == "test")
    metrics = read(project, "evaluate/metrics.json")
    page = render_page(wrap(describe_published(metrics, True, labels="given")))
    assert all(figure["name"].replace("'", "&#39;") in page for figure in figures)
    assert page.count('class="bar bad"') == sum(bool(figure["fault"]) for figure in figures)
    assert describe_published(metrics, False, labels="given").absent


def test_energy_is_processor_time_by_the_watts_that_are_stated(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert read_effort(tmp_path, "abc") == Effort()
    with training_run(tmp_path, {}, {}) as log:
        for epoch in (1, 2):
            log(epoch, {"loss": 1.0, "cpu_seconds": 180_000.0})
        log.finish("abc", {"train_seconds": 3700.0})
    effort = read_effort(tmp_path, "abc")
    assert (effort.seconds, effort.cpu_seconds) == (3700.0, 360_000.0)
    assert effort.environment is not None
    facts = {name: value for name, value, _ in describe_cost(effort, {"a.onnx": 2_500_000}, 10.0).blocks[0].rows}
    assert facts == {"training": "1 h 1 min", "processor time": "100 h 0 min", "energy": "1 kWh", "a.onnx": "2.5 MB"}
    unknown = describe_cost(replace(effort, cpu_seconds=None), {}, 10.0)
    assert "not recorded" in unknown.blocks[-1].text
    assert "energy" not in {name for name, *_ in unknown.blocks[0].rows}


def wrap(*sections):
    return Report("a model", "", Facts([("a", "b", "c")]), sections)


def test_what_comes_from_the_data_is_text_and_no_markup():
    evil = "<script>alert(1)</script> | [x](javascript:y)"
    face = Face(np.zeros((48, 48), np.uint8), evil, evil)
    section = Section("data", "Data", [Table(("a", "b"), [(evil, "1")], "lr"), Faces(evil, [[face]]), Text(evil)])
    page, text = render_page(wrap(section)), render_markdown(wrap(section))
    assert "<script>" not in page
    assert "javascript:" not in re.findall(r'href="([^"]*)"', page)
    row = next(line for line in text.splitlines() if line.endswith("| 1 |"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 3
    assert r"\<script\>" in row


@given(st.floats(-100, 100), st.floats(0.001, 1000))
def test_ticks_are_few_round_and_inside(low, span):
    ticks = round_ticks(low, low + span)
    assert 2 <= len(ticks) <= 8
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in ticks)
    assert len({round(second - first, 9) for first, second in pairwise(ticks)}) == 1
    assert "-0" not in {f"{tick:g}" for tick in ticks}


def test_the_gap_between_two_runs_is_judged_on_the_same_images(project, copy):
    write_network(copy / "artifacts" / "train" / "model.keras", skill=0.0)
    run_stages(copy, "evaluate")
    text = tell_changes(project, load_params(project), str(copy))
    here, there = (read(root, "evaluate/metrics.json")["test"]["accuracy"]["value"] for root in (project, copy))
    assert (
        f"| accuracy, test images | {100 * here:.1f} % | {100 * there:.1f} % | {100 * (here - there):+.1f} | better |"
        in text
    )
    assert "This run is more accurate than copy" in text
    assert "| recall of happy |" in text


def test_scores_alone_are_compared_too_and_what_cannot_be_is_said(project):
    here = read_evaluation(project, str(project))
    headline = read_evaluation(project, str(project / "artifacts" / "evaluate" / "headline.json"))
    assert "are not at hand" in describe_changes(here, headline, "main", CLASSES, SETTINGS)
    assert "| +0.0 |  |" in describe_changes(here, headline, "main", CLASSES, SETTINGS)
    other = replace(here, predictions=here.predictions.rename(columns={"probability_happy": "probability_sad"}))
    assert "other classes" in describe_changes(here, other, "main", CLASSES, SETTINGS)
    with pytest.raises(WorkflowError, match=r"Expected scores in .*params\.yaml"):
        read_evaluation(project, str(project / "params.yaml"))


def test_a_revision_is_read_from_what_dvc_keeps_of_it(tmp_path, project):
    root = tmp_path / "clone"
    folder = root / "artifacts" / "evaluate"
    folder.mkdir(parents=True)
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    run_dvc(root, "init", "--quiet")
    for number in (0.25, 0.75):
        (folder / "metrics.json").write_text(json.dumps({"test": {"accuracy": number}}))
        run_dvc(root, "add", "--quiet", "artifacts/evaluate")
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", str(number)], check=True)
    assert read_evaluation(root, "HEAD~1") == Evaluation({"test": {"accuracy": 0.25}})
    with pytest.raises(WorkflowError, match="neither here"):
        read_evaluation(root, "nonsense")
    shutil.rmtree(root / ".dvc" / "cache")
    with pytest.raises(WorkflowError, match="cache or remote"):
        read_evaluation(root, "HEAD~1")


def test_the_command_opens_prints_and_refuses(copy, monkeypatch):
    (copy / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(copy)
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(variable, raising=False)
    page = copy / "artifacts" / "report" / "index.html"
    ask = CliRunner().invoke
    assert ask(cli, ["report"]).output.strip() == str(page)
    monkeypatch.setenv("BROWSER", f"cp %s {copy / 'shown'};true")
    said = ask(cli, ["report", "--markdown", "--against", "artifacts/evaluate/headline.json"]).output
    assert "### Against headline.json" in said
    assert said.index("### Against") < said.index("Can it be believed?") < said.index("<b>Evaluation</b>")
    assert "data:image" not in said
    assert "add --markdown" in ask(cli, ["report", "--against", "HEAD"]).output
    page.unlink()
    refused = ask(cli, ["report"]).exception
    assert isinstance(refused, WorkflowError)
    assert "ferrule run" in str(refused)


def test_the_example_for_ci_calls_what_there_is():
    workflow = yaml.safe_load((REPOSITORY / "docs" / "ci" / "report.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    called = "\n".join(step.get("run", "") for step in steps)
    assert "ferrule report --markdown --against" in called
    assert {"report"} | set(re.search(r"--allow-missing (.+)", called)[1].split()) <= set(STAGES)
    assert "upload-artifact" not in str(steps)  # the page shows faces
    assert workflow["permissions"]["pull-requests"] == "write"
    (comment,) = (step for step in steps if "gh pr comment" in step.get("run", ""))
    assert "head.repo.full_name == github.repository" in comment["if"]  # a fork's token may not write
