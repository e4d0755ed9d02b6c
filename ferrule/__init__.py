"""Ferrule: facial expression recognition one can trust.

The library knows arrays, tables and models; it knows no Prefect, no DVC and no path of the checkout it is used in.

    >>> from ferrule import Predictor
    >>> for answer in Predictor().predict("photo.jpg"):
    ...     print(answer.label, answer.confidence, answer.box)
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferrule.answers import Answer
    from ferrule.predictor import Predictor

__version__ = "0.1.0"
__all__ = ["Answer", "Predictor", "__version__"]

MAX_PIXELS = 100_000_000  # of a picture; files that state more are not decoded
# And none that lie: OpenCV reads this when it is loaded. A program that has loaded it before has OpenCV's own, 2**30.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
# FFmpeg would write to the terminal unless OpenCV finds this at its first video; what is wrong is said in sentences.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET


def __getattr__(name: str) -> Any:
    """Import what predicts when it is asked for: every command imports this package (PEP 562)."""
    if name == "Predictor":
        from ferrule.predictor import Predictor

        return Predictor
    if name == "Answer":
        from ferrule.answers import Answer

        return Answer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
