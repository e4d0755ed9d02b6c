"""The model that ships with Ferrule: a portable one, where it comes from and what it is worth, checked as it is read.

Its folder is a bundle (`ferrule.portable.bundle`) whose weights are stored in 16 bits, and `card.json`, which tells
where it comes from and holds the SHA-256 of the other files; nothing is a pickle. What asks it is
`ferrule.portable.model.open_pretrained`. Reading the card needs neither Keras nor TensorFlow; `Pretrained.build` does.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferrule.documents import say_score
from ferrule.errors import DataError
from ferrule.portable.bundle import (
    BUNDLE,
    CARDS,
    MODELS,
    PACKED,
    check_file,
    digest_files,
    read_bundle,
    seal,
    unpack_model,
    unseal,
)
from ferrule.portable.export import say_parity

if TYPE_CHECKING:
    import keras
    import onnx
    import pandas as pd

FOLDER = Path(__file__).parent
WEIGHTS, QUANTISED = (f"{name}{PACKED}" for name in MODELS.values())
CARD, SEEN, TESTED = "card.json", "seen.parquet", "tested.parquet"
FILES = (BUNDLE, WEIGHTS, QUANTISED, *CARDS, SEEN, TESTED)  # with checksums in the card; QUANTISED may be left out
MAX_BYTES = 8_000_000  # of all files

_FORMAT = 2
_CARD_ROOM = 100_000  # bytes kept free for the card, which is written last
_AGAIN = "install Ferrule again, or in a checkout run `git checkout -- ferrule/pretrained`"


@dataclass(frozen=True)
class Card:
    """What is known of the model. Its scores are of the float32 graph that ships, not of the network that was trained.

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
    files: tuple[str, ...]  # beside the card

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
        return sum((self.folder / name).stat().st_size for name in (CARD, *self.files))

    def build(self) -> "keras.Model":
        """Return the network: uint8 (n, 48, 48) to probabilities (n, k), not yet calibrated. Imports Keras and onnx."""
        import onnx

        graph = onnx.load_from_string(unpack_model(self.folder / WEIGHTS))
        return rebuild(graph, self.card.network, len(self.classes), self.card.train, self.card.seed)

    def read_seen(self) -> "pd.DataFrame":
        """Return the hashes of what it was trained or selected on: the table of `seen.list_seen`."""
        import pandas as pd

        return pd.read_parquet(self.folder / SEEN)

    def read_tested(self) -> "pd.DataFrame | None":
        """Return the hashes of its test images, a table as SEEN's; None where an older Ferrule exported it."""
        import pandas as pd

        return pd.read_parquet(self.folder / TESTED) if TESTED in self.files else None

    def describe(self) -> str:
        """Return its size, scores and temperatures for a person, a fact a line."""
        card, scores = self.card, self.card.scores
        return "\n".join(
            [
                f"{card.network} network, {len(card.classes)} classes, {self.size / 1e6:.1f} MB",
                f"test accuracy {say_score(scores['test']['accuracy'])} on {scores['test']['rows']:,} images",
                f"  with test-time averaging {say_score(scores['test_tta']['accuracy'])}",
                f"validation accuracy {say_score(scores['val']['accuracy'])}",
                f"temperature {card.temperature:.3f}, with test-time averaging {card.temperature_tta:.3f}",
                f"test calibration error {say_score(scores['test']['ece'])}, "
                f"at the temperature {say_score(card.calibrated['test']['ece'])}",
                say_parity(read_bundle(self.folder).parity).replace("; ", "\n"),
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
    content = unseal(folder / CARD, _FORMAT, [field.name for field in fields(Card)] + ["files"], _AGAIN)
    files = content.pop("files")
    for name, digest in files.items():
        check_file(folder / name, digest, CARD, _AGAIN)
    return Pretrained(folder, Card(**content | {"classes": tuple(content["classes"])}), tuple(files))


def rebuild(graph: "onnx.ModelProto", network: str, n_classes: int, train: dict[str, Any], seed: int) -> "keras.Model":
    """Return the network of a graph in Keras' own layers in float32; raises DataError where it is of another network.

    `train` and `seed` are those of the training; only `dropout` matters, and only to what the saved file says.
    """
    from ferrule.network import build_network
    from ferrule.portable.translation import read_weights, restore_weights

    model = build_network(network, n_classes, dropout=train["dropout"], seed=seed)
    restore_weights(model, read_weights(graph))
    return model


def write_hashes(path: Path, images: "pd.DataFrame") -> None:
    """Write a table of `seen.list_seen`, as SEEN or TESTED; sorted text takes least as what differs in it."""
    encoding = {"pixel_hash": "DELTA_BYTE_ARRAY"}
    images.to_parquet(path, index=False, compression="zstd", use_dictionary=False, column_encoding=encoding)


def expect_room(folder: Path) -> None:
    """Raise DataError where the files in `folder` are too large to ship."""
    sizes = {name: (folder / name).stat().st_size for name in FILES if (folder / name).is_file()}
    size = sum(sizes.values())
    if size > MAX_BYTES - _CARD_ROOM:
        raise DataError(
            f"Expected at most {(MAX_BYTES - _CARD_ROOM) / 1e6:.1f} MB to ship; {', '.join(sizes)} take "
            f"{size / 1e6:.1f} MB; train a smaller network (train.network)."
        )


def write_card(folder: Path, card: Card) -> None:
    """Write the card of the files that lie in `folder`."""
    seal(folder / CARD, asdict(card) | {"files": digest_files(folder, FILES)}, _FORMAT)
