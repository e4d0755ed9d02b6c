"""Stage export: the trained network as files that ONNX Runtime runs on a CPU, in float32 and in 8 bits."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from ferrule.emotions import class_ids
from ferrule.portable.bundle import gather_facts, write_bundle
from ferrule.portable.export import Gate, HeldOut, say_parity, write_models
from ferrule.predictions import read_probabilities
from ferrule.samples import Samples, load_samples
from ferrule.tracking import digest_file
from pipelines.folders import fresh_folder, read_json
from pipelines.params import Params
from pipelines.pins import read_data_md5, read_ingested_md5


def run(params: Params, root: Path) -> None:
    """Write model.onnx, model.int8.onnx, what is known of them (bundle.json), and how near they are (parity.json).

    An export that is not near enough is written all the same, and says so: the gate of promotion refuses it.
    """
    # Here, since flows/pretrained.py reads from this module what needs neither Keras nor onnx.
    from ferrule.network import load_network
    from ferrule.portable.translation import translate

    artifacts, network = root / "artifacts", root / "artifacts" / "train" / "model.keras"
    samples = load_samples(artifacts / "augment")
    calibration = draw_originals(params, samples, artifacts) if params.export.int8 else None
    held_out = read_test(params.ingest.classes, samples, artifacts)
    print(f"exporting, and asking both about {len(held_out.images):,} test images", flush=True)
    with fresh_folder(artifacts / "export") as out:
        graph = translate(load_network(network))
        parity = write_models(out, graph, held_out, read_gate(params), calibration=calibration)
        (out / "parity.json").write_text(json.dumps(parity, indent=2) + "\n")
        facts = gather_facts(
            params.register.model_name,
            params.ingest.classes,
            read_json(artifacts / "evaluate" / "metrics.json"),
            read_json(artifacts / "evaluate" / "calibration.json"),
            parity=parity,
            model_md5=digest_file(network),
            data_md5=read_ingested_md5(root) or read_data_md5(root),
        )
        write_bundle(out, facts)
    print(say_parity(parity))


def read_gate(params: Params) -> Gate:
    """Return how far an export may be from its network."""
    settings = params.export
    return Gate(settings.min_agreement, settings.max_difference, settings.max_int8_loss)


def draw_originals(params: Params, samples: Samples, artifacts: Path) -> np.ndarray:
    """Return the images that show the quantiser what to expect: originals that the network was trained on."""
    split = pd.read_parquet(artifacts / "split" / "split.parquet")
    rows = np.flatnonzero((split["split"] == "train") & (split["sample_id"] == split["parent_id"]))
    drawn = np.random.default_rng(params.seed).permutation(rows)[: params.export.calibration_images]
    return samples.images[np.sort(drawn)]


def read_test(classes: tuple[str, ...], samples: Samples, artifacts: Path) -> HeldOut:
    """Return the test images with what the network said of them in evaluate.

    That is no further look at them: nothing is chosen by what comes of it but whether the file is the network.
    """
    predictions = pd.read_parquet(artifacts / "evaluate" / "predictions.parquet")
    test = predictions[predictions["split"] == "test"]
    rows = np.flatnonzero(samples.table["sample_id"].isin(test["sample_id"]))
    return HeldOut(samples.images[rows], np.array(class_ids(test["label"], classes)), read_probabilities(test, classes))
