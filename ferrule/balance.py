"""Generate images so that every class of the training rows has the same number, each child with its parent.

A child is its parent under one affine warp (flip, rotation, shift, zoom), a change of brightness and contrast, and now
and then an erased rectangle. What happens to it follows from the seed and its own id alone: the same plan gives the
same pixels in any order, in chunks of any size, on any number of workers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import pandas as pd

from ferrule.engine import map_chunks, open_executor
from ferrule.errors import DataError, ParameterError
from ferrule.samples import IMAGE_SIZE

CHUNK = 512  # children a piece of work; larger ones fall out of the processor's cache

_NUMBERS = 16  # random numbers a child has; a multiple of 4, since Philox gives 4 a step of its counter
_REDRAWS = 64  # before a child that will not differ from its parent is an error
_ERASED_AREA = (0.02, 0.15)  # of the image; Zhong et al. (2017) go to 0.4, which hides a whole mouth and cheek at 48 px
_ERASED_ASPECT = (0.3, 3.3)  # height by width, as there
_CENTRE = (IMAGE_SIZE - 1) / 2
# Linear interpolation blurs, and only rare classes have many children: a network then learns that blurred means rare.
# Laplacian variance over image variance, mean of FER-2013: originals 0.81, children linear 0.49, cubic 0.72, this 0.80.
_WARP = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True)
class Distortions:
    """How far a child may differ from its parent; each value is drawn evenly from the range that is given here."""

    flip: float  # probability of a mirror image
    rotation: float  # degrees, either way
    shift: float  # share of the image's side, either way, in both directions
    zoom: float  # factor 1 ± zoom
    brightness: float  # share of the grey range, either way
    contrast: float  # factor 1 ± contrast about the image's mean
    erasing: float  # probability of one rectangle in one grey


def plan_children(
    table: pd.DataFrame, train: pd.Series, parents: pd.Series, *, classes: tuple[str, ...], target: float, seed: int
) -> pd.DataFrame:
    """Return the children to generate: `sample_id` (new, ascending), `parent_id`, `parent_row` (its position).

    `table` has `sample_id` and `label`; `train` and `parents` (bool, row by row) say which rows count and which of them
    may have children. Every class is brought to round(target × rows of the largest) images; a class that has as many
    gets none. Within a class each parent is used equally often, or once more, in an order drawn from `seed`.

    Raises DataError where a class that needs children has no parent.
    """
    labels, first_id = table["label"].to_numpy(), int(table["sample_id"].max()) + 1
    rows = {name: int((train.to_numpy() & (labels == name)).sum()) for name in classes}
    wanted = round(target * max(rows.values()))
    random = np.random.default_rng(seed)
    chosen = [
        _choose_parents(name, np.flatnonzero(parents.to_numpy() & (labels == name)), wanted - rows[name], random)
        for name in classes
    ]
    parent_row = np.concatenate(chosen)
    return pd.DataFrame(
        {
            "sample_id": np.arange(first_id, first_id + len(parent_row)),
            "parent_id": table["sample_id"].to_numpy()[parent_row],
            "parent_row": parent_row,
        }
    )


def inherit_rows(table: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """Return `table` with `parent_id` (its own id for an original) and, below it, a row for each child of `plan`.

    A child has its parent's label, usage, group and every other column; only its `sample_id` is its own.
    """
    children = table.iloc[plan["parent_row"]].assign(
        sample_id=plan["sample_id"].to_numpy(), parent_id=plan["parent_id"].to_numpy()
    )
    return pd.concat([table.assign(parent_id=table["sample_id"]), children], ignore_index=True)


def count_balance(table: pd.DataFrame, train: pd.Series, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return one row a class: `label`, and training images `before`, `generated` and `after`.

    `table` is what `inherit_rows` returns, `train` says which of its originals are training rows.
    """
    generated = table["sample_id"] != table["parent_id"]
    before = table["label"][: len(train)][train.to_numpy()].value_counts()
    added = table.loc[generated, "label"].value_counts()
    rows = [
        {"label": name, "before": int(before.get(name, 0)), "generated": int(added.get(name, 0))} for name in classes
    ]
    return pd.DataFrame(rows).eval("after = before + generated")


def generate_children(
    images: np.ndarray,
    plan: pd.DataFrame,
    distortions: Distortions,
    *,
    seed: int,
    chunk: int = CHUNK,
    workers: int | None = None,
) -> Iterator[np.ndarray]:
    """Yield the images of `plan` in its order, uint8 (at most `chunk`, 48, 48) at a time.

    `images`, uint8 (n, 48, 48), may be memory-mapped: only the parents of a chunk are read at once. Neither `chunk` nor
    `workers` changes a pixel.

    Raises ParameterError where `distortions` are too weak to tell a child from its parent.
    """
    ids, rows = plan["sample_id"].to_numpy(), plan["parent_row"].to_numpy()
    pieces = (
        (np.asarray(images[rows[start : start + chunk]]), ids[start : start + chunk])
        for start in range(0, len(plan), chunk)
    )
    with open_executor("thread", workers) as executor:
        yield from map_chunks(partial(_draw_piece, distortions=distortions, seed=seed), pieces, executor)


def draw_children(parents: np.ndarray, ids: np.ndarray, distortions: Distortions, *, seed: int) -> np.ndarray:
    """Return one child of each of `parents`, uint8 (m, 48, 48); its randomness follows from `seed` and its id in `ids`.

    A child that equals its parent is drawn again.
    """
    children = _distort(parents, _random_numbers(seed, ids), distortions)
    for row in np.flatnonzero((children == parents).all(axis=(1, 2))):
        children[row] = _redraw(parents[row : row + 1], ids[row : row + 1], distortions, seed)
    return children


def _choose_parents(name: str, candidates: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Return `count` of the positions in `candidates`, each as often as any other or once more, ascending."""
    if count <= 0:
        return np.empty(0, dtype=np.int64)
    if not len(candidates):
        raise DataError(
            f"Expected training images of {name} without copies among held-out images, to generate {count} more from; "
            "there is none; set split.twins to drop, add images, or take the class out of ingest.classes."
        )
    return np.sort(np.resize(random.permutation(candidates), count))


def _draw_piece(piece: tuple[np.ndarray, np.ndarray], distortions: Distortions, seed: int) -> np.ndarray:
    """Return the children of one (parents, ids) pair."""
    return draw_children(*piece, distortions, seed=seed)


def _random_numbers(seed: int, ids: np.ndarray, attempt: int = 0) -> np.ndarray:
    """Return numbers in [0, 1), float64 (m, _NUMBERS), where each row follows from `seed`, its id and `attempt` alone.

    Philox (Salmon et al., 2011) is counter-based: an id is a place in its sequence, so that ids in a row cost one call.
    """
    runs = np.split(ids, np.flatnonzero(np.diff(ids) != 1) + 1)
    return np.concatenate(
        [
            np.random.Generator(np.random.Philox(key=[seed, attempt], counter=int(run[0]) * (_NUMBERS // 4))).random(
                (len(run), _NUMBERS)
            )
            for run in runs
        ]
    )


def _redraw(parent: np.ndarray, child_id: np.ndarray, distortions: Distortions, seed: int) -> np.ndarray:
    """Return the first child of `parent`, both uint8 (1, 48, 48), that differs from it."""
    for attempt in range(1, _REDRAWS + 1):
        child = _distort(parent, _random_numbers(seed, child_id, attempt), distortions)
        if not np.array_equal(child, parent):
            return child
    raise ParameterError(
        f"Expected generated images to differ from their parents; image {int(child_id[0])} came out the same "
        f"{_REDRAWS} times; give the augment section of params.yaml more rotation, shift, zoom, brightness or flip."
    )


def _distort(parents: np.ndarray, numbers: np.ndarray, distortions: Distortions) -> np.ndarray:
    """Return one child a parent from `numbers` (m, _NUMBERS)."""
    matrices = _affine_matrices(numbers[:, 0:5], distortions)
    warped = np.empty_like(parents)
    size = (IMAGE_SIZE, IMAGE_SIZE)
    for parent, matrix, child in zip(parents, matrices, warped, strict=True):
        cv2.warpAffine(parent, matrix, size, dst=child, flags=_WARP, borderMode=cv2.BORDER_REFLECT_101)
    children = _change_tones(warped, numbers[:, 5:7], distortions)
    _erase(children, numbers[:, 7:13], distortions.erasing)
    return children


def _affine_matrices(numbers: np.ndarray, distortions: Distortions) -> np.ndarray:
    """Return the maps from a child's pixels to its parent's, float64 (m, 2, 3), about the image's centre."""
    mirror = np.where(numbers[:, 0] < distortions.flip, -1.0, 1.0)
    angle = np.radians(_either_way(numbers[:, 1], distortions.rotation))
    shift = _either_way(numbers[:, 2:4], distortions.shift * IMAGE_SIZE)
    scale = 1 / (1 + _either_way(numbers[:, 4], distortions.zoom))
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([mirror * cosine, mirror * -sine, sine, cosine], axis=1).reshape(-1, 2, 2)
    offset = _CENTRE - (linear @ (_CENTRE + shift)[..., None])
    return np.concatenate([linear, offset], axis=2)


def _change_tones(images: np.ndarray, numbers: np.ndarray, distortions: Distortions) -> np.ndarray:
    """Return the images, uint8, with other contrast about their own mean and other brightness."""
    # The sum is of integers, so it does not depend on the order in which a chunk is added up.
    mean = images.sum(axis=(1, 2), dtype=np.int64) / IMAGE_SIZE**2
    factor = 1 + _either_way(numbers[:, 1], distortions.contrast)
    offset = mean * (1 - factor) + _either_way(numbers[:, 0], 255 * distortions.brightness)
    changed = images * factor.astype(np.float32)[:, None, None] + offset.astype(np.float32)[:, None, None]
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def _erase(images: np.ndarray, numbers: np.ndarray, probability: float) -> None:
    """Fill a rectangle of one grey in some of `images`, in place: random erasing, Zhong et al. (2017)."""
    low, high = _ERASED_AREA
    area = (low + (high - low) * numbers[:, 1]) * IMAGE_SIZE**2
    aspect = np.exp(np.interp(numbers[:, 2], [0, 1], np.log(_ERASED_ASPECT)))
    heights = np.clip(np.rint(np.sqrt(area * aspect)), 1, IMAGE_SIZE).astype(int)
    widths = np.clip(np.rint(np.sqrt(area / aspect)), 1, IMAGE_SIZE).astype(int)
    tops = (numbers[:, 3] * (IMAGE_SIZE - heights + 1)).astype(int)
    lefts = (numbers[:, 4] * (IMAGE_SIZE - widths + 1)).astype(int)
    greys = (numbers[:, 5] * 256).astype(np.uint8)
    for row in np.flatnonzero(numbers[:, 0] < probability):
        images[row, tops[row] : tops[row] + heights[row], lefts[row] : lefts[row] + widths[row]] = greys[row]


def _either_way(numbers: np.ndarray, limit: float) -> np.ndarray:
    """Return numbers in [0, 1) as values in [-limit, limit)."""
    return limit * (2 * numbers - 1)
