"""Damage of every kind to a CSV, a folder and an archive: a reject with its row, or one clear sentence; nothing else.

Each case runs the ingest stage itself over a small data set in which one thing was broken. What is asserted of every
case: the rejects, exactly; that all other images come through unchanged; that an error is one sentence; and that after
an error artifacts/ingest is what it was before.
"""

import gzip
import io
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from PIL import Image

from ferrule.emotions import EMOTIONS
from ferrule.errors import DataError
from ferrule.layouts import REASONS, csvfiles, place_data, reading
from ferrule.layouts.archives import unpack
from ferrule.layouts.damage import Reject, check_reject_fraction
from ferrule.samples import load_samples
from pipelines import ingest
from pipelines.params import Params, load_params

ROWS = 14
IMAGES = np.random.default_rng(5).integers(0, 256, (ROWS, 48, 48), dtype=np.uint8)
LABELS = [EMOTIONS[row % 7] for row in range(ROWS)]
TEXTS = [" ".join(map(str, image.ravel())) for image in IMAGES]
HEADER = "emotion,pixels,Usage"
LINES = [HEADER, *(f"{row % 7},{text},Training" for row, text in enumerate(TEXTS))]
PLAIN = "\n".join(LINES).encode() + b"\n"


@pytest.fixture
def params() -> Params:
    """Give the parameters of the project, letting half of the rows be rejects."""
    params = load_params(REPOSITORY)
    return replace(params, ingest=replace(params.ingest, max_reject_fraction=0.5))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project folder with data/ and the artifact of an earlier run."""
    (tmp_path / "data").mkdir()
    former = tmp_path / "artifacts" / "ingest"
    former.mkdir(parents=True)
    (former / "images.npy").write_bytes(b"the former run")
    return tmp_path


def outcome(project: Path, params: Params) -> dict[tuple[str, int], str] | str:
    """Run ingest; return the rejects, {(file, row): reason}, or the sentence of the error; check what holds for all."""
    try:
        ingest.run(params, project)
    except DataError as error:
        assert (project / "artifacts" / "ingest" / "images.npy").read_bytes() == b"the former run"
        assert [path.name for path in (project / "artifacts").iterdir()] == ["ingest"]
        return sentence(error)
    rejects = pd.read_parquet(project / "artifacts" / "ingest" / "rejects.parquet")
    assert set(rejects["reason"]) <= set(REASONS)
    assert rejects["detail"].str.len().gt(0).all()
    return dict(zip(zip(rejects["file"], rejects["row"], strict=True), rejects["reason"], strict=True))


def sentence(error: Exception) -> str:
    text = str(error)
    assert re.fullmatch(r"Expected .+\.", text), f"not one sentence: {text!r}"
    assert "Traceback" not in text
    assert len(text) < 700, f"too long: {text!r}"
    return text


# --- a CSV -----------------------------------------------------------------------------------------------------------


def field(row: int, column: int, text: str) -> bytes:
    """Return the CSV with one field replaced; rows count from 1."""
    fields = LINES[row].split(",")
    fields[column] = text
    return line(row, ",".join(fields))


def line(row: int, text: str | bytes) -> bytes:
    """Return the CSV with one line replaced."""
    lines: list[bytes] = [item.encode() for item in LINES]
    lines[row] = text if isinstance(text, bytes) else text.encode()
    return b"\n".join(lines) + b"\n"


def pixel(row: int, text: str) -> bytes:
    """Return the CSV with the third pixel of one row replaced."""
    values = TEXTS[row - 1].split()
    values[2] = text
    return field(row, 1, " ".join(values))


def in_every_line(change: Callable[[str], str]) -> bytes:
    return "\n".join([LINES[0], *map(change, LINES[1:])]).encode() + b"\n"


NEW = TEXTS[4].replace(" ", "  ", 3)
BAD_CSVS: dict[str, tuple[bytes, dict[int, str]]] = {
    # read as if nothing were wrong, because nothing is in doubt
    "byte order mark": (b"\xef\xbb\xbf" + PLAIN, {}),
    "windows line ends": (PLAIN.replace(b"\n", b"\r\n"), {}),
    "no line end at the end": (PLAIN.rstrip(), {}),
    "blank lines": (PLAIN.replace(b"\n3,", b"\n\n  \n3,") + b"\n\n", {}),
    "quoted pixels": (in_every_line(lambda text: re.sub(",(.*),", r',"\1",', text)), {}),
    "all quoted": (in_every_line(lambda text: '"' + text.replace(",", '","') + '"'), {}),
    "one row quoted": (line(3, f'"2","{TEXTS[2]}","Training"'), {}),
    "spaces round every field": (in_every_line(lambda text: " " + text.replace(",", " , ") + " "), {}),
    "double spaces": (field(5, 1, NEW), {}),
    "tabs between pixels": (field(5, 1, TEXTS[4].replace(" ", "\t")), {}),
    "a space after the last pixel": (in_every_line(lambda text: text.replace(",Training", " ,Training")), {}),
    "leading zeros": (field(5, 1, " ".join(f"{int(v):05}" for v in TEXTS[4].split())), {}),
    "whole floats": (field(5, 1, TEXTS[4].replace(" ", ".0 ") + ".0"), {}),
    "label with spaces": (field(4, 0, "  3 "), {}),
    "label as a float": (field(4, 0, "3.0"), {}),
    "label by name": (field(4, 0, "Happiness"), {}),
    "usage in other case": (field(4, 2, "training"), {}),
    # a reject
    "label 7": (field(4, 0, "7"), {4: "unknown label"}),
    "label -1": (field(4, 0, "-1"), {4: "unknown label"}),
    "label 3.5": (field(4, 0, "3.5"), {4: "unknown label"}),
    "label in arabic digits": (field(4, 0, "٣"), {4: "unknown label"}),
    "label of another set": (field(4, 0, "contempt"), {4: "unknown label"}),
    "no label": (field(4, 0, ""), {4: "null label"}),
    "label NaN": (field(4, 0, "NaN"), {4: "null label"}),
    "no pixels": (field(4, 1, ""), {4: "null pixels"}),
    "pixels NaN": (field(4, 1, "nan"), {4: "null pixels"}),
    "no usage": (field(4, 2, ""), {4: "unknown usage"}),
    "usage of another set": (field(4, 2, "Validation"), {4: "unknown usage"}),
    "one pixel too few": (field(4, 1, TEXTS[3].rpartition(" ")[0]), {4: "wrong pixel count"}),
    "one pixel too many": (field(4, 1, TEXTS[3] + " 1"), {4: "wrong pixel count"}),
    "a pixel moved to the next row": (
        field(4, 1, TEXTS[3] + " 9").replace(TEXTS[4].encode(), TEXTS[4].partition(" ")[2].encode()),
        {4: "wrong pixel count", 5: "wrong pixel count"},
    ),
    "96 by 96 pixels": (field(4, 1, " ".join(["7"] * 9216)), {4: "wrong pixel count"}),
    "pixel 256": (pixel(4, "256"), {4: "out of range"}),
    "pixel 999": (pixel(4, "999"), {4: "out of range"}),
    "pixel -5": (pixel(4, "-5"), {4: "out of range"}),
    "pixel of 5,000 digits": (pixel(4, "9" * 5000), {4: "out of range"}),
    "pixel 70.5": (pixel(4, "70.5"), {4: "not a number"}),
    "pixel 7e1": (pixel(4, "7e1"), {4: "not a number"}),
    "pixel NaN among others": (pixel(4, "NaN"), {4: "not a number"}),
    "pixel in hexadecimal": (pixel(4, "0x46"), {4: "not a number"}),
    "pixel in full-width digits": (pixel(4, "７０"), {4: "not a number"}),
    "pixel in superscript": (pixel(4, "²"), {4: "not a number"}),
    "minus between pixels": (field(4, 1, TEXTS[3].replace(" ", "-", 1)), {4: "not a number"}),
    "NUL byte in the pixels": (pixel(4, "7\0"), {4: "not a number"}),
    "NUL bytes for a row": (line(4, b"\0" * 4000), {4: "wrong number of columns"}),
    "brackets": (field(4, 1, f"[{TEXTS[3]}]"), {4: "not a number"}),
    "binary garbage for a row": (line(4, bytes(range(11, 256)) * 9), {4: "broken quotes"}),
    "invalid UTF-8": (line(4, b"\xff\xfe" + LINES[4].encode()), {4: "unknown label"}),
    "trailing comma": (line(4, LINES[4] + ","), {4: "wrong number of columns"}),
    "semicolons": (line(4, LINES[4].replace(",", ";")), {4: "wrong number of columns"}),
    "commas between pixels": (field(4, 1, TEXTS[3].replace(" ", ",")), {4: "wrong number of columns"}),
    "the header again": (line(4, HEADER), {4: "repeated header"}),
    "a quote that never closes": (line(4, LINES[4].replace(",", ',"', 1)), {4: "broken quotes"}),
    "a stray quote": (field(4, 1, TEXTS[3].replace(" ", '"', 1)), {4: "not a number"}),
    "last line cut in the pixels": (PLAIN[:-3000], {ROWS: "wrong number of columns"}),
    "last line cut in the usage": (PLAIN[:-4], {ROWS: "unknown usage"}),
    "a huge line": (field(4, 1, "1 " * 400_000), {4: "wrong pixel count"}),
    "several at once": (
        line(2, "") + b"9,x,Training\n" + f"0,{TEXTS[0]},Training\n".encode()[:-12] + b"\n",
        {ROWS: "unknown label", ROWS + 1: "wrong number of columns"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_CSVS)
def test_csv_damage_is_read_or_rejected_by_row(name, project, params):
    content, expected = BAD_CSVS[name]
    (project / "data" / "fer2013.csv").write_bytes(content)

    assert outcome(project, params) == {("fer2013.csv", row): reason for row, reason in expected.items()}

    samples = load_samples(project / "artifacts" / "ingest")
    if name != "several at once":  # the one case in which the rows that are left move
        kept = [row for row in range(ROWS) if row + 1 not in expected]
        np.testing.assert_array_equal(samples.images, IMAGES[kept])
        assert samples.table["label"].tolist() == [LABELS[row] for row in kept]
        assert samples.table["source_row"].tolist() == [row + 1 for row in kept]


@pytest.mark.parametrize(("bad", "raises"), [(2, False), (3, True)])
def test_share_of_rejects_may_reach_the_limit_and_not_pass_it(bad, raises):
    rejects = [Reject("x.csv", row, "null label", "no label") for row in range(1, bad + 1)]
    with pytest.raises(DataError) if raises else nullcontext():
        check_reject_fraction(rejects, 100, 0.02)


def test_a_file_of_nothing_but_damage_is_not_read_to_its_end(project, params, monkeypatch):
    monkeypatch.setattr(reading, "MANY_REJECTS", 1000)
    monkeypatch.setattr(csvfiles, "_BLOCK_BYTES", 20_000)
    (project / "data" / "fer2013.csv").write_bytes(PLAIN + b"1,2,3\n" * 100_000)
    found = outcome(project, params)
    assert int(re.search(r"of ([0-9,]+): ", found)[1].replace(",", "")) < 10_000


HOPELESS_CSVS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "only blank lines": (b"\n \n\n", "is empty"),
    "header only": (HEADER.encode(), "there is a header and nothing else"),
    "no header": ("\n".join(LINES[1:]).encode(), "add that header"),
    "no pixels column": (PLAIN.replace(b"pixels", b"image", 1), "'emotion,image,Usage'"),
    "no emotion column": (PLAIN.replace(b"emotion", b"id", 1), "no column emotion"),
    "two columns of one name": (PLAIN.replace(b"Usage", b"pixels", 1), "one column pixels in fer2013.csv; it has 2"),
    "semicolons everywhere": (PLAIN.replace(b",", b";"), "'emotion;pixels;Usage'"),
    "broken quote in the header": (b'emotion,"pixels\n' + PLAIN, "header"),
    "gzip": (gzip.compress(PLAIN), "gzip"),
    "zip": (b"PK\x03\x04" + bytes(40), "name it .zip"),
    "UTF-16": (PLAIN.decode().encode("utf-16"), "UTF-16"),
    "UTF-16 without mark": (PLAIN.decode().encode("utf-16-le"), "it is binary"),
    "a JPEG": (cv2.imencode(".jpg", IMAGES[0])[1].tobytes(), "fer2013.csv"),
    "random bytes": (np.random.default_rng(0).bytes(200_000), "fer2013.csv"),
    "one line without end": (b"7 " * 200_000, "it is binary, or has no lines"),
    "a row without end": (PLAIN + b"3," + b"7 " * 3_000_000, f"row {ROWS + 1} has no end"),
    "old Macintosh line ends": (PLAIN.replace(b"\n", b"\r"), "fer2013.csv"),
    "mostly bad": (
        b"\n".join([HEADER.encode(), *(b"0,1 2 3,Training" for _ in range(9)), *(b",," for _ in range(3))]),
        "12 of 12: 9 × wrong pixel count (such as fer2013.csv row 1: 3 pixels where 2,304 are expected); 3 × null",
    ),
    "bad from the first shifted column": (in_every_line(lambda text: "0," + text), "wrong number of columns"),
}


@pytest.mark.parametrize("name", HOPELESS_CSVS)
def test_hopeless_csv_is_one_sentence(name, project, params):
    content, told = HOPELESS_CSVS[name]
    (project / "data" / "fer2013.csv").write_bytes(content)

    found = outcome(project, params)

    assert isinstance(found, str), f"was read: {found}"
    assert told in found


# --- class folders ---------------------------------------------------------------------------------------------------


def encode(suffix: str, image: np.ndarray) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def encode_with_pillow(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def declare_png(width: int, height: int) -> bytes:
    """Return a PNG that says it is of that size and holds nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


FACE = cv2.GaussianBlur(IMAGES[0], (9, 9), 4)
PNG, JPEG = encode(".png", FACE), encode(".jpg", FACE)
GREY = Image.fromarray(FACE)
FLIPPED = Image.fromarray(FACE[:, ::-1].copy())

# What lies in train/happy/x.jpg, and the reason why it is rejected (None: it is read, as FACE if lossless).
BAD_FILES: dict[str, tuple[bytes, str | None]] = {
    "zero bytes": (b"", "not an image"),
    "text": (b"<html>404 Not Found</html>", "not an image"),
    "a CSV": (PLAIN[:3000], "not an image"),
    "JPEG cut in half": (JPEG[: len(JPEG) // 2], "truncated image"),
    "JPEG without its last bytes": (JPEG[:-2], "truncated image"),
    "JPEG header only": (JPEG[:20], "truncated image"),
    "JPEG cut, with a whole thumbnail": (
        JPEG[:20] + b"\xff\xe1" + struct.pack(">H", len(JPEG) + 2) + JPEG + JPEG[20:-9],
        "truncated image",
    ),
    "PNG cut in half": (PNG[: len(PNG) // 2], "truncated image"),
    "PNG with flipped bytes": (PNG[:200] + b"\xaa" * 40 + PNG[240:], "damaged image"),
    "BMP cut": (encode(".bmp", FACE)[:2000], "damaged image"),
    "GIF cut": (encode_with_pillow(GREY, "GIF")[:-200], "truncated image"),
    "PNG of 3.6 billion pixels": (declare_png(60_000, 60_000), "image too large"),
    "PNG with no pixels in it": (declare_png(400, 400), "damaged image"),
    "1 × 1": (encode(".png", FACE[:1, :1]), "image too small"),
    "48 × 2": (encode(".png", FACE[:2]), "image too small"),
    "PNG named jpg": (PNG, None),
    "PNG in colour": (encode(".png", cv2.cvtColor(FACE, cv2.COLOR_GRAY2BGR)), None),
    "PNG with transparency": (encode(".png", cv2.cvtColor(FACE, cv2.COLOR_GRAY2BGRA)), None),
    "PNG of 16 bits": (encode(".png", FACE.astype(np.uint16) * 257), None),
    "PNG with a palette": (encode_with_pillow(GREY.convert("P"), "PNG"), None),
    "WebP": (encode_with_pillow(GREY.convert("RGB"), "WEBP", lossless=True), None),
    "BMP": (encode(".bmp", FACE), None),
    "TIFF": (encode(".tiff", FACE), None),
    "PGM": (encode(".pgm", FACE), None),
    "animated GIF": (encode_with_pillow(GREY, "GIF", save_all=True, append_images=[FLIPPED]), None),
    "animated PNG": (encode_with_pillow(GREY, "PNG", save_all=True, append_images=[FLIPPED]), None),
    "JPEG": (JPEG, None),
    "JPEG in CMYK": (encode_with_pillow(GREY.convert("CMYK"), "JPEG", quality=95), None),
    "JPEG with bytes after its end": (JPEG + b"more", None),
    "progressive JPEG": (encode_with_pillow(GREY, "JPEG", progressive=True, quality=95), None),
    "JPEG turned by its EXIF": (
        encode_with_pillow(
            Image.fromarray(np.rot90(FACE)),
            "JPEG",
            quality=95,
            exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0",
        ),
        None,
    ),
    "twice the size": (encode(".png", cv2.resize(FACE, (96, 96), interpolation=cv2.INTER_NEAREST)), None),
    "a photograph": (encode(".jpg", cv2.resize(FACE, (1600, 1600), interpolation=cv2.INTER_CUBIC)), None),
    "half the size": (encode(".png", cv2.resize(FACE, (24, 24), interpolation=cv2.INTER_AREA)), None),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_image_damage_is_read_or_rejected_by_file(name, project, params, capfd):
    content, reason = BAD_FILES[name]
    write_folders(project / "data")
    (project / "data" / "train" / "happy" / "x.jpg").write_bytes(content)

    assert outcome(project, params) == ({("train/happy/x.jpg", 0): reason} if reason else {})

    samples = load_samples(project / "artifacts" / "ingest")
    assert len(samples) == 4 + (reason is None)
    if reason is None:
        image = samples.images[samples.table["source_file"] == "train/happy/x.jpg"][0]
        assert np.abs(image.astype(int) - FACE).mean() < 6  # JPEG and resizing lose a little; flipped it would be 40
    assert "grfmt" not in capfd.readouterr().err  # what OpenCV would print beside the reject


def write_folders(folder: Path) -> None:
    """Write msambare's layout: two images of happy and two of sad."""
    for split, label in [("train", "happy"), ("train", "sad"), ("test", "happy"), ("test", "sad")]:
        (folder / split / label).mkdir(parents=True)
        (folder / split / label / "1.png").write_bytes(PNG)


def put_folder(data: Path) -> None:
    (data / "train" / "happy" / "x.jpg").mkdir()
    (data / "train" / "happy" / "x.jpg" / "y.jpg").write_bytes(JPEG)


def put_broken_link(data: Path) -> None:
    (data / "train" / "happy" / "x.jpg").symlink_to("nowhere.jpg")


def put_link_to_itself(data: Path) -> None:
    (data / "train" / "happy" / "x.jpg").symlink_to("x.jpg")


def put_link_to_a_parent(data: Path) -> None:
    (data / "train" / "happy" / "x.jpg").symlink_to(data, target_is_directory=True)


def put_pipe(data: Path) -> None:
    os.mkfifo(data / "train" / "happy" / "x.jpg")


def forbid_reading(data: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (data / "train" / "happy" / "x.jpg").write_bytes(JPEG)
    (data / "train" / "happy" / "x.jpg").chmod(0)


def put_other_bytes_in_name(data: Path) -> None:
    (data / "train" / "happy" / os.fsdecode(b"x\xff.jpg")).write_bytes(JPEG)


def put_empty_class(data: Path) -> None:
    (data / "train" / "fear").mkdir()


def put_capitals(data: Path) -> None:
    (data / "train" / "happy").rename(data / "train" / "HAPPY")


def put_unknown_class(data: Path) -> None:
    (data / "train" / "contempt").mkdir()
    (data / "train" / "contempt" / "x.jpg").write_bytes(JPEG)


def put_numbered_class(data: Path) -> None:
    (data / "train" / "3").mkdir()
    (data / "train" / "3" / "x.jpg").write_bytes(JPEG)


def put_system_files(data: Path) -> None:
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._1.png"):
        (data / "train" / "happy" / name).write_bytes(b"x")
    (data / "__MACOSX").mkdir()
    (data / "train" / ".ipynb_checkpoints").mkdir()
    (data / "train" / ".ipynb_checkpoints" / "1.png").write_bytes(PNG)


def put_stray_files(data: Path) -> None:
    (data / "README.txt").write_text("x")
    (data / "train" / "labels.txt").write_text("x")


X = "train/happy/x.jpg"
FOLDERS: dict[str, tuple[Callable[[Path], object], dict[str, str], int]] = {
    "a folder named like an image": (put_folder, {X: "not an image"}, 4),
    "a broken link": (put_broken_link, {X: "unreadable file"}, 4),
    "a link to itself": (put_link_to_itself, {X: "unreadable file"}, 4),
    "a link to the folder above": (put_link_to_a_parent, {X: "not an image"}, 4),
    "a pipe": (put_pipe, {X: "not an image"}, 4),
    "a file that may not be read": (forbid_reading, {X: "unreadable file"}, 4),
    "a name that is no UTF-8": (put_other_bytes_in_name, {}, 5),
    "an empty class": (put_empty_class, {}, 4),
    "a class in capitals": (put_capitals, {}, 4),
    "a class of another set": (put_unknown_class, {"train/contempt/x.jpg": "unknown label"}, 4),
    "a class by number": (put_numbered_class, {"train/3/x.jpg": "unknown label"}, 4),
    "system files": (put_system_files, {}, 4),
    "files outside the classes": (put_stray_files, {}, 4),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folder_damage_is_read_or_rejected_by_file(name, project, params):
    damage, expected, images = FOLDERS[name]
    write_folders(project / "data")
    damage(project / "data")

    assert outcome(project, params) == {(file, 0): reason for file, reason in expected.items()}

    samples = load_samples(project / "artifacts" / "ingest")
    assert len(samples) == images
    assert set(samples.table["label"]) == {"happy", "sad"}


HOPELESS_FOLDERS: dict[str, tuple[list[str], str]] = {
    "nothing at all": ([], "holds nothing"),
    "classes without images": (["train/happy/", "train/sad/"], "they are empty"),
    "numbered classes": (["train/0/1.png", "train/1/1.png", "train/2/1.png"], "name them angry, disgust and so on"),
    "images without classes": (["1.png", "2.png"], "holds 1.png, 2.png"),
    "an archive": (["fer2013.zip"], "give that file itself"),
    "two data sets": (["a/train/happy/1.png", "b/train/happy/1.png"], "found several, in a, b"),
}


@pytest.mark.parametrize("name", HOPELESS_FOLDERS)
def test_hopeless_folder_is_one_sentence(name, project, params):
    places, told = HOPELESS_FOLDERS[name]
    for place in places:
        path = project / "data" / place
        if place.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(PNG)

    found = outcome(project, params)

    assert isinstance(found, str), f"was read: {found}"
    assert told in found


# --- archives --------------------------------------------------------------------------------------------------------


def zipped(members: dict[str, bytes], **attributes: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            archive.writestr(info, content)
    return file.getvalue()


def tarred(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd" if kind != tarfile.REGTYPE else ""
    return info


GOOD_ZIP = zipped({"fer2013.csv": PLAIN})
# The same with the flag in its directory that says it is encrypted.
LOCKED_ZIP = re.sub(rb"(?s)(?<=PK\x01\x02....)\0", b"\x01", GOOD_ZIP)
GOOD_TAR = tarred((member("fer2013/fer2013.csv"), PLAIN))
ARCHIVES: dict[str, tuple[str, bytes, str]] = {
    "zip cut": ("x.zip", GOOD_ZIP[:-300], "cannot be unpacked"),
    "zip with flipped bytes": ("x.zip", GOOD_ZIP[:900] + b"\xaa" * 40 + GOOD_ZIP[940:], "cannot be unpacked"),
    "zip that is text": ("x.zip", b"404 Not Found", "cannot be unpacked"),
    "zip of zero bytes": ("x.zip", b"", "cannot be unpacked"),
    "zip with a password": ("x.zip", LOCKED_ZIP, "password"),
    "zip with nothing known": ("x.zip", zipped({"notes.txt": b"x"}), "x.zip holds notes.txt"),
    "zip out of its folder": ("x.zip", zipped({"../fer2013.csv": PLAIN}), "leads out of its folder"),
    "zip to a backslash path": ("x.zip", zipped({"..\\fer2013.csv": PLAIN}), "leads out of its folder"),
    "zip to a drive": ("x.zip", zipped({"C:/fer2013.csv": PLAIN}), "leads out of its folder"),
    "zip from the root": ("x.zip", zipped({"/fer2013.csv": PLAIN}), "leads out of its folder"),
    "zip with a link": ("x.zip", zipped({"fer2013.csv": b"/etc/passwd"}, external_attr=0o120777 << 16), "is a link"),
    "tar.gz cut": ("x.tar.gz", GOOD_TAR[:-300], "cannot be unpacked"),
    "tar.gz that is text": ("x.tgz", b"404 Not Found", "cannot be unpacked"),
    "tar with a link": ("x.tgz", tarred((member("fer2013.csv", tarfile.SYMTYPE), b"")), "a link or a device"),
    "tar with a hard link": ("x.tgz", tarred((member("fer2013.csv", tarfile.LNKTYPE), b"")), "a link or a device"),
    "tar with a device": ("x.tgz", tarred((member("fer2013.csv", tarfile.CHRTYPE), b"")), "a link or a device"),
    "tar out of its folder": ("x.tgz", tarred((member("a/../../fer2013.csv"), PLAIN)), "leads out of its folder"),
    "tar with a file for a folder": ("x.tgz", tarred((member("a"), b""), (member("a/b"), b"")), "cannot be unpacked"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_bad_archive_is_one_sentence_and_leaves_the_data_alone(name, tmp_path):
    file_name, content, told = ARCHIVES[name]
    (tmp_path / file_name).write_bytes(content)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fer2013.csv").write_bytes(b"the former data")

    with pytest.raises(DataError) as caught:
        place_data(tmp_path / file_name, tmp_path / "data")

    assert told in sentence(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["data", file_name])
    assert (tmp_path / "data" / "fer2013.csv").read_bytes() == b"the former data"


@pytest.mark.parametrize(
    ("sizes", "limits", "told"),
    [
        ([30_000_000], {"max_bytes": 3_000_000}, "at most 3,000,000 bytes"),
        ([1_000_000] * 9, {"max_bytes": 3_000_000}, "at most 3,000,000 bytes"),
        ([1] * 9, {"max_files": 3}, "at most 3 files"),
    ],
    ids=["one huge file", "many files", "too many files"],
)
def test_archive_bomb_is_stopped_early(sizes, limits, told, tmp_path):
    (tmp_path / "bomb.zip").write_bytes(zipped({f"{number}.csv": bytes(size) for number, size in enumerate(sizes)}))
    (tmp_path / "out").mkdir()

    with pytest.raises(DataError, match=told):
        unpack(tmp_path / "bomb.zip", tmp_path / "out", **limits)

    written = [path.stat().st_size for path in (tmp_path / "out").iterdir()]
    assert len(written) <= 4
    assert sum(written) < 5_000_000
