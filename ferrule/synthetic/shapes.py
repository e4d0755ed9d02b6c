"""Soft shapes on a grid of pixels, made of +, -, *, / and sqrt alone, which IEEE 754 fixes to the last bit."""

import numpy as np


def cover(distance: np.ndarray, softness: np.ndarray | float) -> np.ndarray:
    """Return how much of each pixel lies inside an edge (0..1), from the signed distance to it (negative inside)."""
    t = np.clip(0.5 - distance / softness, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def bump(x: np.ndarray, y: np.ndarray, width: np.ndarray | float, height: np.ndarray | float) -> np.ndarray:
    """Return a smooth round hill: 1 in the middle, 0 from the ellipse of these half axes on."""
    square = (x / width) * (x / width) + (y / height) * (y / height)
    t = np.maximum(0.0, 1.0 - square)
    return t * t


def ridge(distance: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """Return the profile of a smooth line: 1 on it, 0 from `width` away."""
    ratio = distance / width
    t = np.maximum(0.0, 1.0 - ratio * ratio)
    return t * t


def ellipse(x: np.ndarray, y: np.ndarray, width: np.ndarray | float, height: np.ndarray | float) -> np.ndarray:
    """Return roughly the signed distance to an ellipse around the origin, in the units of `x`."""
    square = (x / width) * (x / width) + (y / height) * (y / height)
    return (np.sqrt(square) - 1.0) * np.minimum(width, height)


def segment(x: np.ndarray, y: np.ndarray, start: tuple, end: tuple) -> np.ndarray:
    """Return the distance to the straight line between two points, each (x, y) of numbers or columns."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    t = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
    ex, ey = x - start[0] - t * dx, y - start[1] - t * dy
    return np.sqrt(ex * ex + ey * ey)


def over(below: np.ndarray, tone: np.ndarray | float, alpha: np.ndarray) -> np.ndarray:
    """Lay a tone over what is there, covering it by `alpha` (0..1)."""
    return below + (tone - below) * alpha


def slopes(surface: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the differences of a surface (n, h, w) to the right and down, a pixel; the outermost pixels are repeated."""
    padded = np.pad(surface, ((0, 0), (1, 1), (1, 1)), mode="edge")
    right = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2.0
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2.0
    return right, down


def blur(image: np.ndarray) -> np.ndarray:
    """Blur images (n, h, w) with the kernel 1 2 1 both ways; the outermost pixels are repeated."""
    return blur_down(blur_down(image).swapaxes(1, 2)).swapaxes(1, 2)


def blur_down(image: np.ndarray) -> np.ndarray:
    """Blur images (n, h, w) with the kernel 1 2 1 from top to bottom."""
    padded = np.pad(image, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return (padded[:, :-2] + 2.0 * padded[:, 1:-1] + padded[:, 2:]) / 4.0
