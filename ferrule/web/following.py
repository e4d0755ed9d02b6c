"""Following an alias: when another version becomes the champion, it answers from the next request on.

The new model is opened beside the old one and has answered once before it takes over; requests under way keep the
model they began with, so none fails and none mixes two versions.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ferrule.errors import FerruleError
from ferrule.portable.model import PortableModel
from ferrule.samples import IMAGE_SIZE

POLL = 5.0  # seconds

_log = logging.getLogger("ferrule.web")


@dataclass(frozen=True)
class Source:
    """Where models come from: which version is wanted now, and how to open it; both may block, and may fail.

    No version at all (None) leaves the model as it is: there is no champion yet.
    """

    find_version: Callable[[], str | None]
    open_version: Callable[[], PortableModel]


class Follower:
    """The model that answers now, and the word on why it might not be the newest (None: it is)."""

    def __init__(self, model: PortableModel, source: Source | None = None, *, poll: float = POLL) -> None:
        self.model = model
        self.trouble: str | None = None
        self.since = datetime.now(UTC)
        self._source, self._poll = source, poll

    @property
    def follows(self) -> bool:
        """Whether there is an alias to follow."""
        return self._source is not None

    async def run(self) -> None:
        """Look for another version again and again, until cancelled; where that fails, the model stays."""
        while self._source is not None:
            await asyncio.sleep(self._poll)
            try:
                await self._look(self._source)
                self.trouble = None
            except Exception as error:  # whatever a registry, a network or a broken bundle may raise
                self._tell(error)

    async def _look(self, source: Source) -> None:
        version = await asyncio.to_thread(source.find_version)
        if version in (None, self.model.version):
            return
        model = await asyncio.to_thread(_open_warm, source)
        _log.info("%s takes over from %s.", model.title, self.model.title)
        self.model, self.since = model, datetime.now(UTC)

    def _tell(self, error: Exception) -> None:
        """Say once what the trouble is: the log has it in full, the answer of the server without paths."""
        trouble = "the registry does not answer" if isinstance(error, FerruleError) else "the registry failed"
        if trouble != self.trouble:
            _log.warning("%s stays, since %s: %s", self.model.title, trouble, error)
        self.trouble = trouble


def warm_up(model: PortableModel) -> PortableModel:
    """Let the model answer once, so that no request waits for what happens only the first time."""
    model.probabilities(np.zeros((1, IMAGE_SIZE, IMAGE_SIZE), np.uint8))
    return model


def _open_warm(source: Source) -> PortableModel:
    return warm_up(source.open_version())
