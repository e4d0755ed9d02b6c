"""How a flow reports what went wrong on the command line: by a sentence, and by a traceback only where that helps."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ferrule.errors import FerruleError, WorkflowError

# Prefect's loggers of flow and task runs; it reports every exception on them with its traceback.
_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
_UNREACHABLE = "Failed to reach API"  # what Prefect's RuntimeError begins with where PREFECT_API_URL does not answer


@contextmanager
def reporting_plainly() -> Iterator[None]:
    """Inside the block, log a FerruleError by its sentence alone; raise one where Prefect's server is out of reach."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_drop_expected_traceback)
    try:
        yield
    except RuntimeError as error:
        if _UNREACHABLE not in str(error):
            raise
        raise WorkflowError(f"Expected a Prefect server; {error}; start it, or unset PREFECT_API_URL.") from error
    finally:
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(_drop_expected_traceback)


def _drop_expected_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], FerruleError):
        record.exc_info = None
    return True
