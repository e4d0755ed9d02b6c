"""The fit: it learns, selects, repeats itself to the bit, and survives kill -9."""

import io
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import REPOSITORY
from tiny_training import SETTINGS, make_data, train_tiny

from ferrule.batches import TrainingData, draw_batches, draw_rows
from ferrule.checkpoint import load_checkpoint
from ferrule.epochs import weigh_classes
from ferrule.errors import DataError, FerruleError, ParameterError
from ferrule.inference import predict_probabilities
from ferrule.progress import Progress
from ferrule.training import HISTORY_COLUMNS, fit
from ferrule.views import Distortion

STILL = Distortion(flip=0, rotation=0, zoom=0, aspect=0, shift=0, erasing=0)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Give the folder and the fit of a training that nobody disturbed."""
    folder = tmp_path_factory.mktemp("unbroken")
    return folder, train_tiny(folder)


def test_learns_and_keeps_the_best_full_size_epoch(unbroken):
    _, result = unbroken
    history, data = result.history, make_data()
    assert tuple(history.columns) == HISTORY_COLUMNS
    assert history["epoch"].tolist() == [1, 2, 3]
    full_size = history["val_accuracy"][1:]
    assert result.best_epoch == full_size[full_size == full_size.max()].index[-1] + 1
    probabilities = predict_probabilities(result.model, data.images[data.val])
    accuracy = (probabilities.argmax(axis=1) == data.labels[data.val]).mean()
    assert accuracy == history["val_accuracy"][result.best_epoch - 1] > 0.6


def test_killed_and_run_again_ends_in_the_same_bytes(unbroken, tmp_path):
    command = [sys.executable, REPOSITORY / "tests" / "tiny_training.py", tmp_path]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            if line.startswith("epoch 2/3"):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "model.keras").exists()
    done = len(np.load(tmp_path / "state.npz")["history"])
    seen = []
    resumed = fit(
        make_data(), SETTINGS, checkpoint=tmp_path / "state.npz", on_epoch=lambda *event: seen.append(event[0])
    )
    assert done in (1, 2)
    assert seen == [1, 2, 3]  # those of before the kill are told again
    assert resumed.history.equals(unbroken[1].history)
    train_tiny(tmp_path)
    assert (tmp_path / "model.keras").read_bytes() == (unbroken[0] / "model.keras").read_bytes()


def test_a_checkpoint_of_other_settings_or_data_is_not_gone_on_from(unbroken):
    folder, _ = unbroken
    assert load_checkpoint("something else", folder / "state.npz") is None
    assert load_checkpoint("something else", folder / "no such file") is None


def without(data: TrainingData, name: str) -> TrainingData:
    return replace(data, **{name: np.empty(0, int)})


@pytest.mark.parametrize(
    ("data", "changes", "error", "words"),
    [
        (without(make_data(), "val"), {}, DataError, "validation images"),
        (make_data(train=9), {}, DataError, "batch of 16"),
        (replace(make_data(), n_classes=4), {}, DataError, "none of class 3"),
        (make_data(), {"sizes": (48, 40)}, ParameterError, "end them with 48"),
        (make_data(), {"sizes": (24, 32, 48), "epochs": 2}, ParameterError, "list fewer"),
        (make_data(), {"backend": "another"}, ParameterError, "unset KERAS_BACKEND"),
        (make_data(), {"network": "huge"}, ParameterError, "small, medium; got 'huge'"),
        (make_data(), {"precision": "half"}, ParameterError, "got 'half'"),
        (make_data(), {"rest_rate": 1e30, "sizes": (48,)}, ParameterError, "lower train.peak_rate"),
    ],
)
def test_what_cannot_be_trained_is_one_clear_sentence(tmp_path, data, changes, error, words):
    with pytest.raises(error, match=words) as caught:
        fit(data, replace(SETTINGS, **changes), checkpoint=tmp_path / "state.npz")
    assert isinstance(caught.value, FerruleError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("limit", "originals", "generated"), [(50, 50, 0), (84, 84, 0), (90, 84, 6), (999, 84, 28)])
def test_an_epoch_takes_originals_first_and_then_generated_images(limit, originals, generated):
    data = make_data()
    first, other = (draw_rows(data, limit, np.random.default_rng(seed)) for seed in (0, 1))
    assert len(set(first)) == len(first) == data.epoch_size(limit)
    assert np.isin(first, data.originals).sum() == originals
    assert np.isin(first, data.generated).sum() == generated
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("sampling", [1.0, 0.5])
def test_sampling_draws_originals_by_the_size_of_their_class(sampling):
    data = make_data()
    rare = (data.labels[data.originals] == 1) & (data.originals % 7 > 0)
    data = replace(data, originals=data.originals[~rare])
    counts = data.class_counts()
    assert counts.min() * 5 < counts.max()
    expected = counts ** (1 - sampling) / (counts ** (1 - sampling)).sum()
    rows = np.concatenate([draw_rows(data, 50, np.random.default_rng(seed), sampling) for seed in range(200)])
    assert len(rows) == 200 * 50
    assert np.isin(rows, data.originals).all()
    assert np.bincount(data.labels[rows]) / len(rows) == pytest.approx(expected, abs=0.02)


def test_class_weights_leave_the_mean_weight_of_an_image_at_one():
    counts = np.array([400, 7200, 100])
    weights = weigh_classes(counts, 1.0)
    assert weights * counts == pytest.approx([7700 / 3] * 3)  # every class counts the same
    assert np.isfinite(weigh_classes(np.array([0, 10]), 1.0)).all()
    assert (weigh_classes(counts, 0.5) * counts).sum() == pytest.approx(counts.sum())
    assert weigh_classes(counts, 0.0) is None


@pytest.mark.slow
def test_class_weights_move_predictions_towards_rare_classes(tmp_path):
    """All images are the same, so the network can only learn how much each class counts."""
    data = make_data()
    labels = (np.arange(len(data.labels)) % 8 == 0).astype(int)
    data = replace(data, images=np.zeros_like(data.images), labels=labels, n_classes=2)
    rare = {}
    for power in (0.0, 1.0):
        settings = replace(SETTINGS, class_weights=power, mixup=0.0, epochs=6, sizes=(48,))
        model = fit(data, settings, checkpoint=tmp_path / f"{power}.npz").model
        rare[power] = predict_probabilities(model, data.images[:1])[0, 1]
    assert rare[0.0] < 0.3 < rare[1.0]


def batches_of(data: TrainingData, *, seed: int = 0, mixup: float = 0.0, distortion: Distortion = STILL) -> list:
    rng = np.random.default_rng(seed)
    return list(draw_batches(data, np.arange(50), 48, batch_size=20, distortion=distortion, mixup=mixup, rng=rng))


def test_batches_leave_out_what_fills_none_and_keep_the_order():
    data = make_data()
    batches = batches_of(data)
    assert [images.shape for images, _ in batches] == [(20, 48, 48, 1)] * 2
    assert (np.concatenate([images for images, _ in batches])[..., 0] == data.images[:40]).all()
    assert (np.concatenate([targets for _, targets in batches]).argmax(axis=1) == data.labels[:40]).all()


def test_batches_read_only_their_rows_of_a_file(tmp_path):
    data = make_data()
    np.save(tmp_path / "images.npy", data.images)
    on_disk = replace(data, images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    for (left, _), (right, _) in zip(batches_of(data), batches_of(on_disk), strict=True):
        assert (left == right).all()


def test_mixed_batches_stay_distributions_and_repeat_with_the_seed():
    first, again, other = (batches_of(make_data(), seed=seed, mixup=1.0) for seed in (1, 1, 2))
    assert np.allclose([targets.sum(axis=1) for _, targets in first], 1)
    assert any((targets.max(axis=1) < 0.95).any() for _, targets in first)
    assert all((left[0] == right[0]).all() for left, right in zip(first, again, strict=True))
    assert not all((left[0] == right[0]).all() for left, right in zip(first, other, strict=True))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["lines", "bar"])
def test_progress_tells_the_time_left(stream):
    metrics = {"loss": 1.25, "accuracy": 0.5, "val_accuracy": 0.625, "images_per_second": 800.0}
    with Progress(epochs=2, total=10.0, stream=stream) as progress:
        progress.advance(5.0)
        progress.tell(1, metrics)
    shown = stream.getvalue()
    assert "epoch 1/2: loss 1.250, accuracy 50.0%, val accuracy 62.5%, 800 images/s" in shown
    assert "left" in shown
    assert ("\r" in shown) == stream.isatty()
