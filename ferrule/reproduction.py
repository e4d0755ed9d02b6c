"""A version and the same made again: whether they are one network, or score alike, and where they differ."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ferrule.documents import say_share, write_table
from ferrule.predictions import read_probabilities
from ferrule.registry.versions import TAGGED_SCORES

EQUAL, WITHIN, DIFFERENT = "bit-equal", "equal within the interval", "not reproduced"
SCORES = (*TAGGED_SCORES, "log_loss", "ece")  # of the test images; the verdict goes by TAGGED_SCORES

_MEANING = {
    EQUAL: "The same data gave the same network, byte for byte, and the same scores.",
    WITHIN: "Some bytes differ, and accuracy and macro F1 lie within the 95 % intervals that the version states.",
    DIFFERENT: "The data or the test images are others, or a score lies outside the 95 % interval that was stated.",
}
_SAME = 1e-9  # scores that differ by less are one number, sent through a store


@dataclass(frozen=True)
class Origin:
    """What a version was made from."""

    name: str
    version: str
    commit: str
    data_md5: str
    recipe: str | None


@dataclass(frozen=True)
class Made:
    """What came of a run: MD5s of the data, of each stage's outputs, the network and the test images; test scores."""

    data_md5: str | None
    stages: dict[str, list[str]] | None
    model_md5: str
    test_md5: str | None
    scores: dict[str, dict[str, float]]
    predictions: pd.DataFrame | None


@dataclass(frozen=True)
class Reproduction:
    """A version and the same made again, and the verdict on it."""

    origin: Origin
    folder: Path
    recorded: Made
    again: Made
    verdict: str
    differences: dict[str, list[str | None]] | None  # of environments: then and now; None where it is not recorded

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        made = {name: asdict(getattr(self, name)) for name in ("recorded", "again")}
        for each in made.values():
            del each["predictions"]
        facts = {"verdict": self.verdict, "folder": str(self.folder), "environment": self.differences}
        return asdict(self.origin) | facts | made | {"predictions": compare_predictions(self.recorded, self.again)}

    def describe(self) -> str:
        """Return it for a person, as Markdown."""
        origin = self.origin
        recipe = f", recipe {origin.recipe}" if origin.recipe else ""
        return "\n\n".join(
            [
                f"**{origin.name} version {origin.version}: {self.verdict}.** {_MEANING[self.verdict]}",
                f"Made again from commit {origin.commit[:9]} and data {origin.data_md5}{recipe}, in {self.folder}.",
                write_table(("", "recorded", "made again", ""), _compare_hashes(self.recorded, self.again)),
                write_table(("test images", "recorded", "95 % interval", "made again"), _compare_scores(self)),
                *_say_predictions(compare_predictions(self.recorded, self.again)),
                _say_environment(self.differences),
            ]
        )


def judge(recorded: Made, again: Made) -> str:
    """Return EQUAL, WITHIN or DIFFERENT.

    EQUAL asks for the same data, network, test images and scores; WITHIN for the same data and test images, and values
    of TAGGED_SCORES within the intervals that were recorded.
    """
    if (recorded.data_md5, recorded.test_md5) != (again.data_md5, again.test_md5):
        return DIFFERENT
    pairs = {name: (recorded.scores[name], again.scores[name]["value"]) for name in recorded.scores}
    same = all(abs(then["value"] - value) < _SAME for then, value in pairs.values())
    if same and recorded.model_md5 == again.model_md5:
        return EQUAL
    inside = all(pairs[name][0]["low"] <= pairs[name][1] <= pairs[name][0]["high"] for name in TAGGED_SCORES)
    return WITHIN if inside else DIFFERENT


def compare_predictions(recorded: Made, again: Made) -> dict[str, float] | None:
    """Return on what share of the test images both say the same class, and how far probabilities differ at most.

    None where one of the tables is lost.
    """
    if recorded.predictions is None or again.predictions is None:
        return None
    tables = (
        table[table["split"] == "test"].set_index("sample_id") for table in (recorded.predictions, again.predictions)
    )
    then, now = pd.DataFrame.align(*tables, join="inner", axis=0)
    prefix = "probability_"
    classes = tuple(name.removeprefix(prefix) for name in then if name.startswith(prefix) and not name.endswith("_tta"))
    apart = abs(read_probabilities(then, classes) - read_probabilities(now, classes))
    same = (then["predicted"].to_numpy() == now["predicted"].to_numpy()).mean()
    return {"same_class": float(same), "largest_difference": float(apart.max(initial=0))}


def _compare_hashes(recorded: Made, again: Made) -> list[tuple[str, ...]]:
    pairs: dict[str, tuple[str | None, str | None]] = {"data": (recorded.data_md5, again.data_md5)}
    for stage, outs in (again.stages or {}).items():
        before = (recorded.stages or {}).get(stage)
        pairs[f"outputs of {stage}"] = (None if before is None else " ".join(before), " ".join(outs))
    pairs["network"] = (recorded.model_md5, again.model_md5)
    pairs["test images and labels"] = (recorded.test_md5, again.test_md5)
    return [(name, then or "not recorded", now or "", _say_same(then, now)) for name, (then, now) in pairs.items()]


def _say_same(then: str | None, now: str | None) -> str:
    return "" if then is None else "same" if then == now else "**differs**"


def _compare_scores(result: Reproduction) -> list[tuple[str, ...]]:
    def say(name: str, value: float) -> str:
        return f"{value:.4f}" if name == "log_loss" else say_share(value, 2)

    rows: list[tuple[str, ...]] = []
    for name, then in result.recorded.scores.items():
        value, low, high = (say(name, then[part]) for part in ("value", "low", "high"))
        rows.append((name.replace("_", " "), value, f"{low} to {high}", say(name, result.again.scores[name]["value"])))
    return rows


def _say_predictions(found: Mapping[str, float] | None) -> list[str]:
    if found is None:
        return []
    share = say_share(found["same_class"], 2)
    apart = found["largest_difference"]
    return [f"Both name the same class for {share} of the test images; probabilities differ by {apart:.2g} at most."]


def _say_environment(differences: Mapping[str, list[str | None]] | None) -> str:
    if differences is None:
        return "On what machine the version was trained is not recorded."
    if not differences:
        return "Processor and packages are those of the training."
    told = ", ".join(f"{name} {then or 'none'} then, {now or 'none'} now" for name, (then, now) in differences.items())
    return f"Other than at the training: {told}."
