"""The gate before the champion alias: whether a challenger may take its place, and why."""

from dataclasses import dataclass

import pandas as pd

_FEWEST_IMAGES = 30  # on fewer, one image more or less would decide


@dataclass(frozen=True)
class Gate:
    """What a champion must fulfil; the section `promotion` of params.yaml."""

    min_accuracy: float
    min_class_recall: float
    max_accuracy_loss: float


@dataclass(frozen=True)
class Candidate:
    """A registered version and what is known of it on test images.

    `recalls` has one value a class. `predictions` is the table of `predictions.tabulate_predictions`, `seen` holds the
    pixel hashes of `predictions.list_seen`; each is None where it is lost. The scores are of plain predictions, as they
    are served.
    """

    version: str
    validated: bool  # the data passed validation
    accuracy: float
    recalls: dict[str, float]
    predictions: pd.DataFrame | None
    seen: pd.Series | None


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and the reasons as sentences: all objections, or all that speaks for it."""

    promote: bool
    reasons: tuple[str, ...]


def decide_promotion(challenger: Candidate, champion: Candidate | None, gate: Gate) -> Decision:
    """Decide whether `challenger` becomes the champion.

    It must come from validated data, reach the minimum accuracy and recall, and not be worse than the champion on the
    same test images by more than the gate allows; the two are compared image by image, on images new to both.
    """
    if champion is not None and champion.version == challenger.version:
        return Decision(False, (f"Version {challenger.version} is the champion already.",))
    findings = [*_check_alone(challenger, gate), _check_beside(challenger, champion, gate)]
    objections = tuple(sentence for passed, sentence in findings if not passed)
    return Decision(not objections, objections or tuple(sentence for _, sentence in findings))


def find_obstacle(challenger: Candidate, champion: Candidate) -> str | None:
    """Return why the two cannot be compared and what to do, as a sentence; None where they can."""
    who = _name(champion)
    if set(champion.recalls) != set(challenger.recalls):
        return (
            f"It tells {', '.join(challenger.recalls)} apart, {who} {', '.join(champion.recalls)}; "
            "give a model of other classes another register.model_name."
        )
    if challenger.predictions is None or challenger.seen is None:
        return (
            "Its predictions are lost (the model that ships comes without), or which images it was trained on, to "
            f"compare it with {who}; train here (`ferrule run`), or run the evaluate stage again."
        )
    if champion.seen is None:
        return (
            f"It cannot be compared with {who} since it is lost which images that was trained on; "
            "run `ferrule run` once with the settings and data behind that version, which logs them again."
        )
    images, total = len(select_new_images(challenger, champion)), _is_test(challenger.predictions).sum()
    if images < _FEWEST_IMAGES:
        return (
            f"It cannot be compared with {who} since only {images:,} of its {total:,} test images are new to both, and "
            f"at least {_FEWEST_IMAGES} are asked for; give both the same test images: the same data, seed and split."
        )
    return None


def select_new_images(challenger: Candidate, champion: Candidate) -> pd.DataFrame:
    """Return the challenger's predictions on test images whose pixels neither of the two was trained or selected on.

    Another split or seed may have given them to the champion, and with `split.twins: keep` either may know a copy.
    """
    images = challenger.predictions
    assert images is not None, "find_obstacle refuses it"
    images = images[_is_test(images)]
    for seen in (challenger.seen, champion.seen):
        assert seen is not None, "find_obstacle refuses it"
        images = images[~images["pixel_hash"].isin(seen)]
    return images.reset_index(drop=True)


def find_predictions(images: pd.DataFrame, candidate: Candidate) -> pd.Series:
    """Return what `candidate` predicted for `images` as test images, missing where it did not; pixels tell which."""
    known = candidate.predictions
    if known is None:
        return pd.Series(None, index=images.index, dtype="str")
    said = known[_is_test(known)].drop_duplicates("pixel_hash").set_index("pixel_hash")["predicted"]
    return images["pixel_hash"].map(said)


def _check_alone(challenger: Candidate, gate: Gate) -> list[tuple[bool, str]]:
    """Return what the gate says of the challenger by itself: whether each check passed, and a sentence."""
    weakest = min(challenger.recalls, key=lambda name: challenger.recalls[name])
    recall, passed = challenger.recalls[weakest], "passed" if challenger.validated else "did not pass"
    return [
        (challenger.validated, f"The data behind it {passed} validation."),
        (
            challenger.accuracy >= gate.min_accuracy,
            f"Its test accuracy is {_percent(challenger.accuracy)}; "
            f"at least {_percent(gate.min_accuracy)} is asked for.",
        ),
        (
            recall >= gate.min_class_recall,
            f"Its lowest recall is {_percent(recall)}, of {weakest}; "
            f"at least {_percent(gate.min_class_recall)} is asked for.",
        ),
    ]


def _check_beside(challenger: Candidate, champion: Candidate | None, gate: Gate) -> tuple[bool, str]:
    """Return whether the challenger holds its own against the champion, and a sentence."""
    if champion is None:
        return True, "There is no champion yet."
    obstacle = find_obstacle(challenger, champion)
    if obstacle:
        return False, obstacle
    images = select_new_images(challenger, champion)
    said = find_predictions(images, champion)
    if said.isna().any():
        unasked = f"{said.isna().sum():,} of its {len(images):,} test images"
        return False, f"It cannot be compared with {_name(champion)} which was not asked about {unasked}; ask it first."
    won = int(((images["predicted"] == images["label"]) & (said != images["label"])).sum())
    lost = int(((images["predicted"] != images["label"]) & (said == images["label"])).sum())
    gain, asked = (won - lost) / len(images), 0 - gate.max_accuracy_loss
    return gain >= asked, (
        f"Of the same {len(images):,} test images{_count_left_out(challenger, images)} it is right on {won:,} that "
        f"{_name(champion)} gets wrong, and wrong on {lost:,} that this gets right: {_percent(gain, '+.2f')} accuracy; "
        f"at least {_percent(asked, '+.2f')} is asked for."
    )


def _count_left_out(challenger: Candidate, images: pd.DataFrame) -> str:
    """Return, in brackets, how many of the challenger's test images are not among `images`; nothing if none."""
    assert challenger.predictions is not None
    left_out = _is_test(challenger.predictions).sum() - len(images)
    return f" ({left_out:,} more are left out: one of the two was trained or selected on them)" if left_out else ""


def _is_test(predictions: pd.DataFrame) -> pd.Series:
    return predictions["split"] == "test"


def _name(champion: Candidate) -> str:
    return f"the champion, version {champion.version},"


def _percent(share: float, form: str = ".1f") -> str:
    """Return a share as "92.4 %"."""
    return f"{100 * share:{form}} %"
