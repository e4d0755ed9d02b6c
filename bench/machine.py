"""What was measured on: processor, cores, versions."""

import platform
from importlib.metadata import version

from ferrule.engine import worker_count
from ferrule.environment import name_processor

LIBRARIES = ("numpy", "pandas", "opencv-python-headless", "tensorflow", "keras", "dvc", "prefect", "mlflow")


def describe_machine() -> dict[str, str | int]:
    """Return the processor, the number of its cores that are used, and the versions of Python and the libraries."""
    versions = {name: version(name) for name in LIBRARIES}
    return {"processor": name_processor(), "cores": worker_count(), "python": platform.python_version(), **versions}
