"""A model as a folder that ONNX Runtime runs: no Keras, no TensorFlow, and most of its speed on a CPU."""
