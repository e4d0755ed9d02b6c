"""How much at once: requests under way, the bytes they hold, and the time each may take."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ferrule.web.limits import Limits, RefusalError, refuse_overload
from ferrule.web.measures import Measures
from ferrule.web.replies import refuse


class Admission:
    """Middleware that admits a bounded number of uploads at once, and refuses the others without reading them."""

    def __init__(self, app: ASGIApp, limits: Limits, measures: Measures) -> None:
        self._app, self._limits = app, limits
        self.inside = 0  # requests
        self.held = 0  # bytes
        measures.under_way.set_function(lambda: self.inside)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit one request."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return await self._app(scope, receive, send)
        if self.inside >= self._limits.requests:
            return await refuse(refuse_overload("requests at once", self._limits.requests), scope, receive, send)
        return await self._admit(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        longest = _longest(scope, self._limits)
        if _declared(scope) > longest:
            return await refuse(_refuse_size(longest), scope, receive, send)
        body = _Body(receive, self._limits, self, longest)
        answering = False

        async def answer(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        self.inside += 1
        try:
            async with asyncio.timeout(self._limits.deadline):
                await self._app(scope, body.receive, answer)
        except TimeoutError:
            if not answering:
                late = f"Expected to answer within {self._limits.deadline:g} seconds; it is too busy; try again later."
                await refuse(RefusalError(503, late, retry=self._limits.deadline / 2), scope, receive, send)
        finally:
            self.inside -= 1
            self.held -= body.size


class _Body:
    """The body of a request as it arrives, counted; beyond its bound it is read no further."""

    def __init__(self, receive: Receive, limits: Limits, admission: Admission, longest: int) -> None:
        self._receive, self._limits, self._admission, self._longest = receive, limits, admission, longest
        self.size = 0

    async def receive(self) -> Message:
        message = await self._receive()
        arrived = len(message.get("body", b""))
        self.size += arrived
        self._admission.held += arrived
        if self.size > self._longest:
            raise _refuse_size(self._longest)
        if self._admission.held > self._limits.held_bytes:
            raise refuse_overload("bytes of uploads at once", self._limits.held_bytes)
        return message


def _declared(scope: Scope) -> int:
    """Return how long the body is by its head; 0 where that does not tell."""
    size = Headers(scope=scope).get("content-length", "")[:20]
    return int(size) if size.isdecimal() else 0


def _refuse_size(longest: int) -> RefusalError:
    return RefusalError(413, f"Expected at most {longest:,} bytes; got more; send less at once.")


def _longest(scope: Scope, limits: Limits) -> int:
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    return limits.json_bytes if kind.endswith("json") else limits.request_bytes
