"""Photos to try the page with; their faces are drawn, not taken."""

from functools import cache
from threading import Lock

_DRAWING = Lock()


def draw_examples() -> dict[str, bytes]:
    """Return PNG files by name; they are drawn once, which takes seconds."""
    with _DRAWING:
        return _draw()


@cache
def _draw() -> dict[str, bytes]:
    import cv2

    from ferrule.faces.examples import example_photos  # brings pandas, for which the first answer need not wait

    return {name: cv2.imencode(".png", photo[..., ::-1])[1].tobytes() for name, photo in example_photos()}
