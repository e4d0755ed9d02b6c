"""Samples, classes, folders and the engine: the small parts that everything stands on."""

import numpy as np
import pytest

from ferrule.emotions import EMOTIONS, class_ids, order_classes, parse_emotion
from ferrule.engine import map_chunks, open_executor, worker_count
from ferrule.errors import DataError, ParameterError
from ferrule.samples import Samples, load_samples, save_samples
from pipelines.folders import fresh_folder


@pytest.mark.parametrize(
    ("text", "emotion"),
    [("0", "angry"), (" 6 ", "neutral"), ("Happy", "happy"), ("HAPPINESS", "happy"), ("scared", "fear")]
    + [(text, None) for text in ("7", "-1", "3.0", "", "contempt", "٣", "nan")],
)
def test_parse_emotion(text, emotion):
    assert parse_emotion(text) == emotion


def test_ids_do_not_depend_on_the_order_of_the_list():
    assert order_classes(["surprise", "sad", "angry"]) == order_classes(["angry", "surprise", "sad"])
    assert class_ids(["sad", "happy"], ("happy", "sad", "neutral")) == [1, 0]
    assert order_classes(reversed(EMOTIONS)) == EMOTIONS


@pytest.mark.parametrize("names", [[], ["happy"], ["happy", "joy"], ["sad", "sadness"]])
def test_impossible_classes_are_refused(names):
    with pytest.raises(ParameterError):
        order_classes(names)


def test_samples_come_back_as_they_were_saved(make_samples, tmp_path):
    samples = make_samples(30)
    save_samples(samples, tmp_path / "new" / "folder")
    again = load_samples(tmp_path / "new" / "folder")
    assert np.array_equal(again.images, samples.images)
    assert again.table.equals(samples.table)


def test_select_by_mask_and_by_position_agree(make_samples):
    samples = make_samples(20)
    mask = samples.table.label == "happy"
    by_mask, by_position = samples.select(mask.to_numpy()), samples.select(np.flatnonzero(mask))
    assert by_mask.table.equals(by_position.table)
    assert np.array_equal(by_mask.images, by_position.images)


def test_chunks_cover_all_images_once(make_samples):
    samples = make_samples(25)
    assert np.array_equal(np.concatenate(list(samples.chunks(10))), samples.images)


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 48, 47), np.uint8), np.zeros((2, 48, 48), np.float32), np.zeros((3, 48, 48), np.uint8)],
)
def test_images_that_are_no_samples_are_refused(images, make_samples):
    with pytest.raises(DataError):
        Samples(images, make_samples(2).table)


def test_missing_files_name_the_remedy(tmp_path):
    with pytest.raises(DataError, match="dvc repro"):
        load_samples(tmp_path)


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "stage"
    with fresh_folder(target) as out:
        (out / "a").write_text("first")
    with pytest.raises(FileNotFoundError), fresh_folder(target) as out:
        (out / "a").rename(out / "missing" / "b")
    assert (target / "a").read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_whole(tmp_path):
    for name in ("old", "new"):
        with fresh_folder(tmp_path / "stage") as out:
            (out / name).write_text("")
    assert [path.name for path in (tmp_path / "stage").iterdir()] == ["new"]


def double(chunk):
    return chunk * 2


@pytest.mark.parametrize(("kind", "workers"), [("thread", 1), ("thread", 3), ("process", 2)])
def test_results_come_in_order_whatever_the_workers(kind, workers):
    chunks = [np.arange(i, i + 3) for i in range(9)]
    with open_executor(kind, workers) as executor:
        results = list(map_chunks(double, iter(chunks), executor, ahead=2))
    assert np.array_equal(results, [chunk * 2 for chunk in chunks])


def test_no_more_chunks_are_read_than_are_under_way():
    read = []

    def chunks():
        for i in range(20):
            read.append(i)
            yield np.array([i])

    with open_executor("thread", 2) as executor:
        next(map_chunks(double, chunks(), executor, ahead=3))
    assert len(read) == 3


def test_chunks_can_be_mapped_on_a_dask_cluster(monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs the dask extra")
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        monkeypatch.setenv("FERRULE_DASK", cluster.scheduler_address)
        with open_executor() as executor:
            results = list(map_chunks(double, [np.array([1]), np.array([2])], executor))
    assert np.array_equal(results, [[2], [4]])


def test_a_number_of_workers_that_is_none_is_one_sentence(monkeypatch):
    monkeypatch.setenv("FERRULE_WORKERS", "abc")
    with pytest.raises(ParameterError, match="FERRULE_WORKERS"):
        worker_count()
