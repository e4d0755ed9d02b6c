"""Requests that nobody would send on purpose: no 5xx, no path of this machine in an answer, memory that stays.

The schema's own cases come from schemathesis; uploads are real pictures with faults, in forms with faults.
"""

import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import schemathesis
from conftest import REPOSITORY
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from web_server import drawn_crops

from ferrule.faces.examples import example_photos

# Requests: few each time, 10,000 in .ci/run.
UPLOADS = [100, pytest.param(8000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
CASES = [20, pytest.param(2000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]

GROWTH = 100e6  # bytes that the server's memory may grow by, once it has seen a few hundred requests
LEAKS = re.compile(
    "|".join(map(re.escape, (str(REPOSITORY), str(Path.home()), "site-packages", "/tmp/", "Traceback", ".cpp")))
)
ALLOWED = {200, 400, 403, 404, 405, 406, 413, 415, 422, 431}
CROPS = drawn_crops(4)
FRIENDS = dict(example_photos())["friends"][::2, ::2, ::-1]
CHECKS = (not_a_server_error, status_code_conformance, response_schema_conformance)
HIDING = b"\xff\xd8\xff\x01"  # a marker without a segment, after which who takes it for one finds no size
FORMS = (".png", ".jpg", ".webp", ".bmp", ".tiff", ".gif", ".jp2", ".hdr", ".ppm")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[httpx.Client]:
    """Give a client of a server in a process of its own, whose memory is its own."""
    code = "from ferrule.commands.serve import serve; serve()"
    command = [sys.executable, "-c", code, "--port", "0", "--model", "pretrained"]
    log = tmp_path_factory.mktemp("server") / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        address = process.stdout.readline().split()[0]
        with httpx.Client(base_url=address, timeout=60) as client:
            while True:
                try:
                    client.get("/health")
                    break
                except httpx.TransportError:
                    assert process.poll() is None
            yield client
        process.terminate()
    assert "Traceback" not in log.read_text()


def memory(client: httpx.Client) -> float:
    return float(re.search(r"\nprocess_resident_memory_bytes (.*)", client.get("/metrics").text)[1])


def check(answer: httpx.Response) -> int:
    assert answer.status_code in ALLOWED, answer.text
    assert not LEAKS.search(answer.text), answer.text
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        assert isinstance(answer.json()["detail"], str)
    return answer.status_code


@pytest.mark.parametrize("requests", UPLOADS)
def test_malformed_uploads_and_bodies(server, requests):
    chance = random.Random(requests)
    statuses: Counter[int] = Counter()
    for number in range(requests):
        statuses[check(server.request(**make_request(chance)))] += 1
        if number == min(500, requests // 2):
            before = memory(server)
    assert memory(server) - before < GROWTH
    assert {200, 400, 415, 422} <= set(statuses)
    assert server.get("/health").json()["status"] == "ok"


@pytest.mark.parametrize("requests", CASES)
def test_what_the_schema_allows_and_what_it_forbids(server, requests):
    """Cases of schemathesis for each path, good ones and bad ones, and the answers as the schema says."""
    schema = schemathesis.openapi.from_url(f"{server.base_url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    asked = [each for each in operations if each.body or each.path_parameters or each.query]
    assert {operation.path for operation in asked} == {"/predict", "/predict/pixels", "/examples/{name}.png"}
    for operation in asked:
        for mode in schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE:
            fuzz(operation, mode, requests // (2 * len(asked)))


def fuzz(operation, mode, count):
    @hypothesis_seed(0)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        answer = case.call_and_validate(checks=CHECKS, timeout=60)
        assert not LEAKS.search(answer.text), answer.text

    try:
        ask()
    except Unsatisfiable:
        assert mode == schemathesis.GenerationMode.NEGATIVE  # any text is a name; none is wrong


def make_request(chance: random.Random) -> dict:
    """Return a request with a fault, or two, or none."""
    return chance.choice((make_upload, make_upload, make_upload, make_body, make_pixels, make_path))(chance)


def make_upload(chance: random.Random) -> dict:
    query = {"crops": chance.choice(["true", "false"]), "explain": chance.choice(["true", "false", "maybe"])}
    if chance.random() < 0.3:
        query["abstain"] = chance.choice(["0.8", "0", "1e400", "-1", "nan", "ä", "0.8\x00"])
    name = chance.choice(["files", "files", "files", "files", "file", "", "files\x00"])
    file_name = chance.choice(["a.png", "../../etc/passwd", "C:\\a.png", "\ud7ff.png", "x" * 5000, "", 'a"b\r\nc.png'])
    files = [(name, (file_name, damage(make_picture(chance), chance))) for _ in range(chance.randint(1, 3))]
    return {"method": "POST", "url": "/predict", "params": query, "files": files}


def make_body(chance: random.Random) -> dict:
    """Return a form that is broken as a form."""
    request = httpx.Request("POST", "http://x/", files=[("files", ("a.png", make_picture(chance)))])
    kind = request.headers["content-type"]
    kinds = [
        kind,
        kind[:-3],
        kind + "; charset=utf-7",
        "multipart/form-data",
        "multipart/form-data; boundary=\xff\xfe",
        "x/y",
        "",
    ]
    content = damage(request.read(), chance)
    return {
        "method": "POST",
        "url": "/predict",
        "content": content,
        "headers": {"content-type": chance.choice(kinds).encode("latin-1")},
    }


def make_pixels(chance: random.Random) -> dict:
    good = [CROPS[0].tolist(), " ".join(["7"] * 2304)]
    bad = [
        "",
        "1 2 3",
        "-1 " * 2304,
        "9" * 10_000,
        [[1.5] * 48] * 48,
        [[]],
        None,
        {},
        [[None] * 48] * 48,
        "\udcff",
        True,
    ]
    images = [chance.choice(good + bad) for _ in range(chance.randint(0, 3))]
    if chance.random() < 0.1:
        images = good[:1] * chance.choice([2, 17, 200])  # of which some are more than are explained
    body = {
        **dict.fromkeys(map(str, range(chance.choice([0, 0, 0, 1, 20_000]))), 0),
        "images": images,
        "explain": chance.choice([True, "yes", 3]),
        "abstain": chance.choice([None, 0.8, 7, "x", 0]),
    }
    content = json.dumps(body).encode()
    content = damage(content, chance) if chance.random() < 0.5 else content
    return {
        "method": "POST",
        "url": "/predict/pixels",
        "content": content,
        "headers": {"content-type": "application/json"},
    }


def make_path(chance: random.Random) -> dict:
    paths = [
        "/page/../app.py",
        "/page/%2e%2e/app.py",
        "/page/..%2f..%2fapp.py",
        "/examples/../x.png",
        "/examples/%00.png",
    ]
    paths += [
        "/model/card/..",
        "//etc/passwd",
        "/page//etc/passwd",
        "/predict/",
        "/page/%ff",
        "/page/a%00b",
        "/examples/.png",
    ]
    return {"method": chance.choice(["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS"]), "url": chance.choice(paths)}


def make_picture(chance: random.Random) -> bytes:
    size = chance.choice([(48, 48), (300, 200), (9, 4000), (12, 12)])
    picture = cv2.cvtColor(cv2.resize(CROPS[chance.randrange(4)], size), cv2.COLOR_GRAY2BGR)  # GIF has no grey
    form = chance.choice(FORMS)
    if form == ".jp2" or chance.random() < 0.1:  # JPEG 2000 is for no smaller ones
        picture = FRIENDS
    if chance.random() < 0.02:
        picture, form = np.zeros((7000, 7000), np.uint8), chance.choice([".png", ".jpg"])  # 49 million pixels
    if form == ".hdr":
        picture = picture.astype(np.float32) / 255
    data = cv2.imencode(form, picture)[1].tobytes()
    return HIDING + data[2:] if form == ".jpg" and chance.random() < 0.3 else data


def damage(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with some changed, cut off, doubled or left as they are."""
    kind = chance.randrange(5)
    if kind == 0 or not data:
        return data
    if kind == 1:
        return data[: chance.randrange(len(data))]
    if kind == 2:
        at = chance.randrange(len(data))
        return data[:at] + chance.randbytes(chance.randrange(50)) + data[at:]
    changed = bytearray(data)
    for _ in range(chance.randint(1, 20)):
        changed[chance.randrange(min(len(changed), 200 if kind == 3 else len(changed)))] = chance.randrange(256)
    return bytes(changed)
