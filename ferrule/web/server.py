"""Running the application: one process, one event loop, until it is told to stop."""

import asyncio
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from ferrule.errors import WorkflowError

_PATIENCE = 10  # seconds for requests under way when it stops
_IDLE = 30  # seconds that a connection may stay open before its first request, and between two

# Only what Ferrule writes: uvicorn's own lines on requests would have their queries.
_LOGS: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(message)s", "datefmt": "%H:%M:%S"}},
    "handlers": {"terminal": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {
        "uvicorn.error": {"handlers": ["terminal"], "level": "WARNING", "propagate": False},
        "ferrule.web": {"handlers": ["terminal"], "level": "INFO", "propagate": False},
    },
}


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens (port 0: a free one); raises WorkflowError where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=1024)
    except OSError as error:
        raise WorkflowError(
            f"Expected to listen on {host} port {port}; {error.strerror or error}; choose others with --host or --port."
        ) from error


def address_of(listening: socket.socket) -> str:
    """Return what one types into a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def run_server(app: FastAPI, listening: socket.socket, *, log_requests: bool = False) -> None:
    """Serve until Ctrl-C or SIGTERM; requests under way are answered first."""
    make_server(app, log_requests=log_requests).run(sockets=[listening])


def make_server(app: FastAPI, *, log_requests: bool = False) -> uvicorn.Server:
    """Return the server around the application."""
    requests = {"ferrule.web.requests": {"level": "INFO" if log_requests else "WARNING"}}
    config = uvicorn.Config(
        app,
        http=_Protocol,
        access_log=False,
        log_config={**_LOGS, "loggers": {**_LOGS["loggers"], **requests}},
        lifespan="on",
        server_header=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_PATIENCE,
        ws="none",
    )
    return uvicorn.Server(config)


class _Protocol(H11Protocol):
    """HTTP by uvicorn, whose patience with connections that have asked for nothing yet has no end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._silence = self.loop.call_later(_IDLE, self._end_silence)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._silence.cancel()

    def _end_silence(self) -> None:
        if self.cycle is None:  # there is one as soon as the head of a request was read to its end
            self.transport.close()  # type: ignore[unreachable]
