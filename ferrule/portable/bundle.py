"""The folder of a portable model: its ONNX files, and `bundle.json`, which says what they are and checks them.

A document is sealed by a checksum of its own, and holds those of the files beside it, so that nothing is used altered.
"""

import gzip
import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ferrule.digests import digest_json
from ferrule.errors import DataError

BUNDLE = "bundle.json"
MODELS = {"float32": "model.onnx", "int8": "model.int8.onnx"}  # by the precision of the arithmetic; each may be .gz
PACKED = ".gz"  # how the name of a packed file ends
MODEL_FILES = tuple(f"{name}{packing}" for name in MODELS.values() for packing in ("", PACKED))
BLOCKS = ("test", "test_leak_free", "val")  # of metrics.json, whose scores a bundle tells
CARDS = ("model_card.md", "model_card.html")  # beside them, where one was written

_FORMAT = 1
_AGAIN = "make it again (`ferrule run`), or install Ferrule again"


@dataclass(frozen=True)
class Facts:
    """What is known of a portable model.

    Logits are divided by `temperature` (see `ferrule.calibration`), which was fitted on the validation images, as the
    rows of `abstention` and `curve` were (see `ferrule.scoring.abstention`). `scores` has, of the blocks val, test and
    test_leak_free, the `rows` and of each score its `value`, `low` and `high`; `ece`, the calibration error, is that at
    the temperature. `recalls` has the same of each class of the test images. `parity` says by precision how near the
    file is to the network that it was made from.
    """

    name: str
    classes: tuple[str, ...]
    temperature: float
    abstention: tuple[dict[str, Any], ...]
    curve: tuple[dict[str, float], ...]
    scores: dict[str, Any]
    recalls: dict[str, dict[str, float]]
    parity: dict[str, dict[str, Any]]
    model_md5: str  # of the Keras file
    data_md5: str | None  # of what it was trained on
    files: dict[str, str]  # the SHA-256 of each ONNX file


def gather_facts(
    name: str,
    classes: tuple[str, ...],
    metrics: dict[str, Any],
    confidence: dict[str, Any],
    *,
    parity: dict[str, dict[str, Any]],
    model_md5: str,
    data_md5: str | None,
) -> Facts:
    """Return the facts of a model from what evaluate says of it: metrics.json and calibration.json."""
    scores = {
        block: {score: metrics[block][score] for score in ("rows", "accuracy", "macro_f1")}
        | {"ece": confidence["scores"][block]["ece"]["after"]}
        for block in BLOCKS
        if block in metrics
    }
    return Facts(
        name=name,
        classes=classes,
        temperature=confidence["temperature"],
        abstention=tuple(confidence["abstention"]),
        curve=tuple(confidence["curve"]),
        scores=scores,
        recalls={label: told["recall"] for label, told in metrics["test"]["classes"].items()},
        parity=parity,
        model_md5=model_md5,
        data_md5=data_md5,
        files={},
    )


def write_bundle(folder: Path, facts: Facts) -> None:
    """Write the document of the files that lie in `folder`; their checksums are taken now."""
    content = asdict(facts) | {"files": digest_files(folder, MODEL_FILES)}
    seal(folder / BUNDLE, content, _FORMAT)


def read_bundle(folder: Path) -> Facts:
    """Return what `write_bundle` wrote; raises DataError where it is missing, damaged or altered."""
    content = unseal(folder / BUNDLE, _FORMAT, [field.name for field in fields(Facts)], _AGAIN)
    lists = {name: tuple(content[name]) for name in ("classes", "abstention", "curve")}
    return Facts(**content | lists)


def find_model(facts: Facts, precision: str) -> str | None:
    """Return the name of the file that computes in `precision`, or None where it was left out."""
    return next((name for name in facts.files if name.removesuffix(PACKED) == MODELS[precision]), None)


def read_model(folder: Path, name: str, facts: Facts) -> bytes:
    """Return the ONNX file `name`, unpacked; raises DataError where it is missing or not the one that was written."""
    return _unpack(name, check_file(folder / name, facts.files[name], BUNDLE, _AGAIN))


def unpack_model(path: Path) -> bytes:
    """Return an ONNX file as `write_model` was given it."""
    return _unpack(path.name, path.read_bytes())


def write_model(path: Path, content: bytes) -> None:
    """Write an ONNX file, packed where its name ends so; equal models give equal bytes."""
    path.write_bytes(gzip.compress(content, 9, mtime=0) if path.suffix == PACKED else content)


def seal(path: Path, content: dict[str, Any], form: int) -> None:
    """Write `content` as JSON with its `format` and a checksum."""
    content = {"format": form, **content}
    text = json.dumps(content | {"checksum": digest_json(content)}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def unseal(path: Path, form: int, wanted: list[str], again: str) -> dict[str, Any]:
    """Return what `seal` wrote, which has the keys `wanted`; raises DataError, which tells to do `again`, otherwise."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found, checksum = content.pop("format"), content.pop("checksum")
    except FileNotFoundError as error:
        raise DataError(f"Expected {path.name} in {path.parent}; it is missing; {again}.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"Expected what describes a model in {path}; it is damaged; {again}.") from error
    if found != form:
        raise DataError(f"Expected format {form} in {path}; got {found!r}; use the Ferrule that it came with.")
    if checksum != digest_json({"format": form, **content}) or content.keys() != set(wanted):
        raise DataError(f"Expected {path} as it was written; it was altered (its checksum differs); {again}.")
    return content


def check_file(path: Path, digest: str, document: str, again: str) -> bytes:
    """Return a file; raises DataError, which says how to get it `again`, unless `document` names its SHA-256."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"Expected {path.name} in {path.parent}, which {document} names; it is missing; {again}."
        ) from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(f"Expected {path} with the SHA-256 that {document} names; got another; {again}.")
    return content


def digest_files(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Return the SHA-256 of those files that are there."""
    there = [name for name in names if (folder / name).is_file()]
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in there}


def _unpack(name: str, content: bytes) -> bytes:
    return gzip.decompress(content) if name.endswith(PACKED) else content
