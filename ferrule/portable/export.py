"""The ONNX files of a bundle, made from a Keras network and held to it. Imports Keras and onnx where it needs them."""

import contextlib
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ferrule.portable.bundle import MODELS, PACKED, write_model
from ferrule.portable.session import Session

if TYPE_CHECKING:
    import onnx

_QUANTISED = ["Conv", "Add", "AveragePool"]  # what takes the time
_PERCENTILE = 99.999  # of a layer's values that 8 bits span; the few beyond it are cut off
_BATCH = 64  # images
_VERDICTS = {
    ("float32", True): "it passes",
    ("float32", False): "it fails, so the gate of promotion refuses the model",
    ("int8", True): "it passes",
    ("int8", False): "it fails, so it is left out",
}


@dataclass(frozen=True)
class Gate:
    """How far an export may be from the network that it was made from, on the same images."""

    min_agreement: float  # share of images with the same top class
    max_difference: float  # mean absolute difference of a probability
    max_int8_loss: float  # of accuracy, in 8-bit arithmetic


@dataclass(frozen=True)
class HeldOut:
    """Images uint8 (n, 48, 48) with their class ids (n,) and the network's own probabilities (n, k)."""

    images: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def write_models(
    folder: Path,
    graph: "onnx.ModelProto",
    held_out: HeldOut,
    gate: Gate,
    *,
    calibration: np.ndarray | None,
    small: bool = False,
) -> dict[str, dict[str, Any]]:
    """Write model.onnx and model.int8.onnx into `folder`; return how near each is to the network, by its precision.

    `calibration` are images, uint8 (m, 48, 48), that show what values 8 bits have to span; None makes no int8. One that
    fails the gate is not written. `small` stores weights in 16 bits, and packs the files.
    """
    from ferrule.portable.translation import shorten

    graphs, parity = {"float32": shorten(graph) if small else graph}, {}
    if calibration is not None:
        graphs["int8"] = quantise(graph, calibration)
    for precision, made in graphs.items():
        content = made.SerializeToString()
        parity[precision] = check_parity(Session(content).ask(held_out.images), held_out, gate, precision)
        if precision == "float32" or parity[precision]["passed"]:
            write_model(folder / f"{MODELS[precision]}{PACKED if small else ''}", content)
    return parity


def check_parity(probabilities: np.ndarray, held_out: HeldOut, gate: Gate, precision: str) -> dict[str, Any]:
    """Return how near `probabilities` (n, k) are to the network's own, and whether that passes the gate.

    In float32 the same classes and probabilities are wanted; of int8 that its accuracy is as good.
    """
    told, own, labels = probabilities.argmax(axis=1), held_out.probabilities.argmax(axis=1), held_out.labels
    agreement, loss = float((told == own).mean()), float((own == labels).mean() - (told == labels).mean())
    difference = float(np.abs(probabilities - held_out.probabilities).mean())
    same = agreement >= gate.min_agreement and difference < gate.max_difference
    return {
        "rows": len(labels),
        "agreement": round(agreement, 6),
        "difference": round(difference, 9),
        "accuracy": round(float((told == labels).mean()), 6),
        "accuracy_loss": round(loss, 6),
        "passed": same if precision == "float32" else loss <= gate.max_int8_loss,
    }


def say_parity(parity: dict[str, dict[str, Any]]) -> str:
    """Return how near each precision is, and what follows for the bundle, as sentences."""
    return "; ".join(_say(precision, found) for precision, found in parity.items()).replace("%", " %")


def quantise(graph: "onnx.ModelProto", images: np.ndarray) -> "onnx.ModelProto":
    """Return the graph with 8-bit convolutions, whose ranges are those that `images`, uint8 (m, 48, 48), show.

    Weights are int8, a channel's within 7 bits, so that no processor's multiplication overflows; what lies between
    layers is uint8. The first convolution, which sees the pixels and takes next to no time, stays as it is. Equal
    images give an equal graph.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with TemporaryDirectory() as place, _quietly():
        source, target = Path(place) / "float32.onnx", Path(place) / "int8.onnx"
        onnx.save(graph, source)  # what is handed over in memory, it empties
        quantize_static(
            source,
            target,
            _Reader(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            op_types_to_quantize=_QUANTISED,
            nodes_to_exclude=_find_first(graph),
            extra_options={"CalibPercentile": _PERCENTILE, "CalibStridedMinMax": 1},  # one batch in memory at a time
        )
        return onnx.load(target)


def _find_first(graph: "onnx.ModelProto") -> list[str]:
    """Return the names of the convolutions with one input channel."""
    channels = {tensor.name: tensor.dims[1] for tensor in graph.graph.initializer if len(tensor.dims) == 4}
    return [node.name for node in graph.graph.node if node.op_type == "Conv" and channels[node.input[1]] == 1]


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Hold back what the quantiser tells of its progress, and its advice to fold what is folded already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _say(precision: str, found: dict[str, Any]) -> str:
    return (
        f"{precision}: same top class on {found['agreement']:.2%} of {found['rows']:,} test images, probabilities "
        f"{found['difference']:.1e} apart, accuracy {found['accuracy']:.1%}; {_VERDICTS[precision, found['passed']]}"
    )


class _Reader:
    """What the quantiser reads calibration images from: batches, of which it asks for a range at a time."""

    def __init__(self, images: np.ndarray) -> None:
        self._batches = np.array_split(images[..., None].astype(np.float32), -(-len(images) // _BATCH))
        self._waiting = iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._waiting = iter(self._batches[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._waiting, None)
        return None if batch is None else {"images": batch}
