"""Ways in which what a camera delivers may change, for bench/drift.py; images are uint8 (n, 48, 48)."""

from collections.abc import Callable, Mapping

import numpy as np

from ferrule.robustness.corruptions import blur, brighten, cut_contrast, rotate
from ferrule.synthetic import draw_sample

Images = np.ndarray

MIDDLE_GREY = 128.0


def film(images: Images, frames: int, rng: np.random.Generator) -> Images:
    """Return `frames` of each image one after another, as of a video: shifted by up to a pixel, with a little noise."""
    moved = [np.roll(image, rng.integers(-1, 2, 2), axis=(0, 1)) for image in images for _ in range(frames)]
    noise = rng.normal(0, 3, (len(moved), 48, 48))
    return (np.stack(moved) + noise).clip(0, 255).astype(np.uint8)


def draw_faces(count: int, rng: np.random.Generator) -> Images:
    """Return drawn faces of the embedded sample."""
    return rng.permutation(draw_sample().images)[:count]


def draw_noise(count: int, rng: np.random.Generator) -> Images:
    """Return independent grey levels."""
    return rng.integers(0, 256, (count, 48, 48), dtype=np.uint8)


def draw_textures(count: int, rng: np.random.Generator) -> Images:
    """Return sums of three gratings each, of random direction and wavelength (4 to 24 pixels)."""
    row, column = np.indices((48, 48)) * 2 * np.pi
    images = np.full((count, 48, 48), MIDDLE_GREY)
    for _ in range(3):
        angle, frequency, phase = rng.uniform((0, 1 / 24, 0), (np.pi, 1 / 4, 2 * np.pi), (count, 3)).T[..., None, None]
        images += 40 * np.sin(frequency * (row * np.sin(angle) + column * np.cos(angle)) + phase)
    return images.clip(0, 255).astype(np.uint8)


# By what the table calls it, each severity from mild to strong with its name.
CORRUPTIONS: Mapping[str, tuple[Callable[[Images, float], Images], Mapping[str, float]]] = {
    "blurred": (blur, {"σ 0.5 px": 0.5, "σ 1 px": 1.0, "σ 2 px": 2.0}),
    "darkened": (brighten, {"× 0.9": 0.9, "× 0.8": 0.8, "× 0.6": 0.6}),
    "contrast cut": (cut_contrast, {"× 0.9": 0.9, "× 0.7": 0.7, "× 0.5": 0.5}),
    "rotated": (rotate, {"5°": 5.0, "15°": 15.0, "30°": 30.0}),
}
FOREIGN: Mapping[str, Callable[[int, np.random.Generator], Images]] = {
    "drawn faces": draw_faces,
    "noise": draw_noise,
    "textures": draw_textures,
}
