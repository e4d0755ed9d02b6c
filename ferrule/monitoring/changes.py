"""What a window differs in from the reference, in words and in numbers that mean something: which way, and how far."""

import pandas as pd

_SAME = 0.2  # standard deviations of the reference: a mean that moved less is called the same

# Each value: its unit, the words for less and more of it, and by what it is multiplied to be in that unit.
_VALUES = {
    "confidence": ("%", "less sure", "surer", 100),
    "brightness": (" grey levels", "darker", "brighter", 1),
    "contrast": (" grey levels", "flatter", "harsher", 1),
    "sharpness": ("", "blurrier", "sharper", 1),
}


def say_values(name: str, reference: pd.Series, window: pd.Series) -> str:
    """Return "mean 52.1 in place of 129.3 grey levels (darker)", or the spread where the mean is the same."""
    unit, less, more, scale = _VALUES.get(name, ("", "less", "more", 1))
    if abs(window.mean() - reference.mean()) > _SAME * reference.std():
        what, seen, known = "mean", window.mean(), reference.mean()
    else:
        what, seen, known = "about the same mean, standard deviation", window.std(), reference.std()
        less, more = "narrower", "wider"
    numbers = f"{scale * seen:,.1f} in place of {scale * known:,.1f}{unit}"
    return f"{what} {numbers} ({less if seen < known else more})"


def say_classes(reference: pd.Series, window: pd.Series) -> str:
    """Return which class of the predictions grew most and which shrank most, in points of their share."""
    shares = pd.DataFrame({"reference": reference.value_counts(normalize=True)})
    shares = shares.join(window.value_counts(normalize=True).rename("window"), how="outer").fillna(0.0)
    moved = (shares["window"] - shares["reference"]).sort_values()
    grew, shrank = (
        f"{name} {verb} by {100 * abs(moved[name]):.1f} points to {shares['window'][name]:.1%}"
        for name, verb in ((moved.index[-1], "grew"), (moved.index[0], "shrank"))
    )
    return f"{grew}, {shrank}"


def say_embeddings(area: float) -> str:
    """Return what an area under the ROC curve means."""
    return f"an image of the window is told from one of the reference in {area:.0%} of pairs (by chance: 50%)"


def say_accuracy(reference: float, window: float) -> str:
    """Return two accuracies."""
    return f"{window:.1%} in place of {reference:.1%} ({'worse' if window < reference else 'no worse'})"


def say_calibration(confidence: float, accuracy: float) -> str:
    """Return the mean confidence beside the accuracy that it promises."""
    return f"mean confidence {confidence:.1%} at an accuracy of {accuracy:.1%} ({_say_sure(confidence, accuracy)})"


def _say_sure(confidence: float, accuracy: float) -> str:
    return "too sure" if confidence > accuracy else "not sure enough"
