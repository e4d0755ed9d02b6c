"""The portable model: as the Keras network, to the last digits; equal bytes; what is damaged; what it does without."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from conftest import REPOSITORY

from ferrule.errors import DataError, ParameterError, WorkflowError
from ferrule.portable.bundle import BUNDLE, MODELS, Facts, write_bundle, write_model
from ferrule.portable.export import Gate, HeldOut, check_parity, say_parity, write_models
from ferrule.portable.model import PortableModel, open_pretrained
from ferrule.portable.session import Session

GATE = Gate(min_agreement=0.999, max_difference=0.001, max_int8_loss=0.003)
IMAGES = np.random.default_rng(0).integers(0, 256, (70, 48, 48), dtype=np.uint8)  # more than one batch


def build(seed=1, name="small"):
    """Return a network whose batch normalisation does something, as after a training."""
    from ferrule.network import build_network

    model, rng = build_network(name, 3, dropout=0.2, seed=seed), np.random.default_rng(seed)
    for layer in model.layers:
        if layer.name.endswith("_norm"):
            shape = layer.get_weights()[0].shape
            layer.set_weights(
                [*rng.uniform(0.5, 1.5, (2, *shape)), rng.normal(0, 0.1, shape), rng.uniform(0.5, 2, shape)]
            )
    return model


def ask_keras(model, images):
    from ferrule.embeddings import embed
    from ferrule.inference import predict_probabilities

    return predict_probabilities(model, images), embed(model, images)


@pytest.fixture(scope="module")
def network():
    return build()


@pytest.fixture(scope="module")
def graph(network):
    from ferrule.portable.translation import translate

    return translate(network)


@pytest.fixture(scope="module")
def bundle(graph, network, tmp_path_factory):
    """Give a bundle of an untrained network, with made-up facts."""
    folder = tmp_path_factory.mktemp("bundle")
    held_out = HeldOut(IMAGES, np.zeros(len(IMAGES), int), ask_keras(network, IMAGES)[0])
    loose = Gate(min_agreement=0.999, max_difference=0.001, max_int8_loss=1.0)
    parity = write_models(folder, graph, held_out, loose, calibration=IMAGES[:16])
    rules = tuple(
        {"target": target, "threshold": threshold, "coverage": 0.5, "accuracy": target, "lower": target}
        for target, threshold in ((0.5, 0.4), (0.8, 0.7), (0.81, 0.9), (0.99, None))
    )
    facts = Facts("ferrule", ("a", "b", "c"), 0.5, rules, (), {}, {}, parity, "0" * 32, None, {})
    write_bundle(folder, facts)
    return folder


@pytest.fixture
def folder(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "bundle")


@pytest.mark.parametrize("kind", ["small", "medium", "ensemble"])
def test_it_says_what_keras_says(kind):
    from ferrule.network import average_networks
    from ferrule.portable.translation import translate

    model = average_networks([build(1), build(2)]) if kind == "ensemble" else build(name=kind)
    session = Session(translate(model).SerializeToString())
    probabilities, embeddings = ask_keras(model, IMAGES)
    np.testing.assert_allclose(session.ask(IMAGES), probabilities, atol=1e-5)
    np.testing.assert_allclose(session.ask(IMAGES, "embeddings"), embeddings, atol=1e-4, rtol=1e-4)


def test_weights_come_back_out_of_the_graph_whole_or_in_16_bits(network, graph):
    from ferrule.network import build_network
    from ferrule.portable.translation import read_weights, restore_weights, shorten, translate

    for made, tolerance in ((graph, 1e-5), (shorten(graph), 1e-3)):
        model = build_network("small", 3, dropout=0.2, seed=9)
        restore_weights(model, read_weights(made))
        own = ask_keras(model, IMAGES)[0]
        np.testing.assert_allclose(Session(made.SerializeToString()).ask(IMAGES), own, atol=1e-5)
        np.testing.assert_allclose(own, ask_keras(network, IMAGES)[0], atol=tolerance)
        np.testing.assert_allclose(Session(translate(model).SerializeToString()).ask(IMAGES), own, atol=1e-5)
    assert shorten(graph).ByteSize() < 0.52 * graph.ByteSize()
    with pytest.raises(DataError, match="Expected the weights of a ferrule_medium"):
        restore_weights(build(name="medium"), read_weights(graph))


def test_the_same_weights_give_the_same_bytes(network, graph):
    from ferrule.portable.export import quantise
    from ferrule.portable.translation import translate

    again = translate(network)
    assert again.SerializeToString() == graph.SerializeToString()
    assert quantise(again, IMAGES[:16]).SerializeToString() == quantise(graph, IMAGES[:16]).SerializeToString()
    assert again.SerializeToString() == graph.SerializeToString()  # nothing was done to what was quantised


def test_a_layer_that_is_not_known_is_one_sentence():
    from ferrule.backends import keras
    from ferrule.portable.translation import translate

    images = keras.Input((48, 48, 1))
    model = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten(name="flat")(images)))
    with pytest.raises(WorkflowError, match=r"Expected layers among .*; flat is a Flatten; add it"):
        translate(model)


def test_int8_is_near(bundle):
    whole, quantised = (PortableModel.open(bundle, precision=precision) for precision in MODELS)
    assert (whole.precision, quantised.precision) == ("float32", "int8")
    assert (bundle / MODELS["int8"]).stat().st_size < 0.4 * (bundle / MODELS["float32"]).stat().st_size
    np.testing.assert_allclose(quantised.session.ask(IMAGES), whole.session.ask(IMAGES), atol=0.1)


def test_int8_that_fails_is_left_out(graph, network, tmp_path):
    held_out = HeldOut(IMAGES, np.zeros(len(IMAGES), int), ask_keras(network, IMAGES)[0])
    none_passes = Gate(min_agreement=0.999, max_difference=0.001, max_int8_loss=-1.0)
    parity = write_models(tmp_path, graph, held_out, none_passes, calibration=IMAGES[:16], small=True)
    assert (parity["float32"]["passed"], parity["int8"]["passed"]) == (True, False)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx.gz"]
    assert "it fails, so it is left out" in say_parity(parity)
    write_bundle(tmp_path, Facts("x", ("a", "b", "c"), 1.0, (), (), {}, {}, parity, "", None, {}))
    with pytest.raises(DataError, match=r"Expected model\.int8\.onnx in .*; it was left out"):
        PortableModel.open(tmp_path, precision="int8")
    assert PortableModel.open(tmp_path).probabilities(IMAGES).shape == (70, 3)


@pytest.mark.parametrize(
    ("precision", "change", "passed"),
    [
        ("float32", 0.0, True),
        ("float32", 0.0005, True),
        ("float32", 0.002, False),  # too far
        ("float32", 0.3, False),  # another class
        ("int8", 0.002, True),
        ("int8", 0.3, False),  # a wrong class
    ],
)
def test_parity_is_held_to_the_gate(precision, change, passed):
    labels = np.zeros(10, int)
    own = np.tile([0.6, 0.4], (10, 1))
    found = check_parity(own + np.array([-change, change]), HeldOut(IMAGES[:10], labels, own), GATE, precision)
    assert found["passed"] is passed
    assert found["difference"] == pytest.approx(change)


def test_probabilities_are_calibrated_and_float64(bundle):
    model = PortableModel.open(bundle, title="mine", version="3")
    plain, calibrated = model.session.ask(IMAGES).astype(float), model.probabilities(IMAGES)
    expected = plain**2 / (plain**2).sum(axis=1, keepdims=True)  # the temperature is 0.5
    np.testing.assert_allclose(calibrated, expected, atol=1e-6)
    assert calibrated.dtype == np.float64
    assert (model.title, model.version, model.classes) == ("mine", "3", ("a", "b", "c"))
    assert model.embeddings(IMAGES).shape == (70, 256)


def test_no_image_has_no_answer_and_other_arrays_are_refused(bundle):
    model = PortableModel.open(bundle)
    assert model.probabilities(IMAGES[:0]).shape == (0, 3)
    assert model.embeddings(IMAGES[:0]).shape == (0, 256)
    for wrong in (IMAGES.astype(float), IMAGES[0], IMAGES[:, :40]):
        with pytest.raises(DataError, match="Expected uint8 images of shape"):
            model.probabilities(wrong)


def test_several_threads_may_ask_one_model(bundle):
    model = PortableModel.open(bundle)
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(model.probabilities, [IMAGES[start : start + 7] for start in range(0, 70, 7)]))
    np.testing.assert_allclose(np.concatenate(told), model.probabilities(IMAGES), atol=1e-6)


@pytest.mark.parametrize(("target", "threshold"), [(0.5, 0.4), (0.51, 0.7), (0.8, 0.7), (0.805, 0.9), (0.99, None)])
def test_abstention_takes_the_nearest_target_that_is_not_below(bundle, target, threshold):
    rule = PortableModel.open(bundle).abstention(target)
    assert rule.threshold == threshold
    assert rule.target >= target


@pytest.mark.parametrize("target", [0.49, 0.995, 1.0, float("nan")])
def test_an_accuracy_out_of_reach_is_refused(bundle, target):
    with pytest.raises(ParameterError, match=r"within 0\.50 and 0\.99"):
        PortableModel.open(bundle).abstention(target)


@pytest.mark.parametrize("name", [BUNDLE, *MODELS.values()])
def test_a_damaged_or_missing_file_is_one_sentence(folder, name):
    precision = "int8" if "int8" in name else "float32"
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=f"Expected .*{name}.*"):
        PortableModel.open(folder, precision=precision)
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"Expected {name} in .*missing; make it again"):
        PortableModel.open(folder, precision=precision)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"temperature": 0.5', '"temperature": 0.6', "was altered"),
        ('"format": 1', '"format": 7', "Expected format 1 .*; got 7"),
        ('"checksum"', '"sum"', "is damaged"),
        ("{", "", "is damaged"),
    ],
)
def test_an_altered_document_is_one_sentence(folder, old, new, words):
    path = folder / BUNDLE
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=words):
        PortableModel.open(folder)


def test_a_file_that_is_no_network_is_one_sentence(folder):
    facts = json.loads((folder / BUNDLE).read_text())
    write_model(folder / MODELS["float32"], b"no network")
    del facts["format"], facts["checksum"]
    write_bundle(folder, Facts(**facts))
    with pytest.raises(DataError, match="Expected a network that ONNX Runtime loads"):
        PortableModel.open(folder).probabilities(IMAGES)


def test_another_precision_is_refused(bundle):
    with pytest.raises(ParameterError, match="Expected a precision among float32, int8; got 'float16'"):
        PortableModel.open(bundle, precision="float16")


def test_the_graph_is_what_other_programs_read(graph):
    onnx.checker.check_model(graph, full_check=True)
    assert [node.name for node in graph.graph.input] == ["images"]
    assert [node.name for node in graph.graph.output] == ["probabilities", "embeddings"]
    assert {node.op_type for node in graph.graph.node}.isdisjoint({"BatchNormalization"})


def test_a_first_prediction_needs_little():
    """No library that is slow to import, and of what is installed only what `pip install ferrule` brings."""
    code = """
import sys
import numpy as np
from ferrule.portable.model import open_pretrained
open_pretrained().probabilities(np.zeros((1, 48, 48), np.uint8))
heavy = {"keras", "tensorflow", "torch", "jax", "onnx", "pandas", "pyarrow", "scipy", "mlflow", "prefect", "cv2"}
sys.exit(", ".join(heavy & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_model_that_ships_opens():
    assert open_pretrained().title == "the model that ships with Ferrule"
