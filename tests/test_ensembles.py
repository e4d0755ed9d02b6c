"""Several networks: the mean of an ensemble, what a student is taught, and what is not trained twice."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_training import SETTINGS, make_data

from ferrule.embeddings import embed
from ferrule.ensembles import fit_networks, mix_targets
from ferrule.inference import predict_probabilities
from ferrule.network import build_network, load_network, save_network

TWO = replace(SETTINGS, epochs=2, sizes=(48,), members=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Give the folder of the checkpoints and the fit of an ensemble of two."""
    folder = tmp_path_factory.mktemp("ensemble")
    return folder, fit_networks(make_data(), TWO, folder)


def test_an_ensemble_says_the_mean_of_its_members(trained, tmp_path):
    _, result = trained
    data = make_data()
    alone = [
        fit_networks(data, replace(TWO, members=1, seed=TWO.seed + number), tmp_path / str(number)).model
        for number in range(2)
    ]
    said = [predict_probabilities(model, data.images) for model in alone]
    assert np.abs(said[0] - said[1]).max() > 0.01  # other seeds, other networks
    assert predict_probabilities(result.model, data.images) == pytest.approx(np.mean(said, axis=0), abs=1e-5)
    right = predict_probabilities(result.model, data.images[data.val]).argmax(axis=1) == data.labels[data.val]
    assert result.val_accuracy == right.mean()
    assert result.history["network"].tolist() == ["member_1", "member_1", "member_2", "member_2"]


def test_an_ensemble_is_saved_as_plain_keras_and_embeds_as_its_members_do(trained, tmp_path):
    model = trained[1].model
    images = make_data().images[:5]
    for name in ("a.keras", "b.keras"):
        save_network(model, tmp_path / name)
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()
    loaded = load_network(tmp_path / "a.keras")
    assert (predict_probabilities(loaded, images) == predict_probabilities(model, images)).all()
    assert embed(loaded, images).shape == (5, 2 * 256)


def test_a_student_is_taught_labels_and_what_its_teachers_say():
    data = make_data()
    teachers = [build_network("small", 3, dropout=0.0, seed=seed) for seed in (1, 2)]
    settings = replace(SETTINGS, distil=0.75, precision="float32")
    targets = mix_targets(data, teachers, settings)
    rows = np.concatenate([data.originals, data.generated])
    views = [data.images[rows], data.images[rows][:, :, ::-1]]
    said = np.mean([predict_probabilities(teacher, view) for teacher in teachers for view in views], axis=0)
    labels = 0.1 / 3 + 0.9 * np.eye(3)[data.labels[rows]]  # smoothed by 0.1
    expected = 0.25 * labels + 0.75 * said
    assert targets[rows] == pytest.approx(expected, abs=0.01)  # a mirror image by OpenCV's warp, not by slicing
    assert not targets[data.val].any()


def test_members_are_taken_up_by_their_student_and_other_networks_are_forgotten(trained, capsys):
    folder, ensemble = trained
    seen = []
    result = fit_networks(
        make_data(), replace(TWO, distil=0.5), folder, on_epoch=lambda epoch, metrics: seen.append(epoch)
    )
    assert capsys.readouterr().out.count("going on after epoch 2") == 2
    assert seen == [1, 2, 3, 4, 5, 6]
    assert result.history[:4].equals(ensemble.history)
    assert result.history["epoch"].tolist() == seen
    assert result.history["network"].tolist()[4:] == ["student"] * 2
    assert result.model.count_params() * 2 == ensemble.model.count_params()
    assert len(list(folder.glob("*.npz"))) == 3
    fit_networks(make_data(), replace(TWO, members=1, epochs=1), folder)
    assert len(list(folder.glob("*.npz"))) == 1


@pytest.mark.slow
def test_killed_in_the_second_member_and_run_again_it_ends_the_same(trained, tmp_path):
    class KilledError(Exception):
        pass

    def kill(epoch, metrics):
        if epoch == 3:
            raise KilledError

    (tmp_path / ".other.npz.draft").touch()
    with pytest.raises(KilledError):
        fit_networks(make_data(), TWO, tmp_path, on_epoch=kill)
    seen = []
    result = fit_networks(make_data(), TWO, tmp_path, on_epoch=lambda epoch, metrics: seen.append(epoch))
    assert seen == [1, 2, 3, 4]
    assert result.history.equals(trained[1].history)
    images = make_data().images
    assert (predict_probabilities(result.model, images) == predict_probabilities(trained[1].model, images)).all()
    assert len(list(tmp_path.iterdir())) == 2
