"""Ways in which an image may arrive worse than the ones trained on, each at five severities.

The kinds are those of Hendrycks and Dietterich (2019, "Benchmarking Neural Network Robustness to Common Corruptions")
that a 48×48 crop of a face can suffer, and what a face detector and a hand before the face add: rotation, shift and
occlusion. The amounts are ours: at the first severity one has to look twice, at the last a person still sees a face.

Images are uint8 (n, 48, 48), and so is what every function returns.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from ferrule.samples import IMAGE_SIZE

SEVERITIES = (1, 2, 3, 4, 5)  # 0 is the image as it is

_GREY = 128.0  # what a cut contrast shrinks towards
_MIDDLE = ((IMAGE_SIZE - 1) / 2, (IMAGE_SIZE - 1) / 2)


@dataclass(frozen=True)
class Corruption:
    """A kind of corruption: `change(images, amount, rng)`, and its amount at each severity, which `unit` tells."""

    change: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    amounts: tuple[float, ...]
    unit: str

    def apply(self, images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
        """Return `images` at a severity, 0 to 5; an `rng` in the same state draws the same for each."""
        return self.change(images, self.amounts[severity - 1], rng) if severity else images

    def say_amount(self, severity: int) -> str:
        """Return how strong a severity is, as "σ 2 px"."""
        return self.unit.format(self.amounts[severity - 1]) if severity else "as it is"


def blur(images: np.ndarray, sigma: float) -> np.ndarray:
    """Blur by a Gaussian of `sigma` pixels."""
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in images])


def add_noise(images: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Add normal noise of `sigma` grey levels, independent in every pixel."""
    return _to_grey(images + sigma * rng.standard_normal(images.shape, dtype=np.float32))


def cut_contrast(images: np.ndarray, factor: float) -> np.ndarray:
    """Shrink the distance of each grey level from the middle grey to `factor` of it."""
    return _to_grey(_GREY + (images.astype(np.float32) - _GREY) * factor)


def brighten(images: np.ndarray, factor: float | np.ndarray) -> np.ndarray:
    """Multiply grey levels by `factor`, one for all or one an image (n,); what gets too bright is white."""
    return _to_grey(images * np.reshape(factor, (-1, 1, 1)))


def occlude(images: np.ndarray, side: float, rng: np.random.Generator) -> np.ndarray:
    """Cover a square of `side` pixels, somewhere within the image, by one grey level, drawn for each image."""
    covered, size = images.copy(), round(side)
    corners = rng.random((len(images), 2)) * (IMAGE_SIZE - size + 1)
    levels = rng.integers(0, 256, len(images), dtype=np.uint8)
    for image, (top, left), level in zip(covered, corners.astype(int), levels, strict=True):
        image[top : top + size, left : left + size] = level
    return covered


def compress(images: np.ndarray, quality: float) -> np.ndarray:
    """Store as JPEG of `quality`, 0 to 100, and read it again."""
    stored = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])[1] for image in images]
    return np.stack([np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE), np.uint8) for file in stored])


def rotate(images: np.ndarray, degrees: float | np.ndarray) -> np.ndarray:
    """Rotate about the centre, all alike or each by its own (n,); what comes in from outside is mirrored."""
    angles = np.broadcast_to(degrees, len(images))
    return _warp(images, [cv2.getRotationMatrix2D(_MIDDLE, float(angle), 1.0) for angle in angles])


def shift(images: np.ndarray, pixels: float, rng: np.random.Generator) -> np.ndarray:
    """Move each image by `pixels` in a direction of its own; what comes in from outside is mirrored."""
    directions = rng.uniform(0, 2 * np.pi, len(images))
    offsets = pixels * np.stack([np.cos(directions), np.sin(directions)], axis=1)
    return _warp(images, [np.array([[1, 0, x], [0, 1, y]]) for x, y in offsets])


# In the order in which they are reported.
CORRUPTIONS: Mapping[str, Corruption] = {
    "blur": Corruption(lambda images, sigma, _: blur(images, sigma), (0.5, 0.75, 1.0, 1.5, 2.0), "σ {:g} px"),
    "noise": Corruption(add_noise, (5.0, 10.0, 15.0, 25.0, 40.0), "σ {:g} levels"),
    "contrast": Corruption(lambda images, factor, _: cut_contrast(images, factor), (0.7, 0.5, 0.3, 0.2, 0.1), "× {:g}"),
    "brightness": Corruption(
        lambda images, factor, rng: brighten(images, factor ** _either_way(images, rng)),
        (1.2, 1.4, 1.7, 2.0, 2.5),
        "× or ÷ {:g}",
    ),
    "occlusion": Corruption(occlude, (8.0, 12.0, 16.0, 20.0, 24.0), "side {:g} px"),
    "jpeg": Corruption(
        lambda images, quality, _: compress(images, quality), (50.0, 30.0, 20.0, 10.0, 5.0), "quality {:g}"
    ),
    "rotation": Corruption(
        lambda images, degrees, rng: rotate(images, degrees * _either_way(images, rng)),
        (5.0, 10.0, 15.0, 20.0, 30.0),
        "± {:g}°",
    ),
    "shift": Corruption(shift, (2.0, 4.0, 6.0, 8.0, 12.0), "{:g} px"),
}


def _to_grey(levels: np.ndarray) -> np.ndarray:
    return levels.clip(0, 255).astype(np.uint8)


def _either_way(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return 1 or -1 for each image."""
    return rng.choice((1.0, -1.0), len(images))


def _warp(images: np.ndarray, maps: list[np.ndarray]) -> np.ndarray:
    """Draw each image through its map (2, 3), from a pixel of the input to one of the output."""
    size = (IMAGE_SIZE, IMAGE_SIZE)
    warped = [
        cv2.warpAffine(image, each, size, borderMode=cv2.BORDER_REFLECT)
        for image, each in zip(images, maps, strict=True)
    ]
    return np.stack(warped)
