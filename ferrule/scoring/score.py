"""Scoring new images: what a version of the model says of them, calibrated, and where it would rather say nothing.

An input is scored a chunk at a time. Each chunk is kept as soon as it is done, so that what was killed goes on where it
was; the chunks become one file of predictions, which appears whole, once, and with it the input is scored.
"""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ferrule.calibration import apply_temperature
from ferrule.errors import DataError, RegistryError
from ferrule.files import replacing
from ferrule.layouts.archives import is_archive, unpack
from ferrule.layouts.damage import MANY_REJECTS, Reject, tabulate_rejects
from ferrule.layouts.streaming import Chunk, digest_input, stream_images
from ferrule.quality import hash_pixels
from ferrule.scoring.abstention import Abstention
from ferrule.scoring.columns import APPEARANCE, list_embeddings, measure_appearance
from ferrule.scoring.scored import (
    FOLDER,
    NAME_DIGITS,
    ScoredInput,
    find_scored,
    predictions_path,
    rejects_path,
    with_description,
)

if TYPE_CHECKING:
    import keras

WORK = ".work"  # in the store: chunks that are done, of inputs that are not

_BATCH = 256


@dataclass(frozen=True)
class Scorer:
    """A version of the model, ready to score; `network` gives probabilities (b, k) and embeddings (b, d) at once."""

    name: str
    version: str
    model_md5: str
    classes: tuple[str, ...]
    network: "keras.Model"
    temperature: float
    abstention: Abstention

    @property
    def fingerprint(self) -> str:
        """What chunks must agree in to be joined."""
        facts = f"{self.model_md5} {self.temperature!r} {self.abstention.threshold!r}"
        return hashlib.sha256(facts.encode()).hexdigest()[:8]


def score_images(scorer: Scorer, images: np.ndarray) -> pa.Table:
    """Return a row an image of uint8 (n, 48, 48): hash, prediction, calibrated probabilities, quality and embedding.

    Raises RegistryError where the network gives no probabilities of the version's classes.
    """
    raw, embeddings = _predict(scorer.network, images)
    if raw.shape[1] != len(scorer.classes) or not np.allclose(raw.sum(axis=1), 1, atol=1e-3):
        raise RegistryError(
            f"Expected probabilities of {', '.join(scorer.classes)} from {scorer.name} version {scorer.version}; its "
            "network gives something else, so nothing was scored; let the champion be a version that works."
        )
    probabilities, appearance = apply_temperature(raw, scorer.temperature), measure_appearance(images)
    confidence = probabilities.max(axis=1)
    return pa.table(
        {
            "pixel_hash": appearance["pixel_hash"].to_numpy(str),
            "predicted": np.array(scorer.classes)[probabilities.argmax(axis=1)],
            "confidence": confidence,
            "abstained": scorer.abstention.abstains(confidence),
            **{f"probability_{name}": probabilities[:, at] for at, name in enumerate(scorer.classes)},
            **{name: appearance[name].to_numpy() for name in APPEARANCE},
            "embedding": list_embeddings(embeddings),
        }
    )


def score_input(root: Path, source: Path, input_sha256: str, scorer: Scorer, *, chunk_images: int) -> ScoredInput:
    """Score a file, folder or archive into the store of the project `root`, and return what its file says of itself.

    `input_sha256` is its `digest_input`, and nobody else may score it meanwhile. Raises DataError, and leaves the input
    unscored, where nothing in it can be read (rejects are kept all the same) or it changed while it was read.
    """
    name = input_sha256[:NAME_DIGITS]
    work = root / FOLDER / WORK / f"{name}-{scorer.fingerprint}-{chunk_images}"
    work.mkdir(parents=True, exist_ok=True)
    with _opened(source, work) as place:
        parts, rejects = _score_chunks(place, work, scorer, chunk_images)
    if digest_input(source) != input_sha256:
        shutil.rmtree(work)  # the chunks, and the rejects, may be of other bytes than those that the digest names
        raise DataError(
            f"Expected {source.name} to stay as it is; it changed while it was read; score it once it is whole."
        )
    now = datetime.now(UTC)
    if rejects:
        with replacing(rejects_path(root, input_sha256, now)) as draft:
            tabulate_rejects(rejects).to_parquet(draft, index=False)
    _expect_images(source, parts, rejects)
    told = _describe(source, input_sha256, scorer, parts, len(rejects), now)
    with replacing(predictions_path(root, told, first=not find_scored(root, input_sha256))) as draft:
        _join_parts(parts, told, draft)
    for folder in (root / FOLDER / WORK).glob(f"{name}-*/"):
        shutil.rmtree(folder)
    return told


def _predict(network: "keras.Model", images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (n, k) and embeddings (n, d), float32; every batch has one size, so it is traced once."""
    outputs = []
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        filled = np.zeros((_BATCH, *images.shape[1:], 1), np.float32)
        filled[: len(batch), ..., 0] = batch
        outputs.append([np.asarray(each)[: len(batch)] for each in network.predict_on_batch(filled)])
    probabilities, embeddings = (np.concatenate(each) for each in zip(*outputs, strict=True))
    return probabilities, embeddings.astype(np.float32)


@contextmanager
def _opened(source: Path, work: Path) -> Iterator[Path]:
    """Give `source`, or the folder of its files where it is an archive."""
    if not (source.is_file() and is_archive(source)):
        yield source
        return
    folder = work / "unpacked"
    shutil.rmtree(folder, ignore_errors=True)
    place = folder / source.name
    place.mkdir(parents=True)
    try:
        unpack(source, place)
        yield place
    finally:
        shutil.rmtree(folder)


def _score_chunks(place: Path, work: Path, scorer: Scorer, size: int) -> tuple[list[Path], list[Reject]]:
    """Score the chunks that are not in `work` yet; return the files of all, or none to give up, and the rejects."""
    parts: list[Path] = []
    rejects: list[Reject] = []
    images = 0
    for number, chunk in enumerate(stream_images(place, size)):
        rejects += chunk.rejects
        images += len(chunk.files)
        if len(rejects) > max(MANY_REJECTS, images):
            return [], rejects
        if chunk.files:
            parts.append(work / f"{number:06d}.parquet")
            if not _holds(parts[-1], chunk):
                _write_part(parts[-1], chunk, scorer)
    return parts, rejects


def _holds(part: Path, chunk: Chunk) -> bool:
    """Tell whether a part is there, and of this chunk: a killed run may have read the input amid a change."""
    if not part.exists():
        return False
    known = pq.read_table(part, columns=["pixel_hash", "source_file", "source_row"])
    asked = [hash_pixels(chunk.images), list(chunk.files), list(chunk.rows)]
    return [column.to_pylist() for column in known.columns] == asked


def _write_part(path: Path, chunk: Chunk, scorer: Scorer) -> None:
    table = score_images(scorer, chunk.images)
    table = table.add_column(1, "source_file", pa.array(chunk.files, pa.string()))
    table = table.add_column(2, "source_row", pa.array(chunk.rows, pa.int64()))
    with replacing(path) as draft:
        pq.write_table(table, draft, compression="zstd")


def _expect_images(source: Path, parts: list[Path], rejects: list[Reject]) -> None:
    if not parts and not rejects:
        raise DataError(f"Expected images in {source.name}; it has none; get it again, or remove it.")
    if not parts:
        first = rejects[0]
        raise DataError(
            f"Expected images in {source.name}; {len(rejects):,} rows or files of it cannot be read (the first: "
            f"{first.reason}, {first.detail}); all are in {FOLDER}/rejects/; correct it, or remove it."
        )


def _describe(
    source: Path, input_sha256: str, scorer: Scorer, parts: list[Path], rejects: int, now: datetime
) -> ScoredInput:
    abstained = [pq.read_table(part, columns=["abstained"])["abstained"].to_numpy() for part in parts]
    return ScoredInput(
        source=source.name,
        input_sha256=input_sha256,
        model_name=scorer.name,
        model_version=scorer.version,
        model_md5=scorer.model_md5,
        temperature=scorer.temperature,
        threshold=scorer.abstention.threshold,
        images=sum(map(len, abstained)),
        answered=sum(int((~part).sum()) for part in abstained),
        rejects=rejects,
        scored_at=now.isoformat(),
    )


def _join_parts(parts: list[Path], told: ScoredInput, path: Path) -> None:
    """Write one file of all parts, one in memory at a time, with the columns that are the same in every row."""
    facts = {
        "input_sha256": told.input_sha256,
        "scored_at": pa.scalar(told.moment, pa.timestamp("us", tz="UTC")),
        "model_name": told.model_name,
        "model_version": told.model_version,
        "model_md5": told.model_md5,
    }

    def complete(part: Path) -> pa.Table:
        table = pq.read_table(part)
        for at, (name, value) in enumerate(facts.items(), start=3):
            table = table.add_column(at, name, pa.repeat(value, len(table)))
        return table

    schema = with_description(complete(parts[0]).schema, told)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(complete(part).cast(schema))
