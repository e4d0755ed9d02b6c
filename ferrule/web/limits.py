"""What one server takes on: everything that could grow has its bound here, and what is beyond it is refused at once."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.exceptions import HTTPException

_CLIENTS = 10_000  # of whom the rate is kept; the one not heard of for longest is forgotten


@dataclass(frozen=True)
class Limits:
    """Bounds of one request, of all requests under way, and of one client."""

    file_bytes: int = 12 << 20
    request_bytes: int = 32 << 20
    json_bytes: int = 4 << 20
    files: int = 16  # in one request
    crops: int = 256  # faces in one request
    explained: int = 16  # faces in one request that asks for explanations
    photo_pixels: int = 25_000_000
    requests: int = 256  # under way at once
    held_bytes: int = 256 << 20  # of all their bodies
    photos: int = 512  # decoded or waiting to be
    explanations: int = 128  # being made or waiting to be
    waiting_crops: int = 4096  # waiting for the model
    deadline: float = 30.0  # seconds that a request may take, its upload included
    rate: float | None = None  # requests a second of one client, in the long run; None: as many as it likes
    burst: int = 60  # and how many at once


class RefusalError(HTTPException):
    """A request that is not answered: an HTTP status, one sentence, and in how many seconds to come again."""

    def __init__(
        self, status: int, sentence: str, *, retry: float | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        later = {} if retry is None else {"Retry-After": str(max(1, round(retry)))}
        super().__init__(status, sentence, {**(headers or {}), **later})


def refuse_overload(what: str, count: int, *, retry: float = 1.0) -> RefusalError:
    """Return the answer to a request that finds the server full."""
    return RefusalError(503, f"Expected fewer than {count:,} {what}; the server is full; try again later.", retry=retry)


class RateLimiter:
    """A bucket of `burst` tokens for each client, filled with `rate` a second; a request takes one."""

    def __init__(self, rate: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when they were counted

    def wait(self, client: str) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        now = self._clock()
        tokens, counted = self._buckets.pop(client, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - counted) * self._rate)
        missing = max(0.0, 1 - tokens)
        self._buckets[client] = (tokens if missing else tokens - 1, now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return missing / self._rate
