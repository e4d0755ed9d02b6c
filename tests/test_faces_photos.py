"""Photos: read upright and in colour whatever their format; what is broken or too large is told and not decoded."""

import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest

from ferrule.faces.photos import decode_photo, read_photo
from ferrule.layouts.damage import DamageError
from ferrule.layouts.dimensions import read_size
from ferrule.layouts.pictures import decode_picture

RED, GREEN, BLUE, GREY = (220, 30, 30), (30, 200, 30), (30, 30, 220), (128, 128, 128)


@pytest.fixture(scope="module")
def photo():
    """Give an upright photo, wider than high, whose four quarters differ."""
    upright = np.zeros((48, 64, 3), np.uint8)
    upright[:24, :32], upright[:24, 32:], upright[24:, :32], upright[24:, 32:] = RED, GREEN, BLUE, GREY
    return upright


def encode(photo, suffix, *options):
    bgr = photo[..., ::-1] if photo.ndim == 3 and photo.shape[2] == 3 else photo
    done, data = cv2.imencode(suffix, bgr, options)
    assert done
    return data.tobytes()


def turn_back(upright, orientation):
    """Return the pixels that a camera stores, for EXIF's `orientation`, so that they are shown as `upright`."""
    stored = {
        1: lambda p: p,
        2: np.fliplr,
        3: lambda p: np.rot90(p, 2),
        4: np.flipud,
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
        8: lambda p: np.rot90(p, -1),
    }
    return np.ascontiguousarray(stored[orientation](upright))


def tag(jpeg, orientation):
    """Put an EXIF segment with nothing but the orientation into a JPEG."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + b"\0\0\0\0"
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_exif_is_turned_upright(photo, orientation):
    data = tag(encode(turn_back(photo, orientation), ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95), orientation)
    decoded = decode_photo(data)
    assert decoded.shape == photo.shape
    for row, column in ((8, 8), (8, 56), (40, 8), (40, 56)):
        assert np.abs(decoded[row, column].astype(int) - photo[row, column]).max() < 20
    assert sorted(read_size(data)) == [48, 64]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp", ".jpg", ".gif", ".ppm"])
def test_every_format_gives_the_same_colours_and_states_its_size(photo, suffix, tmp_path):
    path = tmp_path / f"photo{suffix}"
    path.write_bytes(encode(photo, suffix))
    assert read_size(path.read_bytes()) == (64, 48)
    decoded = read_photo(path)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded[4:20, 4:28].mean(axis=(0, 1)) - RED).max() < 15  # GIFs are dithered
    assert np.abs(decoded[28:44, 4:28].mean(axis=(0, 1)) - BLUE).max() < 15


def test_lossy_webp_and_that_of_the_extended_format_state_their_size(photo):
    assert read_size(encode(photo, ".webp", cv2.IMWRITE_WEBP_QUALITY, 80)) == (64, 48)
    clear = np.dstack([photo, np.full(photo.shape[:2], 90, np.uint8)])
    clear[:8, :8, 3] = 0
    assert read_size(encode(clear, ".webp", cv2.IMWRITE_WEBP_QUALITY, 80)) == (64, 48)


def test_grey_16_bits_and_transparency_become_rgb(photo):
    grey = np.full((20, 30), 77, np.uint8)
    assert (decode_photo(encode(grey, ".png")) == 77).all()
    deep = photo.astype(np.uint16) * 257
    assert (decode_photo(encode(deep, ".png")) == photo).all()
    clear = np.dstack([photo[..., ::-1], np.full(photo.shape[:2], 90, np.uint8)])
    assert (decode_photo(encode(clear, ".png")) == photo).all()


def test_an_animation_gives_its_first_picture(photo):
    animation = cv2.Animation()
    animation.frames = [photo[..., ::-1].copy(), np.zeros_like(photo)]
    animation.durations = [100, 100]
    for suffix in (".gif", ".webp"):
        done, data = cv2.imencodeanimation(suffix, animation)
        assert done
        assert np.abs(decode_photo(data.tobytes())[4:20, 4:28].mean(axis=(0, 1)) - RED).max() < 15


def test_half_a_file_is_told(photo):
    for suffix, reason in ((".jpg", "truncated image"), (".png", "truncated image"), (".webp", "damaged image")):
        noisy = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        data = encode(noisy, suffix)
        with pytest.raises(DamageError) as error:
            decode_photo(data[: len(data) // 2])
        assert error.value.reason == reason


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.7", b"\0" * 1000, b"P5 x 48 255 " + b"\0" * 3000])
def test_what_is_no_photo_is_told(data):
    with pytest.raises(DamageError) as error:
        decode_photo(data)
    assert error.value.reason == "not an image"


def test_a_header_alone_is_damage(photo):
    for suffix in (".png", ".bmp", ".tiff", ".webp", ".jpg", ".gif", ".ppm"):
        data = encode(photo, suffix)
        for length in range(1, 40):
            with pytest.raises(DamageError):
                decode_photo(data[:length])


def test_a_bomb_is_refused_by_its_header():
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    with pytest.raises(DamageError) as error:
        decode_photo(bomb)
    assert error.value.reason == "image too large"
    assert "60,000" in error.value.detail


def make_tiff(*entries):
    """Return a TIFF of grey pixels with these (tag, kind, value) in its directory, and 9,000 as 8 bytes at 8."""
    rest = [(258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 16), (277, 3, 1), (278, 4, 9000), (279, 4, 9000 * 9000)]
    packed = [
        struct.pack("<HHIHH" if kind == 3 else "<HHII", tag, kind, 1, value, *([0] if kind == 3 else []))
        for tag, kind, value in (*entries, *rest)
    ]
    return b"II*\0" + struct.pack("<IQIH", 20, 9000, 0, len(packed)) + b"".join(packed) + bytes(4)


@pytest.fixture(scope="module")
def large_jpeg():
    """Give a JPEG of 4 megapixels."""
    return encode(np.zeros((2000, 2000, 3), np.uint8), ".jpg")


@pytest.mark.parametrize(
    "marker", [b"\xff\x01", b"\xff\xd0", b"\xff\xd7", b"\xff\x00", b"\xff\xd8", b"\xff\x02", b"\0"]
)
def test_a_jpeg_cannot_hide_its_size_behind_a_marker_without_a_segment(marker, large_jpeg):
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 48, 48, 3) + bytes(9)
    # Whoever takes the two bytes after the marker, FFE0, for the length of its segment lands on the frame of 48×48.
    fill = b"\xff\xe0" + struct.pack(">H", 0xFFE0 - 2 + len(frame)) + bytes(0xFFE0 - 4) + frame
    for hidden in (large_jpeg[:2] + marker + fill + large_jpeg[2:], large_jpeg[:2] + marker + large_jpeg[2:]):
        assert read_size(hidden) is None
        for decode in (decode_photo, decode_picture):
            with pytest.raises(DamageError) as error:
                decode(hidden, max_pixels=1_000_000)
            assert error.value.reason in ("damaged image", "not an image")


def test_the_markers_of_a_sound_jpeg_are_passed(large_jpeg):
    comment, fill = b"\xff\xfe" + struct.pack(">H", 6) + b"\xff\xc0\0\0", b"\xff\xff\xff"
    assert read_size(large_jpeg[:2] + comment + fill + large_jpeg[2:]) == (2000, 2000)


@pytest.mark.parametrize(
    "entries",
    [
        [(256, 4, 9000), (256, 4, 48), (257, 4, 9000), (257, 4, 48)],  # libtiff takes the first
        [(256, 4, 48), (256, 4, 9000), (257, 4, 48)],
        [(256, 16, 8), (257, 16, 8)],  # 8 bytes do not fit in: what stands there is where they lie
        [(256, 4, 48)],
    ],
)
def test_a_tiff_with_two_sizes_or_none_is_refused(entries):
    assert read_size(make_tiff(*entries)) is None
    with pytest.raises(DamageError, match="damaged image"):
        decode_photo(make_tiff(*entries), max_pixels=1_000_000)


def test_a_tiff_is_as_large_as_its_tiles():
    tiff = make_tiff((256, 4, 64), (257, 4, 48), (322, 4, 9008), (323, 4, 9008))
    assert read_size(tiff) == (9008, 9008)
    assert read_size(make_tiff((256, 4, 64), (257, 3, 48))) == (64, 48)


@pytest.mark.parametrize("suffix", [".jp2", ".hdr", ".pam", ".ras", ".avif"])
def test_a_format_whose_header_does_not_bind_is_not_decoded(photo, suffix):
    pixels = photo.astype(np.float32) / 255 if suffix == ".hdr" else photo
    data = encode(pixels, suffix)
    assert read_size(data) is None
    for decode in (decode_photo, decode_picture):
        with pytest.raises(DamageError, match="not an image"):
            decode(data)


def test_a_pnm_states_its_size_between_comments():
    pixels = bytes(range(256)) * 12
    assert read_size(b"P5 # 9 9\r\n64\n#\n48 255\n" + pixels) == (64, 48)
    assert decode_photo(b"P5 # 9 9\r\n64\n#\n48 255\n" + pixels).shape == (48, 64, 3)
    for header in (b"P5 64#\n48 255\n", b"P5 # 64 48 255 ", b"P5 " + b"6" * 5000 + b" 48 255\n", b"P7 64 48 255\n"):
        assert read_size(header + pixels) is None


def test_opencv_has_the_limit_too_whoever_loads_it_first():
    code = """
import ferrule.faces.crops  # which loads OpenCV, and nothing of ferrule.layouts before it
import cv2, numpy
try:
    cv2.imdecode(numpy.frombuffer(b"P5 10001 10000 255 " + bytes(100), numpy.uint8), cv2.IMREAD_GRAYSCALE)
except cv2.error as error:
    print("CV_IO_MAX_IMAGE_PIXELS" in str(error))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV_")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


def test_the_limit_of_pixels_can_be_lower(photo):
    data = encode(photo, ".png")
    decode_photo(data, max_pixels=64 * 48)
    with pytest.raises(DamageError, match="too large"):
        decode_photo(data, max_pixels=64 * 48 - 1)


def test_files_that_cannot_be_read_are_told(tmp_path, photo):
    with pytest.raises(DamageError, match="unreadable"):
        read_photo(tmp_path / "none.jpg")
    with pytest.raises(DamageError, match="a folder"):
        read_photo(tmp_path)
    (tmp_path / "tiny.png").write_bytes(encode(photo[:4, :4], ".png"))
    with pytest.raises(DamageError, match="too small"):
        read_photo(tmp_path / "tiny.png")


def test_random_damage_raises_nothing_else(photo):
    rng = np.random.default_rng(1)
    for suffix in (".png", ".bmp", ".tiff", ".webp", ".jpg", ".gif", ".ppm"):
        whole = np.frombuffer(encode(photo, suffix), np.uint8)
        for _ in range(40):
            data = whole.copy()
            data[rng.integers(0, len(data), 5)] = rng.integers(0, 256, 5)
            try:
                decode_photo(data.tobytes()[: rng.integers(1, len(data) + 1)], max_pixels=1_000_000)
            except DamageError:
                continue
