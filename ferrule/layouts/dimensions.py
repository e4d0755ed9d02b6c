"""The size of an image as its file states it: a few bytes are read and nothing is decoded, so a bomb costs nothing."""

import struct
from collections.abc import Callable

Size = tuple[int, int]  # width and height in pixels

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers that a frame's size follows
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_SHORT = 256, 257, 3


def read_size(data: bytes) -> Size | None:
    """Return width and height in pixels, unturned, of a JPEG, PNG, GIF, BMP, WebP, TIFF or AVIF; None for all else."""
    for signature, read in _READERS.items():
        if data.startswith(signature):
            return _attempt(read, data)
    return _attempt(_read_avif, data) if data[4:8] == b"ftyp" else None


def _attempt(read: Callable[[bytes], Size | None], data: bytes) -> Size | None:
    try:
        return read(data)
    except (struct.error, IndexError):  # the file ends within its header
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
        # A marker may be filled up with bytes of its own kind; else its segment tells its length.
        position += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", data, position + 2)[0]
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
    order = "<" if data.startswith(b"II") else ">"
    start = struct.unpack_from(f"{order}I", data, 4)[0]
    values = {}
    for number in range(struct.unpack_from(f"{order}H", data, start)[0]):
        at = start + 2 + 12 * number
        tag, kind = struct.unpack_from(f"{order}HH", data, at)
        values[tag] = struct.unpack_from(f"{order}{'H' if kind == _TIFF_SHORT else 'I'}", data, at + 8)[0]
    return (values[_TIFF_WIDTH], values[_TIFF_HEIGHT]) if {_TIFF_WIDTH, _TIFF_HEIGHT} <= values.keys() else None


def _read_avif(data: bytes) -> Size | None:
    """Return the largest of the sizes stated: a file may hold tiles and a thumbnail, too."""
    sizes, at = [], data.find(b"ispe")
    while at >= 0:
        width, height = struct.unpack_from(">II", data, at + 8)
        sizes.append((width, height))
        at = data.find(b"ispe", at + 4)
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


_READERS: dict[bytes, Callable[[bytes], Size | None]] = {
    b"\xff\xd8\xff": _read_jpeg,
    b"\x89PNG\r\n\x1a\n": _read_png,
    b"GIF8": _read_gif,
    b"BM": _read_bmp,
    b"RIFF": _read_webp,
    b"II*\0": _read_tiff,
    b"MM\0*": _read_tiff,
}
