"""Labels that come later: from hashes, from places, from labelled images; what they match, and which one counts."""

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ferrule.errors import DataError
from ferrule.quality import hash_pixels
from ferrule.scoring.labels import add_labels
from ferrule.scoring.scored import FOLDER, LABELS, ScoredInput, find_damaged, read_labels, with_description

IMAGES = np.random.default_rng(9).integers(0, 256, (6, 48, 48), dtype=np.uint8)
HASHES = hash_pixels(IMAGES)


@pytest.fixture
def root(tmp_path):
    """Give a store in which the first four images were scored, as rows 1 to 4 of new.csv."""
    write_scored(tmp_path, "a" * 64, HASHES[:4])
    return tmp_path


def write_scored(root, sha256, hashes, file="new.csv"):
    told = ScoredInput(file, sha256, "ferrule", "1", "f" * 32, 1.0, 0.5, len(hashes), 0, 0, "2026-01-02T03:04:05+00:00")
    table = pa.table(
        {"pixel_hash": hashes, "source_file": [file] * len(hashes), "source_row": [*range(1, len(hashes) + 1)]}
    )
    path = root / FOLDER / "predictions" / "date=2026-01-02" / f"{sha256[:16]}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.cast(with_description(table.schema, told)), path)


def write(root, text, name="labels.csv"):
    (root / name).write_text(text)
    return root / name


def known(root):
    return read_labels(root).set_index("pixel_hash")["label"].to_dict()


def test_labels_by_hash_are_kept_known_or_not(root):
    file = write(
        root, f"pixel_hash,label\n{HASHES[0]},happy\n{HASHES[1]}, Anger \n{HASHES[5].upper()},6\n{HASHES[2]},\n"
    )
    added = add_labels(root, file)
    assert added.sentence == (
        "3 images labelled: 2 of them are scored, 1 unknown; rows left out, without a label or of no scored image: 1."
    )
    assert known(root) == {HASHES[0]: "happy", HASHES[1]: "angry", HASHES[5]: "neutral"}
    table = read_labels(root)
    assert set(table["source"]) == {"labels.csv"}
    assert table["added_at"].dt.tz is not None


def test_the_same_labels_again_change_nothing(root):
    file = write(root, f"pixel_hash,label\n{HASHES[0]},happy\n")
    assert add_labels(root, file).new
    before = read_labels(root)
    again = add_labels(root, file)
    assert not again.new
    assert "known already" in again.sentence
    pd.testing.assert_frame_equal(read_labels(root), before)
    assert len(list((root / FOLDER / LABELS).iterdir())) == 1


def test_labels_by_place_find_their_images(root):
    file = write(root, "label,source_row,source_file\nsad,2,new.csv\nfear,9,new.csv\nfear,1,other.csv\n")
    added = add_labels(root, file)
    assert (added.matched, added.left_out) == (1, 2)
    assert known(root) == {HASHES[1]: "sad"}


def test_a_place_that_two_inputs_share_is_refused(root):
    write_scored(root, "b" * 64, HASHES[4:])
    file = write(root, "source_file,source_row,label\nnew.csv,4,happy\nnew.csv,1,sad\n")
    with pytest.raises(DataError, match=r"new\.csv row 1 names several"):
        add_labels(root, file)
    assert not known(root)
    add_labels(root, write(root, "source_file,source_row,label\nnew.csv,4,happy\n"))
    assert known(root) == {HASHES[3]: "happy"}


@pytest.mark.parametrize("layout", ["csv", "folders"])
def test_labelled_images_of_any_layout_match_by_their_pixels(layout, root):
    labels = ["happy", "sad", "fear", "angry", "disgust", "neutral"]
    if layout == "csv":
        rows = [f"{label},{' '.join(map(str, image.ravel()))}" for label, image in zip(labels, IMAGES, strict=True)]
        source = write(root, "\n".join(["emotion,pixels", *rows]) + "\n", "truth.csv")
    else:
        source = root / "truth"
        for number, label in enumerate(labels):
            (source / label).mkdir(parents=True)
            cv2.imwrite(str(source / label / f"{number}.png"), IMAGES[number])
    added = add_labels(root, source)
    assert (added.images, added.matched) == (6, 4)
    assert known(root) == dict(zip(HASHES, labels, strict=True))


def test_the_last_label_counts_within_a_file_and_of_files(root):
    first = write(root, f"pixel_hash,label\n{HASHES[0]},happy\n{HASHES[0]},sad\n{HASHES[1]},fear\n")
    added = add_labels(root, first)
    assert added.contradicted == 1
    assert "1 had more than one label, and the last one counts" in added.sentence
    assert known(root)[HASHES[0]] == "sad"
    added = add_labels(root, write(root, f"pixel_hash,label\n{HASHES[0]},neutral\n", "second.csv"))
    assert added.changed == 1
    assert known(root) == {HASHES[0]: "neutral", HASHES[1]: "fear"}


def test_a_file_added_again_after_another_counts_again(root):
    """And is kept for the rows that differ alone, so that the others are not labelled anew."""
    first = write(root, f"pixel_hash,label\n{HASHES[0]},happy\n{HASHES[1]},fear\n")
    second = write(root, f"pixel_hash,label\n{HASHES[0]},sad\n", "second.csv")
    add_labels(root, first)
    untouched = read_labels(root).set_index("pixel_hash").loc[HASHES[1]]
    add_labels(root, second)
    again = add_labels(root, first)
    assert (again.new, again.changed, again.images) == (True, 1, 2)
    assert known(root) == {HASHES[0]: "happy", HASHES[1]: "fear"}
    assert read_labels(root).set_index("pixel_hash").loc[HASHES[1]].equals(untouched)


@pytest.mark.parametrize("kind", ["predictions", LABELS])
def test_a_damaged_file_is_named_with_what_to_do(kind, root):
    add_labels(root, write(root, f"pixel_hash,label\n{HASHES[0]},happy\n"))
    assert find_damaged(root) == []
    (path,) = (root / FOLDER / kind).rglob("*.parquet")
    path.write_bytes(b"")
    with pytest.raises(DataError, match=f"{path.name}; it cannot be read .*remove it"):
        add_labels(root, write(root, f"pixel_hash,label\n{HASHES[1]},sad\n"))
    assert find_damaged(root) == [path]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "pixel_hash,label\nabc,happy\n",
            "Expected 16 hexadecimal digits as pixel_hash in labels.csv; row 1 has 'abc'",
        ),
        (f"pixel_hash,label\n{HASHES[0]},happy\n{HASHES[1]},hapy\n", "row 2 has 'hapy'; correct it"),
        (f'pixel_hash,label\n{HASHES[0]}\n"', "cannot be read|has none"),
        ("pixel_hash,label\n", "it has none"),
        ("a,b\n1,2\n", "Expected label with pixel_hash, or label with source_file and source_row"),
        (f"pixel_hash,emotion\n{HASHES[0]},happy\n", "or labelled images; labels.csv has emotion, pixel_hash; name"),
        ("", "it is empty"),
    ],
)
def test_a_wrong_file_is_one_sentence_and_nothing_is_kept(text, words, root):
    with pytest.raises(DataError, match=words):
        add_labels(root, write(root, text))
    assert not (root / FOLDER / LABELS).exists()


def test_labels_before_anything_was_scored(tmp_path):
    assert read_labels(tmp_path).columns.tolist() == ["pixel_hash", "label", "added_at", "source"]
    added = add_labels(tmp_path, write(tmp_path, f"pixel_hash,label\n{HASHES[0]},happy\n"))
    assert (added.images, added.matched) == (1, 0)
    with pytest.raises(DataError, match="it has none"):
        add_labels(tmp_path, write(tmp_path, "source_file,source_row,label\nnew.csv,1,happy\n"))
