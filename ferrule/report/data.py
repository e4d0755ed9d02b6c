"""What the report says of the data: its origin, whether it is sound, what is copied, doubtful, generated, held out."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from ferrule.documents import say_share
from ferrule.duplicates import pair_conflicts, pair_twins
from ferrule.modelcard.origin import Origin
from ferrule.report.blocks import (
    Bar,
    Bars,
    Block,
    Check,
    Face,
    Faces,
    Facts,
    Section,
    Stack,
    Stacks,
    Table,
    Text,
    Tone,
    reach,
)
from ferrule.samples import Samples

_ORIGINS = {
    "drawn": "**Drawn faces**: the sample that comes with Ferrule. No person is in it; scores on it say that the "
    "workflow works, and nothing about photographs of people.",
    "fer2013": "**FER-2013** (Goodfellow et al. 2013), known again by its number of images of each class. Its images "
    "were found on the web; the people in them were not asked.",
    "unknown": "**Unknown to Ferrule**: whoever trained the model must say where the data is from, and on which terms.",
}
_NO_USAGE = "no mark"
_PAIRS = 8
_CHILDREN = 3  # of a parent
_LABELS = {
    "given": "they were trained on as given",
    "cleaned": "they were left out of the training",
    "ferplus_soft": "FER+ votes were trained on in place of labels, suspected or not",
}
_GUARDS = {
    "drop": "The stage fails where a group of copies lies in two splits or a generated image lies outside training; it "
    "did not.",
    "keep": "Copies that the source itself put in several splits were left there, as `split.twins: keep` asks.",
}
_SPLITS = {"train": "training", "val": "validation", "test": "test"}


def describe_data(samples: Samples, rejects: pd.DataFrame, origin: Origin, classes: Sequence[str]) -> Section:
    """Return what ingest read: layout, images by class and usage, rejects by reason, and some of the images."""
    table = samples.table
    files = table["source_file"].drop_duplicates()
    kinds = ", ".join(sorted({PurePosixPath(name).suffix or "no ending" for name in files}))
    source = files.iloc[0] if len(files) == 1 else f"{len(files):,} files ({kinds})"
    usages = table["usage"].fillna(_NO_USAGE).astype(str)
    counts = pd.crosstab(table["label"], usages).reindex(classes, fill_value=0)
    names = sorted(counts.columns, key=["Training", "PublicTest", "PrivateTest", _NO_USAGE, "Unlabelled"].index)
    stacks = [
        Stack(str(label), [int(row[name]) for name in names], f"{int(row.sum()):,}") for label, row in counts.iterrows()
    ]
    blocks: list[Block] = [
        Text(_ORIGINS[origin]),
        Facts(
            [
                _say_layout(table),
                ("images", f"{len(table):,}", f"from {source}"),
                ("rejected", f"{len(rejects):,}", "rows or files that could not be read"),
                ("classes", f"{len(classes)}", _say_smallest(counts.sum(axis=1))),
            ]
        ),
        Stacks(names, stacks, "Images of each class, by the source's own marks"),
    ]
    if len(rejects):
        reasons = rejects["reason"].value_counts()
        rows = [(str(reason), f"{number:,}") for reason, number in reasons.items()]
        blocks.append(Table(("what was rejected", "rows"), rows, "lr"))
    blocks.append(Faces("Two of each class", _pick_two(samples, classes)))
    rejected = f"{len(rejects):,} rejected ({say_share(len(rejects) / (len(rejects) + len(table)), 2)})"
    text = f"{len(table):,} images were read, {rejected if len(rejects) else 'none was rejected'}."
    check = Check("note" if len(rejects) else "good", text)
    return Section("data", "Data", blocks, [check])


def describe_validation(result: dict[str, Any]) -> Section:
    """Return what became of the expectations, from validate/result.json."""
    found = result["expectations"]
    failed = [each for each in found if not each["success"]]
    suites = Counter(each["suite"] for each in found)
    passed = Counter(each["suite"] for each in found if each["success"])
    blocks: list[Block] = [
        Text(
            "Great Expectations checks the data before anything is made of it. A critical failure stops every later "
            "stage; a warning is said here."
        )
    ]
    if failed:
        blocks.append(_tabulate_expectations(failed, "What failed"))
    if suites:
        rows = [(suite, f"{passed[suite]} of {number}") for suite, number in suites.items()]
        blocks.append(Table(("suite", "passed"), rows, "lr"))
        blocks.append(_tabulate_expectations(found, f"All {len(found)} expectations", folded=True))
    evaluated, warnings, critical = (result[name] for name in ("evaluated", "warnings", "critical_failed"))
    text = f"Validation passed: {evaluated} expectations, {_count(warnings, 'warning')}."
    if not result["success"]:
        text = f"Validation **failed**: {_count(critical, 'critical failure')} in {evaluated} expectations."
    tone: Tone = "bad" if critical or not result["success"] else "note" if warnings else "good"
    return Section("validation", "Validation", blocks, [Check(tone, text)])


def describe_duplicates(
    samples: Samples, groups: pd.DataFrame, audit: dict[str, Any], split: dict[str, Any] | None
) -> Section:
    """Return what is copied, with pictures: `groups` and `audit` are what the stage audit wrote, `split` split.json."""
    held_out = sum(found["held_out"] for found in audit["twins_by_usage"].values())
    blocks: list[Block] = [
        Text(
            "A held-out image that was also trained on measures memory. Copies are found by a hash of the image and "
            "then judged by their pixels: exact ones, and near ones (recropped, relit, mirrored)."
        ),
        Facts(
            [
                (
                    "held-out images with a twin",
                    f"{audit['test_twins_near']:,}",
                    f"of {held_out:,} by the source's marks, near or exact",
                ),
                ("of these exact", f"{audit['test_twins_exact']:,}", ""),
                ("groups of copies", f"{audit['near_groups']:,}", f"with {audit['near_rows']:,} images"),
                ("one image, two labels", f"{audit['label_conflicts']:,}", "groups of exact copies"),
                ("blank images", f"{audit['blank']:,}", f"and {audit['faint'] - audit['blank']:,} nearly so"),
            ]
        ),
    ]
    if held_out:
        blocks.append(_tabulate_twins(audit["twins_by_class"]))
    pairs = pair_twins(samples.table, groups)
    if len(pairs):
        blocks.append(_show_pairs(samples, pairs, "Marked as held out, and in Training", "a frame: the labels differ"))
    conflicts = pair_conflicts(samples.table, groups)
    if len(conflicts):
        blocks.append(_show_pairs(samples, conflicts, "One image, two labels", ""))
    return Section("duplicates", "Duplicates", blocks, [_judge_twins(audit, split)] if held_out or split else [])


def describe_noise(
    noise: dict[str, Any], suspects: pd.DataFrame, samples: Samples, *, labels: str, shown: int
) -> Section:
    """Return which labels are in doubt, from the stage noise; the images of the first `shown` suspects are shown.

    `labels` is the parameter train.labels: what training made of the doubt.
    """
    if noise["skipped"]:
        return Section("noise", "Label noise", [], [Check("absent", f"No label was looked at: {noise['skipped']}.")])
    accuracy, ferplus = noise["accuracy"], noise.get("ferplus")
    facts = [
        ("suspected labels", f"{noise['suspected']:,}", f"{say_share(noise['share'])} of {noise['rows']:,} training"),
        ("right out of fold", say_share(accuracy["value"]), f"{noise['folds']} folds, copies kept together"),
    ]
    if ferplus:
        auc, precision = ferplus["auc"], ferplus["precision"]
        at = ferplus["precision_at"]
        facts += [
            ("ROC area against FER+", f"{auc['value']:.3f}", f"{auc['low']:.3f} to {auc['high']:.3f}"),
            (
                f"right among the first {at:,}",
                say_share(precision["value"]),
                "of those with a majority of FER+'s voters",
            ),
        ]
    bars = [
        Bar(
            label,
            found["suspected"] / max(1, found["rows"]),
            f"{found['suspected']:,} of {found['rows']:,}",
            note=say_share(found["suspected"] / max(1, found["rows"])),
        )
        for label, found in noise["classes"].items()
    ]
    pairs = [(pair["label"], pair["suggested"], f"{pair['rows']:,}") for pair in noise["pairs"][:8]]
    blocks: list[Block] = [
        Text(
            "Small networks say what they think of training images that they were not trained on; confident learning "
            "(Northcutt et al. 2021) tells from that which labels are likely wrong. A suspect is a question to a "
            "person, not a finding: rare and ambiguous faces are suspected as well."
        ),
        Facts(facts),
        Bars(bars, 0.0, reach(bars)[1], "Suspected, of each class's labels"),
        Table(("labelled", "looks like", "images"), pairs, "llr", "What is most often suspected"),
    ]
    faces = _show_suspects(suspects.head(shown), samples)
    if faces:
        blocks.append(Faces("The labels most in doubt", [faces], "label, then what the networks suggest"))
    found = f"{noise['suspected']:,} of {noise['rows']:,} training labels ({say_share(noise['share'])}) are suspected"
    check = Check("note" if noise["suspected"] else "good", f"{found}; {_LABELS[labels]}.")
    return Section("noise", "Label noise", blocks, [check])


def describe_balance(balance: list[dict[str, Any]], samples: Samples) -> Section:
    """Return how many images were generated for each class, and parents with children, from the stage augment."""
    stacks = [
        Stack(each["label"], [each["before"], each["generated"]], f"{each['before']:,} + {each['generated']:,}")
        for each in balance
    ]
    before, generated = (sum(each[name] for each in balance) for name in ("before", "generated"))
    blocks: list[Block] = [
        Text(
            f"Rare classes are filled up with turned, shifted, zoomed and relit copies of training images: {before:,} "
            f"photographs, {generated:,} generated. Each child keeps its parent's id, label and group, so it can only "
            "be where its parent is: in training."
        ),
        Stacks(("original", "generated"), stacks, "Training images of each class"),
    ]
    families = _find_families(samples, [each["label"] for each in sorted(balance, key=lambda each: each["before"])])
    if families:
        blocks.append(Faces("Parents, and children of theirs", families, "the parent is framed"))
    return Section("balance", "Balance", blocks)


def describe_splits(split: dict[str, Any], classes: Sequence[str]) -> Section:
    """Return what goes where, and what was dropped for it, from split.json."""
    parts = {part: Counter(split["original"].get(part, {})) for part in _SPLITS}
    generated = sum((Counter(found) for found in split["generated"].values()), Counter())
    rows = [(name, *(f"{parts[part][name]:,}" for part in _SPLITS), f"{generated[name]:,}") for name in classes]
    totals = ("all", *(f"{parts[part].total():,}" for part in _SPLITS), f"{generated.total():,}")
    dropped = {reason: sum(found.values()) for reason, found in split["dropped"].items()}
    how = "the source's own" if split["strategy"] == "official" else "drawn by group, so that copies stay together"
    blocks: list[Block] = [
        Text(f"The split is {split['strategy']}: {how}. {_GUARDS[split['twins']]}"),
        Table(("class", *_SPLITS.values(), "generated, training"), [*rows, totals], "lrrrr"),
    ]
    if dropped:
        reasons = [(reason.replace(" val", " validation"), f"{number:,}") for reason, number in dropped.items()]
        blocks.append(Table(("taken out", "images"), reasons, "lr"))
    return Section("splits", "Splits", blocks, [_judge_splits(split)])


def _say_layout(table: pd.DataFrame) -> tuple[str, str, str]:
    """Return in which layout the data came, as a fact, by where each image was found."""
    files = [PurePosixPath(name) for name in table["source_file"].unique()]
    told = ["with FER+ votes"] if "votes_neutral" in table else []
    if all(file.suffix.lower() == ".csv" for file in files):
        return "layout", "pixels in CSV", "; ".join([", ".join(map(str, files)), *told])
    splits = sorted({str(file.parent.parent) for file in files} - {"."})
    return "layout", "class folders", "; ".join([f"in {', '.join(splits)}" if splits else "of images", *told])


def _pick_two(samples: Samples, classes: Sequence[str]) -> list[list[Face]]:
    """Return two images of each class, taken from the middle of its rows, which no order of a file favours."""
    labels = samples.table["label"].to_numpy()
    groups = []
    for name in classes:
        rows = np.flatnonzero(labels == name)
        groups.append([Face(samples.images[row], name) for row in _take_evenly(rows, 4)[1:3]])
    return groups


def _tabulate_expectations(found: list[dict[str, Any]], title: str, *, folded: bool = False) -> Table:
    """Return a row an expectation."""
    rows = [
        (
            "passed" if each["success"] else "failed",
            each["quantity"],
            f"{each['observed']:,}" if isinstance(each["observed"], int) else str(each["observed"]),
            str(each["limit"]),
            each["severity"],
        )
        for each in found
    ]
    return Table(("", "what", "observed", "expected", "severity"), rows, "lllll", title, folded)


def _tabulate_twins(by_class: dict[str, dict[str, int]]) -> Bars:
    """Return the share of each class's held-out images that have a twin in Training."""
    bars = [
        Bar(
            label,
            found["near"] / max(1, found["held_out"]),
            f"{found['near']:,} of {found['held_out']:,}",
            note=f"{found['exact']:,} exact",
        )
        for label, found in by_class.items()
    ]
    return Bars(bars, 0.0, reach(bars)[1], "Held-out images with a twin in Training, of each class")


def _judge_twins(audit: dict[str, Any], split: dict[str, Any] | None) -> Check:
    """Return whether the copies of held-out images were kept out of training.

    The audit goes by the source's marks, which only the official split follows; what was left in is the split's to say.
    """
    near = audit["test_twins_near"]
    found = f"{near:,} images that the source marks as held out have a copy in Training"
    if split is None:
        return Check("note" if near else "good", f"{found}.")
    kept = _count_kept(split)
    if kept:
        told = f"{kept:,} images of training or validation have a copy in a later split, and were **left in**"
        return Check("bad", f"{told}: scores on all held-out images are too high.")
    dropped = sum(sum(rows.values()) for reason, rows in split["dropped"].items() if reason.startswith("twin"))
    taken = f"{dropped:,} images were taken out as copies, and " if dropped else ""
    marked = f"{found}; {taken}none" if near and split["strategy"] == "official" else "No copy of a held-out image"
    return Check("good", f"{marked} is left in what is trained on.")


def _judge_splits(split: dict[str, Any]) -> Check:
    """Return whether anything that is held out is also in an earlier split."""
    outside = sum(sum(found.values()) for part, found in split["generated"].items() if part != "train")
    if outside:
        return Check("bad", f"{outside:,} generated images are **held out**: scores on them measure memory.")
    kept = _count_kept(split)
    if kept:
        return Check("bad", f"{kept:,} images have a copy in a **later split**, as `split.twins: keep` allows.")
    return Check("good", "No generated image is in validation or test, and no group of copies in two of the three.")


def _count_kept(split: dict[str, Any]) -> int:
    """Return how many images with a copy in a later split that is scored were left where they were."""
    kept = split["twins_kept"].items()
    return sum(sum(rows.values()) for place, rows in kept if place.endswith(("copy in val", "copy in test")))


def _show_pairs(samples: Samples, pairs: np.ndarray, title: str, note: str) -> Faces:
    """Return some of the pairs, evenly taken; a frame marks labels that differ."""
    groups = []
    for pair in _take_evenly(pairs, _PAIRS):
        table = samples.table.iloc[pair]
        labels, usages = table["label"].fillna("no label"), table["usage"].fillna(_NO_USAGE)
        tone: Tone = "bad" if labels.nunique() > 1 else ""
        told = zip(pair, labels, usages, strict=True)
        groups.append([Face(samples.images[row], label, usage, tone) for row, label, usage in told])
    more = f"{len(groups)} of {len(pairs):,} pairs"
    return Faces(title, groups, f"{more}; {note}" if note else more)


def _show_suspects(suspects: pd.DataFrame, samples: Samples) -> list[Face]:
    """Return the images of suspected labels that are among `samples`."""
    places = pd.Series(np.arange(len(samples)), index=samples.table["sample_id"].to_numpy())
    known = suspects[suspects["sample_id"].isin(places.index)]
    return [
        Face(samples.images[places[row.sample_id]], str(row.label), f"→ {row.suggested}", "note")
        for row in known.itertuples()
    ]


def _find_families(samples: Samples, labels: Sequence[str], count: int = 6) -> list[list[Face]]:
    """Return parents with children of theirs, one family a class, of the classes that come first."""
    table = samples.table.assign(row=np.arange(len(samples)))
    children = table[table["sample_id"] != table["parent_id"]]
    families = []
    for label in labels[:count]:
        of_class = children[children["label"] == label]
        if len(of_class):
            parent = int(of_class["parent_id"].iloc[len(of_class) // 2])
            first = int(table.loc[table["sample_id"] == parent, "row"].iloc[0])
            rows = of_class.loc[of_class["parent_id"] == parent, "row"].head(_CHILDREN)
            own = [Face(samples.images[row], "") for row in rows]
            families.append([Face(samples.images[first], label, "", "good"), *own])
    return families


def _take_evenly(items: np.ndarray, count: int) -> np.ndarray:
    """Return `count` items, or all where there are fewer, taken evenly from first to last."""
    return items[np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int))]


def _say_smallest(rows: pd.Series) -> str:
    """Return how rare the rarest class is."""
    return f"{rows.idxmin()} is {say_share(rows.min() / max(1, rows.sum()))}"


def _count(number: int, noun: str) -> str:
    """Return "1 warning" or "2 warnings"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
