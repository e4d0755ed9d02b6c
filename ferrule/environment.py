"""What a model is made with: the processor, and the versions of what computes."""

import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ferrule.engine import worker_count

PACKAGES = ("numpy", "pandas", "scipy", "opencv-python-headless", "tensorflow", "torch", "jax", "keras", "onnxruntime")


def describe_environment() -> dict[str, str]:
    """Return the processor, its cores that are used, and the versions of Python and of PACKAGES that are installed."""
    facts = {"processor": name_processor(), "cores": str(worker_count()), "python": platform.python_version()}
    return facts | {name: found for name in PACKAGES if (found := _find_version(name))}


def name_processor() -> str:
    """Return the processor's own name, where the system tells it, or its kind."""
    facts = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.+)", facts.read_text()) if facts.is_file() else []
    return models[0] if models else platform.processor() or platform.machine()


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
