"""Who may ask: the token, the names under which the server answers, where a page that asks comes from, and how often.

A server on loopback needs no token, yet any web page in the browser beside it can send requests to it: under a name of
its own that leads to 127.0.0.1 (DNS rebinding), or as a form of a foreign page (CSRF). So there the `Host` must be a
name of this machine, and everywhere an `Origin` must be that host.
"""

import hmac
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ferrule.errors import ParameterError
from ferrule.web.limits import Limits, RateLimiter, RefusalError
from ferrule.web.replies import refuse

SHORTEST_TOKEN = 16  # characters
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

# What anybody may read, since a page must load before it can ask for a token.
_OPEN = ("/page/", "/examples/")
_OPEN_PATHS = frozenset({"/", "/health", "/examples", "/model/card", "/openapi.json", "/favicon.ico"})


@dataclass(frozen=True)
class Access:
    """The token to show (None: none needed), and the names under which the server answers (None: any)."""

    token: str | None = None
    names: frozenset[str] | None = LOCAL_NAMES


def decide_access(host: str, names: tuple[str, ...], token: str | None) -> Access:
    """Return the rules for a server that listens on `host` and also answers under `names`.

    Raises ParameterError where others than this machine could ask without a token, or with one that is easy to guess.
    """
    reached = next((name for name in (host, *names) if not is_loopback(name)), None)
    if reached and not token:
        raise ParameterError(
            f"Expected a token, since others can reach {reached}; got none; set FERRULE_TOKEN, or serve on 127.0.0.1."
        )
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise ParameterError(
            f"Expected a token of at least {SHORTEST_TOKEN} printable ASCII characters; got {len(token)}; take the "
            "output of `python -c 'import secrets; print(secrets.token_urlsafe())'`."
        )
    if not is_loopback(host) and not names:
        return Access(token, None)
    return Access(token, LOCAL_NAMES | {name.lower().strip("[]") for name in (host, *names)})


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches `host`."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Doorkeeper:
    """Middleware that lets pass only who may ask; the answer to others is a sentence."""

    def __init__(self, app: ASGIApp, access: Access, limits: Limits) -> None:
        self._app, self._access = app, access
        self._rates = RateLimiter(limits.rate, limits.burst) if limits.rate else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request."""
        if scope["type"] == "http":
            try:
                self._check(scope, Headers(scope=scope))
            except RefusalError as refusal:
                return await refuse(refusal, scope, receive, send)
        return await self._app(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        self._check_source(scope, headers)
        if scope["path"] in _OPEN_PATHS or scope["path"].startswith(_OPEN):
            return
        self._check_rate(scope)
        self._check_token(headers)

    def _check_source(self, scope: Scope, headers: Headers) -> None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._access.names is not None and _name_of(host) not in self._access.names:
            raise RefusalError(400, "Expected a name of this server as Host; got another; see --allow-host.")
        foreign = origin is not None and origin.lower().partition("://")[2] != host.lower()
        elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if foreign or (elsewhere and not _is_link(scope, headers)):
            raise RefusalError(403, "Expected a request of this server's own page; got one of another; open the page.")

    def _check_rate(self, scope: Scope) -> None:
        client = (scope.get("client") or ("unknown",))[0]
        wait = self._rates.wait(client) if self._rates else 0.0
        if wait:
            raise RefusalError(429, "Expected fewer requests of one client; got too many; ask more slowly.", retry=wait)

    def _check_token(self, headers: Headers) -> None:
        if self._access.token is None:
            return
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(shown.strip().encode(), self._access.token.encode())
        if scheme.lower() != "bearer" or not right:
            raise RefusalError(
                401,
                "Expected the server's token as 'Authorization: Bearer …'; got none or another; ask who runs it.",
                headers={"WWW-Authenticate": "Bearer"},
            )


def _is_link(scope: Scope, headers: Headers) -> bool:
    """Tell whether somebody followed a link: the page with the link cannot read what it leads to."""
    shown = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    return scope["method"] == "GET" and shown == ("navigate", "document")


def _name_of(host: str) -> str:
    """Return the name in a Host header: no port, no brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
