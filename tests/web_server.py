"""A real server in a thread of the tests' process, around the model that ships."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from fastapi import FastAPI

from ferrule.portable.model import open_pretrained
from ferrule.synthetic import paint_portraits
from ferrule.web.app import create_app
from ferrule.web.following import Follower
from ferrule.web.server import address_of, listen, make_server

HAPPY = 3  # in EMOTIONS


@contextmanager
def serving(app: FastAPI | None = None, **settings: object) -> Iterator[str]:
    """Give the address of a server; `settings` are those of create_app."""
    app = app or create_app(Follower(open_pretrained()), **settings)
    listening = listen("127.0.0.1", 0)
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.02)
        yield address_of(listening)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def drawn_crops(count: int = 1) -> np.ndarray:
    """Return happy faces, uint8 (n, 48, 48)."""
    return paint_portraits(np.full(count, HAPPY), 5)


def encode(image: np.ndarray, form: str = ".png") -> bytes:
    """Return a grey picture as a file."""
    return cv2.imencode(form, image)[1].tobytes()
