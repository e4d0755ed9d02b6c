"""Usage, the official split of a row: told by a column, by a file's name, or by a folder's."""

import re
from collections.abc import Iterable

USAGES = ("Training", "PublicTest", "PrivateTest")
UNLABELLED = "Unlabelled"  # rows of a file without labels, as ICML's test.csv

_BY_LOWER_CASE = {usage.lower(): usage for usage in USAGES}
_IN_NAME = re.compile(rf"({'|'.join(USAGES)})[_-]", re.IGNORECASE)
_SPLIT_NAMES = {
    "train": "Training",
    "training": "Training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "publictest": "PublicTest",
    "test": "PrivateTest",
    "testing": "PrivateTest",
    "privatetest": "PrivateTest",
}


def parse_usage(text: str) -> str | None:
    """Return the official spelling of a Usage, or None where `text` is none of the three."""
    return _BY_LOWER_CASE.get(text.strip().lower())


def read_usage(file_name: str) -> str | None:
    """Return the Usage at the start of a file name such as PrivateTest_123.jpg, or None."""
    match = _IN_NAME.match(file_name)
    return parse_usage(match[1]) if match else None


def is_split(name: str) -> bool:
    """Tell whether a file or folder is named after a split."""
    return _fold(name) in _SPLIT_NAMES


def assign_usages(names: Iterable[str]) -> dict[str, str]:
    """Map those of `names` that name a split to usages.

    What is held out is PrivateTest; only where a validation split stands beside a test split it is PublicTest.
    """
    roles = {name: _SPLIT_NAMES[_fold(name)] for name in names if is_split(name)}
    validation = "PublicTest" if "PrivateTest" in roles.values() else "PrivateTest"
    return {name: validation if role == "validation" else role for name, role in roles.items()}


def _fold(name: str) -> str:
    return re.sub("[ _-]", "", name.lower())
