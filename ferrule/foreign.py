"""A model on labelled images from elsewhere: their classes mapped to the model's, and copies of what it saw told apart.

A score on other data means something only if the data is new to the model. Sets of faces that are gathered on the web
share pictures with FER-2013, and many are FER-2013 in another form; what the model was trained or selected on is
scored apart, and so are its own test images, which were looked at before.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ferrule.documents import say_score, say_share, write_table
from ferrule.emotions import EMOTIONS, class_ids, parse_emotion
from ferrule.errors import DataError, ParameterError
from ferrule.layouts import read_samples
from ferrule.metrics import score, wilson
from ferrule.portable.model import PortableModel
from ferrule.quality import hash_pixels
from ferrule.samples import Samples
from ferrule.seen import EXACT, NEAR, NONE, find_seen, knows_near

DROP = "drop"
OTHERS = ("contempt",)  # expressions that other sets label and FER-2013 does not; left out unless mapped
NEW, COPIES, OWN, ALL = "new", "copies", "own_test", "all"  # the blocks of scores; the first three are parts of ALL

_UNKNOWN = "unknown label"  # as layouts.damage says it
_BLOCKS = {
    NEW: "images new to the model",
    COPIES: "copies of what it has seen",
    OWN: "its own test images",
    ALL: "all images",
}


@dataclass(frozen=True)
class ForeignSet:
    """Labelled images from elsewhere.

    The table of `samples` has the model's class as `label`, and as `given` what the set itself says; `classes` counts
    the images of each given label and says what it was taken as (None: left out). `unlabelled` rows were left out too.
    """

    name: str
    samples: Samples
    classes: list[dict[str, Any]]
    unlabelled: int
    rejects: pd.DataFrame
    notes: tuple[str, ...]


def read_mapping(texts: Sequence[str], classes: tuple[str, ...]) -> dict[str, str]:
    """Return what labels of a set stand for, from texts such as "contempt=neutral", "7=drop" or "1=surprise".

    The keys are lower-case words; a number is a word, too. Raises ParameterError for what names none of `classes`.
    """
    mapping: dict[str, str] = {}
    for text in texts:
        given, _, taken = (part.strip().lower() for part in text.partition("="))
        meant = taken if taken == DROP or taken.isdecimal() else parse_emotion(taken)
        if not given or meant not in (*classes, DROP):
            raise ParameterError(
                f"Expected LABEL=CLASS with a class among {', '.join(classes)}, or LABEL={DROP}; got {text!r}; "
                "correct --map."
            )
        mapping[_canonical(given)] = meant
    return mapping


def read_foreign(path: Path, classes: tuple[str, ...], mapping: Mapping[str, str]) -> ForeignSet:
    """Read the labelled images at `path`, a CSV file or a folder in any known layout, for a model of `classes`.

    Labels are mapped; those that are no class of the model are left out. Raises DataError where there is a label of
    which nobody said what it stands for, or nothing is left, ParameterError where `mapping` names a label that the
    set does not have.
    """
    words = {word for word in (*mapping, *OTHERS) if word not in EMOTIONS}
    reading = read_samples(path, EMOTIONS, max_reject_fraction=1.0, also=words)
    _expect_known(path, reading.rejects)
    table, images = reading.samples.table, reading.samples.images
    labels = {given: int(count) for given, count in table["label"].value_counts().items()}
    _expect_used(path, mapping, labels)
    taken = {given: mapping.get(given, given if given in classes else DROP) for given in labels}
    kept = table["label"].map(taken).isin(classes).to_numpy()
    if not kept.any():
        told = ", ".join(f"{given} {count:,}" for given, count in labels.items()) or "none"
        raise DataError(
            f"Expected images of {', '.join(classes)} in {path.name}; its labels are {told}; map them with --map."
        )
    rows = table[kept].assign(given=table["label"], label=table["label"].map(taken))
    counts = [
        {"given": given, "taken_as": None if taken[given] == DROP else taken[given], "images": count}
        for given, count in labels.items()
    ]
    unlabelled = int(table["label"].isna().sum())
    return ForeignSet(path.name, Samples(images[kept], rows), counts, unlabelled, reading.rejects, reading.notes)


def predict_foreign(
    foreign: ForeignSet, model: PortableModel, seen: pd.DataFrame | None, tested: pd.DataFrame | None
) -> pd.DataFrame:
    """Return a row an image: where it is from, what it is labelled, what is predicted, `copy` and `own_test`.

    Probabilities are calibrated. The last two say as `seen.find_seen` does whether it is a copy of what the model has
    `seen` and of what it was `tested` on; each is missing where that is not known.
    """
    images, table = foreign.samples.images, foreign.samples.table
    probabilities = model.probabilities(images)
    columns = {
        "pixel_hash": hash_pixels(images),
        "copy": None if seen is None else find_seen(images, seen),
        "own_test": None if tested is None else find_seen(images, tested),
        "predicted": np.array(model.classes)[probabilities.argmax(axis=1)],
        "confidence": probabilities.max(axis=1),
        **{f"probability_{name}": probabilities[:, number] for number, name in enumerate(model.classes)},
    }
    return table[["source_file", "source_row", "given", "label"]].reset_index(drop=True).assign(**columns)


def divide_foreign(predictions: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return which rows of `predict_foreign` are NEW, COPIES, OWN and ALL, bool (n,); what has no row is left out.

    Own test images are no new ones and, unless they are exact copies of what was seen and not of these, no copies.
    NEW and COPIES are left out where it is not known what the model has seen.
    """
    copy, own_test = predictions["copy"], predictions["own_test"]
    own = (own_test == EXACT) | ((own_test == NEAR) & (copy != EXACT))
    parts = {NEW: (copy == NONE) & ~own, COPIES: copy.isin([EXACT, NEAR]) & ~own, OWN: own, ALL: own | ~own}
    return {name: part.to_numpy() for name, part in parts.items() if part.any()}


def score_foreign(
    foreign: ForeignSet,
    predictions: pd.DataFrame,
    model: PortableModel,
    seen: pd.DataFrame | None,
    tested: pd.DataFrame | None,
    **settings: int,
) -> dict[str, Any]:
    """Return what is told of a model on a set, ready for JSON; `settings` are those of `metrics.score`.

    `scores` has the blocks of `divide_foreign`, each as `metrics.score` gives it and with its mean `confidence`. `home`
    are the model's scores on its own test images as evaluate gave them. `absent` counts the answers that name a class
    of which the set has no image.
    """
    parts = divide_foreign(predictions)
    rejects = Counter(foreign.rejects["reason"])
    present = set(predictions["label"])
    answers = Counter(predictions["predicted"])
    return {
        "data": {
            "name": foreign.name,
            "images": len(predictions),
            "classes": foreign.classes,
            "unlabelled": foreign.unlabelled,
            "rejects": dict(rejects),
            "repeated": int(predictions["pixel_hash"].duplicated().sum()),
            "copies": _count_copies(predictions["copy"], parts.get(COPIES), seen),
            "own_test": _count_copies(predictions["own_test"], parts.get(OWN), tested),
            "notes": list(foreign.notes),
        },
        "model": {"title": model.title, "version": model.version, "model_md5": model.facts.model_md5},
        "home": model.facts.scores["test"],
        "scores": {name: _score(predictions[part], model.classes, settings) for name, part in parts.items()},
        "absent": {name: answers[name] for name in model.classes if name not in present and answers[name]},
    }


def describe_foreign(report: Mapping[str, Any]) -> str:
    """Return what `score_foreign` says for a person, as Markdown."""
    scores = report["scores"]
    main = NEW if NEW in scores else ALL
    return "\n\n".join(
        [
            *_describe_data(report["data"]),
            _tabulate_blocks(report),
            f"By class, {_BLOCKS[main]}:",
            _tabulate_classes(scores[main]["classes"]),
            *_describe_absent(report["absent"], scores[ALL]["rows"]),
        ]
    )


def _canonical(label: str) -> str:
    """Return a label as the layouts give it: the name of one of the seven classes, or the word itself."""
    return label if label.isdecimal() else parse_emotion(label) or label


def _expect_known(path: Path, rejects: pd.DataFrame) -> None:
    unknown = rejects.loc[rejects["reason"] == _UNKNOWN, "detail"].value_counts()
    if len(unknown):
        found = ", ".join(f"{detail} ({count:,})" for detail, count in unknown.head(8).items())
        raise DataError(
            f"Expected to know each label in {path.name}; got {found}; say what each stands for with "
            f"--map LABEL=CLASS, or leave it out with --map LABEL={DROP}."
        )


def _expect_used(path: Path, mapping: Mapping[str, str], labels: Mapping[str, int]) -> None:
    if unused := mapping.keys() - labels.keys():
        raise ParameterError(
            f"Expected labels of {path.name} in --map, which are {', '.join(labels) or 'none'}; got "
            f"{', '.join(sorted(unused))}; correct it."
        )


def _count_copies(
    copy: "pd.Series[str]", part: np.ndarray | None, table: pd.DataFrame | None
) -> dict[str, int | None] | None:
    """Return how many of a part's images are copies of what `table` lists, None where there is none.

    Near ones are None where the table cannot find them.
    """
    if table is None:
        return None
    copies = Counter(() if part is None else copy[part])
    return {EXACT: copies[EXACT], NEAR: copies[NEAR] if knows_near(table) else None}


def _score(predictions: pd.DataFrame, classes: tuple[str, ...], settings: Mapping[str, int]) -> dict[str, Any]:
    labels = np.array(class_ids(predictions["label"], classes), dtype=int)
    probabilities = predictions[[f"probability_{name}" for name in classes]].to_numpy()
    told = score(
        labels, probabilities, classes, bootstrap=settings["bootstrap"], bins=settings["bins"], seed=settings["seed"]
    )
    return told | {"confidence": round(float(predictions["confidence"].mean()), 6)}


def _describe_data(data: Mapping[str, Any]) -> list[str]:
    """Return sentences about the images: which labels stand for what, what was left out, what the model has seen."""
    renamed = [
        f"{each['given']} as {each['taken_as']} ({each['images']:,})"
        for each in data["classes"]
        if each["taken_as"] not in (None, each["given"])
    ]
    dropped = [f"{each['given']} ({each['images']:,})" for each in data["classes"] if each["taken_as"] is None]
    rejects = [f"{reason} ({count:,})" for reason, count in data["rejects"].items()]
    facts = [f"{data['name']}: {data['images']:,} images"]
    facts += [f"taken {', '.join(renamed)}"] * bool(renamed)
    facts += [f"left out {', '.join(dropped)}"] * bool(dropped)
    facts += [f"{data['unlabelled']:,} without a label"] * bool(data["unlabelled"])
    facts += [f"not readable: {', '.join(rejects)}"] * bool(rejects)
    facts += [f"{data['repeated']:,} repeat the pixels of another"] * bool(data["repeated"])
    return ["; ".join(facts) + ".", _say_copies(data["copies"]), _say_own_test(data["own_test"])]


def _say_copies(copies: Mapping[str, int | None] | None) -> str:
    if copies is None:
        return (
            "It is not known which images the model has seen (no seen.parquet came with it), so copies of these are "
            "not told apart: **the scores may be too good**."
        )
    near = (
        "near ones cannot be found, since an older Ferrule made the model"
        if copies[NEAR] is None
        else f"{copies[NEAR]:,} near"
    )
    return f"Copies of images that the model was trained or selected on: {copies[EXACT]:,} exact, {near}."


def _say_own_test(copies: Mapping[str, int | None] | None) -> str:
    if copies is None:
        return (
            "The model's own test images cannot be told here (no hashes of them came with it), so they would pass for "
            "new ones: **its test set, PrivateTest of FER-2013 for the model that ships, must not be scored here "
            "again.**"
        )
    near = (
        "near ones cannot be found, since their pixels are not in this project"
        if copies[NEAR] is None
        else f"{copies[NEAR]:,} near"
    )
    return f"The model's own test images: {copies[EXACT]:,} exact, {near}."


def _tabulate_blocks(report: Mapping[str, Any]) -> str:
    head = ("", "images", "accuracy", "macro F1", "calibration error", "mean confidence")
    rows = [
        (
            _BLOCKS[name],
            f"{block['rows']:,}",
            *(say_score(block[score]) for score in ("accuracy", "macro_f1", "ece")),
            say_share(block["confidence"]),
        )
        for name, block in report["scores"].items()
    ]
    home = report["home"]
    known = [say_score(home[score]) for score in ("accuracy", "macro_f1", "ece")]
    return write_table(head, [*rows, ("at home: its own test images", f"{home['rows']:,}", *known, "")])


def _tabulate_classes(classes: Mapping[str, Any]) -> str:
    head = ("class", "images", "recall", "precision", "F1")
    rows = [
        (
            name,
            f"{told['rows']:,}",
            *(say_score(told[score]) if told["rows"] else "" for score in ("recall", "precision", "f1")),
        )
        for name, told in classes.items()
    ]
    return write_table(head, rows)


def _describe_absent(absent: Mapping[str, int], images: int) -> list[str]:
    if not absent:
        return []
    counted = ", ".join(f"{name} {count:,}" for name, count in absent.items())
    share = say_score(wilson(sum(absent.values()), images).as_dict())
    return [f"Of all answers {share} name a class of which the set has no image ({counted}); they count as wrong."]
