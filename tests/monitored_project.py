"""A project with a champion that has a reference, and images scored by it at whatever time a test says."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from trained_project import run_stages, write_trained_project

from ferrule.files import replacing
from ferrule.registry.aliases import CHAMPION, move_alias
from ferrule.registry.versions import VersionInfo, describe_version
from ferrule.scoring.score import Scorer, score_images
from ferrule.scoring.scored import ScoredInput, predictions_path, with_description
from flows.scoring import open_scorer

VAL_ROWS = 400
_LEVELS = np.array([60.0, 120.0, 180.0])  # as in trained_project


def write_monitored_project(root: Path) -> VersionInfo:
    """Write a project whose version 1 is the champion, with VAL_ROWS images in its reference; return the version."""
    write_trained_project(root, votes=False, val=VAL_ROWS)
    run_stages(root)
    move_alias(root, "ferrule", CHAMPION, "1")
    return describe_version(root, "ferrule", CHAMPION)


def draw_images(count: int, seed: int, shares: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)) -> np.ndarray:
    """Return images as those of the project, uint8 (n, 48, 48): a grey level for each class, and noise."""
    rng = np.random.default_rng(seed)
    ids = rng.choice(3, count, p=shares)
    return (_LEVELS[ids, None, None] + rng.normal(0, 40, (count, 48, 48))).clip(0, 255).astype(np.uint8)


def write_scored(root: Path, images: np.ndarray, moment: datetime | None = None, model_md5: str = "") -> pd.DataFrame:
    """Keep what the champion says of `images` as `ferrule score` does, as if scored at `moment`; return its rows."""
    scorer, moment = open_scorer(root, "ferrule", "1"), moment or datetime.now(UTC)
    told = _describe(scorer, images, moment, model_md5)
    table = score_images(scorer, images)
    for column, values in {"model_md5": [told.model_md5] * len(images), "scored_at": [moment] * len(images)}.items():
        table = table.append_column(column, [values])
    with replacing(predictions_path(root, told, first=True)) as draft:
        pq.write_table(table.replace_schema_metadata(with_description(table.schema, told).metadata), draft)
    return table.to_pandas()


def write_labels(root: Path, table: pd.DataFrame, moment: datetime | None = None) -> None:
    """Keep the column `label` of scored rows as `ferrule labels add` does."""
    labels = table[["pixel_hash", "label"]].assign(added_at=moment or datetime.now(UTC), source="somebody")
    folder = root / "scoring" / "labels"
    folder.mkdir(parents=True, exist_ok=True)
    labels.to_parquet(folder / f"{len(list(folder.iterdir())):03d}.parquet", index=False)


def _describe(scorer: Scorer, images: np.ndarray, moment: datetime, model_md5: str) -> ScoredInput:
    return ScoredInput(
        source="new.csv",
        input_sha256=hashlib.sha256(images.tobytes()).hexdigest(),
        model_name=scorer.name,
        model_version=scorer.version,
        model_md5=model_md5 or scorer.model_md5,
        temperature=scorer.temperature,
        threshold=0.0,
        images=len(images),
        answered=len(images),
        rejects=0,
        scored_at=moment.isoformat(),
    )
