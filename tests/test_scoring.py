"""Scoring an input into the store: what each row says, what is kept of a run that was killed, what marks it as done."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from trained_project import CLASSES, write_network

from ferrule.calibration import apply_temperature
from ferrule.embeddings import attach_embeddings
from ferrule.errors import DataError, RegistryError
from ferrule.layouts.streaming import digest_input
from ferrule.quality import hash_pixels, measure_quality
from ferrule.scoring.abstention import Abstention
from ferrule.scoring.score import WORK, Scorer, score_images, score_input
from ferrule.scoring.scored import FOLDER, find_scored, list_scored, read_scored

RNG = np.random.default_rng(5)
IMAGES = (
    (RNG.choice([60, 120, 180], 600)[:, None, None] + RNG.normal(0, 40, (600, 48, 48))).clip(0, 255).astype(np.uint8)
)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    from ferrule.network import load_network

    write_network(tmp_path_factory.mktemp("network") / "model.keras")
    return load_network(tmp_path_factory.getbasetemp() / "network0" / "model.keras")


@pytest.fixture(scope="module")
def scorer(network):
    rule = Abstention(0.8, float(np.median(apply_temperature(network.predict(IMAGES, verbose=0), 1.7).max(axis=1))))
    return Scorer("ferrule", "3", "0123456789abcdef" * 2, CLASSES, attach_embeddings(network), 1.7, rule)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "new.csv"
    rows = [" ".join(map(str, image.ravel())) for image in IMAGES]
    path.write_text("\n".join(["pixels", *rows[:300], "1 2 3", *rows[300:]]) + "\n")
    return path


class Watched:
    """A network that counts its batches and, at the one named, stops as Ctrl-C would."""

    def __init__(self, network, stop_at=None):
        self.network, self.stop_at, self.batches = network, stop_at, 0

    def predict_on_batch(self, batch):
        self.batches += 1
        if self.batches == self.stop_at:
            raise KeyboardInterrupt
        return self.network.predict_on_batch(batch)


def score(root, source, scorer, chunk_images=100):
    return score_input(root, source, digest_input(source), scorer, chunk_images=chunk_images)


def test_a_row_says_what_the_network_the_temperature_and_the_rule_say(scorer, network):
    from ferrule.inference import predict_probabilities

    table = score_images(scorer, IMAGES).to_pandas()
    probabilities = apply_temperature(predict_probabilities(network, IMAGES), 1.7)
    quality = measure_quality(IMAGES)
    assert table["pixel_hash"].tolist() == hash_pixels(IMAGES)
    np.testing.assert_allclose(table[[f"probability_{name}" for name in CLASSES]], probabilities, atol=1e-6)
    assert (table["predicted"] == np.array(CLASSES)[probabilities.argmax(axis=1)]).all()
    np.testing.assert_allclose(table["confidence"], probabilities.max(axis=1), atol=1e-6)
    assert (table["abstained"] == (table["confidence"] < scorer.abstention.threshold)).all()
    assert 0.1 < table["abstained"].mean() < 0.9
    for column, measure in (("brightness", "mean"), ("contrast", "std"), ("sharpness", "sharpness")):
        np.testing.assert_allclose(table[column], quality[measure])
    np.testing.assert_allclose(np.stack(table["embedding"]), last_features(network, IMAGES), atol=1e-4)


def last_features(network, images):
    """Return what the last layer of a single network sees."""
    import keras

    return keras.Model(network.inputs, network.layers[-1].input).predict(images[..., None].astype("float32"), verbose=0)


def test_an_ensemble_has_the_embeddings_of_its_members(network, tmp_path):
    from ferrule.embeddings import embed
    from ferrule.network import average_networks, load_network

    write_network(tmp_path / "other.keras", skill=0.5)
    other = load_network(tmp_path / "other.keras")
    expected = np.concatenate([last_features(member, IMAGES[:8]) for member in (network, other)], axis=1)
    np.testing.assert_allclose(embed(average_networks([network, other]), IMAGES[:8]), expected, atol=1e-4)


def test_an_input_becomes_one_file_by_date_and_its_rejects_another(scorer, source, tmp_path):
    told = score(tmp_path, source, scorer)
    assert (told.images, told.rejects, told.source, told.model_version) == (600, 1, "new.csv", "3")
    ((path, found),) = list_scored(tmp_path)
    assert found == told
    day = f"date={datetime.now(UTC):%Y-%m-%d}"
    assert path == tmp_path / FOLDER / "predictions" / day / f"{digest_input(source)[:16]}.parquet"
    rejects = pd.read_parquet(tmp_path / FOLDER / "rejects" / day / path.name)
    assert rejects[["file", "row", "reason"]].to_numpy().tolist() == [["new.csv", 301, "wrong pixel count"]]
    table = read_scored(tmp_path)
    assert table["pixel_hash"].tolist() == hash_pixels(IMAGES)
    assert table["source_row"].tolist() == [*range(1, 301), *range(302, 602)]
    assert table["scored_at"].dt.tz is not None
    assert told.answered == (~table["abstained"]).sum()
    for column, value in (
        ("input_sha256", digest_input(source)),
        ("model_md5", scorer.model_md5),
        ("model_version", "3"),
    ):
        assert (table[column] == value).all()
    assert not list((tmp_path / FOLDER / WORK).iterdir())


def test_what_is_killed_goes_on_where_it_was_and_ends_the_same(scorer, source, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path, source, replace(scorer, network=Watched(scorer.network, stop_at=3)))
    assert not list_scored(tmp_path)
    rest = Watched(scorer.network)
    score(tmp_path, source, replace(scorer, network=rest))
    whole = Watched(scorer.network)
    score(tmp_path / "other", source, replace(scorer, network=whole))
    assert rest.batches == whole.batches - 2 > 0
    same = [name for name in pq.read_schema(list_scored(tmp_path)[0][0]).names if name != "scored_at"]
    pd.testing.assert_frame_equal(read_scored(tmp_path)[same], read_scored(tmp_path / "other")[same])


def test_chunks_of_another_model_or_rule_are_not_taken_up(scorer, source, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path, source, replace(scorer, network=Watched(scorer.network, stop_at=3)))
    score(tmp_path, source, replace(scorer, abstention=Abstention(0.9, None)))
    table = read_scored(tmp_path)
    assert table["abstained"].all()
    assert len(table) == 600
    assert not list((tmp_path / FOLDER / WORK).iterdir())


def test_an_input_that_grew_meanwhile_is_not_scored(scorer, source, tmp_path):
    before = digest_input(source)
    with source.open("a") as stream:
        stream.write(" ".join(["7"] * 2304) + "\n")
    with pytest.raises(DataError, match="it changed while it was read"):
        score_input(tmp_path, source, before, scorer, chunk_images=100)
    assert not list_scored(tmp_path)
    assert not (tmp_path / FOLDER / "rejects").exists()  # they are of other bytes than those that would name them


@pytest.mark.parametrize("killed", [False, True])
def test_chunks_of_an_input_that_was_another_meanwhile_are_not_taken_up(killed, scorer, source, tmp_path):
    bytes_, digest = source.read_bytes(), digest_input(source)
    lines = source.read_text().splitlines(keepends=True)
    source.write_text("".join([lines[0], *lines[:0:-1]]))
    network = Watched(scorer.network, stop_at=3) if killed else scorer.network
    with pytest.raises(KeyboardInterrupt if killed else DataError):
        score_input(tmp_path, source, digest, replace(scorer, network=network), chunk_images=100)
    source.write_bytes(bytes_)
    score(tmp_path, source, scorer)
    assert read_scored(tmp_path)["pixel_hash"].tolist() == hash_pixels(IMAGES)


@pytest.mark.parametrize("broken", ["nan", "classes"])
def test_a_network_that_gives_no_probabilities_scores_nothing(broken, scorer, source, tmp_path):
    class Broken:
        def predict_on_batch(self, batch):
            said, embeddings = scorer.network.predict_on_batch(batch)
            return (said * np.nan if broken == "nan" else said[:, :2]), embeddings

    with pytest.raises(RegistryError, match="nothing was scored"):
        score(tmp_path, source, replace(scorer, network=Broken()))
    assert not list_scored(tmp_path)


def test_an_input_without_one_readable_image_keeps_its_rejects_and_is_not_scored(scorer, tmp_path):
    (tmp_path / "bad.csv").write_text("pixels\n1 2 3\nx\n")
    with pytest.raises(DataError, match=r"2 rows or files of it cannot be read \(the first: wrong pixel count"):
        score(tmp_path, tmp_path / "bad.csv", scorer)
    assert not list_scored(tmp_path)
    (kept,) = (tmp_path / FOLDER / "rejects").rglob("*.parquet")
    earlier = kept.parent.rename(kept.parent.with_name("date=2026-01-02"))
    with pytest.raises(DataError):
        score(tmp_path, tmp_path / "bad.csv", scorer)
    (kept,) = (tmp_path / FOLDER / "rejects").rglob("*.parquet")  # not once a day
    assert kept.parent == earlier
    assert len(pd.read_parquet(kept)) == 2
    (tmp_path / "header.csv").write_text("pixels\n")
    with pytest.raises(DataError, match="it has none"):
        score(tmp_path, tmp_path / "header.csv", scorer)


def test_two_models_stand_side_by_side_and_the_first_file_stays(scorer, source, tmp_path):
    score(tmp_path, source, scorer)
    first = list_scored(tmp_path)[0][0].read_bytes()
    score(tmp_path, source, replace(scorer, model_md5="f" * 32, version="4"))
    assert [told.model_version for _, told in list_scored(tmp_path)] == ["3", "4"]
    assert list_scored(tmp_path)[0][0].read_bytes() == first
    assert len(find_scored(tmp_path, digest_input(source))) == 2
    assert find_scored(tmp_path, "0" * 64) == []
    assert read_scored(tmp_path)["model_version"].value_counts().to_dict() == {"3": 600, "4": 600}
    assert read_scored(tmp_path, model_md5="f" * 32)["model_version"].tolist() == ["4"] * 600


def test_the_reader_bounds_time_and_columns(scorer, source, tmp_path):
    moment = score(tmp_path, source, scorer).moment
    second = timedelta(seconds=1)
    assert len(read_scored(tmp_path, moment, moment + second)) == 600
    assert len(read_scored(tmp_path, moment + second)) == 0
    assert len(read_scored(tmp_path, until=moment)) == 0  # until is left out, since is not
    assert len(read_scored(tmp_path, (moment - second).replace(tzinfo=None))) == 600  # without a zone it is UTC
    columns = ["pixel_hash", "probability_happy", "probability_disgust"]
    table = read_scored(tmp_path, columns=columns)
    assert table.columns.tolist() == ["pixel_hash", "probability_happy"]
    assert read_scored(tmp_path / "nothing", columns=columns).columns.tolist() == columns
