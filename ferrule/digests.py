"""What tells two contents apart, whenever and wherever it is computed."""

import hashlib
import json
from typing import Any


def digest_json(content: Any) -> str:
    """Return the SHA-256 of `content` as canonical JSON: keys sorted, no spaces, unknown types as text."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
