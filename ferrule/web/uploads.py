"""Uploads, multipart/form-data, read into memory and nowhere else.

Starlette's own parser writes what is larger than a megabyte into temporary files, and knows no bound on a file; this
one has the bounds of `Limits`, kept while the bytes arrive, and leaves nothing behind.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ferrule.web.limits import Limits, RefusalError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD = "files"
MEDIA_TYPE = "multipart/form-data"

_LONGEST_NAME = 120  # characters
_HEADER_BYTES = 4096


@dataclass
class Upload:
    """One file: its name as it is told back, without folders, and its bytes."""

    name: str
    data: bytearray = field(default_factory=bytearray)


async def read_uploads(content_type: str, body: AsyncIterator[bytes], limits: Limits) -> list[Upload]:
    """Return the files of a request, each under FIELD; raises RefusalError for anything else and beyond the limits."""
    kind, options = _read_options(content_type)
    if kind != MEDIA_TYPE:
        raise RefusalError(415, f"Expected {MEDIA_TYPE}; got {plain(kind) or 'no content type'}; send {FIELD} so.")
    if not options.get(b"boundary"):
        raise RefusalError(400, "Expected a boundary in the content type; there is none; let the client set it.")
    collector = _Collector(limits)
    try:
        parser = MultipartParser(options[b"boundary"], collector.callbacks(), max_header_size=_HEADER_BYTES)
        async for chunk in body:
            parser.write(chunk)
    except FormParserError as error:
        raise _broken() from error
    if not collector.ended:
        raise _broken()
    if not collector.uploads:
        raise RefusalError(422, f"Expected at least one file under the name {FIELD!r}; got none; add one.")
    return collector.uploads


def plain(text: str, longest: int = _LONGEST_NAME) -> str:
    """Return text of a client as it may be said back: short, on one line, in characters that any reply can hold."""
    shown = "".join(letter if letter.isprintable() else "�" for letter in text[:longest])
    return shown + "…" * (len(text) > longest)


class _Collector:
    """What the parser calls as it finds the parts of a request."""

    def __init__(self, limits: Limits) -> None:
        self.uploads: list[Upload] = []
        self.ended = False
        self._limits = limits
        self._header, self._value = bytearray(), bytearray()
        self._disposition = b""

    def callbacks(self) -> "MultipartCallbacks":
        """Return what is called for what."""
        return {
            "on_part_begin": self._on_part_begin,
            "on_part_data": self._on_part_data,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_end": self._on_end,
        }

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        _, options = _read_options(self._disposition.decode("latin-1"))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name != FIELD or b"filename" not in options:
            raise RefusalError(
                422, f"Expected files under the name {FIELD!r}; got {plain(name)!r}; give options in the query."
            )
        if len(self.uploads) == self._limits.files:
            raise RefusalError(413, f"Expected at most {self._limits.files} files; got more; send them in several.")
        self.uploads.append(Upload(_last_name(options[b"filename"].decode("utf-8", "replace"))))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        upload = self.uploads[-1]
        upload.data += memoryview(data)[start:end]
        if len(upload.data) > self._limits.file_bytes:
            raise RefusalError(
                413, f"Expected at most {self._limits.file_bytes:,} bytes a file; got more; send a smaller picture."
            )

    def _on_end(self) -> None:
        self.ended = True


def _read_options(header: str) -> tuple[str, dict[bytes, bytes]]:
    kind, options = parse_options_header(header)
    return kind.decode("latin-1"), options


def _last_name(name: str) -> str:
    return plain(name.replace("\\", "/").rpartition("/")[2]) or "unnamed"


def _broken() -> RefusalError:
    return RefusalError(400, f"Expected a whole {MEDIA_TYPE} body; it is broken or ends early; send it again.")
