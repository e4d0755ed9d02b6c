"""Where data is from, as far as it can be known again."""

from typing import Literal

Origin = Literal["fer2013", "drawn", "unknown"]

# What data.dvc says when data/ holds the embedded sample, which can be drawn again anywhere (tests/test_data.py).
SAMPLE_MD5 = "1b7dab6c60c5b02fece64f3cf398f252.dir"

# FER-2013's images of each class, the same in whatever layout it comes: all (Goodfellow et al. 2013), and those of
# training alone, since the competition's other rows have no label.
_FER2013 = (
    {"angry": 4953, "disgust": 547, "fear": 5121, "happy": 8989, "sad": 6077, "surprise": 4002, "neutral": 6198},
    {"angry": 3995, "disgust": 436, "fear": 4097, "happy": 7215, "sad": 4830, "surprise": 3171, "neutral": 4965},
)


def recognise(md5: str | None, labels: dict[str, int], classes: tuple[str, ...]) -> Origin:
    """Return where data is from by its MD5, as data.dvc has it, and its images of each of `classes`."""
    if md5 == SAMPLE_MD5:
        return "drawn"
    known = [{name: counts[name] for name in classes} for counts in _FER2013]
    return "fer2013" if labels in known else "unknown"
