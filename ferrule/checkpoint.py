"""The state of a training between two epochs, on disk: what is killed goes on from here."""

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ferrule.files import replacing

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class TrainingState:
    """All that the next epoch depends on, and what is kept of the earlier ones.

    `history` has one row an epoch; `best` are the weights of the epoch `best_epoch`, counted from 1, 0 where none could
    be selected yet.
    """

    weights: Arrays
    optimizer: Arrays
    best: Arrays
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(state: TrainingState, fingerprint: str, path: Path) -> None:
    """Write `state` to `path`, whole or not at all; `fingerprint` says which data and settings it belongs to."""
    columns = list(state.history[0]) if state.history else []
    arrays: dict[str, Any] = {
        "fingerprint": np.array(fingerprint),
        "best_epoch": np.array(state.best_epoch),
        "columns": np.array(columns, dtype=str),
        "history": np.array([list(row.values()) for row in state.history], dtype=np.float64),
        **_number("weights", state.weights),
        **_number("optimizer", state.optimizer),
        **_number("best", state.best),
    }
    with replacing(path) as draft, draft.open("wb") as file:
        np.savez(file, **arrays)


def load_checkpoint(fingerprint: str, path: Path) -> TrainingState | None:
    """Read what `save_checkpoint` wrote; None where there is nothing, or only of other data, settings or code."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return None
    with np.load(path) as content:
        if content["fingerprint"] != fingerprint:
            return None
        columns = content["columns"].tolist()
        return TrainingState(
            weights=_collect("weights", content),
            optimizer=_collect("optimizer", content),
            best=_collect("best", content),
            best_epoch=int(content["best_epoch"]),
            history=[dict(zip(columns, row, strict=True)) for row in content["history"].tolist()],
        )


def _number(name: str, arrays: Arrays) -> dict[str, np.ndarray]:
    return {f"{name}.{number:04d}": array for number, array in enumerate(arrays)}


def _collect(name: str, content: "np.lib.npyio.NpzFile") -> Arrays:
    return [content[key] for key in sorted(content.files) if key.startswith(f"{name}.")]
