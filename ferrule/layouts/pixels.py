"""Pixel strings, "70 80 82 …", to images: hundreds of megabytes a second in numpy, exact about what is wrong.

A batch of good strings takes the quick way, which looks at every byte but at no string by itself. A batch with a bad
one is decoded string by string, and only the bad ones are taken apart into words, to tell what is wrong with them.
"""

import re
from collections.abc import Sequence

import numpy as np

from ferrule.layouts.damage import DamageError
from ferrule.samples import IMAGE_SIZE

PIXELS = IMAGE_SIZE * IMAGE_SIZE

# Strings decoded at once: some 270 kB, so that the arrays between the steps stay in a core's cache.
_BATCH = 32
_SPACE, _ZERO = ord(" "), np.uint8(ord("0"))
# Whole numbers also as "70.0", which is how pandas and numpy print them once a column was a float.
_WHOLE = re.compile(rb"([+-]?)([0-9]+)(?:\.0*)?")
_NULLS = {b"", b"nan", b"null", b"none", b"na", b"n/a", b"<na>"}


def decode_pixels(texts: Sequence[bytes]) -> tuple[np.ndarray, dict[int, DamageError]]:
    """Decode strings of PIXELS numbers, 0-255, into uint8 (n, IMAGE_SIZE, IMAGE_SIZE).

    Also returns what is wrong with the strings that cannot be decoded, by position; their images hold nothing of use.
    """
    values = np.empty((len(texts), PIXELS), np.uint8)
    damages: dict[int, DamageError] = {}
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        decoded = _decode_batch(batch)
        if decoded is not None:
            values[start : start + len(batch)] = decoded
            continue
        for position, text in enumerate(batch, start):
            try:
                values[position] = decode_text(text)
            except DamageError as damage:
                damages[position] = damage
    return values.reshape(-1, IMAGE_SIZE, IMAGE_SIZE), damages


def decode_text(text: bytes) -> np.ndarray:
    """Decode one string into uint8 (PIXELS,), whatever its spaces; raises DamageError that tells what is wrong."""
    quick = _decode_batch([text])
    if quick is not None:
        return quick[0]
    if is_null(text):
        raise DamageError("null pixels", "no pixels")
    words = text.split()
    values = [_parse_value(word, position) for position, word in enumerate(words, 1)]
    if len(values) != PIXELS:
        raise DamageError("wrong pixel count", f"{len(values):,} pixels where {PIXELS:,} are expected")
    for position, value in enumerate(values, 1):
        if not 0 <= value <= 255:
            raise DamageError("out of range", f"pixel {position} is {value}, outside 0 to 255")
    return np.array(values, np.uint8)


def is_null(text: bytes) -> bool:
    """Tell whether a field is empty or holds one of the words that stand for nothing."""
    return text.strip().lower() in _NULLS


def _decode_batch(texts: Sequence[bytes]) -> np.ndarray | None:
    """Return uint8 (n, PIXELS), or None unless all strings are PIXELS numbers of 1-3 digits up to 255, one space apart.

    Every number ends before a space, and its digits stand at the three places before that. Spaces and digits counted so
    must add up to the length of the text, which leaves no byte for anything else.
    """
    # Three in front, because the first number may have one digit.
    codes = np.frombuffer(b"   " + b" ".join(texts) + b" ", np.uint8)
    spaces = np.flatnonzero(codes[3:] == _SPACE)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    if len(spaces) != len(texts) * PIXELS or (spaces[PIXELS - 1 :: PIXELS] != np.cumsum(lengths + 1) - 1).any():
        return None
    digits = codes - _ZERO  # what is no digit wraps round to above 9
    ones, tens, hundreds = digits[2:].take(spaces), digits[1:].take(spaces), digits.take(spaces)
    has_tens = tens <= 9
    has_hundreds = has_tens & (hundreds <= 9)
    counted = 2 * len(spaces) + np.count_nonzero(has_tens) + np.count_nonzero(has_hundreds)
    hundreds *= has_hundreds
    if ones.max() > 9 or counted != len(codes) - 3 or hundreds.max() > 2:
        return None
    tens *= has_tens
    hundreds *= np.uint8(100)
    values = ones + tens * np.uint8(10) + hundreds
    if (values < hundreds).any():  # above 255 it wrapped round
        return None
    return values.reshape(len(texts), PIXELS)


def _parse_value(word: bytes, position: int) -> int:
    match = _WHOLE.fullmatch(word)
    if match is None:
        shown = word[:20].decode("utf-8", "backslashreplace")
        raise DamageError("not a number", f"pixel {position} is {shown!r}, not a whole number")
    sign, digits = match.groups()
    # Five digits tell as well as five thousand that it is too large, and int() refuses the latter.
    value = int(digits.lstrip(b"0")[:5] or b"0")
    return -value if sign == b"-" else value
