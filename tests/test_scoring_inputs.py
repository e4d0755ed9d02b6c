"""New images of every layout, read in chunks: what comes out, what is a reject, and what names the input."""

import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY

from ferrule.errors import DataError
from ferrule.layouts.streaming import digest_input, list_files, stream_images

IMAGES = np.random.default_rng(3).integers(0, 256, (12, 48, 48), dtype=np.uint8)
TEXTS = [" ".join(map(str, image.ravel())) for image in IMAGES]
PNGS = [cv2.imencode(".png", image)[1].tobytes() for image in IMAGES]


def read(path, size=5):
    """Return all images, their places, and the rejects as (file, row, reason)."""
    chunks = list(stream_images(path, size))
    places = [place for chunk in chunks for place in zip(chunk.files, chunk.rows, strict=True)]
    rejects = [reject[:3] for chunk in chunks for reject in chunk.rejects]
    return np.concatenate([chunk.images for chunk in chunks]), places, rejects


def write_csv(path, header, rows):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def write_pictures(folder, names):
    for name, png in zip(names, PNGS, strict=False):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png)
    return folder


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("pixels", '"{text}"'),  # ICML's test.csv
        ("emotion,pixels,Usage", "3,{text},PublicTest"),
        ("emotion, Usage, pixels", "none of them,who knows,{text}"),  # labels do not matter
        ("id,pixels", "7,{text}"),
    ],
)
def test_every_csv_with_pixels_is_read_without_its_labels(header, row, tmp_path):
    path = write_csv(tmp_path / "new.csv", header, [row.format(text=text) for text in TEXTS])
    images, places, rejects = read(path)
    assert (images == IMAGES).all()
    assert places == [("new.csv", row) for row in range(1, 13)]
    assert not rejects


def test_bad_rows_are_rejects_with_their_row_and_reason(tmp_path):
    rows = [TEXTS[0], "1 2 3", "", TEXTS[1], TEXTS[2].replace(" ", " 256 ", 1), "a b", TEXTS[3] + ",7"]
    images, places, rejects = read(write_csv(tmp_path / "new.csv", "pixels", rows))
    assert (images == IMAGES[[0, 1]]).all()
    assert places == [("new.csv", 1), ("new.csv", 3)]  # a blank line is no row
    assert rejects == [
        ("new.csv", 2, "wrong pixel count"),
        ("new.csv", 4, "wrong pixel count"),
        ("new.csv", 5, "not a number"),
        ("new.csv", 6, "wrong number of columns"),
    ]


@pytest.mark.parametrize(
    "columns",
    [
        {"pixels": TEXTS},
        {"Pixels": TEXTS, "emotion": [9] * 12},
        {"pixels": pa.array([image.ravel().tolist() for image in IMAGES])},
        {"pixels": pa.FixedSizeListArray.from_arrays(pa.array(IMAGES.ravel()), 2304)},
        {"pixels": pa.array(TEXTS).dictionary_encode()},
        {"png": PNGS},
        {"image": pa.array([{"bytes": png, "path": "x.png"} for png in PNGS])},  # Hugging Face
        {"image": ["a.png"] * 12, "bytes": PNGS},
    ],
    ids=lambda columns: "+".join(columns),
)
def test_every_parquet_with_pixels_or_pictures_is_read(columns, tmp_path):
    pq.write_table(pa.table(columns), tmp_path / "new.parquet", row_group_size=5)
    images, places, rejects = read(tmp_path / "new.parquet")
    assert (images == IMAGES).all()
    assert places == [("new.parquet", row) for row in range(1, 13)]
    assert not rejects


def test_without_pyarrow_all_but_parquet_is_read(tmp_path):
    write_csv(tmp_path / "new.csv", "pixels", TEXTS)
    pq.write_table(pa.table({"png": PNGS}), tmp_path / "new.parquet")
    code = f"""if True:
        import sys
        sys.modules["pyarrow"] = None
        from pathlib import Path
        from ferrule.errors import DataError
        from ferrule.layouts.streaming import stream_images
        print(sum(len(chunk.images) for chunk in stream_images(Path({str(tmp_path / "new.csv")!r}), 5)))
        try:
            list(stream_images(Path({str(tmp_path / "new.parquet")!r}), 5))
        except DataError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    images, told = done.stdout.splitlines()
    assert images == "12"
    assert told.startswith(
        "Expected pyarrow, to read new.parquet; it is not installed; install pyarrow (`pip install pyarrow`)."
    )


def test_bad_values_of_a_parquet_are_rejects(tmp_path):
    pq.write_table(pa.table({"png": [PNGS[0], None, b"", b"text", PNGS[1][:-40], PNGS[2]]}), tmp_path / "a.parquet")
    pq.write_table(
        pa.table({"pixels": [[1.0] * 2304, [float("nan")] * 2304, [300] * 2304, [1]]}), tmp_path / "b.parquet"
    )
    images, places, rejects = read(tmp_path / "a.parquet")
    assert (images == IMAGES[[0, 2]]).all()
    assert [reason for _, _, reason in rejects] == ["null pixels", "not an image", "not an image", "truncated image"]
    assert [row for _, row, _ in rejects] == [2, 3, 4, 5]
    images, places, rejects = read(tmp_path / "b.parquet")
    assert places == [("b.parquet", 1)]
    assert [reason for _, _, reason in rejects] == ["not a number", "out of range", "wrong pixel count"]


@pytest.mark.parametrize(
    "names",
    [
        ["2.png", "10.png", "11.png"],  # pictures alone
        ["train/angry/1.png", "train/happy/2.png", "test/sad/3.png"],
        ["a/b/c/1.png", "a/b/2.png", "z.png"],
    ],
)
def test_pictures_at_any_depth_are_read(names, tmp_path):
    folder = write_pictures(tmp_path / "faces", names)
    images, places, rejects = read(folder)
    assert sorted(places) == sorted((f"faces/{name}", 0) for name in names)
    assert len(images) == 3
    assert not rejects


def test_a_folder_may_mix_everything_and_what_is_no_image_is_a_reject(tmp_path):
    folder = write_pictures(tmp_path / "mixed", ["b/1.png", "a/1.png"])
    write_csv(folder / "rows.csv", "pixels", TEXTS[2:4])
    pq.write_table(pa.table({"png": PNGS[4:5]}), folder / "rows.parquet")
    votes = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    write_csv(folder / "fer2013new.csv", votes, [])  # FER+ votes belong to images, and are none
    (folder / "README.txt").write_text("about these faces")
    (folder / ".hidden").write_text("")
    (folder / "a" / "half.png").write_bytes(PNGS[5][:1000])
    (folder / "a" / "circle").symlink_to(folder)
    images, places, rejects = read(folder)
    assert [file for file, _ in places] == ["mixed/" + n for n in ("rows.csv", "rows.csv", "rows.parquet")] + [
        "mixed/a/1.png",
        "mixed/b/1.png",
    ]
    assert (images == IMAGES[[2, 3, 4, 1, 0]]).all()
    assert sorted(rejects) == [
        ("mixed/README.txt", 0, "not an image"),
        ("mixed/a/half.png", 0, "truncated image"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "it is empty"),
        ("other.csv", b"a,b\n1,2\n", "Expected a column pixels in other.csv; it has a, b; name"),
        ("zip.csv", b"PK\x03\x04....", "zip archive"),
        ("endless.csv", b"pixels\n" + b"1 " * 2_000_000, "has no end"),
        ("empty.parquet", b"", "it is empty"),
        ("text.parquet", b"pixels\n1 2 3\n", "whole Parquet file in text.parquet"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_sentence(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read(tmp_path / name)


def test_a_parquet_without_images_or_cut_short_is_one_sentence(tmp_path):
    pd.DataFrame({"image": ["a.png"], "label": [3]}).to_parquet(tmp_path / "names.parquet")
    with pytest.raises(DataError, match="it has image, label; name the column"):
        read(tmp_path / "names.parquet")
    pq.write_table(pa.table({"png": PNGS}), tmp_path / "cut.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:-100])
    with pytest.raises(DataError, match="whole Parquet file"):
        read(tmp_path / "cut.parquet")


def test_chunks_are_bounded_and_the_same_each_time(tmp_path):
    path = write_csv(tmp_path / "new.csv", "pixels", TEXTS * 200)
    sizes = [len(chunk.images) for chunk in stream_images(path, 500)]
    assert sum(sizes) == 2400
    assert all(500 <= size < 700 for size in sizes[:-1])
    assert sizes == [len(chunk.images) for chunk in stream_images(path, 500)]


def test_an_input_is_named_by_its_content(tmp_path):
    one = write_pictures(tmp_path / "one", ["a/1.png", "2.png"])
    two = shutil.copytree(one, tmp_path / "two")
    digest = digest_input(one)
    assert digest == digest_input(two)
    (two / ".DS_Store").write_text("what a system puts there")
    assert digest == digest_input(two)
    (two / "2.png").rename(two / "3.png")
    assert digest != digest_input(two)
    (two / "3.png").rename(two / "2.png")
    (two / "2.png").write_bytes(PNGS[7])
    assert digest != digest_input(two)
    (tmp_path / "a.csv").write_text("pixels\n")
    (tmp_path / "b.csv").write_text("pixels\n")
    assert digest_input(tmp_path / "a.csv") == digest_input(tmp_path / "b.csv")


def test_a_pipe_in_a_folder_blocks_nothing(tmp_path):
    folder = write_pictures(tmp_path / "faces", ["1.png"])
    os.mkfifo(folder / "pipe.png")
    digest_input(folder)
    images, _, rejects = read(folder)
    assert len(images) == 1
    assert rejects == [("faces/pipe.png", 0, "not an image")]


def test_what_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match="cannot be read; check the path"):
        digest_input(tmp_path / "none.csv")
    (tmp_path / "empty").mkdir()
    assert list_files(tmp_path / "empty") == []
    with pytest.raises(DataError, match="it is empty"):
        digest_input(tmp_path / "empty")
