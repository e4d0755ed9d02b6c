"""Layouts: what is recognised and how it is described, what is copied where, and what is read out of each."""

import os
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.emotions import EMOTIONS, FERPLUS_VOTES
from ferrule.errors import DataError
from ferrule.layouts import csvfiles, detect_layout, pixels, place_data, read_samples
from ferrule.layouts.pixels import decode_pixels
from ferrule.samples import Samples

IMAGES = np.random.default_rng(8).integers(0, 256, (40, 48, 48), dtype=np.uint8)
TEXTS = [" ".join(map(str, image.ravel())) for image in IMAGES]
ROWS = [(row % 7, TEXTS[row], ("Training", "Training", "PublicTest", "PrivateTest")[row % 4]) for row in range(40)]


def write_csv(path: Path, header: str, rows: Iterable[Iterable[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")


def write_fer2013(path: Path, rows: int = 40) -> None:
    write_csv(path, "emotion,pixels,Usage", ROWS[:rows])


def write_icml(folder: Path) -> None:
    """Write rows 0-29 as train.csv and the others as test.csv."""
    write_csv(folder / "train.csv", "emotion,pixels", (row[:2] for row in ROWS[:30]))
    write_csv(folder / "test.csv", "pixels", (row[1:2] for row in ROWS[30:]))


def write_images(folder: Path, names: Iterable[str], first: int = 0) -> None:
    for number, name in enumerate(names, first):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), IMAGES[number])


def write_votes(path: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """Write fer2013new.csv of rows (usage, image name, name of the column with all ten votes)."""
    table = [[usage, name, *(10 * (column == winner) for column in FERPLUS_VOTES)] for usage, name, winner in rows]
    write_csv(path, f"Usage,Image name,{','.join(FERPLUS_VOTES)}", table)


WINNERS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
VOTES = [(usage, "", WINNERS[label]) for label, _, usage in ROWS]


def read(path: Path, classes: Iterable[str] = EMOTIONS) -> Samples:
    return read_samples(path, tuple(classes), max_reject_fraction=0.0).samples


# --- what is recognised ----------------------------------------------------------------------------------------------


def fer2013(folder: Path) -> None:
    write_fer2013(folder / "fer2013.csv")


def icml_face_data(folder: Path) -> None:
    write_csv(folder / "icml_face_data.csv", "emotion, Usage, pixels", ((row[0], row[2], row[1]) for row in ROWS))


def other_name_order_and_columns(folder: Path) -> None:
    rows = ((number, row[1], row[2], "x", row[0]) for number, row in enumerate(ROWS))
    write_csv(folder / "My Faces.CSV", "id,PIXELS,usage,emotion_name,Emotion", rows)


def no_usage(folder: Path) -> None:
    write_csv(folder / "faces.csv", "emotion,pixels", (row[:2] for row in ROWS))


def three_csv_files(folder: Path) -> None:
    for name in ("test", "train", "val"):
        write_csv(folder / f"{name}.csv", "emotion,pixels", (row[:2] for row in ROWS[:3]))


def kaggle_competition(folder: Path) -> None:
    icml_face_data(folder)
    write_icml(folder)
    write_csv(folder / "example_submission.csv", "emotion", [[0]])
    (folder / "fer2013.tar.gz").write_bytes(b"")


def both_full_csv_files(folder: Path) -> None:
    icml_face_data(folder)
    fer2013(folder)


def with_votes(folder: Path) -> None:
    fer2013(folder)
    write_votes(folder / "fer2013new.csv", VOTES)


def msambare(folder: Path) -> None:
    write_images(folder, ["train/happy/Training_3.jpg", "train/sad/Training_1.jpg", "test/sad/PublicTest_2.jpg"])


def jonathanoheix(folder: Path) -> None:
    write_images(folder, ["images/train/angry/0.jpg", "images/train/happy/10.jpg", "images/validation/angry/2.jpg"])


def three_folders(folder: Path) -> None:
    write_images(folder, ["train/Happy/1.png", "valid/Happy/2.png", "test/Happy/3.png", "notes/1.png"])


def class_folders(folder: Path) -> None:
    write_images(folder, ["Anger/1.png", "Happiness/2.png"])


def mixed_names(folder: Path) -> None:
    write_images(folder, ["train/sad/1.png", "test/sad/PublicTest_2.jpg"])


def csv_beside_folders(folder: Path) -> None:
    fer2013(folder)
    msambare(folder)


def wrapped_twice(folder: Path) -> None:
    jonathanoheix(folder / "archive")
    write_votes(folder / "archive" / "fer2013new.csv", VOTES)


LAYOUTS = {
    fer2013: ("fer2013.csv: 40 rows, columns emotion, pixels, Usage", (20, 10, 10, 0)),
    icml_face_data: ("icml_face_data.csv: 40 rows, columns emotion, pixels, Usage", (20, 10, 10, 0)),
    other_name_order_and_columns: (
        "My Faces.CSV: 40 rows, columns Emotion, PIXELS, usage (left out: id, emotion_name)",
        (20, 10, 10, 0),
    ),
    no_usage: ("faces.csv: 40 rows, columns emotion, pixels", (0, 0, 0, 0)),
    write_icml: (
        "train.csv: 30 rows, columns emotion, pixels; test.csv: 10 unlabelled rows, columns pixels",
        (30, 0, 0, 10),
    ),
    three_csv_files: (
        "train.csv: 3 rows, columns emotion, pixels; val.csv: 3 rows, columns emotion, pixels; "
        "test.csv: 3 rows, columns emotion, pixels",
        (3, 3, 3, 0),
    ),
    kaggle_competition: (
        "icml_face_data.csv: 40 rows, columns emotion, pixels, Usage; "
        "left out: example_submission.csv, fer2013.tar.gz, test.csv, train.csv",
        (20, 10, 10, 0),
    ),
    both_full_csv_files: (
        "fer2013.csv: 40 rows, columns emotion, pixels, Usage; left out: icml_face_data.csv",
        (20, 10, 10, 0),
    ),
    with_votes: (
        "fer2013.csv: 40 rows, columns emotion, pixels, Usage; FER+ votes in fer2013new.csv",
        (20, 10, 10, 0),
    ),
    msambare: ("test/: 1 images, train/: 2 images, 2 classes, Usage from the file names", (2, 1, 0, 0)),
    jonathanoheix: ("train/: 2 images, validation/: 1 images, 2 classes, Usage from the folders", (2, 0, 1, 0)),
    three_folders: (
        "test/: 1 images, train/: 1 images, valid/: 1 images, 1 classes, Usage from the folders; left out: notes",
        (1, 1, 1, 0),
    ),
    class_folders: ("./: 2 images, 2 classes, no Usage", (0, 0, 0, 0)),
    mixed_names: (
        "test/: 1 images, train/: 1 images, 1 classes, Usage from the folders and 1 file names",
        (1, 1, 0, 0),
    ),
    csv_beside_folders: (
        "fer2013.csv: 40 rows, columns emotion, pixels, Usage; left out: test, train",
        (20, 10, 10, 0),
    ),
    wrapped_twice: (
        "train/: 2 images, validation/: 1 images, 2 classes, Usage from the folders; FER+ votes in fer2013new.csv",
        (2, 0, 1, 0),
    ),
}


@pytest.mark.parametrize("write", LAYOUTS, ids=lambda write: write.__name__)
def test_layout_is_recognised_described_placed_and_read_alike(write, tmp_path):
    description, usages = LAYOUTS[write]
    source, placed = tmp_path / "source", tmp_path / "data"
    write(source)

    assert detect_layout(source).describe() == description
    assert place_data(source, placed) == description
    samples, again = read(source), read(placed)

    counts = samples.table["usage"].value_counts()
    assert tuple(counts.get(name, 0) for name in ("Training", "PublicTest", "PrivateTest", "Unlabelled")) == usages
    np.testing.assert_array_equal(samples.images, again.images)
    columns = ["sample_id", "label", "usage", "source_row"]
    pd.testing.assert_frame_equal(samples.table[columns], again.table[columns])
    assert "left out" not in detect_layout(placed).describe().replace("(left out: id", "")


def test_one_csv_file_is_read_whatever_lies_beside_it(tmp_path):
    kaggle_competition(tmp_path)
    assert read(tmp_path / "train.csv").table["usage"].tolist() == ["Training"] * 30
    with pytest.raises(DataError, match=r"test\.csv has no column emotion"):
        detect_layout(tmp_path / "test.csv")


def test_two_unknown_csv_files_are_not_chosen_between(tmp_path):
    write_fer2013(tmp_path / "a.csv")
    write_fer2013(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"found a\.csv, b\.csv; give one of these files"):
        detect_layout(tmp_path)


# --- what is read ----------------------------------------------------------------------------------------------------


def test_csv_gives_pixels_labels_and_origin(tmp_path):
    icml_face_data(tmp_path)
    samples = read(tmp_path)
    np.testing.assert_array_equal(samples.images, IMAGES)
    assert samples.table["label"].tolist() == [EMOTIONS[row[0]] for row in ROWS]
    assert samples.table["usage"].tolist() == [row[2] for row in ROWS]
    assert samples.table["sample_id"].tolist() == list(range(40))
    assert samples.table["source_row"].tolist() == list(range(1, 41))
    assert set(samples.table["source_file"]) == {"icml_face_data.csv"}
    assert list(map(str, samples.table.dtypes)) == ["int64", "str", "str", "str", "int64"]


def test_unlabelled_rows_have_no_label(tmp_path):
    write_icml(tmp_path)
    samples = read(tmp_path)
    np.testing.assert_array_equal(samples.images, IMAGES)
    assert samples.table["label"].isna().tolist() == [False] * 30 + [True] * 10
    assert samples.table["source_row"].tolist() == [*range(1, 31), *range(1, 11)]


def test_folders_are_labelled_by_name_in_natural_order(tmp_path):
    names = [f"train/{label}/{number}.png" for label in ("angry", "neutral", "sad") for number in (2, 10, 100)]
    write_images(tmp_path, reversed(names))
    samples = read(tmp_path)
    assert samples.table["source_file"].tolist() == names
    assert samples.table["label"].tolist() == ["angry"] * 3 + ["neutral"] * 3 + ["sad"] * 3
    np.testing.assert_array_equal(samples.images, IMAGES[8::-1])
    assert set(samples.table["source_row"]) == {0}


def test_images_are_resized_by_area_or_by_curve(tmp_path):
    write_images(tmp_path, ["happy/1.png", "sad/1.png"])
    large = np.random.default_rng(1).integers(0, 256, (96, 192), dtype=np.uint8)
    small = np.linspace(0, 255, 12, dtype=np.uint8).reshape(1, 12).repeat(12, axis=0)
    cv2.imwrite(str(tmp_path / "happy" / "1.png"), large)
    cv2.imwrite(str(tmp_path / "sad" / "1.png"), small)
    shrunk, grown = read(tmp_path).images
    means = large.reshape(48, 2, 48, 4).mean(axis=(1, 3))
    assert np.abs(shrunk - means).max() <= 0.5
    assert np.diff(grown[24].astype(int))[4:-4].min() > 0  # a slope, where repeated pixels would be stairs


def test_subset_of_classes_is_left_out_and_counted_not_rejected(tmp_path):
    fer2013(tmp_path)
    reading = read_samples(tmp_path, ("happy", "sad", "neutral"), max_reject_fraction=0.0)
    kept = [row for row in range(40) if row % 7 in (3, 4, 6)]
    assert (len(reading.samples), reading.left_out, len(reading.rejects)) == (len(kept), 40 - len(kept), 0)
    np.testing.assert_array_equal(reading.samples.images, IMAGES[kept])
    assert reading.samples.table["sample_id"].tolist() == list(range(len(kept)))
    assert reading.samples.table["source_row"].tolist() == [row + 1 for row in kept]


def test_a_subset_that_the_data_lacks_is_told(tmp_path):
    class_folders(tmp_path)
    with pytest.raises(DataError, match=r"its 2 rows hold none"):
        read(tmp_path, ("sad", "fear"))


@pytest.mark.parametrize("block", [9_000, 30_000, 77_777])
def test_reading_does_not_depend_on_workers_or_blocks(block, tmp_path, monkeypatch):
    fer2013(tmp_path)
    text = (tmp_path / "fer2013.csv").read_text().replace(TEXTS[20], TEXTS[20][:50]).replace("\n", "\r\n")
    (tmp_path / "fer2013.csv").write_text(text, newline="")
    whole = read_samples(tmp_path, EMOTIONS, max_reject_fraction=0.1, workers=1)
    monkeypatch.setattr(csvfiles, "_BLOCK_BYTES", block)
    parts = read_samples(tmp_path, EMOTIONS, max_reject_fraction=0.1, workers=3)
    np.testing.assert_array_equal(whole.samples.images, parts.samples.images)
    pd.testing.assert_frame_equal(whole.samples.table, parts.samples.table)
    assert whole.rejects.to_dict("records") == parts.rejects.to_dict("records")
    assert whole.rejects["row"].tolist() == [21]


# --- pixel strings ---------------------------------------------------------------------------------------------------


def test_pixel_strings_of_all_lengths_are_decoded():
    images = np.concatenate([IMAGES, np.full((1, 48, 48), 255, np.uint8), np.zeros((1, 48, 48), np.uint8)])
    images[3, :, ::2] %= 10
    texts = [" ".join(map(str, image.ravel())).encode() for image in images]
    decoded, damages = decode_pixels(texts)
    np.testing.assert_array_equal(decoded, images)
    assert not damages
    assert pixels._decode_batch(texts) is not None  # on the quick way


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2600), st.sampled_from(list(b'0123456789     -.,\t\0"nA\xff'))), max_size=4),
    st.sampled_from([0, 0, 1, -1, 4, -4]),
)
def test_damaged_strings_are_decoded_exactly_or_refused(changes, cut):
    """Change bytes of one string, lengthen or shorten it, and put it between good ones."""
    text = bytearray(TEXTS[0].encode()[:2600] + b" 7" * 2304)
    for position, byte in changes:
        text[position] = byte
    words = bytes(text).split(b" ")[: 2304 + cut]
    damaged = b" ".join(words)

    images, damages = decode_pixels([TEXTS[1].encode(), damaged, TEXTS[2].encode()])

    np.testing.assert_array_equal(images[[0, 2]], IMAGES[[1, 2]])
    numbers = damaged.split()
    good = len(numbers) == 2304 and all(re.fullmatch(rb"[+-]?[0-9]+(\.0*)?", number) for number in numbers)
    if good and all(0 <= float(number) <= 255 for number in numbers):
        assert not damages
        assert images[1].ravel().tolist() == [int(float(number)) for number in numbers]
    else:
        assert list(damages) == [1]


# --- FER+ votes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [EMOTIONS, ("disgust", "fear")])
def test_votes_follow_their_rows_past_rejects_and_left_out_rows(classes, tmp_path):
    rows = list(ROWS)
    rows[5] = (rows[5][0], "1 2 3", rows[5][2])
    write_csv(tmp_path / "fer2013.csv", "emotion,pixels,Usage", rows)
    write_votes(tmp_path / "fer2013new.csv", VOTES)
    reading = read_samples(tmp_path, classes, max_reject_fraction=0.1)
    table = reading.samples.table
    assert reading.notes == ("FER+ votes in fer2013new.csv used",)
    winners = table[[f"votes_{name}" for name in FERPLUS_VOTES]].to_numpy().argmax(axis=1)
    assert [FERPLUS_VOTES[winner] for winner in winners] == [VOTES[row - 1][2] for row in table["source_row"]]
    assert table["votes_NF"].dtype == np.uint8


def test_votes_go_to_the_icml_pair_and_to_its_training_half_alone(tmp_path):
    write_icml(tmp_path)
    votes = [("Training" if row < 30 else "PublicTest", "", vote[2]) for row, vote in enumerate(VOTES)]
    write_votes(tmp_path / "fer2013new.csv", votes)
    assert read(tmp_path).table["votes_neutral"].tolist() == [10 * (row % 7 == 6) for row in range(40)]
    (tmp_path / "test.csv").unlink()
    assert read(tmp_path).table["votes_neutral"].tolist() == [10 * (row % 7 == 6) for row in range(30)]


@pytest.mark.parametrize("pattern", ["Training_{:08d}.png", "fer{:07d}.png"])
def test_votes_go_to_image_files_whose_names_tell_the_row(pattern, tmp_path):
    order = [12, 3, 39, 0, 1, 30]
    names = [f"train/{EMOTIONS[row % 7]}/{pattern.format(row)}" for row in order]
    write_images(tmp_path, names)
    write_votes(tmp_path / "fer2013new.csv", [("Training", f"fer{row:07d}.png", VOTES[row][2]) for row in range(40)])
    table = read(tmp_path).table
    for name, label in zip(WINNERS, EMOTIONS, strict=True):
        assert (table[f"votes_{name}"] == 10 * (table["label"] == label)).all()


def shift_votes(folder: Path) -> None:
    winners = [vote[2] for vote in VOTES]
    usages = [vote[0] for vote in VOTES]
    write_votes(folder / "fer2013new.csv", [(u, "", w) for u, w in zip(usages, winners[1:] + winners[:1], strict=True)])


def sort_votes(folder: Path) -> None:
    write_votes(folder / "fer2013new.csv", sorted(VOTES))


def shorten_votes(folder: Path) -> None:
    write_votes(folder / "fer2013new.csv", VOTES[:-1])


def break_votes(folder: Path) -> None:
    write_votes(folder / "fer2013new.csv", VOTES)
    text = (folder / "fer2013new.csv").read_text()
    (folder / "fer2013new.csv").write_text(text.replace(",10", ",ten", 1))


def name_twice(folder: Path) -> None:
    (folder / "fer2013.csv").unlink()
    write_images(folder, ["train/happy/Training_17.png", "train/happy/Training_017.png", "train/angry/Training_0.png"])
    write_votes(folder / "fer2013new.csv", VOTES)


def name_otherwise(folder: Path) -> None:
    (folder / "fer2013.csv").unlink()
    write_images(folder, ["train/happy/Training_10118481.png", "train/sad/Training_99.png"])
    write_votes(folder / "fer2013new.csv", VOTES)


UNUSABLE_VOTES = {
    shift_votes: "0% of its votes agree with the labels",
    sort_votes: "its Usage differs in 25 rows",
    shorten_votes: "it has 39 rows where the images have 40",
    break_votes: "row 1 holds something other than ten counts of votes",
    name_twice: "the names of the image files do not tell which row",
    name_otherwise: "the names of the image files do not tell which row",
}


@pytest.mark.parametrize("write", UNUSABLE_VOTES, ids=lambda write: write.__name__)
def test_votes_of_doubtful_order_are_not_used_and_that_is_said(write, tmp_path):
    fer2013(tmp_path)
    write(tmp_path)
    reading = read_samples(tmp_path, EMOTIONS, max_reject_fraction=0.0)
    assert UNUSABLE_VOTES[write] in reading.notes[0]
    assert "not used" in reading.notes[0]
    assert not [name for name in reading.samples.table if name.startswith("votes_")]


# --- where it is put -------------------------------------------------------------------------------------------------


def test_placed_data_is_a_copy_of_the_recognised_files_only(tmp_path):
    kaggle_competition(tmp_path / "source")
    place_data(tmp_path / "source", tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["icml_face_data.csv"]
    before = (tmp_path / "data" / "icml_face_data.csv").read_bytes()
    with (tmp_path / "source" / "icml_face_data.csv").open("r+b") as file:
        file.write(b"changed")
    assert (tmp_path / "data" / "icml_face_data.csv").read_bytes() == before


@pytest.mark.parametrize("kind", ["zip", "gztar", "tar"])
@pytest.mark.parametrize("write", [fer2013, jonathanoheix], ids=lambda write: write.__name__)
def test_archives_of_a_folder_and_of_what_lies_in_it_are_unpacked(kind, write, tmp_path):
    write(tmp_path / "packed" / "faces")
    (tmp_path / "packed" / "faces" / ".DS_Store").write_bytes(b"x")
    for top in (tmp_path / "packed", tmp_path / "packed" / "faces"):
        archive = Path(shutil.make_archive(str(tmp_path / "archive"), kind, top))
        description = place_data(archive, tmp_path / "data")
        assert description == f"{archive.name}, unpacked: {LAYOUTS[write][0]}"
        np.testing.assert_array_equal(read(tmp_path / "data").images, read(tmp_path / "packed").images)
        assert not list((tmp_path / "data").rglob(".*"))


def test_placing_replaces_the_former_data_whole(tmp_path):
    msambare(tmp_path / "first")
    fer2013(tmp_path / "second")
    place_data(tmp_path / "first", tmp_path / "data")
    place_data(tmp_path / "second" / "fer2013.csv", tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["fer2013.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "first", "second"]


def test_data_can_be_placed_from_within_its_destination(tmp_path):
    kaggle_competition(tmp_path / "data")
    place_data(tmp_path / "data" / "train.csv", tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["train.csv"]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "train" / "sad" / os.fsdecode(b"x\xff.jpg")).touch(), r"x\\xff.jpg"),
        (lambda folder: (folder / "train" / "sad" / "x.jpg").symlink_to("nowhere"), "No such file"),
        (lambda folder: shutil.rmtree(folder), "there is none"),
    ],
    ids=["name that is no UTF-8", "broken link", "no source"],
)  # fmt: skip
def test_what_cannot_be_placed_leaves_the_destination_alone(damage, told, tmp_path):
    fer2013(tmp_path / "data")
    msambare(tmp_path / "source")
    damage(tmp_path / "source")
    with pytest.raises(DataError, match=told):
        place_data(tmp_path / "source", tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["fer2013.csv"]
    assert {path.name for path in tmp_path.iterdir()} <= {"data", "source"}


def test_former_data_comes_back_where_the_last_step_fails(tmp_path, monkeypatch):
    msambare(tmp_path / "data")
    fer2013(tmp_path / "source")
    rename = Path.rename

    def fail_once(self: Path, target: Path) -> Path:
        if self.name == "placed":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(DataError, match="No space left"):
        place_data(tmp_path / "source", tmp_path / "data")
    assert len(read(tmp_path / "data")) == 3


# --- the real data ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Real:
    """The first rows of every usage of the real FER-2013, and the module that writes them in each layout."""

    module: object
    table: pd.DataFrame
    images: np.ndarray

    def write(self, layout: str, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        names = {"folders": ("train", "test"), "images": ("images/train", "images/validation")}
        writers = {"csv": "write_csv", "icml": "write_icml", "ferplus": "write_ferplus"}
        if layout in names:
            self.module.write_folders(self.table, folder, names[layout])
        else:
            getattr(self.module, writers[layout])(self.table, folder)
        return folder


@pytest.fixture(scope="session")
def real(fer2013: Path) -> Real:
    sys.path.insert(0, str(fer2013))
    try:
        import materialise
    finally:
        sys.path.remove(str(fer2013))
    table = materialise.load(70).reset_index(drop=True)
    images = np.stack([cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE) for png in table["png"]])
    return Real(materialise, table, images)


def labels(table: pd.DataFrame) -> list[str]:
    return [EMOTIONS[number] for number in table["emotion"]]


@pytest.mark.real_data
@pytest.mark.parametrize("beside", [[], ["ferplus"]], ids=["alone", "with FER+"])
def test_real_csv(beside, real, tmp_path):
    for layout in ["csv", *beside]:
        real.write(layout, tmp_path)
    samples = read(tmp_path)
    np.testing.assert_array_equal(samples.images, real.images)
    assert samples.table["label"].tolist() == labels(real.table)
    assert samples.table["usage"].tolist() == real.table["usage"].tolist()
    for name in FERPLUS_VOTES if beside else ():
        assert samples.table[f"votes_{name}"].tolist() == real.table[f"votes_{name}"].tolist()


@pytest.mark.real_data
def test_real_icml_pair_and_face_data(real, tmp_path):
    real.write("icml", tmp_path)
    pair = read(tmp_path)
    np.testing.assert_array_equal(pair.images, real.images)
    assert pair.table["usage"].tolist() == ["Training"] * 70 + ["Unlabelled"] * 140
    assert pair.table["label"].tolist()[:70] == labels(real.table)[:70]
    real.write("csv", tmp_path)
    frame = pd.read_csv(tmp_path / "fer2013.csv").rename(columns={"Usage": " Usage", "pixels": " pixels"})
    frame[["emotion", " Usage", " pixels"]].to_csv(tmp_path / "icml_face_data.csv", index=False)
    (tmp_path / "fer2013.csv").unlink()
    face_data = read(tmp_path)
    np.testing.assert_array_equal(face_data.images, real.images)
    assert face_data.table["usage"].tolist() == real.table["usage"].tolist()


@pytest.mark.real_data
@pytest.mark.parametrize("layout", ["folders", "images"])
def test_real_folders_in_a_zip_with_votes(layout, real, tmp_path):
    real.write(layout, tmp_path / "packed")
    real.write("ferplus", tmp_path / "packed")
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path / "packed")
    place_data(Path(archive), tmp_path / "data")
    samples = read(tmp_path / "data")
    rows = samples.table["source_file"].str.extract(r"_0*(\d+)\.jpg$")[0].astype(int).to_numpy()
    assert sorted(rows) == list(range(210))
    assert samples.table["label"].tolist() == [labels(real.table)[row] for row in rows]
    assert samples.table["usage"].tolist() == [real.table["usage"][row] for row in rows]
    assert samples.table["votes_sadness"].tolist() == [real.table["votes_sadness"][row] for row in rows]
    assert np.abs(samples.images.astype(int) - real.images[rows]).mean() < 1.5  # JPEG of quality 95


@pytest.mark.real_data
@pytest.mark.parametrize("layout", ["csv", "folders"])
def test_real_three_class_subset(layout, real, tmp_path):
    real.write(layout, tmp_path)
    reading = read_samples(tmp_path, ("happy", "sad", "neutral"), max_reject_fraction=0.0)
    expected = [label for label in labels(real.table) if label in ("happy", "sad", "neutral")]
    assert sorted(reading.samples.table["label"]) == sorted(expected)
    assert reading.left_out == 210 - len(expected)
