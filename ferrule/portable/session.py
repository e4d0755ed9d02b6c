"""One ONNX file in ONNX Runtime: images in, an output of the graph out."""

from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from ferrule.engine import worker_count
from ferrule.errors import DataError
from ferrule.samples import IMAGE_SIZE

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_BATCH = 64  # images; larger batches are no faster, and smaller ones need less memory


class Session:
    """A network that is loaded when it is first asked, and may be asked from several threads at once."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._loading = Lock()

    def ask(self, images: np.ndarray, output: str = "probabilities") -> np.ndarray:
        """Return an output of the graph, float32 (n, …), for `images`, uint8 (n, 48, 48).

        Raises DataError for images of another shape or type, or where ONNX Runtime cannot load the file.
        """
        if images.dtype != np.uint8 or images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
            raise DataError(
                f"Expected uint8 images of shape (n, {IMAGE_SIZE}, {IMAGE_SIZE}); got {images.dtype} {images.shape}; "
                "convert them."
            )
        with self._loading:
            loaded = self._loaded
        told = [
            loaded.run([output], {"images": images[start : start + _BATCH, ..., None].astype(np.float32)})[0]
            for start in range(0, max(len(images), 1), _BATCH)
        ]
        return np.concatenate(told)

    @cached_property
    def _loaded(self) -> "InferenceSession":
        try:
            return open_network(self._content)
        except Exception as error:  # ONNX Runtime has a class of its own for each code, in a private module
            raise DataError(
                f"Expected a network that ONNX Runtime loads; {' '.join(str(error).split())[:200]}; export it again."
            ) from error


def open_network(content: bytes) -> "InferenceSession":
    """Return an ONNX file, loaded to run on `worker_count` threads, without telemetry and remarks on the terminal."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = worker_count()
    options.log_severity_level = 4  # what is wrong is a Python exception too
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
