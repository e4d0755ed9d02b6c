"""Soft shapes on the grid of pixels, made with +, -, *, / and sqrt alone, which IEEE 754 fixes to the last bit."""

import numpy as np

from ferrule.samples import IMAGE_SIZE

Number = np.ndarray | float
Point = tuple[Number, Number]  # x, y


def pixel_axis(size: int = IMAGE_SIZE) -> np.ndarray:
    """Return where the middles of the pixels lie between the edges of the image, -1 and 1, as (size,)."""
    return (np.arange(size) + 0.5) * (2.0 / size) - 1.0


def cover(distance: np.ndarray, softness: Number) -> np.ndarray:
    """Return how much of each pixel lies within an edge, 0..1, from its distance to the edge (negative inside)."""
    t = np.clip(0.5 - distance / softness, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def bump(x: np.ndarray, y: np.ndarray, width: Number, height: Number) -> np.ndarray:
    """Return a round hill: 1 at the origin, falling smoothly to 0 at the ellipse with these half axes."""
    square = (x / width) * (x / width) + (y / height) * (y / height)
    t = np.maximum(0.0, 1.0 - square)
    return t * t


def ridge(distance: np.ndarray, width: Number) -> np.ndarray:
    """Return the profile of a line: 1 on it, falling smoothly to 0 at the distance `width`."""
    ratio = distance / width
    t = np.maximum(0.0, 1.0 - ratio * ratio)
    return t * t


def ellipse(x: np.ndarray, y: np.ndarray, width: Number, height: Number) -> np.ndarray:
    """Return about the distance to an ellipse around the origin with these half axes, negative inside."""
    square = (x / width) * (x / width) + (y / height) * (y / height)
    return (np.sqrt(square) - 1.0) * np.minimum(width, height)


def segment(x: np.ndarray, y: np.ndarray, start: Point, end: Point) -> np.ndarray:
    """Return the distance to a straight line between two points."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    t = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
    off_x, off_y = x - start[0] - t * dx, y - start[1] - t * dy
    return np.sqrt(off_x * off_x + off_y * off_y)


def over(below: np.ndarray, tone: Number, alpha: np.ndarray) -> np.ndarray:
    """Lay a tone over what is there, hiding `alpha` (0..1) of it."""
    return below + (tone - below) * alpha


def slopes(surface: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how steeply a surface (n, h, w) rises to the right and down, a pixel."""
    padded = np.pad(surface, ((0, 0), (1, 1), (1, 1)), mode="edge")
    right = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2.0
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2.0
    return right, down


def blur(image: np.ndarray) -> np.ndarray:
    """Blur images (n, h, w) with the weights 1 2 1 in both directions."""
    return blur_down(blur_down(image).swapaxes(1, 2)).swapaxes(1, 2)


def blur_down(image: np.ndarray) -> np.ndarray:
    """Blur images (n, h, w) with the weights 1 2 1 from top to bottom, as if their first and last rows went on."""
    padded = np.pad(image, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return (padded[:, :-2] + 2.0 * padded[:, 1:-1] + padded[:, 2:]) / 4.0
