"""The size of an image as its file states it: a few bytes are read and nothing is decoded, so a bomb costs nothing.

A file that a decoder may understand otherwise than this module states no size: formats that say it in several places
(AVIF, JPEG 2000) are not known here, and what no sound file has in its header is not skipped.
"""

import math
import re
import struct
from collections.abc import Callable

Size = tuple[int, int]  # width and height in pixels

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers that a frame's size follows
_JPEG_SEGMENTS = frozenset({0xC4, 0xCC, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE})  # those that may stand before it
_TIFF_SIDES = (256, 257), (322, 323)  # the tags of width and height: the image's, and those of each of its tiles
_TIFF_KINDS = {3: "H", 4: "I"}
_PNM_GAP = rb"\s(?:\s|#[^\r\n]*[\r\n])*"
_PNM = re.compile(rb"P[1-6]" + _PNM_GAP + rb"(\d{1,9})" + _PNM_GAP + rb"(\d{1,9})\s")


def read_size(data: bytes) -> Size | None:
    """Return width and height in pixels, unturned, of a JPEG, PNG, GIF, BMP, WebP, TIFF or PNM; None for all else."""
    for signature, read in _READERS.items():
        if data.startswith(signature):
            try:
                return read(data)
            except (struct.error, IndexError):  # the file ends within its header
                return None
    return None


def _read_png(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _read_jpeg(data: bytes) -> Size | None:
    position = 2
    while data[position] == 0xFF:
        marker = data[position + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        if marker == 0xFF:  # a marker may be filled up with bytes of its own kind
            position += 1
        elif marker in _JPEG_SEGMENTS:
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
        else:  # such as RST0, which has no segment: what is taken for its length could lead to a frame that is none
            return None
    return None


def _read_gif(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _read_bmp(data: bytes) -> Size:
    of_os2 = struct.unpack_from("<I", data, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if of_os2 else "<ii", data, 18)
    return abs(width), abs(height)  # a negative height means that the first row is the top one


def _read_webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _read_tiff(data: bytes) -> Size | None:
    """Return the larger of the image's size and its tiles': one small piece of an image takes a whole tile."""
    order = "<" if data.startswith(b"II") else ">"
    start = struct.unpack_from(f"{order}I", data, 4)[0]
    values: dict[int, int] = {}
    for number in range(struct.unpack_from(f"{order}H", data, start)[0]):
        at = start + 2 + 12 * number
        tag, kind, count = struct.unpack_from(f"{order}HHI", data, at)
        if not any(tag in sides for sides in _TIFF_SIDES):
            continue
        if tag in values or kind not in _TIFF_KINDS or count != 1:  # of these the decoder may take another value
            return None
        values[tag] = struct.unpack_from(f"{order}{_TIFF_KINDS[kind]}", data, at + 8)[0]
    image, tile = ((values.get(width, 0), values.get(height, 0)) for width, height in _TIFF_SIDES)
    return max(image, tile, key=math.prod) if all(image) else None


def _read_pnm(data: bytes) -> Size | None:
    header = _PNM.match(data)
    return (int(header[1]), int(header[2])) if header else None


_READERS: dict[bytes, Callable[[bytes], Size | None]] = {
    b"\xff\xd8\xff": _read_jpeg,
    b"\x89PNG\r\n\x1a\n": _read_png,
    b"GIF8": _read_gif,
    b"BM": _read_bmp,
    b"RIFF": _read_webp,
    b"II*\0": _read_tiff,
    b"MM\0*": _read_tiff,
    **dict.fromkeys((b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"), _read_pnm),
}
