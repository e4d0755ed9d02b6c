"""Muon for convolution kernels, Nesterov momentum for the rest: one Keras optimizer, the same on every backend.

After Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). A kernel (h, w, in, out) is taken
as the matrix (h·w·in, out); its momentum is replaced by the nearest matrix with all singular values about 1, so that
every direction learns at the same pace. Kernels are kept at the Frobenius norm sqrt(out): what follows them normalises,
so only their direction counts, and the rate is then a relative step of known size.
"""

from typing import Any

from ferrule.backends import keras

ops = keras.ops

# A quintic that pulls singular values in (0, 1] to about 1 when applied five times (Jordan 2024).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5


class Muon(keras.optimizers.Optimizer):
    """Muon at `learning_rate` on 4-D kernels with more than one input channel; SGD at `rest_rate` times it on the rest.

    `decay` is the weight decay of the rest's matrices (the first kernel and the dense one), added to their gradients.
    """

    def __init__(
        self, learning_rate: Any, *, rest_rate: float, momentum: float, decay: float, name: str = "muon", **kwargs: Any
    ):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.rest_rate = rest_rate
        self.momentum = momentum
        self.decay = decay

    def build(self, variables: list) -> None:
        """Make one momentum a variable."""
        if not self.built:
            super().build(variables)
            self.momenta = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move `variable` one step."""
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        muon = len(variable.shape) == 4 and variable.shape[2] > 1
        if not muon and len(variable.shape) > 1:
            gradient = gradient + self.decay * variable
        momentum = self.momenta[self._get_variable_index(variable)]
        gathered = self.momentum * momentum + gradient
        self.assign(momentum, gathered)
        ahead = gradient + self.momentum * gathered  # Nesterov
        if muon:
            self.assign(variable, _turn(variable, ahead, rate))
        else:
            self.assign_sub(variable, self.rest_rate * rate * ahead)

    def get_config(self) -> dict[str, Any]:
        """Return what makes this optimizer again."""
        own = {"rest_rate": self.rest_rate, "momentum": self.momentum, "decay": self.decay}
        return super().get_config() | own


def orthogonalise(matrix: Any) -> Any:
    """Return `matrix` (n, m), n ≤ m at best, with its singular values moved to about 1 (0.7 to 1.2).

    The polynomial is applied to the small Gram matrix (n, n) and meets `matrix` only at the end: the same result as
    iterating on the matrix itself, at less than half of the work for a kernel of 2304 × 256.
    """
    a, b, c = _COEFFICIENTS
    matrix = matrix / (_frobenius(matrix) + 1e-7)
    gram = matrix @ ops.transpose(matrix)
    identity = ops.eye(gram.shape[0], dtype=gram.dtype)
    product = identity
    for _ in range(_STEPS):
        factor = a * identity + b * gram + c * (gram @ gram)
        product = factor @ product
        gram = factor @ gram @ factor
    return product @ matrix


def _turn(kernel: Any, direction: Any, rate: Any) -> Any:
    """Return `kernel` (h, w, in, out) moved against the orthogonalised `direction`, at Frobenius norm sqrt(out)."""
    out = kernel.shape[-1]
    update = ops.transpose(orthogonalise(ops.transpose(ops.reshape(direction, (-1, out)))))
    moved = kernel - rate * ops.reshape(update, kernel.shape)
    return moved * (out**0.5 / _frobenius(moved))


def _frobenius(x: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(x)))
