"""The one place that imports Keras, and all that differs between its backends (TensorFlow, PyTorch, JAX).

Everything else is written against `keras` as imported here; KERAS_BACKEND chooses, TensorFlow is the default. PyTorch
and JAX run the same code without what TensorFlow gains below.
"""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ferrule.errors import ParameterError

# What TensorFlow's C++ prints before its logging listens to TF_CPP_MIN_LOG_LEVEL.
_CHATTER = re.compile(r"WARNING: All log messages before absl|[IW]\d{4} \d|To enable the following instructions")


@contextmanager
def without_chatter() -> Iterator[None]:
    """Hold back what is written to file descriptor 2 meanwhile, and pass on every line that is not mere chatter."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            lines = held.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in lines if not _CHATTER.match(line)))


# Read by TensorFlow as it is loaded. 3 also hides that it found no CUDA; what really fails is a Python exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with without_chatter():
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf


def backend_name() -> str:
    """Return the backend in use: "tensorflow", "torch" or "jax"."""
    return keras.backend.backend()


def expect_backend(name: str) -> None:
    """Raise ParameterError where Keras, which is imported by now, runs on another backend than `name`."""
    if backend_name() != name:
        raise ParameterError(
            f"Expected Keras on train.backend, {name}; it runs on {backend_name()}; unset KERAS_BACKEND or change "
            "train.backend, so that DVC knows of it."
        )


def make_deterministic() -> None:
    """Make the same training give the same bits (on one kind of processor and number of cores)."""
    if backend_name() == "tensorflow":
        tf.config.experimental.enable_op_determinism()
    elif backend_name() == "torch":
        import torch

        torch.use_deterministic_algorithms(True, warn_only=True)


def choose_precision(precision: str) -> str:
    """Return "float32" or "bfloat16" for what params.yaml says; "auto" takes bfloat16 where it is known to be faster.

    That is TensorFlow on a processor that computes in bfloat16. Raises ParameterError for another word.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise ParameterError(f"Expected train.precision auto, float32 or bfloat16; got {precision!r}; correct it.")
    if precision != "auto":
        return precision
    return "bfloat16" if backend_name() == "tensorflow" and _processor_has_bfloat16() else "float32"


def _processor_has_bfloat16() -> bool:
    """Tell whether /proc/cpuinfo names bfloat16 instructions (AVX-512 or AMX); False where there is no such file."""
    facts = Path("/proc/cpuinfo")
    return facts.is_file() and re.search(r"\b(avx512_bf16|amx_bf16)\b", facts.read_text()) is not None


def batch_norm_layer(precision: str) -> Callable[..., keras.layers.Layer]:
    """Return the class of batch normalisation to train with; its weights are those of keras' BatchNormalization."""
    if backend_name() == "tensorflow" and precision == "bfloat16":
        from ferrule.tensorflow_layers import FusedBatchNormalization

        return FusedBatchNormalization
    return keras.layers.BatchNormalization
