"""The errors that Ferrule raises on purpose; each message is one sentence: what was expected, what came, what to do."""


class FerruleError(Exception):
    """Anything a person can put right; the command line prints its sentence and exits 1."""


class DataError(FerruleError):
    """The data cannot be read, or is not in a layout that Ferrule knows."""


class ValidationError(FerruleError):
    """The data was read but breaks an expectation that must hold before anything is trained on it."""


class LineageError(FerruleError):
    """A rule of lineage is broken: a group spans splits, or a generated image stands outside train."""


class ParameterError(FerruleError):
    """A value of params.yaml is missing, unknown or out of range."""


class WorkflowError(FerruleError):
    """A stage failed, or the project around it (DVC, Prefect) is not in a state to run."""


class RegistryError(FerruleError):
    """The model registry does not hold what was asked for."""
