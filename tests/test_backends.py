"""What differs between backends: TensorFlow's fused layer, its silence, and the same code on PyTorch and JAX."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from tiny_training import make_data

from ferrule.backends import backend_name, batch_norm_layer, choose_precision, keras
from ferrule.errors import ParameterError
from ferrule.inference import predict_probabilities
from ferrule.network import build_network, load_network, rebuild_plain

tensorflow_only = pytest.mark.skipif(backend_name() != "tensorflow", reason="TensorFlow is not the backend")
INPUTS = np.random.default_rng(0).normal(1, 2, (16, 6, 6, 8)).astype(np.float32)


def run_python(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])} | environment
    return subprocess.run([sys.executable, *arguments], env=variables, capture_output=True, text=True, timeout=280)


@tensorflow_only
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("mixed_bfloat16", 0.05)])
def test_the_fused_layer_computes_what_keras_computes(precision, tolerance):
    """Up to one part in 575: its moving variance is the unbiased one."""
    import tensorflow as tf

    from ferrule.tensorflow_layers import FusedBatchNormalization

    outcomes = []
    for kind in (keras.layers.BatchNormalization, FusedBatchNormalization):
        layer = kind(momentum=0.9, dtype=precision)
        layer.build(INPUTS.shape)
        layer.gamma.assign(np.linspace(0.5, 2, 8))
        inputs = tf.cast(tf.constant(INPUTS), layer.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            training = layer(inputs, training=True)
            loss = tf.reduce_sum(tf.cast(training, tf.float32) ** 3)
        gradients = tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])
        inference = layer(inputs, training=False)
        assert inference.dtype == training.dtype == inputs.dtype
        outcomes.append([training, *gradients, inference, *layer.get_weights()])
    for keras_own, fused in zip(*outcomes, strict=True):
        keras_own, fused = np.asarray(keras_own, np.float32), np.asarray(fused, np.float32)
        assert np.abs(keras_own - fused).max() <= tolerance * max(1.0, np.abs(keras_own).max())


@tensorflow_only
def test_weights_of_the_fast_network_are_those_of_the_plain_one():
    fast = build_network("small", 7, dropout=0.2, seed=3, size=None, precision="bfloat16")
    plain = rebuild_plain("small", 7, fast.get_weights(), dropout=0.2, seed=3)
    assert batch_norm_layer("bfloat16") is not batch_norm_layer("float32")
    assert [weight.path for weight in fast.weights] == [weight.path for weight in plain.weights]
    images = np.random.default_rng(0).integers(0, 256, (20, 48, 48), dtype=np.uint8)
    difference = predict_probabilities(fast, images) - predict_probabilities(plain, images)
    assert 0 < np.abs(difference).max() < 0.02


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_precision_that_is_asked_for_is_taken(precision):
    assert choose_precision(precision) == precision


def test_auto_takes_bfloat16_only_where_it_is_known_to_be_faster(monkeypatch):
    for has_it, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr("ferrule.backends._processor_has_bfloat16", lambda has_it=has_it: has_it)
        assert choose_precision("auto") == (expected if backend_name() == "tensorflow" else "float32")
    with pytest.raises(ParameterError, match="got 'float16'"):
        choose_precision("float16")


@tensorflow_only
def test_tensorflow_is_silent():
    code = "from ferrule.backends import keras; keras.ops.matmul(keras.ops.ones((4, 4)), keras.ops.ones((4, 4)))"
    result = run_python("-c", code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_an_error_while_keras_is_loaded_is_not_swallowed():
    result = run_python("-c", "import ferrule.backends", KERAS_BACKEND="no such backend")
    assert result.returncode != 0
    assert "no such backend" in result.stderr


@pytest.mark.parametrize("backend", [pytest.param("torch", marks=pytest.mark.torch), "jax"])
def test_other_backends_train_with_the_same_code_and_exchange_models(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed (pip install 'ferrule[{backend}]')")
    result = run_python(REPOSITORY / "tests" / "tiny_training.py", tmp_path, KERAS_BACKEND=backend)
    assert result.returncode == 0, result.stderr
    assert "epoch 3/3" in result.stdout
    data = make_data()
    probabilities = predict_probabilities(load_network(tmp_path / "model.keras"), data.images[data.val])
    assert (probabilities.argmax(axis=1) == data.labels[data.val]).mean() > 0.6
