"""Copies of images: exact ones, and near ones (recropped, rescaled, relit, stamped, mirrored), joined into groups.

Near copies are found in two steps. A difference hash proposes: all pairs of images are compared, by counting the bits
in which they differ. Then likeness decides: the fine detail of both, shifted against each other by a few pixels, must
correlate. The hash alone also pairs different faces under the same light; their detail differs. Mirror images count as
copies, because a network that is trained with flips has seen them.

The least likeness was set on the 35,887 images of FER-2013, by looking at hundreds of pairs around it. At 12 bits no
pair of different photos was seen above 0.47. At 13 to 28 bits three were, from 0.60 to 0.63; one was a mirrored pair,
and nearly all mirrored pairs are chance, so they show how far chance gets.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ferrule.emotions import EMOTIONS
from ferrule.engine import map_chunks, open_executor
from ferrule.samples import IMAGE_SIZE, Samples

HASH_BITS = 132
HELD_OUT = ("PublicTest", "PrivateTest")
UNLABELLED = "unlabelled"  # stands for a missing label in tables that are read by people
LIKENESS = 0.60  # of near copies, at least

_GRID = 12  # cells a side: 12 rows of 11 comparisons make the 132 bits
_CHUNK = 4096  # images
_STRIP = 256  # images compared at once with...
_TILE = 2048  # ...so many others: 4 MB of words, which stay in the processor's cache
_PAIRS = 2048  # pairs whose detail is compared at once
_BLUR = 1.5  # pixels, standard deviation
_SHIFT = 4  # pixels, in each direction
_FLAT = 2.0  # grey levels; detail with a smaller standard deviation tells nothing


@dataclass(frozen=True)
class Copies:
    """The copies found among samples.

    `groups` has a row a sample: `sample_id`, `exact_group`, `group_id` (exact or near copies, transitively),
    `group_hash` and `blank`. A group's id is the smallest `sample_id` in it, and its hash the smallest hash of the
    pixels, which names it in whatever other data it comes again; an image without copies is a group of itself. `pairs`
    is the evidence for the near groups: `first` and `second` (sample ids), `bits` in which the hashes differ,
    `mirrored`, and `likeness` (0.60 to 1).
    """

    groups: pd.DataFrame
    pairs: pd.DataFrame


def find_copies(samples: Samples, quality: pd.DataFrame, *, near_bits: int) -> Copies:
    """Find exact copies, and near copies whose hashes differ in at most `near_bits` of 132 bits.

    `quality` is what `measure_quality` says of the samples. Blank and faint images have exact copies only: their hash
    and detail are noise, which would chain them into one group. The result does not depend on the number of workers.
    For the 35,887 images of FER-2013 it takes 3 s on two cores.
    """
    exact = _match_exact(samples.images, quality["pixel_hash"])
    rows = np.flatnonzero((exact == np.arange(len(samples))) & ~quality["faint"].to_numpy())
    pairs = _find_near_pairs(samples.images, rows, near_bits)
    near = _join_groups(exact, pairs)
    ids = samples.table["sample_id"].to_numpy()
    groups = {
        "sample_id": ids,
        "exact_group": ids[exact],
        "group_id": ids[near],
        "group_hash": quality["pixel_hash"].groupby(near).transform("min").to_numpy(),
        "blank": quality["blank"].to_numpy(),
    }
    return Copies(pd.DataFrame(groups), pairs.assign(first=ids[pairs["first"]], second=ids[pairs["second"]]))


def summarise_copies(table: pd.DataFrame, quality: pd.DataFrame, groups: pd.DataFrame) -> dict[str, Any]:
    """Count the copies among samples (`table`, `quality` and `groups` row by row); the keys are those of audit.json.

    Groups count where they have more than one member; near groups include the exact ones. A test twin is a held-out
    image with a copy in Training.
    """
    exact, near = (groups[column].value_counts() for column in ("exact_group", "group_id"))
    twins = find_twins(table, groups)
    return {
        "rows": len(table),
        "exact_groups": int((exact > 1).sum()),
        "exact_rows": int(exact[exact > 1].sum()),
        "near_groups": int((near > 1).sum()),
        "near_rows": int(near[near > 1].sum()),
        "largest_near_group": int(near.max()) if len(near) else 0,
        "test_twins_exact": int(twins["exact"].sum()),
        "test_twins_near": int(twins["near"].sum()),
        "twins_by_class": count_twins(twins, "label").to_dict("index"),
        "twins_by_usage": count_twins(twins, "usage").to_dict("index"),
        "label_conflicts": len(find_conflicts(table, groups)),
        "blank": int(quality["blank"].sum()),
        "faint": int(quality["faint"].sum()),
    }


def find_twins(table: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Return the held-out samples: `sample_id`, `label`, `usage`, and: does Training hold a copy, `exact`, `near`."""
    training = table["usage"].eq("Training").to_numpy(dtype=bool)
    held_out = table["usage"].isin(HELD_OUT).to_numpy(dtype=bool)
    twins = table.loc[held_out, ["sample_id", "label", "usage"]].reset_index(drop=True)
    for name, column in (("exact", "exact_group"), ("near", "group_id")):
        group = groups[column].to_numpy()
        twins[name] = np.isin(group[held_out], group[training])
    return twins


def count_twins(twins: pd.DataFrame, column: str | list[str]) -> pd.DataFrame:
    """Return, by the values of a column of `find_twins`, how many images were `held_out`, `exact` and `near` twins."""
    label = pd.Categorical(twins["label"].fillna(UNLABELLED), [*EMOTIONS, UNLABELLED])
    counted = twins.assign(label=label, held_out=True)
    return counted.groupby(column, observed=True)[["held_out", "exact", "near"]].sum()


def find_conflicts(table: pd.DataFrame, groups: pd.DataFrame) -> np.ndarray:
    """Return the ids of the exact groups whose members carry more than one label."""
    labels = table["label"].groupby(groups["exact_group"].to_numpy()).nunique()
    return labels.index[labels > 1].to_numpy()


def pair_twins(table: pd.DataFrame, groups: pd.DataFrame) -> np.ndarray:
    """Return the rows (n, 2) of held-out samples and of an exact copy of each in Training."""
    rows = table.assign(row=np.arange(len(table)), group=groups["exact_group"].to_numpy())
    training = rows[rows["usage"] == "Training"].drop_duplicates("group")
    held_out = rows[rows["usage"].isin(HELD_OUT)]
    return held_out.merge(training[["group", "row"]], on="group")[["row_x", "row_y"]].to_numpy()


def pair_conflicts(table: pd.DataFrame, groups: pd.DataFrame) -> np.ndarray:
    """Return the rows (n, 2) of exact copies with different labels, one pair a group."""
    rows = table.assign(row=np.arange(len(table)), group=groups["exact_group"].to_numpy())
    members = rows[rows["group"].isin(find_conflicts(table, groups))].dropna(subset="label")
    return members.drop_duplicates(["group", "label"]).groupby("group")["row"].agg(["first", "last"]).to_numpy()


def _match_exact(images: np.ndarray, hashes: pd.Series) -> np.ndarray:
    """Return for each image, (n,), the first row with the same pixels.

    Equal hashes are checked pixel by pixel; were two different images to share one, the later would stand alone.
    """
    rows = np.arange(len(images))
    first = pd.Series(rows).groupby(hashes.to_numpy()).transform("min").to_numpy(copy=True)
    for row in np.flatnonzero(first != rows):
        if not np.array_equal(images[row], images[first[row]]):
            first[row] = row
    return first


def _find_near_pairs(images: np.ndarray, rows: np.ndarray, near_bits: int) -> pd.DataFrame:
    """Return the near copies among `images[rows]`, one pair a row: first, second, bits, mirrored, likeness."""
    with open_executor() as executor:
        chunks = (images[rows[start : start + _CHUNK]] for start in range(0, len(rows) or 1, _CHUNK))
        described = zip(*map_chunks(_describe_chunk, chunks, executor), strict=True)
        hashes, mirrored, details = (np.concatenate(parts) for parts in described)
        search = partial(_search_strip, hashes, mirrored, near_bits)
        proposed = map_chunks(search, range(0, len(rows) or 1, _STRIP), executor)
        compared = map_chunks(_compare_details, _add_details(proposed, details), executor)
        pairs = pd.concat(compared, ignore_index=True)
    pairs = pairs.assign(first=rows[pairs["first"]], second=rows[pairs["second"]])
    return pairs.sort_values(["first", "second", "mirrored"], ignore_index=True)


def _describe_chunk(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the hashes of the images, those of their mirror images, uint64 (n, 3) each, and their details."""
    cell = IMAGE_SIZE // _GRID
    cells = images.reshape(len(images), _GRID, cell, _GRID, cell).sum(axis=(2, 4), dtype=np.int32)
    details = np.array([_detail(image) for image in images], np.uint8).reshape(images.shape)
    return _hash_cells(cells), _hash_cells(cells[:, :, ::-1]), details


def _hash_cells(cells: np.ndarray) -> np.ndarray:
    """Return the difference hash of each grid of cells: a bit a cell, set where its right neighbour is brighter."""
    bits = np.zeros((len(cells), 3 * 64), dtype=bool)
    bits[:, :HASH_BITS] = (cells[:, :, 1:] > cells[:, :, :-1]).reshape(len(cells), HASH_BITS)
    return np.packbits(bits, axis=1).view(np.uint64)


def _detail(image: np.ndarray) -> np.ndarray:
    """Return the image less its own blur, uint8 around 128: lids, lips and wrinkles without light and shadow."""
    grey = image.astype(np.float32)
    return np.clip(np.rint(grey - cv2.GaussianBlur(grey, (0, 0), _BLUR) + 128), 0, 255)


def _search_strip(hashes: np.ndarray, mirrored: np.ndarray, near_bits: int, start: int) -> pd.DataFrame:
    """Propose pairs of a strip of hashes, from `start` on, and any later one, plain or mirrored."""
    found = []
    for flip, others in enumerate((hashes, mirrored)):
        for tile in range(start, len(hashes) or 1, _TILE):
            first, second, bits = _search_tile(hashes[start : start + _STRIP], others[tile : tile + _TILE], near_bits)
            found.append((first + start, second + tile, bits, np.full(len(bits), flip, dtype=bool)))
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    pairs = pd.DataFrame(dict(zip(("first", "second", "bits", "mirrored"), columns, strict=True)))
    return pairs[pairs["first"] < pairs["second"]]


def _search_tile(some: np.ndarray, others: np.ndarray, near_bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the positions in `some` and in `others` of hashes within `near_bits`, and the bits that differ.

    All pairs are compared in 128 bits; only the few that are near there, in the last four.
    """
    bits = np.bitwise_count(some[:, None, 0] ^ others[None, :, 0])
    bits += np.bitwise_count(some[:, None, 1] ^ others[None, :, 1])
    first, second = np.divmod(np.flatnonzero(bits <= near_bits), len(others))
    total = bits[first, second] + np.bitwise_count(some[first, 2] ^ others[second, 2])
    near = total <= near_bits
    return first[near], second[near], total[near]


def _add_details(
    proposed: Iterable[pd.DataFrame], details: np.ndarray
) -> Iterator[tuple[pd.DataFrame, np.ndarray, np.ndarray]]:
    """Yield the proposed pairs, a bounded number at a time, with the details of both images."""
    for pairs in proposed:
        for start in range(0, len(pairs) or 1, _PAIRS):
            part = pairs.iloc[start : start + _PAIRS]
            yield part, details[part["first"]], details[part["second"]]


def _compare_details(chunk: tuple[pd.DataFrame, np.ndarray, np.ndarray]) -> pd.DataFrame:
    """Return the pairs of a chunk whose likeness is that of copies."""
    pairs, first, second = chunk
    second = np.where(pairs["mirrored"].to_numpy()[:, None, None], second[:, :, ::-1], second)
    likeness = np.array([_measure_likeness(*both) for both in zip(first, second, strict=True)], np.float64)
    return pairs.assign(likeness=likeness.round(4))[likeness >= LIKENESS]


def _measure_likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Return the largest correlation, -1 to 1, of the middle of `first` with any window of `second`."""
    middle = first[_SHIFT:-_SHIFT, _SHIFT:-_SHIFT]
    if middle.std() < _FLAT:
        return 0.0
    return float(cv2.matchTemplate(second, middle, cv2.TM_CCOEFF_NORMED).max())


def _join_groups(exact: np.ndarray, pairs: pd.DataFrame) -> np.ndarray:
    """Return for each image, (n,), the first row of all that exact and near copies connect it with."""
    rows = np.arange(len(exact))
    ends = np.concatenate([exact, pairs["first"]]), np.concatenate([rows, pairs["second"]])
    links = coo_array((np.ones(len(ends[0]), dtype=bool), ends), shape=(len(exact), len(exact)))
    group = connected_components(links, directed=False)[1]
    return pd.Series(rows).groupby(group).transform("min").to_numpy()
