"""Messages to the people who run Ferrule: failures, promotions, refusals, rollbacks and drift, posted to a webhook.

The webhook is named by FERRULE_WEBHOOK_URL. It is a secret, since whoever has it can post, so it stands in no file of
the project and in no log. Where it is not set, nothing is sent.
"""

import html
import json
import logging
import os
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun
    from prefect.states import State

KINDS = ("failure", "promotion", "refusal", "rollback", "drift")
URL_VARIABLE = "FERRULE_WEBHOOK_URL"
KINDS_VARIABLE = "FERRULE_WEBHOOK_KINDS"

TIMEOUT = 5.0  # seconds, of each attempt
ATTEMPTS = 2
PAUSE = 1.0  # seconds, between them
TEXT_LENGTH = 1500  # characters; Discord takes 2,000

_BY_A_PERSON = "aborted by an interrupt signal"  # what Prefect says of a run that Ctrl-C ended
_PREAMBLE = "Flow run encountered an exception:"


def notify(root: Path, kind: str, sentence: str, facts: dict[str, Any]) -> None:
    """Post a message of one of KINDS about the project in `root`; it waits for seconds at most.

    `facts` are for programs: numbers, names, versions. Never raises: what cannot be delivered is a warning in the log.
    """
    if not os.environ.get(URL_VARIABLE) or kind not in wanted_kinds():
        return
    try:
        failure = _deliver(os.environ[URL_VARIABLE], _write_message(root, kind, sentence, facts))
    except Exception as error:  # a message that is lost must not stop the run it is about
        failure = type(error).__name__  # its text may hold the address
    if failure:
        _logger().warning(
            f"Expected the webhook of {URL_VARIABLE} to take a message ({kind}); it did not ({failure}); "
            "`ferrule doctor` checks the address."
        )


def report_failure(flow: "Flow", flow_run: "FlowRun", state: "State") -> None:
    """Tell, as a hook of a flow (`on_failure`, `on_crashed`), that a run failed; one that a person stopped did not."""
    if _BY_A_PERSON in (state.message or ""):
        return
    from prefect.utilities.urls import url_for

    reason = (state.message or "").removeprefix(_PREAMBLE).strip()
    facts = {"flow": flow.name, "run": flow_run.name, "run_id": str(flow_run.id), "state": state.name}
    root = Path(flow_run.parameters.get("root") or Path.cwd())
    sentence = f"The flow {flow.name} {str(state.name).lower()}: {reason}"
    notify(root, "failure", sentence, facts | {"url": url_for(flow_run)})


def wanted_kinds() -> tuple[str, ...]:
    """Return what FERRULE_WEBHOOK_KINDS lists, separated by commas; every kind where it is not set."""
    listed = os.environ.get(KINDS_VARIABLE, "")
    return tuple(kind.strip() for kind in listed.split(",") if kind.strip()) or KINDS


def _write_message(root: Path, kind: str, sentence: str, facts: dict[str, Any]) -> bytes:
    """Return the message as JSON; receivers of chat programs show `text` and leave the rest alone."""
    text = f"Ferrule, {root.resolve().name}, {kind}: {sentence}"
    if len(text) > TEXT_LENGTH:
        text = text[: TEXT_LENGTH - 1] + "…"
    message = {
        "text": html.escape(text, quote=False),  # or <!channel> in an error would call everybody
        "kind": kind,
        "sentence": sentence,
        "facts": _plain(facts),
        "project": root.resolve().name,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return json.dumps(message).encode()


def _plain(facts: dict[str, Any]) -> Any:
    """Return what JSON can hold: NumPy's values as Python's, other objects as text, no number as null."""
    written = json.dumps(facts, default=lambda value: value.tolist() if hasattr(value, "tolist") else str(value))
    return json.loads(written, parse_constant=lambda _: None)


def _deliver(url: str, message: bytes) -> str:
    """Post the message and return why it failed, or nothing; a receiver that is busy or away is asked once more."""
    if not url.startswith(("http://", "https://")):
        return "its address does not begin with http:// or https://"
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE if attempt else 0)
        failure, again = _post(url, message)
        if not again:
            break
    return failure


def _post(url: str, message: bytes) -> tuple[str, bool]:
    """Post once; return why it failed, or nothing, and whether it may help to ask again."""
    request = urllib.request.Request(url, message, {"Content-Type": "application/json", "User-Agent": "ferrule"})  # noqa: S310
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT):
            return "", False
    except urllib.error.HTTPError as error:
        with error:
            return f"HTTP {error.code}", error.code >= 500 or error.code == 429
    except OSError as error:
        reason = getattr(error, "reason", error)
        return getattr(reason, "strerror", None) or type(reason).__name__, True


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is a failure, like 404: followed, the POST would become a GET, and the message be lost unsaid."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def _logger() -> "logging.Logger | logging.LoggerAdapter":
    """Return the log of the flow run that this is part of, or Prefect's, which goes to the terminal."""
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_logger, get_run_logger

    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("ferrule")
