"""What was measured on: processor, cores, versions."""

import platform
import re
from importlib.metadata import version
from pathlib import Path

from ferrule.engine import worker_count

LIBRARIES = ("numpy", "pandas", "opencv-python-headless", "tensorflow", "keras", "dvc", "prefect", "mlflow")


def describe_machine() -> dict[str, str | int]:
    """Return the processor, the number of its cores that are used, and the versions of Python and the libraries."""
    facts = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.+)", facts.read_text()) if facts.is_file() else []
    processor = models[0] if models else platform.processor() or platform.machine()
    versions = {name: version(name) for name in LIBRARIES}
    return {"processor": processor, "cores": worker_count(), "python": platform.python_version(), **versions}
