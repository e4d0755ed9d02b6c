"""The model card as a page of the server, and what every page says on use."""

import base64
import hashlib
import re

from starlette.responses import Response

from ferrule.portable.bundle import CARDS
from ferrule.portable.model import PortableModel
from ferrule.web.limits import RefusalError
from ferrule.web.replies import POLICY

USE = (
    "An expression is what a face shows, not what a person feels. Do not use this on people at work or in schools, "
    "where the EU AI Act (Article 5) prohibits inferring emotions, nor to decide anything about a person."
)

_STYLE = re.compile(rb"<style[^>]*>(.*?)</style>", re.DOTALL)


def read_card(model: PortableModel) -> Response:
    """Return the card that lies beside the model, with the hash of its styles as the only ones it may have.

    Raises RefusalError, 404, for a model without a card.
    """
    path = next((model.folder / name for name in CARDS if name.endswith(".html")), None)
    if path is None or not path.is_file():
        raise RefusalError(404, f"Expected a model card of {model.title}; there is none; `ferrule run` writes one.")
    page = path.read_bytes()
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": _allow_styles(page)})


def _allow_styles(page: bytes) -> str:
    digests = (base64.b64encode(hashlib.sha256(style).digest()).decode() for style in _STYLE.findall(page))
    return POLICY.replace("style-src 'self'", " ".join(["style-src 'self'", *(f"'sha256-{each}'" for each in digests)]))
