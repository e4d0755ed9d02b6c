"""Who may ask, how often, and what an upload may be: the rules by themselves, without a server."""

import asyncio
import tempfile

import pytest

from ferrule.errors import ParameterError
from ferrule.web.access import LOCAL_NAMES, decide_access, is_loopback
from ferrule.web.limits import Limits, RateLimiter, RefusalError
from ferrule.web.uploads import read_uploads

TOKEN = "a-token-of-some-length"
LIMITS = Limits(file_bytes=1000, files=3)
MULTIPART = "multipart/form-data; boundary=XX"


def part(content=b"abc", disposition='form-data; name="files"; filename="a.png"', extra=""):
    return (
        b"--XX\r\nContent-Disposition: " + disposition.encode() + b"\r\n" + extra.encode() + b"\r\n" + content + b"\r\n"
    )


def read(body, content_type=MULTIPART, limits=LIMITS, step=7):
    async def stream():
        for start in range(0, len(body), step):
            yield body[start : start + step]

    return asyncio.run(read_uploads(content_type, stream(), limits))


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_files_are_read_whatever_the_chunks(step):
    body = part(b"one\r\n--X") + part(b"", 'form-data; name="files"; filename="../b c.png"') + b"--XX--\r\n"
    assert [(each.name, bytes(each.data)) for each in read(body, step=step)] == [
        ("a.png", b"one\r\n--X"),
        ("b c.png", b""),
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("C:\\\\people\\\\me.jpg", "me.jpg"),
        ("/etc/passwd", "passwd"),
        ("", "unnamed"),
        ("x" * 300, "x" * 120 + "…"),
        ("a\x01\u202eb.png", "a��b.png"),
    ],
)
def test_a_name_is_told_back_without_folders_and_harmless(given, told):
    body = part(disposition=f'form-data; name="files"; filename="{given}"') + b"--XX--\r\n"
    assert read(body)[0].name == told


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (part() + b"--XX--\r\n", "text/plain", 415),
        (part() + b"--XX--\r\n", "", 415),
        (part() + b"--XX--\r\n", "multipart/form-data", 400),
        (part() + b"--XX--\r\n", "multipart/form-data; boundary=" + "y" * 1000, 400),
        (part(), MULTIPART, 400),  # it ends early
        (part()[:20], MULTIPART, 400),
        (b"", MULTIPART, 400),
        (b"\x00\xff" * 50, MULTIPART, 400),
        (b"--XX--\r\n", MULTIPART, 422),  # no file
        (part(disposition='form-data; name="other"; filename="a.png"') + b"--XX--\r\n", MULTIPART, 422),
        (part(disposition='form-data; name="files"') + b"--XX--\r\n", MULTIPART, 422),
        (part(disposition="nothing") + b"--XX--\r\n", MULTIPART, 422),
        (part(b"x" * 1001) + b"--XX--\r\n", MULTIPART, 413),
        (part() * 4 + b"--XX--\r\n", MULTIPART, 413),
        (part(extra=f"X-Long: {'h' * 9000}\r\n") + b"--XX--\r\n", MULTIPART, 400),
        (part(extra="".join(f"X-{n}: 1\r\n" for n in range(100))) + b"--XX--\r\n", MULTIPART, 400),
        (part() + b"--XX--\r\n", "multipart/form-data; boundary=XX; charset=idna", 200),
    ],
)
def test_what_is_no_upload_is_refused_with_a_sentence(body, content_type, status):
    if status == 200:
        assert read(body, content_type)
        return
    with pytest.raises(RefusalError) as refusal:
        read(body, content_type)
    assert refusal.value.status_code == status
    assert refusal.value.detail.startswith("Expected ")


def test_an_upload_touches_no_disk(monkeypatch):
    monkeypatch.setattr(tempfile, "_get_default_tempdir", lambda: pytest.fail("a temporary file was asked for"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert len(read(part(b"x" * 5_000_000) + b"--XX--\r\n", limits=Limits(), step=65536)[0].data) == 5_000_000


def test_a_client_has_its_burst_and_then_its_rate():
    clock = [0.0]
    limiter = RateLimiter(2.0, 3, clock=lambda: clock[0])
    assert [limiter.wait("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limiter.wait("b") == 0
    clock[0] += 0.5
    assert [limiter.wait("a") for _ in range(2)] == [0, 0.5]
    clock[0] += 1000
    assert [limiter.wait("a") for _ in range(4)] == [0, 0, 0, 0.5]


@pytest.mark.parametrize(
    ("host", "names", "token", "answers"),
    [
        ("127.0.0.1", (), None, LOCAL_NAMES),
        ("localhost", (), TOKEN, LOCAL_NAMES),
        ("::1", (), None, LOCAL_NAMES),
        ("127.0.0.2", (), None, LOCAL_NAMES | {"127.0.0.2"}),
        ("0.0.0.0", (), TOKEN, None),
        ("127.0.0.1", ("faces.example.org",), TOKEN, LOCAL_NAMES | {"127.0.0.1", "faces.example.org"}),
        ("0.0.0.0", ("Faces.example.org",), TOKEN, LOCAL_NAMES | {"0.0.0.0", "faces.example.org"}),
    ],
)
def test_which_names_a_server_answers_under(host, names, token, answers):
    access = decide_access(host, names, token)
    assert (access.token, access.names) == (token, answers)


@pytest.mark.parametrize(
    ("host", "names", "token", "told"),
    [
        ("0.0.0.0", (), None, "others can reach 0.0.0.0"),
        ("::", (), None, "others can reach ::"),
        ("192.168.1.5", (), "", "set FERRULE_TOKEN"),
        ("127.0.0.1", ("faces.example.org",), None, "others can reach faces.example.org"),
        ("127.0.0.1", (), "short", "at least 16"),
        ("0.0.0.0", (), "ä" * 20, "ASCII"),
    ],
)
def test_a_server_that_others_reach_needs_a_token_worth_the_name(host, names, token, told):
    with pytest.raises(ParameterError, match=told):
        decide_access(host, names, token)


@pytest.mark.parametrize(("host", "local"), [("127.8.9.1", True), ("[::1]", True), ("0.0.0.0", False), ("a.b", False)])
def test_loopback(host, local):
    assert is_loopback(host) is local
