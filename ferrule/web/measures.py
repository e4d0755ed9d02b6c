"""What the server counts, for Prometheus, and one line a request for who asks for it.

Neither has anything of what was sent: no file name, no query, no address, no picture.
"""

import logging
import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ferrule.web.replies import HEADERS, tell_fault

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_NEAR = 64 << 20  # bytes
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

_log = logging.getLogger("ferrule.web.requests")


class Measures:
    """The counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "ferrule_requests", "Requests answered", ("method", "path", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "ferrule_request_seconds", "Time to answer", ("path",), buckets=_SECONDS, registry=self.registry
        )
        self.batches = Histogram(
            "ferrule_batch_faces", "Faces a batch of the model", buckets=_SIZES, registry=self.registry
        )
        self.photos = Counter("ferrule_photos", "Photos decoded", registry=self.registry)
        self.faces = Counter("ferrule_faces", "Faces answered", registry=self.registry)
        self.labels = Counter("ferrule_labels", "What was said of them", ("label",), registry=self.registry)
        self.model = Gauge("ferrule_model_info", "The model that answers", ("title",), registry=self.registry)
        self.degraded = Gauge("ferrule_degraded", "1: the registry is out of reach", registry=self.registry)
        self.under_way = Gauge("ferrule_requests_under_way", "Uploads being answered", registry=self.registry)
        self.waiting_faces = Gauge("ferrule_waiting_faces", "Faces waiting for the model", registry=self.registry)
        self.waiting_photos = Gauge("ferrule_waiting_photos", "Photos waiting or looked at", registry=self.registry)
        self.waiting_explanations = Gauge(
            "ferrule_waiting_explanations", "Faces waiting to be explained, or being so", registry=self.registry
        )
        ProcessCollector(registry=self.registry)

    def count_labels(self, labels: Iterable[str]) -> None:
        """Count what was said of faces."""
        for label in labels:
            self.faces.inc()
            self.labels.labels(label).inc()

    def tell(self, title: str) -> bytes:
        """Return everything in the text form of Prometheus; `title` names the model that answers."""
        self.model.clear()
        self.model.labels(title).set(1)
        return generate_latest(self.registry)


class Recorder:
    """Middleware around all others: it gives every reply its headers and counts it."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app, self._measures = app, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": _complete(message["headers"]) + _end_connection(scope, status)}
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            if status:  # an answer that has begun can only break off
                raise
            await tell_fault(error, scope, receive, answer)
        finally:
            self._record(scope, status, time.perf_counter() - started)
        return None

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        path, method = _name_path(scope), _name_method(scope)
        self._measures.requests.labels(method, path, str(status)).inc()
        self._measures.seconds.labels(path).observe(seconds)
        _log.info("%s %s %d %.0f ms", method, path, status, 1000 * seconds)


def _complete(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers with those of every reply, where a reply has no other word on it."""
    given = list(headers)
    known = {name.lower() for name, _ in given}
    return given + [pair for pair in _ENCODED if pair[0] not in known]


def _end_connection(scope: Scope, status: int) -> list[tuple[bytes, bytes]]:
    """Return the header that ends the connection of a refused upload whose end is far, or unknown.

    Of others the rest is still read, and thrown away, so that the client hears the answer.
    """
    size = Headers(scope=scope).get("content-length", "" if scope["method"] == "POST" else "0")
    near = size.isdecimal() and int(size[:20]) <= _NEAR
    return [] if status < 400 or near else [(b"connection", b"close")]


def _name_path(scope: Scope) -> str:
    """Return the route of a request; what is no route has one name, so that nobody can make up new ones."""
    route = getattr(scope.get("route"), "path", None)
    if route is None and scope["path"].startswith("/page/"):
        route = "/page"
    return route or "other"


def _name_method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "OPTIONS") else "other"


_ENCODED = [
    (name.lower().encode(), value.encode()) for name, value in (*HEADERS.items(), ("Cache-Control", "no-store"))
]
