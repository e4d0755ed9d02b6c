"""One content, one digest, however it is written down."""

from pathlib import Path

from ferrule.digests import digest_json


def test_digest_json_is_canonical():
    assert digest_json({"b": 1, "a": [Path("x")]}) == digest_json({"a": ["x"], "b": 1})
    assert digest_json({"a": 1}) != digest_json({"a": 2})
