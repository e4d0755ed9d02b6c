"""The server over HTTP: what it answers, what it refuses, what it counts, and what it never says."""

import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from conftest import REPOSITORY
from web_server import drawn_crops, encode, serving

from ferrule.emotions import EMOTIONS
from ferrule.faces.examples import example_photos
from ferrule.portable.model import open_pretrained
from ferrule.predictor import Predictor
from ferrule.web.access import Access
from ferrule.web.app import create_app
from ferrule.web.following import Follower
from ferrule.web.limits import Limits
from ferrule.web.replies import HEADERS

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def client():
    with serving() as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


def post(client, *pictures, name="a.png", **query):
    return client.post("/predict", params=query, files=[("files", (name, picture)) for picture in pictures])


def test_a_photo_has_its_faces_boxed_and_named(client):
    name, photo = example_photos()[0]
    said = post(client, client.get(f"/examples/{name}.png").content).json()
    (answered,) = said["files"]
    expected = sorted(Predictor(open_pretrained()).predict(photo), key=lambda answer: -answer.box[2] * answer.box[3])
    assert [answered["height"], answered["width"]] == list(photo.shape[:2])
    assert [list(face["box"].values()) for face in answered["faces"]] == [list(answer.box) for answer in expected]
    assert [face["label"] for face in answered["faces"]] == [answer.label for answer in expected]
    for face, answer in zip(answered["faces"], expected, strict=True):
        assert face["probabilities"] == pytest.approx(answer.probabilities, abs=1e-5)
        assert face["explanation"] is None


def test_several_files_are_answered_in_order_and_a_broken_one_has_its_problem(client):
    pictures = [encode(crop) for crop in drawn_crops(3)]
    said = post(client, pictures[0], b"no picture", pictures[1][:-20], pictures[2], crops=True).json()
    assert [each["problem"] for each in said["files"]] == [None, "not an image", "truncated image", None]
    assert [len(each["faces"]) for each in said["files"]] == [1, 0, 0, 1]


def test_pixels_are_answered_as_the_library_does(client):
    crops = drawn_crops(3)
    images = [crops[0].tolist(), " ".join(map(str, crops[1].ravel())), crops[2].tolist()]
    said = client.post("/predict/pixels", json={"images": images}).json()
    expected = open_pretrained().probabilities(crops)
    got = [[face["probabilities"][name] for name in EMOTIONS] for face in said["faces"]]
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert said["model"]["title"] == open_pretrained().title
    assert said["abstain"] is None


def test_what_is_no_face_is_told_apart(client):
    said = client.post("/predict/pixels", json={"images": [np.zeros((48, 48), int).tolist()]}).json()
    face = said["faces"][0]
    assert (face["label"], face["confidence"], face["probabilities"]) == ("no face", None, None)
    assert face["reason"]
    photo = encode(np.full((300, 300), 128, np.uint8))
    assert post(client, photo).json()["files"][0] == {
        "file": "a.png",
        "width": 300,
        "height": 300,
        "faces": [],
        "problem": None,
    }


def test_uncertain_is_said_below_the_threshold_that_was_asked_for(client):
    picture = encode(drawn_crops()[0])
    said = post(client, picture, crops=True, abstain=0.5).json()
    rule = open_pretrained().abstention(0.5)
    assert said["abstain"] == {
        "target": 0.5,
        "threshold": rule.threshold,
        "coverage": rule.coverage,
        "accuracy": rule.accuracy,
        "lower": rule.lower,
    }
    face = post(client, picture, crops=True, abstain=0.99).json()["files"][0]["faces"][0]
    assert face["label"] == "uncertain"
    assert max(face["probabilities"].values()) == face["confidence"]


def test_the_server_may_have_a_wish_of_its_own_which_a_request_overrules():
    picture = encode(drawn_crops()[0])
    with serving(abstain=0.99) as address, httpx.Client(base_url=address) as client:
        assert post(client, picture, crops=True).json()["files"][0]["faces"][0]["label"] == "uncertain"
        assert post(client, picture, crops=True, abstain=0).json()["files"][0]["faces"][0]["label"] in EMOTIONS
        assert client.get("/model").json()["abstain"] == 0.99


def test_an_explanation_is_a_map_over_the_face(client):
    face = post(client, encode(drawn_crops()[0]), crops=True, explain=True).json()["files"][0]["faces"][0]
    places = np.array(face["explanation"])
    assert places.shape == (48, 48)
    assert np.abs(places).max() == pytest.approx(1, abs=0.01)


def test_several_faces_are_explained_in_their_order_and_what_is_none_is_not(client):
    crops = np.concatenate([drawn_crops(), np.zeros((1, 48, 48), np.uint8), drawn_crops(2)[1:]])
    said = client.post("/predict/pixels", json={"images": crops.tolist(), "explain": True}).json()["faces"]
    predictor = Predictor(open_pretrained())
    for face, crop in zip(said, crops, strict=True):
        if face["label"] == "no face":
            assert face["explanation"] is None
        else:
            np.testing.assert_allclose(face["explanation"], predictor.explain(crop), atol=0.01)
    assert [face["label"] == "no face" for face in said] == [False, True, False]


def test_more_faces_than_the_server_explains_are_refused_and_answered_without():
    picture = encode(drawn_crops()[0])
    with serving(limits=Limits(explained=2)) as address, httpx.Client(base_url=address, timeout=60) as client:
        refused = post(client, *[picture] * 3, crops=True, explain=True)
        assert refused.status_code == 422
        assert "at most 2 faces to explain; got 3" in refused.json()["detail"]
        assert post(client, *[picture] * 2, crops=True, explain=True).status_code == 200
        assert post(client, *[picture] * 3, crops=True).status_code == 200


def test_the_model_is_described_with_scores_intervals_and_limits(client):
    model, about = open_pretrained(), client.get("/model").json()
    assert about["classes"] == list(model.classes)
    assert about["scores"]["test"]["accuracy"].keys() == {"value", "low", "high"}
    assert [rule["target"] for rule in about["abstention"]] == [percent / 100 for percent in range(50, 100)]
    assert about["limits"]["requests"] == Limits.requests
    assert "EU AI Act" in about["use"]


def test_the_model_card_is_a_page_with_no_style_but_its_own(client):
    card = client.get("/model/card")
    assert card.status_code == 200
    assert card.headers["content-type"].startswith("text/html")
    styles = card.headers["content-security-policy"].partition("style-src")[2].partition(";")[0]
    assert "'sha256-" in styles
    assert "unsafe-inline" not in styles


def test_the_examples_are_drawn_photos_and_faces_are_found_in_all_that_have_one(client):
    names = client.get("/examples").json()
    found = {name: post(client, client.get(f"/examples/{name}").content).json()["files"][0]["faces"] for name in names}
    assert set(found) == {f"{name}.png" for name, _ in example_photos()}
    assert [name for name, faces in found.items() if not faces] == ["landscape.png"]


def test_the_page_and_what_it_needs_are_there_and_ask_for_nothing_from_elsewhere(client):
    page = client.get("/")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="(/page/[^"]+)"', page.text)
    scripts = {f"/page/{path.name}" for path in (REPOSITORY / "ferrule" / "web" / "page").iterdir()}
    for link in {*links, *scripts}:
        answer = client.get(link)
        assert answer.status_code == 200, link
        assert not re.search(
            r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[\w.]+\.\w", re.sub(r"(?m)^\s*//.*| // .*$", "", answer.text)
        ), link


@pytest.mark.parametrize("path", ["/", "/health", "/nothing", "/page/nothing.js", "/model", "/metrics"])
def test_every_reply_has_the_headers_of_safety(client, path):
    answer = client.get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "server" not in answer.headers


IMAGE = [[0] * 48] * 48


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "images"),
        ({"images": []}, "at least 1"),
        ({"images": [[[0] * 48] * 47]}, "at least 48"),
        ({"images": [[[256] + [0] * 47, *IMAGE[1:]]]}, "less than or equal to 255"),
        ({"images": [[["1"] + [0] * 47, *IMAGE[1:]]]}, "valid integer"),
        ({"images": ["1 2 3"]}, "image 0 has a fault: 3 pixels"),
        ({"images": ["1 2 \ud83d x"]}, "fault"),
        ({"images": [None]}, "images 0"),
        ({"images": [IMAGE] * (Limits.crops + 1)}, "at most 256"),
        ({"images": [IMAGE], "abstain": 0.3}, "0.50 and 0.99"),
        ({"images": [IMAGE], "abstain": "NaN"}, "abstain"),
        ({"images": [IMAGE], "more": 1}, "more"),
        ({"images": [], **dict.fromkeys(map(str, range(50_000)), 0)}, "at most 3 names; got 50,001"),
        ([], "body"),
    ],
)
def test_pixels_that_are_none_are_refused_with_a_sentence(client, body, told):
    kind = {"content-type": "application/json"}
    answer = client.post("/predict/pixels", content=json.dumps(body), headers=kind)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b"\xff\xfe", "application/json", 422),
        (b"[" * 100_000, "application/json", 400),
        (b'{"images": [NaN]}', "application/json", 422),
        (b'{"images": [' + b"1" * 10_000 + b"]}", "application/json", 400),
        (b"{}", "text/plain", 422),
        (b"x" * (Limits.json_bytes + 1), "application/json", 413),
        (b"", "application/json", 422),
    ],
)
def test_bodies_that_are_no_json_are_refused_with_a_sentence(client, content, kind, status):
    answer = client.post("/predict/pixels", content=content, headers={"content-type": kind})
    assert (answer.status_code, list(answer.json())) == (status, ["detail"])


@pytest.mark.parametrize(
    ("picture", "status", "told"),
    [
        (b"", 415, "not an image"),
        (b"\x00" * 5000, 415, "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not an image"),
        (encode(np.zeros((60, 60), np.uint8))[:-30], 422, "truncated"),
        (encode(np.zeros((60, 60), np.uint8), ".jpg")[:-30], 422, "truncated"),
        (b"\xff\xd8\xff" + b"\x01" * 3000 + b"\xff\xd9", 422, "damaged"),
        (encode(np.zeros((7, 7), np.uint8)), 422, "too small"),
        (encode(np.zeros((6000, 6000), np.uint8)), 413, "too large"),
        (b"x" * (Limits.file_bytes + 1), 413, "bytes a file"),
    ],
)
def test_a_file_that_is_no_photo_is_refused_with_the_reason(client, picture, status, told):
    for crops in (False, True):
        answer = post(client, picture, crops=crops)
        assert answer.status_code == status
        assert told in answer.json()["detail"]


def test_a_body_beyond_its_limit_is_refused_before_it_is_sent():
    with serving() as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            head = f"POST /predict HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: multipart/form-data; boundary=X\r\n"
            connection.sendall((head + "Transfer-Encoding: chunked\r\n\r\n").encode())
            chunk = b"10000\r\n" + b"-" * 65536 + b"\r\n"
            sent = 0
            try:
                while sent < 2 * Limits.request_bytes:
                    connection.sendall(chunk)
                    sent += 65536
            except OSError:
                pass  # the server closed
        assert sent < 2 * Limits.request_bytes
        assert httpx.get(f"{address}/health").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),
        ({"Host": "evil.example:80"}, 400),
        ({"Host": ""}, 400),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]"}, 200),
        ({"Host": "[::1"}, 400),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
    ],
)
def test_requests_of_other_pages_are_refused(client, headers, status):
    answer = client.post("/predict?crops=true", files={"files": ("a.png", encode(drawn_crops()[0]))}, headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    ("method", "mode", "destination", "status"),
    [
        ("GET", "navigate", "document", 200),  # a link on another page
        ("GET", "navigate", "iframe", 403),
        ("GET", "no-cors", "image", 403),
        ("GET", "cors", "empty", 403),
        ("POST", "navigate", "document", 403),  # a form on another page
    ],
)
def test_links_from_other_pages_lead_here_and_nothing_else_does(client, site, method, mode, destination, status):
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
    assert client.request(method, "/", headers=headers).status_code == status


@pytest.fixture(scope="module")
def guarded():
    with serving(access=Access(TOKEN, None)) as address, httpx.Client(base_url=address) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/health", "/model/card", "/examples", "/openapi.json"])
def test_the_page_is_open_to_all(guarded, path):
    assert guarded.get(path).status_code == 200


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (None, 401),
        ("", 401),
        (TOKEN, 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer", 401),
        ("Bearer ä", 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
    ],
)
def test_everything_else_asks_for_the_token(guarded, shown, status):
    headers = {} if shown is None else {"Authorization": shown.encode("latin-1")}
    picture = encode(drawn_crops()[0])
    answers = [
        guarded.get("/model", headers=headers),
        guarded.get("/metrics", headers=headers),
        guarded.post("/predict?crops=true", files={"files": ("a.png", picture)}, headers=headers),
        guarded.post("/predict/pixels", json={"images": [IMAGE]}, headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [status] * 4
    if status == 401:
        assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}


def test_a_client_that_asks_too_often_is_told_when_to_come_again():
    with serving(limits=Limits(rate=2, burst=5)) as address, httpx.Client(base_url=address) as client:
        answers = [client.get("/model") for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
        assert answers[-1].headers["retry-after"] == "1"
        assert client.get("/health").status_code == 200  # what is open is not counted
        time.sleep(1)
        assert client.get("/model").status_code == 200


class SlowModel:
    """The model that ships, which takes its time."""

    def __init__(self, seconds):
        self._model, self._seconds = open_pretrained(), seconds

    def __getattr__(self, name):
        return getattr(self._model, name)

    def probabilities(self, images):
        time.sleep(self._seconds)
        return self._model.probabilities(images)


class BrokenModel(SlowModel):
    """The model that ships, until it is asked."""

    def probabilities(self, images):
        raise RuntimeError("/secret/place")


def test_a_fault_is_one_sentence_with_the_headers_of_every_reply_and_counted():
    with serving(create_app(Follower(BrokenModel(0)))) as address, httpx.Client(base_url=address) as client:
        answer = post(client, encode(drawn_crops()[0]), crops=True)
        assert answer.status_code == 500
        assert answer.json() == {"detail": "Expected an answer; the server failed; its log says how."}
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        metrics = client.get("/metrics").text
        assert 'ferrule_requests_total{method="POST",path="/predict",status="500"} 1.0' in metrics
        assert 'status="0"' not in metrics


def test_beyond_its_bounds_the_server_says_503_at_once_and_goes_on():
    app = create_app(Follower(SlowModel(3)), limits=Limits(requests=4))
    with serving(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        picture = encode(drawn_crops()[0])

        def ask(_):
            started = time.monotonic()
            answer = post(client, picture, crops=True)
            return answer, time.monotonic() - started

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(ask, range(20)))
        refused = [(answer, seconds) for answer, seconds in answers if answer.status_code == 503]
        assert {answer.status_code for answer, _ in answers} == {200, 503}
        assert all(answer.headers["retry-after"] for answer, _ in refused)
        assert len(refused) == 16
        assert max(seconds for _, seconds in refused) < 3
        assert ask(0)[0].status_code == 200


def test_a_request_that_takes_too_long_is_given_up():
    app = create_app(Follower(SlowModel(1.5)), limits=Limits(deadline=0.4))
    with serving(app) as address:
        answer = httpx.post(f"{address}/predict?crops=true", files={"files": ("a.png", encode(drawn_crops()[0]))})
        assert answer.status_code == 503
        assert "within 0.4 seconds" in answer.json()["detail"]
        assert int(answer.headers["retry-after"]) >= 1


def test_what_is_held_of_uploads_has_an_end():
    with serving(limits=Limits(held_bytes=100_000)) as address:
        answer = httpx.post(f"{address}/predict", files={"files": ("a.png", b"x" * 200_000)})
        assert answer.status_code == 503
        assert httpx.post(f"{address}/predict", files={"files": ("a.png", b"x" * 50_000)}).status_code == 415


def test_a_client_that_leaves_costs_nothing():
    with serving() as address:
        host, port = address.removeprefix("http://").split(":")
        head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=X\r\n"
        for _ in range(20):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall((head + "Content-Length: 100000\r\n\r\nabc").encode())
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            metrics = httpx.get(f"{address}/metrics").text
            if "ferrule_requests_under_way 0.0" in metrics:
                break
        assert "ferrule_requests_under_way 0.0" in metrics
        assert 'status="500"' not in metrics


def test_connections_that_ask_for_nothing_are_closed(monkeypatch):
    monkeypatch.setattr("ferrule.web.server._IDLE", 0.5)
    with serving(create_app(Follower(SlowModel(1.5)))) as address:
        host, port = address.removeprefix("http://").split(":")
        for said in (b"", b"GET /health HTTP/1.1\r\nHost: loc"):
            with socket.create_connection((host, int(port)), timeout=20) as connection:
                connection.sendall(said)
                assert connection.recv(100) == b""
        assert post(httpx.Client(base_url=address, timeout=60), encode(drawn_crops()[0]), crops=True).status_code == 200


def test_everything_is_counted_and_nothing_that_was_sent_is(client):
    post(client, encode(drawn_crops()[0]), name="secret-name.png", crops=True)
    client.get("/secret-path?secret=query")
    client.request("SECRET", "/health")
    metrics = client.get("/metrics").text
    assert re.search(r'ferrule_requests_total\{method="POST",path="/predict",status="200"\} [1-9]', metrics)
    assert re.search(r'ferrule_requests_total\{method="GET",path="other",status="404"\} [1-9]', metrics)
    for name in ("request_seconds_bucket", "batch_faces_bucket", "faces_total", "labels_total", "photos_total"):
        assert re.search(rf"ferrule_{name}.* [1-9]", metrics), name
    assert "process_resident_memory_bytes" in metrics
    assert "secret" not in metrics.lower()


def test_concurrent_requests_share_batches(client):
    def count():
        metrics = client.get("/metrics").text
        return [float(re.search(rf"ferrule_batch_faces_{part} (.*)", metrics)[1]) for part in ("count", "sum")]

    async def ask_all(count):
        async with httpx.AsyncClient(base_url=client.base_url, timeout=60) as many:
            picture = encode(drawn_crops()[0])
            asked = (many.post("/predict?crops=true", files={"files": ("a.png", picture)}) for _ in range(count))
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    batches, faces = count()
    assert asyncio.run(ask_all(100)) == [200] * 100
    now_batches, now_faces = count()
    assert now_faces - faces == 100
    assert now_batches - batches < 80


def test_the_schema_says_what_is_sent_and_what_comes(client):
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {
        "/predict",
        "/predict/pixels",
        "/health",
        "/model",
        "/model/card",
        "/metrics",
        "/examples",
        "/examples/{name}.png",
    }
    for path in ("/predict", "/predict/pixels"):
        assert {"200", "400", "401", "413", "415", "422", "429", "503"} <= set(
            schema["paths"][path]["post"]["responses"]
        )


def test_the_command_serves_until_it_is_told_to_stop(tmp_path):
    code = "from ferrule.commands.serve import serve; serve()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--port", "0", "--log", "--model", "pretrained"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        address = line.split()[0]
        assert "ships with Ferrule" in line
        for _ in range(100):
            try:
                httpx.get(f"{address}/health?secret=query").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        httpx.post(
            f"{address}/predict?crops=1", files={"files": ("secret-name.png", encode(drawn_crops()[0]))}
        ).raise_for_status()
    finally:
        process.terminate()
        _, log = process.communicate(timeout=30)
    assert "POST /predict 200" in log
    assert "secret" not in log
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], "Expected a token"),
        (["--model", "pretrained", "--abstain", "0.99", "--port", "TAKEN"], "Expected to listen on"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(options, told, monkeypatch, capsys):
    from ferrule.cli import main

    monkeypatch.delenv("FERRULE_TOKEN", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = [option.replace("TAKEN", str(taken.getsockname()[1])) for option in options]
        with pytest.raises(SystemExit) as end:
            main(["serve", *options])
    assert end.value.code == 1
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1


def test_serving_imports_nothing_that_only_training_needs():
    code = (
        "import sys, ferrule.web.app, ferrule.web.server; from pathlib import Path; "
        "from ferrule.web.models import follow_model; follow_model('pretrained', root=Path()); "
        "heavy = {'tensorflow', 'keras', 'mlflow', 'prefect', 'dvc', 'pyarrow', 'scipy', 'matplotlib'}; "
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_no_path_of_this_machine_is_in_the_page():
    for path in (REPOSITORY / "ferrule" / "web" / "page").iterdir():
        assert str(Path.home()) not in path.read_text()
