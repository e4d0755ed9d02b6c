"""The network and its file: what it takes, what it gives, and that plain Keras alone reads it."""

import os
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from ferrule.backends import keras
from ferrule.errors import DataError, ParameterError
from ferrule.inference import predict_probabilities
from ferrule.network import NETWORKS, build_network, load_network, rebuild_plain, save_network
from ferrule.views import ALL, FLIP, PLAIN

IMAGES = np.random.default_rng(3).integers(0, 256, (5, 48, 48), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    return build_network("small", 7, dropout=0.2, seed=1)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    save_network(model, path)
    return path


@pytest.mark.parametrize(("name", "millions"), [("small", 1.25), ("medium", 2.72)])
def test_networks_have_the_size_that_their_comment_says(name, millions):
    assert set(NETWORKS) == {"small", "medium"}
    network = build_network(name, 7, dropout=0.2, seed=1)
    assert network.count_params() / 1e6 == pytest.approx(millions, abs=0.005)


def test_an_unknown_network_is_named():
    with pytest.raises(ParameterError, match="got 'vgg'"):
        build_network("vgg", 7, dropout=0.2, seed=1)


@pytest.mark.parametrize(
    "images", [IMAGES, IMAGES[..., None], IMAGES.astype(np.float32)], ids=["grey", "channel", "float"]
)
def test_probabilities_are_float32_and_sum_to_one(model, images):
    probabilities = keras.ops.convert_to_numpy(model(images))
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (5, 7)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert np.allclose(probabilities, predict_probabilities(model, IMAGES), atol=1e-6)


def test_brightness_and_contrast_do_not_count_and_blank_images_are_survived(model):
    images = IMAGES // 3 + 40
    changed = predict_probabilities(model, (images * 2 - 50).astype(np.uint8))
    assert np.allclose(predict_probabilities(model, images), changed, atol=0.01)
    assert np.isfinite(predict_probabilities(model, np.zeros((2, 48, 48), np.uint8))).all()


def test_equal_seeds_give_equal_weights_whatever_was_built_before(model):
    again, other = (build_network("small", 7, dropout=0.2, seed=seed) for seed in (1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))
    kernels = {weight.path: np.asarray(weight) for weight in model.trainable_weights if weight.path.endswith("kernel")}
    assert not any(np.array_equal(kernels[weight.path], weight) for weight in other.weights if weight.path in kernels)
    assert not np.array_equal(kernels["stage1_block1_a/kernel"], kernels["stage1_block1_b/kernel"])


@pytest.mark.parametrize("batch", [1, 2, 5, 64])
@pytest.mark.parametrize("views", [PLAIN, FLIP], ids=["plain", "flip"])
def test_the_batch_size_does_not_count(model, batch, views):
    whole = predict_probabilities(model, IMAGES, views=views)
    assert np.allclose(predict_probabilities(model, IMAGES, views=views, batch=batch), whole, atol=1e-6)


def test_averaging_over_flips_cannot_tell_an_image_from_its_mirror(model):
    for views in (FLIP, ALL):
        left, right = (predict_probabilities(model, images, views=views) for images in (IMAGES, IMAGES[:, :, ::-1]))
        assert np.allclose(left, right, atol=1e-5)
    assert predict_probabilities(model, IMAGES[:0]).shape == (0, 7)


def test_the_same_weights_give_the_same_bytes_at_any_time(model, saved, tmp_path):
    time.sleep(1.1)  # the dates that Keras and zip write count seconds
    twin = rebuild_plain("small", 7, model.get_weights(), dropout=0.2, seed=1)
    save_network(twin, tmp_path / "model.keras")
    assert (tmp_path / "model.keras").read_bytes() == saved.read_bytes()
    assert b"date" not in zipfile.ZipFile(saved).read("metadata.json")


def test_the_file_needs_keras_alone(model, saved, tmp_path):
    code = (
        "import sys, keras, numpy as np\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "np.save(sys.argv[2], model.predict(np.load(sys.argv[3]), verbose=0))\n"
        "assert not any(name.partition('.')[0] == 'ferrule' for name in sys.modules)\n"
    )
    np.save(tmp_path / "images.npy", IMAGES)
    command = [sys.executable, "-c", code, saved, tmp_path / "out.npy", tmp_path / "images.npy"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": ""})
    assert np.allclose(np.load(tmp_path / "out.npy"), predict_probabilities(model, IMAGES), atol=1e-6)


@pytest.mark.parametrize("content", [None, b"", b"no model"], ids=["absent", "empty", "text"])
def test_what_is_no_model_is_one_clear_sentence(tmp_path, content):
    path = tmp_path / "model.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="Expected a Keras model"):
        load_network(path)
