"""Images that show no face, made up: what `judge_crops` must tell from faces. All are uint8 (n, 48, 48)."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np

Images = np.ndarray

_SIDE, _LARGE = 48, 96  # of an image, and of what is drawn at twice its size and shrunk
_LETTERS = list("abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789 ")


def draw_blank(count: int, rng: np.random.Generator) -> Images:
    """Return one grey level each, half of them with the faint noise of a sensor."""
    levels = rng.integers(0, 256, (count, 1, 1)) + np.zeros((1, _SIDE, _SIDE))
    noisy = levels + rng.normal(0, 2, levels.shape) * (np.arange(count) % 2)[:, None, None]
    return noisy.clip(0, 255).astype(np.uint8)


def draw_noise(count: int, rng: np.random.Generator, sigma: float = 0.0) -> Images:
    """Return white noise, blurred by a Gaussian of `sigma` pixels."""
    noise = rng.normal(size=(count, _LARGE, _LARGE))
    blurred = [cv2.GaussianBlur(each, (0, 0), sigma) if sigma else each for each in noise]
    return _scale(np.stack(blurred)[:, 24:72, 24:72], rng)


def draw_clouds(count: int, rng: np.random.Generator, power: float = 1.5) -> Images:
    """Return noise whose amplitude falls with the `power` of its frequency, as that of bark, stone and clouds does."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(_SIDE), np.fft.fftfreq(_SIDE)))
    frequency[0, 0] = 1.0
    spectrum = np.fft.fft2(rng.normal(size=(count, _SIDE, _SIDE))) / frequency**power
    return _scale(np.fft.ifft2(spectrum).real, rng)


def draw_gradients(count: int, rng: np.random.Generator) -> Images:
    """Return gradients, half along a line and half around a point."""
    x, y = _axes()
    slanted = x * np.cos(angle := rng.uniform(0, 2 * np.pi, (count, 1, 1))) + y * np.sin(angle)
    round_ = np.hypot(x - rng.uniform(-0.4, 0.4, (count, 1, 1)), y - rng.uniform(-0.4, 0.4, (count, 1, 1)))
    return _scale(np.where((np.arange(count) % 2)[:, None, None], slanted, round_), rng)


def draw_stripes(count: int, rng: np.random.Generator) -> Images:
    """Return stripes of any direction and width, half of them with hard edges."""
    x, y = _axes()
    angle, rate, phase = rng.uniform(0, 2 * np.pi, (3, count, 1, 1))
    waves = np.sin((x * np.cos(angle) + y * np.sin(angle)) * (10 + 13 * rate) + phase)
    return _scale(np.where((np.arange(count) % 2)[:, None, None], waves, np.sign(waves)), rng)


def draw_checks(count: int, rng: np.random.Generator) -> Images:
    """Return checkerboards."""
    boards = []
    for side, right, down in rng.integers((2, 0, 0), (13, 48, 48), (count, 3)):
        rows, columns = (np.arange(_SIDE) + down) // side, (np.arange(_SIDE) + right) // side
        boards.append((rows[:, None] + columns) % 2)
    return _scale(np.stack(boards).astype(np.float64), rng)


def draw_text(count: int, rng: np.random.Generator) -> Images:
    """Return a few lines of letters each, dark on bright."""

    def write(page: np.ndarray) -> None:
        page[:] = rng.integers(150, 256)
        size, ink = rng.uniform(0.3, 1.0), int(rng.integers(0, 90))
        for row in range(10, 130, int(28 * size) + 4):
            line = "".join(rng.choice(_LETTERS, 20))
            cv2.putText(page, line, (int(rng.integers(-20, 5)), row), 0, size, ink, 1, cv2.LINE_AA)

    return _draw(count, write)


def draw_discs(count: int, rng: np.random.Generator) -> Images:
    """Return discs of any size and tone, one over the other."""

    def paint(page: np.ndarray) -> None:
        for _ in range(rng.integers(3, 25)):
            middle = tuple(map(int, rng.integers(0, _LARGE, 2)))
            cv2.circle(page, middle, int(rng.integers(2, 24)), int(rng.integers(0, 256)), -1, cv2.LINE_AA)

    return _draw(count, paint)


def draw_boxes(count: int, rng: np.random.Generator) -> Images:
    """Return rectangles of any size and tone, one over the other."""

    def paint(page: np.ndarray) -> None:
        for _ in range(rng.integers(3, 14)):
            left, top = map(int, rng.integers(-10, _LARGE, 2))
            width, height = map(int, rng.integers(5, 60, 2))
            cv2.rectangle(page, (left, top), (left + width, top + height), int(rng.integers(0, 256)), -1)

    return _draw(count, paint)


def draw_bricks(count: int, rng: np.random.Generator) -> Images:
    """Return walls of bricks."""

    def build(page: np.ndarray) -> None:
        page[:] = rng.integers(150, 220)
        size = int(rng.integers(12, 28))
        for row, top in enumerate(range(-3, _LARGE, size)):
            for left in range(-(row % 2) * size, _LARGE, 2 * size):
                tone = int(np.clip(rng.normal(110, 18), 0, 255))
                cv2.rectangle(page, (left + 1, top + 1), (left + 2 * size - 2, top + size - 2), tone, -1)

    return _draw(count, build)


def draw_grass(count: int, rng: np.random.Generator) -> Images:
    """Return blades of grass."""

    def grow(page: np.ndarray) -> None:
        page[:] = 60
        for _ in range(250):
            x, y = map(int, rng.integers(0, _LARGE, 2))
            length, lean = rng.uniform(8, 40), rng.normal(-np.pi / 2, 0.5)
            end = (int(x + length * np.cos(lean)), int(y + length * np.sin(lean)))
            cv2.line(page, (x, y), end, int(rng.integers(30, 230)), 1, cv2.LINE_AA)

    return _draw(count, grow)


def draw_wood(count: int, rng: np.random.Generator) -> Images:
    """Return the grain of wood: stripes that noise has bent."""
    x, _ = _axes()
    bends = draw_noise(count, rng, 6.0) / 128.0 - 1.0
    return _scale(np.sin(2 * (x * rng.uniform(6, 40, (count, 1, 1)) + bends * rng.uniform(1, 3, (count, 1, 1)))), rng)


NONFACES: Mapping[str, Callable[[int, np.random.Generator], Images]] = {
    "blank, or faint noise": draw_blank,
    "white noise": draw_noise,
    "noise, blurred by 1 pixel": lambda count, rng: draw_noise(count, rng, 1.0),
    "noise, blurred by 2 pixels": lambda count, rng: draw_noise(count, rng, 2.0),
    "noise, blurred by 4 pixels": lambda count, rng: draw_noise(count, rng, 4.0),
    "noise, blurred by 8 pixels": lambda count, rng: draw_noise(count, rng, 8.0),
    "texture, amplitude 1/f": lambda count, rng: draw_clouds(count, rng, 1.0),
    "texture, amplitude 1/f^1.5": draw_clouds,
    "texture, amplitude 1/f^2": lambda count, rng: draw_clouds(count, rng, 2.0),
    "gradients": draw_gradients,
    "stripes": draw_stripes,
    "checkerboards": draw_checks,
    "text": draw_text,
    "discs": draw_discs,
    "rectangles": draw_boxes,
    "bricks": draw_bricks,
    "grass": draw_grass,
    "wood": draw_wood,
}


def scramble(images: Images, parts: int) -> Images:
    """Return images whose parts, as many in a row and in a column, are in another order, the same for all."""
    side = _SIDE // parts
    tiles = images.reshape(len(images), parts, side, parts, side).swapaxes(2, 3).reshape(len(images), -1, side, side)
    mixed = tiles[:, np.random.default_rng(parts).permutation(parts * parts)]
    return mixed.reshape(len(images), parts, parts, side, side).swapaxes(2, 3).reshape(images.shape)


# Faces that are none any more, or hardly.
CHANGED: Mapping[str, Callable[[Images], Images]] = {
    "faces, 3 × 3 parts scrambled": lambda images: scramble(images, 3),
    "faces, 4 × 4 parts scrambled": lambda images: scramble(images, 4),
    "faces upside down": lambda images: np.ascontiguousarray(images[:, ::-1]),
}


def _axes() -> tuple[np.ndarray, np.ndarray]:
    axis = np.linspace(-0.5, 0.5, _SIDE)
    return axis[None, None, :], axis[None, :, None]


def _scale(patterns: np.ndarray, rng: np.random.Generator) -> Images:
    """Return patterns (n, 48, 48) of any range around a middle grey, with the contrasts of photos."""
    middle, spread = patterns.mean(axis=(1, 2), keepdims=True), patterns.std(axis=(1, 2), keepdims=True)
    contrast = rng.uniform(25, 70, (len(patterns), 1, 1))
    return (128 + contrast * (patterns - middle) / spread).clip(0, 255).astype(np.uint8)


def _draw(count: int, paint: Callable[[np.ndarray], None]) -> Images:
    """Return what `paint` puts on pages of one grey level, shrunk to half their size."""
    pages = np.full((count, _LARGE, _LARGE), 128, np.uint8)
    for page in pages:
        paint(page)
    return np.stack([cv2.resize(page, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for page in pages])
