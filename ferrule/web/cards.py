"""The model card as a page of the server, and what every page says on use."""

import base64
import hashlib
import re

from starlette.responses import Response

from ferrule.portable.model import PortableModel
from ferrule.web.limits import RefusalError
from ferrule.web.replies import POLICY

USE = (
    "An expression is what a face shows, not what a person feels. Do not use this on people at work or in schools, "
    "where the EU AI Act (Article 5) prohibits inferring emotions, nor to decide anything about a person."
)

_STYLES = re.compile(rb"<style[^>]*>(.*?)</style>", re.DOTALL)
_ATTRIBUTES = re.compile(rb'<[^>]* style="([^"]*)"')  # of the cells of tables


def read_card(model: PortableModel) -> Response:
    """Return the card that lies beside the model, with the hashes of its styles as the only ones it may have.

    Raises RefusalError, 404, for a model without a card.
    """
    path = model.folder / "model_card.html"
    if not path.is_file():
        raise RefusalError(404, f"Expected a model card of {model.title}; there is none; `ferrule run` writes one.")
    page = path.read_bytes()
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": allow_styles(page)})


def allow_styles(page: bytes) -> str:
    """Return the policy of a page that has styles of its own: it may have these, and no others."""
    styles, attributes = _STYLES.findall(page), sorted(set(_ATTRIBUTES.findall(page)))
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(each).digest()).decode()}'" for each in styles + attributes]
    for_attributes = ["'unsafe-hashes'"] if attributes else []  # which lets hashes count for attributes too
    return POLICY.replace("style-src 'self'", " ".join(["style-src", *for_attributes, *hashes]))
