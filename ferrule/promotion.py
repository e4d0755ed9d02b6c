"""The gate before the champion alias: whether a challenger may take its place, and why."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Gate:
    """What a champion must fulfil; the section `promotion` of params.yaml."""

    min_accuracy: float
    min_class_recall: float
    max_accuracy_loss: float


@dataclass(frozen=True)
class Candidate:
    """A registered version and what is known of it on test images.

    `recalls` has one value a class. `predictions` is the table of `predictions.tabulate_predictions`, None where it is
    lost. The scores are of plain predictions, as they are served.
    """

    version: str
    validated: bool  # the data passed validation
    accuracy: float
    recalls: dict[str, float]
    predictions: pd.DataFrame | None


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and the reasons as sentences: all objections, or all that speaks for it."""

    promote: bool
    reasons: tuple[str, ...]


def decide_promotion(challenger: Candidate, champion: Candidate | None, gate: Gate) -> Decision:
    """Decide whether `challenger` becomes the champion.

    It must come from validated data, reach the minimum accuracy and recall, and not be worse than the champion on the
    same test images by more than the gate allows; the two are compared image by image.
    """
    if champion is not None and champion.version == challenger.version:
        return Decision(False, (f"Version {challenger.version} is the champion already.",))
    findings = [*_check_alone(challenger, gate), _check_beside(challenger, champion, gate)]
    objections = tuple(sentence for passed, sentence in findings if not passed)
    return Decision(not objections, objections or tuple(sentence for _, sentence in findings))


def _check_alone(challenger: Candidate, gate: Gate) -> list[tuple[bool, str]]:
    """Return what the gate says of the challenger by itself: whether each check passed, and a sentence."""
    weakest = min(challenger.recalls, key=lambda name: challenger.recalls[name])
    recall, passed = challenger.recalls[weakest], "passed" if challenger.validated else "did not pass"
    return [
        (challenger.validated, f"The data behind it {passed} validation."),
        (
            challenger.accuracy >= gate.min_accuracy,
            f"Its test accuracy is {challenger.accuracy:.1%}; at least {gate.min_accuracy:.1%} is asked for.",
        ),
        (
            recall >= gate.min_class_recall,
            f"Its lowest recall is {recall:.1%}, of {weakest}; at least {gate.min_class_recall:.1%} is asked for.",
        ),
    ]


def _check_beside(challenger: Candidate, champion: Candidate | None, gate: Gate) -> tuple[bool, str]:
    """Return whether the challenger holds its own against the champion, and a sentence."""
    if champion is None:
        return True, "There is no champion yet."
    who = f"the champion, version {champion.version},"
    if set(champion.recalls) != set(challenger.recalls):
        return False, (
            f"It tells {', '.join(challenger.recalls)} apart, {who} {', '.join(champion.recalls)}; "
            "give a model of other classes another register.model_name."
        )
    if challenger.predictions is None:
        return False, "Its predictions are lost; run the evaluate stage again."
    test = challenger.predictions[challenger.predictions["split"] == "test"]
    said = find_predictions(test, champion)
    if said.isna().any():
        unseen = f"{said.isna().sum():,} of its {len(test):,} test images"
        return False, f"It cannot be compared with {who} which was never shown {unseen}; score that on them first."
    won = int(((test["predicted"] == test["label"]) & (said != test["label"])).sum())
    lost = int(((test["predicted"] != test["label"]) & (said == test["label"])).sum())
    gain, asked = (won - lost) / len(test), 0 - gate.max_accuracy_loss
    return gain >= asked, (
        f"Of the same {len(test):,} test images it is right on {won:,} that {who} gets wrong, and wrong on {lost:,} "
        f"that this gets right: {gain:+.2%} accuracy; at least {asked:+.2%} is asked for."
    )


def find_predictions(test: pd.DataFrame, candidate: Candidate) -> pd.Series:
    """Return what `candidate` predicted for the images of `test`, missing where it was not asked; pixels tell which."""
    known = candidate.predictions
    if known is None:
        return pd.Series(None, index=test.index, dtype="str")
    return test["pixel_hash"].map(known.drop_duplicates("pixel_hash").set_index("pixel_hash")["predicted"])
