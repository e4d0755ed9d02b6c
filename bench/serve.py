"""How `ferrule serve` answers many at once, and what it does with more than it can.

    python -m bench.serve --write docs/serve.md

Needs no data; about five minutes. The server runs in a process of its own with its usual limits and the model that
ships, and the clients, in this one, share its cores. A client has one connection and asks again as soon as it is
answered; told to come again later, it does. The faces and photos are drawn.
"""

import asyncio
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import cv2
import numpy as np

from bench.tables import show_tables
from ferrule.documents import write_table
from ferrule.faces.examples import example_photos
from ferrule.synthetic import paint_portraits

# What is asked for, by how many clients, for how many seconds.
LOADS = (
    ("one face of 48×48", 1, 10),
    ("one face of 48×48", 200, 60),
    ("one face of 48×48", 800, 30),
    ("a photo of 480×480 with a face", 1, 10),
    ("a photo of 480×480 with a face", 200, 60),
)

_BOUNDARY = "ferrule-bench"
_PATIENCE = 120  # seconds for one answer


@dataclass
class Load:
    """What came of a load: statuses, the seconds of each answer by its status, the memory of the server in bytes."""

    clients: int
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: dict[int, list[float]] = field(default_factory=dict)
    memory: tuple[float, float] = (0.0, 0.0)  # before and after

    def count(self, status: int, seconds: float) -> None:
        """Add an answer."""
        self.statuses[status] += 1
        self.latencies.setdefault(status, []).append(seconds)

    def quantile(self, share: float, status: int = 200) -> float:
        """Return the seconds within which this share of the answers with a status came."""
        return float(np.quantile(self.latencies[status], share))


def main() -> int:
    """Print the table, or write it; return the exit status."""
    return show_tables("serve", "docs/serve.md", __doc__, measure)


def measure(root: Path) -> str:
    """Return a table with a row a load."""
    rows = []
    with serving(root) as address:
        for what, clients, seconds in LOADS:
            asyncio.run(put_load(address, what, clients, 1))  # everything has run once
            rows.append(_tell(what, asyncio.run(put_load(address, what, clients, seconds))))
    head = ["asked for", "clients", "answered", "a second", "median", "99 % within", "503", "within", "other", "memory"]
    return write_table(head, rows)


@contextmanager
def serving(root: Path = Path()) -> Iterator[str]:
    """Give the address of a server in a process of its own."""
    code = "from ferrule.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "--model", "pretrained", "--port", "0"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        try:
            yield address
        finally:
            process.terminate()


async def put_load(address: str, what: str, clients: int, seconds: float) -> Load:
    """Let clients ask, each as soon as it was answered, until the time is over; what is under way ends."""
    load, request = Load(clients), _write_request(address, what)
    before, started = _read_memory(address), time.perf_counter()
    await asyncio.gather(*(_keep_asking(address, request, started + seconds, load) for _ in range(clients)))
    load.seconds, load.memory = time.perf_counter() - started, (before, _read_memory(address))
    return load


async def _keep_asking(address: str, request: bytes, end: float, load: Load) -> None:
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    while time.perf_counter() < end:
        started = time.perf_counter()
        writer.write(request)
        status, headers = await asyncio.wait_for(_read_answer(reader), _PATIENCE)
        load.count(status, time.perf_counter() - started)
        if again := re.search(rb"retry-after: (\d+)", headers):
            await asyncio.sleep(int(again[1]))
    writer.close()


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    headers = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = re.search(rb"content-length: (\d+)", headers)
    assert length, "every answer of the server says how long it is"
    await reader.readexactly(int(length[1]))
    return int(headers.split()[1]), headers


def _write_request(address: str, what: str) -> bytes:
    crops = "48×48" in what
    picture = paint_portraits(np.array([3]), 5)[0] if crops else dict(example_photos())["portrait"][..., ::-1]
    content = cv2.imencode(".jpg", picture)[1].tobytes()
    part = 'Content-Disposition: form-data; name="files"; filename="face.jpg"'
    body = f"--{_BOUNDARY}\r\n{part}\r\n\r\n".encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()
    head = (
        f"POST /predict?crops={str(crops).lower()} HTTP/1.1\r\nHost: {address.removeprefix('http://')}\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _read_memory(address: str) -> float:
    with urlopen(f"{address}/metrics") as answer:
        found = re.search(r"\nprocess_resident_memory_bytes (.*)", answer.read().decode())
    return float(found[1]) if found else float("nan")


def _tell(what: str, load: Load) -> list[str]:
    answered, refused = load.statuses[200], load.statuses[503]
    return [
        what,
        f"{load.clients:,}",
        f"{answered:,}",
        f"{answered / load.seconds:,.0f}",
        f"{1000 * statistics.median(load.latencies[200]):,.0f} ms",
        f"{1000 * load.quantile(0.99):,.0f} ms",
        f"{refused:,}",
        f"{1000 * load.quantile(0.99, 503):,.0f} ms" if refused else "",
        f"{sum(load.statuses.values()) - answered - refused:,}",
        f"{load.memory[0] / 1e6:,.0f} to {load.memory[1] / 1e6:,.0f} MB",
    ]


if __name__ == "__main__":
    sys.exit(main())
