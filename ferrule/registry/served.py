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
        """Read the network, the names of its classes in the order of its outputs, and the temperature."""
        os.environ.setdefault("KERAS_BACKEND", context.model_config["backend"])
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's remarks on a missing GPU look like failures
        import keras

        self.network = keras.saving.load_model(context.artifacts["network"], compile=False)
        self.classes = list(context.model_config["classes"])
        self.temperature = float(context.model_config["temperature"])

    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return label, confidence (the probability of the label) and probability_<class>, for uint8 (n, 48, 48).

        Probabilities are calibrated, unless `params` says {"calibrated": False}.
        """
        images = np.asarray(model_input, dtype=np.float32)[..., np.newaxis]
        outputs = self.network.predict(images, batch_size=256, verbose=0) if len(images) else []
        probabilities = np.asarray(outputs, dtype=np.float32).reshape(len(images), len(self.classes))
        if (params or {}).get("calibrated", True):
            probabilities = self._calibrate(probabilities)
        table = {f"probability_{name}": probabilities[:, number] for number, name in enumerate(self.classes)}
        labels = np.array(self.classes, dtype=object)[probabilities.argmax(axis=1)]
        return pd.DataFrame({"label": labels, "confidence": probabilities.max(axis=1, initial=0), **table})

    def _calibrate(self, probabilities: np.ndarray) -> np.ndarray:
        """Divide the logits by the temperature (Guo et al. 2017); the label stays what it was."""
        logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-12)) / self.temperature
        shares = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


set_model(ExpressionClassifier())
