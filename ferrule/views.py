"""Views of an image: distorted at random for training, in a fixed few ways for averaging at prediction.

Both are affine maps of the 48×48 image, drawn by OpenCV at the size the network is fed with.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ferrule.samples import IMAGE_SIZE


@dataclass(frozen=True)
class Distortion:
    """How far training may distort an image; each amount is drawn anew for each image and epoch, 0 turns it off."""

    flip: float  # probability
    rotation: float  # degrees, either way
    zoom: float  # natural logarithm of the scale, either way
    aspect: float  # natural logarithm of width over height, either way
    shift: float  # of the image's side, either way
    erasing: float  # probability of one rectangle set to the image's mean


@dataclass(frozen=True)
class View:
    """One fixed way to look at an image."""

    flip: bool = False
    zoom: float = 1.0  # factor
    rotation: float = 0.0  # degrees
    shift: tuple[float, float] = (0.0, 0.0)  # right and down, of the image's side


PLAIN = (View(),)
FLIP = (View(), View(flip=True))
_CROPS = (
    View(),
    View(zoom=1.1),
    View(zoom=0.93),
    *(View(shift=(x, y)) for x in (-0.05, 0.05) for y in (-0.05, 0.05)),
    View(rotation=-6.0),
    View(rotation=6.0),
)
ALL = tuple(View(flip, crop.zoom, crop.rotation, crop.shift) for crop in _CROPS for flip in (False, True))


def distort(images: np.ndarray, distortion: Distortion, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return `images`, uint8 (b, 48, 48), each distorted in its own way, as uint8 (b, size, size)."""
    n = len(images)
    matrices = _affine(
        flip=rng.random(n) < distortion.flip,
        rotation=rng.uniform(-1, 1, n) * distortion.rotation,
        zoom=np.exp(rng.uniform(-1, 1, n) * distortion.zoom),
        aspect=np.exp(rng.uniform(-1, 1, n) * distortion.aspect),
        shift=rng.uniform(-1, 1, (n, 2)) * distortion.shift,
        size=size,
    )
    distorted = _warp(images, matrices, size)
    for number in np.flatnonzero(rng.random(n) < distortion.erasing):
        _erase(distorted[number], rng)
    return distorted


def look(images: np.ndarray, view: View, size: int = IMAGE_SIZE) -> np.ndarray:
    """Return `images`, uint8 (b, 48, 48), as `view` shows them, uint8 (b, size, size)."""
    n = len(images)
    matrices = _affine(
        flip=np.full(n, view.flip),
        rotation=np.full(n, view.rotation),
        zoom=np.full(n, view.zoom),
        aspect=np.ones(n),
        shift=np.tile(view.shift, (n, 1)),
        size=size,
    )
    return _warp(images, matrices, size)


def _affine(
    *, flip: np.ndarray, rotation: np.ndarray, zoom: np.ndarray, aspect: np.ndarray, shift: np.ndarray, size: int
) -> np.ndarray:
    """Return (n, 2, 3): for each image the map from a pixel of the output (x, y, 1) to a point of the 48×48 input."""
    angle = np.deg2rad(rotation)
    scale = IMAGE_SIZE / size / zoom
    across, down = scale / np.sqrt(aspect) * np.where(flip, -1, 1), scale * np.sqrt(aspect)
    linear = np.array([[np.cos(angle) * across, -np.sin(angle) * down], [np.sin(angle) * across, np.cos(angle) * down]])
    linear = np.moveaxis(linear, 2, 0)
    middle_in, middle_out = (IMAGE_SIZE - 1) / 2, (size - 1) / 2
    offset = middle_in + shift * IMAGE_SIZE - linear @ np.full(2, middle_out)
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _warp(images: np.ndarray, matrices: np.ndarray, size: int) -> np.ndarray:
    """Draw each image through its matrix; what lies outside the image is its mirror image."""
    warped = np.empty((len(images), size, size), np.uint8)
    for image, matrix, target in zip(images, matrices, warped, strict=True):
        cv2.warpAffine(
            image,
            matrix,
            (size, size),
            dst=target,
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
    return warped


def _erase(image: np.ndarray, rng: np.random.Generator) -> None:
    """Set a rectangle of a sixth to a half of each side of `image` (size, size) to the image's mean, in place."""
    size = len(image)
    height, width = rng.integers(size // 6, size // 2 + 1, 2)
    top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
    image[top : top + height, left : left + width] = image.mean()
