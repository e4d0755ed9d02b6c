"""The model that ships with Ferrule: its weights, where it comes from and what it is worth, checked as it is read.

`card.json` describes it and holds the SHA-256 of the other files; nothing is a pickle. Reading the card needs neither
Keras nor TensorFlow; `Pretrained.build` does.
"""

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ferrule.errors import DataError

if TYPE_CHECKING:
    import keras

FOLDER = Path(__file__).parent
CARD, WEIGHTS, SEEN = "card.json", "weights.npz", "seen.parquet"
FILES = (WEIGHTS, SEEN)  # those that the card has checksums of
MAX_BYTES = 8_000_000  # of all files

_FORMAT = 1
_CARD_ROOM = 100_000  # bytes kept free for the card, which is written last
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip archive can hold
_AGAIN = "install Ferrule again, or in a checkout run `git checkout -- ferrule/pretrained`"


@dataclass(frozen=True)
class Card:
    """What is known of the model. Its scores are of the float16 weights that ship, not of those that were trained.

    `scores` are the blocks of metrics.json; `calibrated` has log_loss, brier and ece of the same blocks at the
    temperature, which was fitted on val. `lineage` are the tags of `pipelines.lineage`.
    """

    network: str
    classes: tuple[str, ...]
    recipe: str
    seed: int
    train: dict[str, Any]  # that section of params.yaml, as trained
    twins: str  # split.twins: whether training copies of held-out images were dropped or kept
    temperature: float
    temperature_tta: float  # for predictions with test-time averaging
    scores: dict[str, Any]
    calibrated: dict[str, Any]
    test_md5: str  # of the test images and labels that the scores are of: `tracking.digest_test_set`
    looks: dict[str, int]  # at the test images, `by_model` and `by_all` models of the project that made it
    lineage: dict[str, str]
    versions: dict[str, str]  # of the packages it was made with
    processor: str


@dataclass(frozen=True)
class Pretrained:
    """A model as it ships, its checksums verified."""

    folder: Path
    card: Card

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes it tells apart, in the order of its outputs."""
        return self.card.classes

    @property
    def temperature(self) -> float:
        """The temperature of plain predictions, for `calibration.apply_temperature`."""
        return self.card.temperature

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum((self.folder / name).stat().st_size for name in (CARD, *FILES))

    def build(self) -> "keras.Model":
        """Return the network: uint8 (n, 48, 48) to probabilities (n, k), not yet calibrated. Imports Keras."""
        return rebuild(self.card.network, len(self.classes), read_weights(self.folder), self.card.train, self.card.seed)

    def read_seen(self) -> pd.DataFrame:
        """Return the pixel hashes of what it was trained or selected on: the table of `predictions.list_seen`."""
        return pd.read_parquet(self.folder / SEEN)

    def describe(self) -> str:
        """Return its size, scores and temperatures for a person, a fact a line."""
        card, scores = self.card, self.card.scores
        return "\n".join(
            [
                f"{card.network} network, {len(card.classes)} classes, {self.size / 1e6:.1f} MB",
                f"test accuracy {_say(scores['test'])} on {scores['test']['rows']:,} images",
                f"  with test-time averaging {_say(scores['test_tta'])}",
                f"validation accuracy {_say(scores['val'])}",
                f"temperature {card.temperature:.3f}, with test-time averaging {card.temperature_tta:.3f}",
                f"test calibration error {_say(scores['test'], 'ece')}, "
                f"at the temperature {_say(card.calibrated['test'], 'ece')}",
            ]
        )


def load_pretrained(folder: Path = FOLDER) -> Pretrained:
    """Return the model that ships with the package, or the one in `folder`.

    Raises DataError where there is none, or where a file is missing, damaged or altered.
    """
    if not (folder / CARD).is_file():
        raise DataError(
            f"Expected a pretrained model in {folder}; there is no {CARD}; {_AGAIN}, or make one: "
            "`ferrule run`, then `ferrule registry export-pretrained`."
        )
    content = _read_card(folder / CARD)
    checksums = content.pop("files")
    for name in FILES:
        if not (folder / name).is_file():
            raise DataError(f"Expected {name} in {folder}, which {CARD} names; it is missing; {_AGAIN}.")
        if _digest(folder / name) != checksums.get(name):
            raise DataError(f"Expected {folder / name} with the SHA-256 that {CARD} names; got another; {_AGAIN}.")
    return Pretrained(folder, Card(**content | {"classes": tuple(content["classes"])}))


def rebuild(network: str, n_classes: int, weights: list[np.ndarray], train: dict[str, Any], seed: int) -> "keras.Model":
    """Return the network with `weights`, float16 or wider, in Keras' own layers in float32; ValueError if they differ.

    `train` and `seed` are those of the training; only `dropout` matters, and only to what the saved file says.
    """
    from ferrule.network import rebuild_plain

    wide = [array.astype(np.float32) for array in weights]
    return rebuild_plain(network, n_classes, wide, dropout=train["dropout"], seed=seed)


def write_files(folder: Path, weights: list[np.ndarray], seen: pd.DataFrame) -> None:
    """Write all but the card into `folder`; raises DataError where they are too large to ship."""
    _write_weights(folder / WEIGHTS, weights)
    seen.to_parquet(folder / SEEN, index=False, compression="zstd")
    size = sum((folder / name).stat().st_size for name in FILES)
    if size > MAX_BYTES - _CARD_ROOM:
        raise DataError(
            f"Expected at most {(MAX_BYTES - _CARD_ROOM) / 1e6:.1f} MB to ship; {', '.join(FILES)} take "
            f"{size / 1e6:.1f} MB; train a smaller network (train.network)."
        )


def write_card(folder: Path, card: Card) -> None:
    """Write the card of the files that lie in `folder`."""
    content = {"format": _FORMAT, **asdict(card), "files": {name: _digest(folder / name) for name in FILES}}
    text = json.dumps(content | {"checksum": _digest_card(content)}, indent=2)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")


def read_weights(folder: Path) -> list[np.ndarray]:
    """Return the weights, float16, in the order of Keras' `get_weights`."""
    with np.load(folder / WEIGHTS, allow_pickle=False) as content:
        return [content[name] for name in sorted(content.files)]


def _write_weights(path: Path, weights: list[np.ndarray]) -> None:
    """Write an .npz that is the same for the same weights: NumPy's own has the time of writing in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for number, array in enumerate(weights):
            member = zipfile.ZipInfo(f"{number:04d}.npy", _ZIP_EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w") as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)


def _read_card(path: Path) -> dict[str, Any]:
    """Return the card's fields and `files`; raises DataError where it is not as it was written."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        form, checksum = content.pop("format"), content.pop("checksum")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"Expected the card of a model in {path}; it is damaged; {_AGAIN}.") from error
    if form != _FORMAT:
        raise DataError(f"Expected format {_FORMAT} in {path}; got {form!r}; use the Ferrule that it came with.")
    wanted = {field.name for field in fields(Card)} | {"files"}
    if checksum != _digest_card({"format": form, **content}) or content.keys() != wanted:
        raise DataError(f"Expected {path} as it was written; it was altered (its checksum differs); {_AGAIN}.")
    return content


def _digest_card(content: dict[str, Any]) -> str:
    """Return the SHA-256 of the card's content without that checksum, as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _say(block: dict[str, Any], name: str = "accuracy") -> str:
    """Return a score as "62.9 % (61.3 to 64.5)"."""
    value, low, high = (100 * block[name][part] for part in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"
