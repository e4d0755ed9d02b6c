"""A Keras network as an ONNX graph, layer by layer, and its weights back out of the graph.

Names in the graph are those of the layers, so that equal weights give equal bytes and each weight is found again
(tf2onnx names them after the state of the process, and needs TensorFlow, whatever Keras runs on). Batch normalisation
becomes part of the convolution before it. Images and features are channels first, as ONNX has them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ferrule.errors import DataError, WorkflowError

if TYPE_CHECKING:
    import keras

IMAGES, PROBABILITIES, EMBEDDINGS = "images", "probabilities", "embeddings"
OPSET, IR_VERSION = 17, 8  # read by ONNX Runtime 1.14 and newer, and by OpenCV 5
KERNEL, BIAS = ".kernel", ".bias"  # what the names of weights end with, after their layer's
_STEPS = 2**14 - 1  # either way; more would not show in the probabilities, but in the size of the package


def translate(model: "keras.Model") -> onnx.ModelProto:
    """Return the graph of a network, or of the mean of several as `average_networks` builds it.

    It maps `images`, float32 (n, 48, 48, 1), 0 to 255, to `probabilities` (n, k), of several networks their mean, and
    `embeddings` (n, d), see `ferrule.embeddings`. Raises WorkflowError for a layer that is not known.
    """
    members = [layer for layer in model.layers if hasattr(layer, "layers")]
    graph = _Graph()
    column = graph.add("Transpose", [IMAGES], "channels_first", perm=[0, 3, 1, 2])
    if members:
        told = [_translate_network(graph, member, column, f"{member.name}.") for member in members]
    else:
        told = [_translate_network(graph, model, column, "")]
    probabilities, embeddings = zip(*told, strict=True)
    graph.mean(probabilities, PROBABILITIES)
    graph.add("Concat", embeddings, EMBEDDINGS, axis=1)
    return graph.close(model.name, model.input_shape[1:])


def shorten(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with its kernels stored in 16 bits: whole multiples of a step, one step a channel.

    They become float32 again as the graph is loaded. That is half the size, and a third of the error of float16, whose
    exponents a channel's weights hardly use.
    """
    short = onnx.ModelProto()
    short.CopyFrom(graph)
    restored = []
    for tensor in [tensor for tensor in short.graph.initializer if tensor.name.endswith(KERNEL)]:
        name, kernel = tensor.name, numpy_helper.to_array(tensor)
        others = tuple(axis for axis in range(kernel.ndim) if axis != _channel_axis(kernel))
        steps = np.maximum(np.abs(kernel).max(axis=others, keepdims=True), np.finfo(np.float32).tiny) / _STEPS
        tensor.CopyFrom(numpy_helper.from_array(np.round(kernel / steps).astype(np.int16), f"{name}.count"))
        short.graph.initializer.append(numpy_helper.from_array(steps, f"{name}.step"))
        restored.append(helper.make_node("Cast", [f"{name}.count"], [f"{name}.counted"], to=TensorProto.FLOAT))
        restored.append(helper.make_node("Mul", [f"{name}.counted", f"{name}.step"], [name]))
    nodes = [*restored, *short.graph.node]
    del short.graph.node[:]
    short.graph.node.extend(nodes)
    onnx.checker.check_model(short)
    return short


def read_weights(graph: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Return the weights, float32, by layer and kind: "stem_a.kernel" (h, w, in, out), "stem_a.bias" (out,)."""
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    counts = {name.removesuffix(".count"): held[name] for name in held if name.endswith(".count")}
    held |= {name: count.astype(np.float32) * held[f"{name}.step"] for name, count in counts.items()}
    return {
        name: array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
        for name, array in held.items()
        if name.endswith((KERNEL, BIAS))
    }


def restore_weights(model: "keras.Model", weights: dict[str, np.ndarray]) -> None:
    """Give a fresh network the weights of a graph; what batch normalisation did is in the convolutions' by now.

    Raises DataError where they are of another network.
    """
    weighty = {layer.name for layer in model.layers if type(layer).__name__ in ("Conv2D", "Dense")}
    if weighty != {name.rpartition(".")[0] for name in weights}:
        raise DataError(f"Expected the weights of a {model.name}; these are of other layers; name the right network.")
    for layer in model.layers:
        if layer.name in weighty:
            kinds = (KERNEL, BIAS) if type(layer).__name__ == "Dense" else (KERNEL,)
            layer.set_weights([weights[f"{layer.name}{kind}"] for kind in kinds])
        elif type(layer).__name__ == "BatchNormalization":
            bias = weights[f"{layer.name.removesuffix('_norm')}{BIAS}"]
            scale = np.full_like(bias, np.sqrt(1 + layer.epsilon))
            layer.set_weights([scale, bias, np.zeros_like(bias), np.ones_like(bias)])


class _Graph:
    """Nodes and weights as they are added; each node has one output, which is also its name."""

    def __init__(self) -> None:
        self.nodes: dict[str, onnx.NodeProto] = {}
        self.weights: dict[str, np.ndarray] = {}

    def add(self, operation: str, inputs: Any, name: str, **attributes: Any) -> str:
        self.nodes[name] = helper.make_node(operation, list(inputs), [name], name=name, **attributes)
        return name

    def hold(self, name: str, array: np.ndarray) -> str:
        self.weights[name] = array
        return name

    def mean(self, values: tuple[str, ...], name: str) -> str:
        return self.add("Mean", values, name) if len(values) > 1 else self.add("Identity", values, name)

    def close(self, name: str, shape: tuple[int, ...]) -> onnx.ModelProto:
        """Return the model with its outputs, checked."""
        graph = helper.make_graph(
            list(self.nodes.values()),
            name,
            [helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, ["n", *shape])],
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, ["n", None]) for key in (PROBABILITIES, EMBEDDINGS)],
            [numpy_helper.from_array(np.ascontiguousarray(array), key) for key, array in self.weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        onnx.checker.check_model(model)
        return model


def _translate_network(graph: _Graph, model: "keras.Model", images: str, prefix: str) -> tuple[str, str]:
    """Add one network, and return its probabilities and embeddings."""
    values = {id(model.inputs[0]): images}
    for layer in model.layers[1:]:
        given = layer.input if isinstance(layer.input, list) else [layer.input]
        name = type(layer).__name__.removeprefix("Fused")
        if name not in _LAYERS:
            raise WorkflowError(
                f"Expected layers among {', '.join(_LAYERS)}; {layer.name} is a {name}; add it to "
                "ferrule/portable/translation.py."
            )
        values[id(layer.output)] = _LAYERS[name](graph, layer, [values[id(value)] for value in given], prefix)
    return values[id(model.outputs[0])], values[id(model.layers[-1].input)]


def _standardise(graph: _Graph, layer: Any, given: list[str], prefix: str) -> str:
    """Give each image mean 0 and standard deviation 1, but for a floor."""
    name = prefix + layer.name
    floor = graph.hold(f"{name}.floor", np.array(layer.epsilon, np.float32))
    mean = graph.add("ReduceMean", given, f"{name}.mean", axes=[1, 2, 3])
    centred = graph.add("Sub", [*given, mean], f"{name}.centred")
    square = graph.add("Mul", [centred, centred], f"{name}.square")
    variance = graph.add("ReduceMean", [square], f"{name}.variance", axes=[1, 2, 3])
    deviation = graph.add("Sqrt", [graph.add("Add", [variance, floor], f"{name}.raised")], f"{name}.deviation")
    return graph.add("Div", [centred, deviation], name)


def _convolve(graph: _Graph, layer: Any, given: list[str], prefix: str) -> str:
    name = prefix + layer.name
    kernel, *bias = layer.get_weights()
    graph.hold(f"{name}.kernel", kernel.transpose(3, 2, 0, 1))
    graph.hold(f"{name}.bias", bias[0] if bias else np.zeros(kernel.shape[-1], np.float32))
    inputs = [*given, f"{name}.kernel", f"{name}.bias"]
    return graph.add("Conv", inputs, name, **_windows(layer, kernel.shape[:2]))


def _normalise(graph: _Graph, layer: Any, given: list[str], prefix: str) -> str:
    """Batch normalisation, which at prediction only scales and shifts: let the convolution before it do that."""
    kernel, bias = f"{given[0]}.kernel", f"{given[0]}.bias"
    if graph.nodes[given[0]].op_type != "Conv":
        raise WorkflowError(f"Expected {layer.name} right after a convolution; it is not; move it there.")
    gamma, beta, mean, variance = (array.astype(np.float64) for array in layer.get_weights())
    factor = gamma / np.sqrt(variance + layer.epsilon)
    scaled = graph.weights[kernel] * factor[:, None, None, None]
    shifted = (graph.weights[bias] - mean) * factor + beta
    graph.weights |= {kernel: scaled.astype(np.float32), bias: shifted.astype(np.float32)}
    return given[0]


def _shrink(graph: _Graph, layer: Any, given: list[str], prefix: str) -> str:
    return graph.add("AveragePool", given, prefix + layer.name, **_windows(layer, layer.pool_size))


def _pool(graph: _Graph, layer: Any, given: list[str], prefix: str) -> str:
    name = prefix + layer.name
    return graph.add("Flatten", [graph.add("GlobalAveragePool", given, f"{name}.mean")], name)


def _connect(graph: _Graph, layer: Any, given: list[str], prefix: str) -> str:
    """Connect all to all, and make probabilities of it."""
    name = prefix + layer.name
    for kind, array in zip(("kernel", "bias"), layer.get_weights(), strict=True):
        graph.hold(f"{name}.{kind}", array)
    logits = graph.add("Gemm", [*given, f"{name}.kernel", f"{name}.bias"], f"{name}.logits")
    return graph.add("Softmax", [logits], f"{name}.softmax", axis=1)


def _add(graph: _Graph, layer: Any, given: list[str], prefix: str) -> str:
    return graph.add("Add", given, prefix + layer.name)


def _rectify(graph: _Graph, layer: Any, given: list[str], prefix: str) -> str:
    return graph.add("Relu", given, prefix + layer.name)


def _pass(graph: _Graph, layer: Any, given: list[str], prefix: str) -> str:
    return given[0]


_LAYERS: dict[str, Callable[[_Graph, Any, list[str], str], str]] = {
    "LayerNormalization": _standardise,
    "Conv2D": _convolve,
    "BatchNormalization": _normalise,
    "ReLU": _rectify,
    "AveragePooling2D": _shrink,
    "Add": _add,
    "GlobalAveragePooling2D": _pool,
    "Dropout": _pass,  # at prediction
    "Dense": _connect,
}


def _channel_axis(kernel: np.ndarray) -> int:
    """Return the axis of the outputs: the first of a convolution's kernel (out, in, h, w), the last of (in, out)."""
    return 0 if kernel.ndim == 4 else 1


def _windows(layer: Any, size: tuple[int, ...]) -> dict[str, list[int]]:
    """Return the attributes of windows of this `size` that are padded so that each stride begins one ("same")."""
    begins, ends = [], []
    for length, window, stride in zip(layer.input.shape[1:3], size, layer.strides, strict=True):
        missing = max((-(-length // stride) - 1) * stride + window - length, 0) if layer.padding == "same" else 0
        begins.append(missing // 2)
        ends.append(missing - missing // 2)
    return {"kernel_shape": list(size), "strides": list(layer.strides), "pads": begins + ends}
