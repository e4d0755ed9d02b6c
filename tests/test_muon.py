"""The optimizer: kernels turn by orthogonal steps at a fixed norm, the rest moves as under Nesterov momentum."""

import numpy as np
import pytest

from ferrule.backends import keras
from ferrule.muon import Muon, orthogonalise

RNG = np.random.default_rng(0)


def iterate_on_the_matrix(matrix: np.ndarray) -> np.ndarray:
    """Jordan's own way to write it, in double precision."""
    x = matrix.astype(np.float64) / np.linalg.norm(matrix)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


@pytest.mark.parametrize("shape", [(32, 288), (64, 576), (256, 64)])
def test_the_short_cut_over_the_gram_matrix_changes_nothing(shape):
    matrix = (RNG.normal(size=shape) * np.exp(RNG.normal(size=shape[1]))).astype(np.float32)
    found = np.asarray(orthogonalise(keras.ops.convert_to_tensor(matrix)))
    assert np.allclose(found, iterate_on_the_matrix(matrix), atol=1e-3)
    singular_values = np.linalg.svd(found, compute_uv=False)
    assert singular_values.max() < 1.25
    assert shape[0] > shape[1] or singular_values.min() > 0.5


def test_a_zero_gradient_stays_a_number():
    assert np.isfinite(np.asarray(orthogonalise(keras.ops.zeros((8, 16))))).all()


def step(
    values: list[np.ndarray], gradients: list[np.ndarray], optimizer: keras.optimizers.Optimizer
) -> list[np.ndarray]:
    variables = [keras.Variable(value) for value in values]
    for _ in range(3):
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients], variables)
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def test_a_kernel_keeps_its_norm_and_moves_against_its_gradient():
    kernel, gradient = RNG.normal(size=(2, 3, 3, 8, 16)).astype(np.float32)
    (moved,) = step([kernel], [gradient], Muon(0.1, rest_rate=1.0, momentum=0.9, decay=0.0))
    assert np.linalg.norm(moved) == pytest.approx(4, rel=1e-5)
    start = kernel * 4 / np.linalg.norm(kernel)
    assert ((moved - start) * gradient).sum() < 0


def test_the_rest_moves_as_under_nesterov_momentum():
    first, dense, bias = (RNG.normal(size=shape).astype(np.float32) for shape in ((3, 3, 1, 8), (6, 4), (4,)))
    gradients = [RNG.normal(size=value.shape).astype(np.float32) for value in (first, dense, bias)]
    found = step([first, dense, bias], gradients, Muon(0.1, rest_rate=0.5, momentum=0.9, decay=0.0))
    expected = step([first, dense, bias], gradients, keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True))
    for left, right in zip(found, expected, strict=True):
        assert np.allclose(left, right, atol=1e-6)


def test_only_matrices_decay():
    values = [np.ones((6, 4), np.float32), np.ones(4, np.float32)]
    dense, bias = step(
        values, [np.zeros_like(value) for value in values], Muon(0.1, rest_rate=1.0, momentum=0.9, decay=0.1)
    )
    assert (dense < 1).all()
    assert (bias == 1).all()


def test_it_can_be_made_again_from_its_config():
    config = Muon(0.1, rest_rate=0.5, momentum=0.8, decay=0.01).get_config()
    assert Muon.from_config(config).get_config() == config
