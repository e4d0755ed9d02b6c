"""The classifier as MLflow serves it: this file is copied into the logged model and runs there without Ferrule.

It needs numpy, pandas, mlflow, and keras with the backend it was trained on: the requirements that are logged with it.
"""

import os
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class ExpressionClassifier(PythonModel):
    """Images of faces in, a table with a row a face out."""

    def load_context(self, context: Any) -> None:
        """Read the network and the names of its classes, in the order of its outputs."""
        os.environ.setdefault("KERAS_BACKEND", context.model_config["backend"])
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's remarks on a missing GPU look like failures
        import keras

        self.network = keras.saving.load_model(context.artifacts["network"], compile=False)
        self.classes = list(context.model_config["classes"])

    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return label, confidence (the probability of the label) and probability_<class>, for uint8 (n, 48, 48)."""
        images = np.asarray(model_input, dtype=np.float32)[..., np.newaxis]
        outputs = self.network.predict(images, batch_size=256, verbose=0) if len(images) else []
        probabilities = np.asarray(outputs, dtype=np.float32).reshape(len(images), len(self.classes))
        table = {f"probability_{name}": probabilities[:, number] for number, name in enumerate(self.classes)}
        labels = np.array(self.classes, dtype=object)[probabilities.argmax(axis=1)]
        return pd.DataFrame({"label": labels, "confidence": probabilities.max(axis=1, initial=0), **table})


set_model(ExpressionClassifier())
