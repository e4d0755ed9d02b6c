"""Replies: refusals and faults as {"detail": sentence}, and the headers that every reply has."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from ferrule.web.limits import RefusalError
from ferrule.web.uploads import plain

# The page has no script, style or picture but its own; no other page may frame it; nothing learns where one came from.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_SENTENCES = {
    404: "Expected a path of this server; there is none of this name; see /openapi.json.",
    405: "Expected another method for this path; see /openapi.json.",
}

_log = logging.getLogger("ferrule.web")


async def tell_fault(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Say that the server is at fault, and nothing of how: that stands in its log."""
    _log.error("A request failed.", exc_info=error)
    await _write(HTTPException(500, "Expected an answer; the server failed; its log says how."))(scope, receive, send)


async def refuse(refusal: HTTPException, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a refusal, for middleware, whose exceptions nobody handles."""
    await _write(refusal)(scope, receive, send)


def add_handlers(app: FastAPI) -> None:
    """Make every refusal of the application a sentence."""
    app.add_exception_handler(HTTPException, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _write(error)


async def _on_invalid(request: Request, error: Exception) -> Response:
    """Say of a request that breaks the schema the first thing that does."""
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    place = plain(" ".join(str(part) for part in first["loc"]))
    return _write(RefusalError(422, f"Expected a request as in /openapi.json; {place}: {plain(first['msg'], 300)}."))


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


def _write(error: HTTPException) -> Response:
    sentence = error.detail if isinstance(error, RefusalError) else _SENTENCES.get(error.status_code, error.detail)
    return JSONResponse({"detail": sentence}, error.status_code, dict(error.headers or {}))
