"""What the report says of the model: how it was trained, what it is worth, beside which others, and where it errs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ferrule.charts.training import find_kept
from ferrule.documents import say_score, say_share
from ferrule.emotions import class_ids
from ferrule.metrics import confusion_matrix, wilson
from ferrule.predictions import read_probabilities
from ferrule.report.blocks import (
    Bars,
    Block,
    Check,
    Face,
    Faces,
    Facts,
    Heat,
    Line,
    Section,
    Table,
    Text,
    estimate_bar,
    plot,
    reach,
)
from ferrule.robustness.slices import find_weak
from ferrule.tracking import Looks

BLOCKS = {
    "test": "test images",
    "test_tta": "the same, mean over all views",
    "test_leak_free": "test images without a twin",
    "test_leak_free_tta": "the same, mean over all views",
    "val": "validation images",
}
_OVERALL = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "ece": "calibration error",
}
_WHOLE = np.array([0.0, 1.0])
_SHOWN_COVERAGE = (0.02, 1.0)  # with fewer answers their accuracy is noise


def describe_training(
    history: pd.DataFrame, network: Mapping[str, Any], train: Mapping[str, Any], recipe: str, seed: int
) -> Section:
    """Return how the training went: `history` is history.csv, `network` network.json, `train` that of params.yaml."""
    several = history["network"].nunique() if "network" in history else 1
    last = history[history["network"] == history["network"].iloc[-1]] if several > 1 else history
    epochs = np.arange(1, len(last) + 1)
    kept = find_kept(last.assign(epoch=epochs))
    curves = [
        plot(
            title,
            [
                Line("validation", epochs, last[f"val_{name}"].to_numpy()),
                Line("training", epochs, last[name].to_numpy(), "second"),
            ],
            "epoch",
            name,
            y_percent=name == "accuracy",
            marks=[(kept, float(last[f"val_{name}"].iloc[kept - 1]), f"kept: epoch {kept}")],
        )
        for name, title in (("accuracy", "Accuracy by epoch"), ("loss", "Loss by epoch"))
    ]
    size = "one network" if network["networks"] == 1 else f"the mean of {network['networks']} networks"
    labels = train.get("labels", "given")
    blocks: list[Block] = [
        Facts(
            [
                ("recipe", recipe, f"seed {seed}"),
                ("network", f"{network['parameters']:,}", f"parameters, {size} ({network['name']})"),
                ("epochs", f"{train['epochs']}", f"of at most {train['epoch_images']:,} images"),
                ("labels", str(labels).replace("_", " "), "what was trained on"),
            ]
        ),
        *curves,
        Text(
            f"Epoch {kept} of {len(last)} was kept, selected on validation images alone. "
            "Training images are distorted anew in each epoch and the network forgets a part of itself (dropout), so "
            "its training accuracy may lie below that on validation images."
            + (f" {several} networks were trained; the curves are those of the last." if several > 1 else "")
        ),
        Table(
            ("parameter", "value"),
            [(name, str(value)) for name, value in train.items()],
            "lr",
            "All parameters of the training",
            folded=True,
        ),
    ]
    voted = "FER+ votes were trained on in place of labels, wherever they are usable; scores are by the labels."
    return Section("training", "Training", blocks, [Check("note", voted)] if labels == "ferplus_soft" else [])


def describe_evaluation(
    metrics: Mapping[str, Any],
    predictions: pd.DataFrame,
    classes: tuple[str, ...],
    *,
    looks: Looks | None,
    parity: Mapping[str, Mapping[str, Any]] | None,
) -> Section:
    """Return the scores with their intervals, from metrics.json and predictions.parquet.

    `looks` says how often this model, and all models in the store, looked at these test images, where that is known;
    `parity` is export's parity.json, if there is one.
    """
    test = metrics["test"]
    shown = {block: title for block, title in BLOCKS.items() if block in metrics}
    scored = [
        estimate_bar(title, metrics[block]["accuracy"], f"{metrics[block]['rows']:,} images")
        for block, title in shown.items()
    ]
    recalls = [
        estimate_bar(name, found["recall"], f"{found['rows']:,} images") for name, found in test["classes"].items()
    ]
    rows = [
        (title, f"{metrics[block]['rows']:,}", *(_say(metrics[block], name) for name in _OVERALL))
        for block, title in shown.items()
    ]
    blocks: list[Block] = [
        Text(
            "Test images were neither trained nor selected on. Every score has its 95 % interval; two that lie within "
            "each other's may be equally good."
        ),
        Bars(scored, *reach(scored), "Accuracy"),
        Table(("", "images", *_OVERALL.values()), rows, "lr" + "r" * len(_OVERALL), "All scores", folded=True),
        Bars(recalls, 0.0, 1.0, "Of each class, the share that is found (recall), test images"),
        _draw_confusion(predictions[predictions["split"] == "test"], classes),
        _tabulate_classes(test["classes"]),
    ]
    if test.get("ferplus", {}).get("rows"):
        blocks.append(_say_ferplus(test["ferplus"]))
    checks = [*_check_looks(looks), *_check_memory(metrics), *_check_export(parity)]
    return Section("evaluation", "Evaluation", blocks, checks)


def describe_calibration(calibration: Mapping[str, Any], reliability: pd.DataFrame) -> Section:
    """Return how far the confidence can be trusted, from calibration.json and reliability.csv."""
    test = calibration["scores"]["test"]
    before, after = test["ece"]["before"], test["ece"]["after"]
    columns = [reliability[name].to_numpy() for name in ("confidence", "accuracy", "low", "high")]
    curve = pd.DataFrame(calibration["curve"])
    curve = curve[curve["coverage"].between(*_SHOWN_COVERAGE)]
    marks = [
        (told["coverage"], told["accuracy"], f"test images, at the threshold for {say_share(told['target'], 0)}")
        for told in calibration["test"]
        if told["accuracy"] is not None
    ]
    rules = {rule["target"]: rule for rule in calibration["abstention"]}
    blocks: list[Block] = [
        Text(
            "Logits are divided by a temperature (Guo et al. 2017), so that it is right as often as it is sure. No "
            "answer changes by it."
        ),
        Facts(
            [
                ("temperature", f"{calibration['temperature']:.3f}", "fitted on validation images"),
                (
                    "calibration error",
                    say_share(after["value"]),
                    f"{_say_ends(after)}; before {say_share(before['value'])}",
                ),
                (
                    "log loss",
                    f"{test['log_loss']['after']['value']:.3f}",
                    f"before {test['log_loss']['before']['value']:.3f}",
                ),
            ]
        ),
        plot(
            "How often it is right when it is this sure",
            [
                Line("test images, with 95 % intervals", columns[0], columns[1], low=columns[2], high=columns[3]),
                Line("as often as it is sure", _WHOLE, _WHOLE, "guide"),
            ],
            "confidence, before the temperature",
            "accuracy",
            x_range=(0.0, 1.0),
            y_range=(0.0, 1.0),
            x_percent=True,
            y_percent=True,
        ),
        plot(
            "The less it answers, the more of it is right",
            [Line("validation images", curve["coverage"].to_numpy(), curve["accuracy"].to_numpy())],
            "share answered",
            "right of these",
            x_range=(0.0, 1.0),
            x_percent=True,
            y_percent=True,
            marks=marks,
        ),
        Table(
            ("accuracy asked for", "confidence at least", "test images answered", "right of these"),
            [_rule_row(told, rules.get(told["target"])) for told in calibration["test"]],
            "rrrr",
            f"When it says nothing: thresholds that hold with a certainty of {say_share(calibration['certainty'], 0)}",
        ),
    ]
    return Section("calibration", "Calibration", blocks)


def describe_errors(predictions: pd.DataFrame, images: np.ndarray, classes: tuple[str, ...], shown: int) -> Section:
    """Return the errors on test images that are worth a look: `images` uint8 (n, 48, 48) belong to the test rows."""
    test = predictions[predictions["split"] == "test"].reset_index(drop=True)
    confidence = read_probabilities(test, classes).max(axis=1)
    wrong = (test["label"] != test["predicted"]).to_numpy()
    surest = np.flatnonzero(wrong)[np.argsort(-confidence[wrong], kind="stable")][:shown]
    faces = [
        Face(
            images[row], test["label"][row], f"→ {test['predicted'][row]}\n{say_share(confidence[row], 0)} sure", "bad"
        )
        for row in surest
    ]
    sure = wrong & (confidence >= 0.9)
    pairs = test[wrong].groupby(["label", "predicted"]).size().sort_values(ascending=False, kind="stable").head(8)
    of_label = test["label"].value_counts()
    rows = [
        (str(label), str(said), f"{number:,}", say_share(number / of_label[label]))
        for (label, said), number in pairs.items()
    ]
    blocks: list[Block] = [
        Text(
            f"Of {len(test):,} test images {int(wrong.sum()):,} are named otherwise than labelled; in "
            f"{int(sure.sum()):,} of these it was at least 90 % sure. Among the surest are labels that one would not "
            "give either."
        ),
        Table(("labelled", "taken for", "images", "of that label"), rows, "llrr", "What is most often confused"),
    ]
    if faces:
        blocks.append(Faces("The mistakes it was surest of", [faces], "label, then what it said and how surely"))
    return Section("errors", "Errors worth looking at", blocks)


def describe_robustness(
    robustness: Mapping[str, Any], corruptions: pd.DataFrame, slices: pd.DataFrame, accuracy: float | None
) -> Section:
    """Return what blur, noise and the like cost, and on which images it does worst, from the stage robustness.

    `accuracy` is that of all test images, which slices are held against.
    """
    clean, mean, kept = (robustness[name] for name in ("clean", "mean_corrupted", "relative"))
    corrupted = corruptions[corruptions["severity"] > 0]
    blocks: list[Block] = [
        Text(
            "Corruptions are applied to validation images, so that no further look is taken at the test images; "
            "slices are of what was said of the test images."
        ),
        Facts(
            [
                ("clean", say_share(clean["value"]), f"{_say_ends(clean)}, validation images"),
                ("corrupted", say_share(mean["value"]), f"{_say_ends(mean)}, mean of {len(corrupted)} corruptions"),
                ("kept", say_share(kept["value"]), f"{_say_ends(kept)}, of the clean accuracy"),
            ]
        ),
        _tint_corruptions(corrupted, clean["value"]),
    ]
    worst = robustness["worst_slices"]
    if worst:
        bars = [
            estimate_bar(
                _name(each),
                {"value": each["accuracy"], "low": each["low"], "high": each["high"]},
                f"{each['rows']:,} images{'' if each['beyond_chance'] else ', within chance'}",
            )
            for each in worst
        ]
        blocks += [
            Bars(bars, *reach(bars), f"The worst of {len(slices):,} slices; the line is all test images", accuracy),
            Text(
                f"{len(slices):,} slices were looked at, and the worst of so many look worse than they are. Where it "
                "says so, chance alone explains the difference, adjusted for all of them."
            ),
        ]
    return Section("robustness", "Robustness and slices", blocks, [_check_slices(slices)])


def _check_slices(slices: pd.DataFrame) -> Check:
    """Return whether any of all slices that were looked at is weak."""
    if slices.empty:
        return Check("absent", "Slices: none has as many test images as `robustness.min_slice` asks for.")
    weak = slices[find_weak(slices)]
    if weak.empty:
        return Check("good", f"None of {len(slices):,} slices of the test images is weaker than chance explains.")
    first = weak.loc[weak["accuracy"].idxmin()]
    worst = f"worst on {_name(first)}, {say_share(first['accuracy'])}"
    return Check("note", f"It is weak, beyond chance, on {len(weak):,} of {len(slices):,} slices: {worst}.")


def _tint_corruptions(corrupted: pd.DataFrame, clean: float) -> Heat:
    """Return the accuracy by corruption and severity, tinted by what is lost, the worst corruption first."""
    table = corrupted.pivot(index="corruption", columns="severity", values="accuracy")
    table = table.loc[table.mean(axis=1).sort_values().index]
    rows = [
        (str(name), [(say_share(value), float(np.clip(1 - value / max(clean, 1e-9), 0, 1))) for value in row])
        for name, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    head = ("", *(f"severity {level}" for level in table.columns))
    return Heat(head, rows, "Accuracy under corruptions", "the more colour, the more of the clean accuracy is lost")


def _name(part: Mapping[str, Any]) -> str:
    """Return which slice it is."""
    return f"{part['kind']}: {part['slice']}"


def _say(block: Mapping[str, Any], name: str) -> str:
    """Return a score of a block with its interval; log loss is no share."""
    if name == "log_loss":
        return "{value:.3f} ({low:.3f} to {high:.3f})".format(**block[name])
    return say_score(block[name])


def _say_ends(estimate: Mapping[str, float]) -> str:
    return f"{100 * estimate['low']:.1f} to {100 * estimate['high']:.1f}"


def _draw_confusion(test: pd.DataFrame, classes: tuple[str, ...]) -> Heat:
    """Return the confusion matrix, each row as shares."""
    labels, predicted = (np.array(class_ids(test[name], classes)) for name in ("label", "predicted"))
    matrix = confusion_matrix(labels, predicted, len(classes))
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    rows = [
        (name, [(say_share(share, 0), float(share)) for share in row])
        for name, row in zip(classes, shares, strict=True)
    ]
    return Heat(("label", *classes), rows, "What is taken for what", "rows: the label; columns: what was said")


def _tabulate_classes(classes: Mapping[str, Any]) -> Table:
    rows = [
        (name, f"{found['rows']:,}", *(say_score(found[score]) for score in ("recall", "precision", "f1")))
        for name, found in classes.items()
    ]
    return Table(("class", "images", "recall", "precision", "F1"), rows, "lrrrr", "Scores of each class", folded=True)


def _say_ferplus(found: Mapping[str, Any]) -> Text:
    return Text(
        f"Of the {found['rows']:,} test images on which most of FER+'s ten voters agree, the model says what they "
        f"say in {say_score(found['agreement'])}; the label itself does in {say_score(found['label_agreement'])}."
    )


def _check_looks(looks: Looks | None) -> list[Check]:
    """Return what the count of looks says; more than one makes the score no lie, so it is only noted."""
    if looks is None or not looks.by_model:
        return []
    text = f"This model was asked about the test images {_say_times(looks.by_model)}"
    others = looks.by_all - looks.by_model
    if others:
        more = f"others were asked {_say_times(others)}: whoever picks by these scores gets one that is too high"
        return [Check("note", f"{text}; {more}.")]
    return [Check("good" if looks.by_model == 1 else "note", f"{text}, and no other model of this store was.")]


def _say_times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"


def _check_memory(metrics: Mapping[str, Any]) -> list[Check]:
    """Return whether images with a twin elsewhere raise the score: the rest of the test images speak for themselves."""
    if "test_leak_free" not in metrics:
        return []
    whole, free = metrics["test"], metrics["test_leak_free"]
    copied = whole["rows"] - free["rows"]
    if not copied:
        return []
    hits = whole["accuracy"]["value"] * whole["rows"] - free["accuracy"]["value"] * free["rows"]
    with_twin = wilson(hits, copied)
    remembered = with_twin.low > free["accuracy"]["high"]
    text = (
        f"Without the {copied:,} test images that have a twin elsewhere: {say_score(free['accuracy'])}; with one: "
        f"{say_score(with_twin.as_dict())}."
    )
    return [Check("note" if remembered else "good", text)]


def _check_export(parity: Mapping[str, Mapping[str, Any]] | None) -> list[Check]:
    """Return whether the exported files say what the network says."""
    if not parity:
        return []
    told = ", ".join(f"{name} on {say_share(found['agreement'], 2)}" for name, found in parity.items())
    rows = next(iter(parity.values()))["rows"]
    passed = all(found["passed"] for found in parity.values())
    return [
        Check(
            "good" if passed else "bad",
            f"The exported files say what the network says: {told} of {rows:,} test images.",
        )
    ]


def _rule_row(told: Mapping[str, Any], rule: Mapping[str, Any] | None) -> tuple[str, str, str, str]:
    threshold = rule["threshold"] if rule else None
    return (
        say_share(told["target"], 0),
        say_share(threshold) if threshold is not None else "no threshold reaches it",
        say_share(told["coverage"]),
        "" if told["accuracy"] is None else say_share(told["accuracy"]),
    )
