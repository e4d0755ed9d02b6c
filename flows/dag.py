"""The DAG as dvc.yaml defines it: which stage needs which."""

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

import yaml

from ferrule.errors import WorkflowError


@dataclass(frozen=True)
class Dag:
    """Stages and, for each, the stages whose outputs it reads; both in an order in which they can run."""

    upstream: dict[str, tuple[str, ...]]

    @property
    def stages(self) -> tuple[str, ...]:
        """All stages, each after all that it needs."""
        return tuple(self.upstream)

    def ancestors(self, stage: str) -> set[str]:
        """Return every stage that `stage` needs, directly or not."""
        found: set[str] = set()
        for parent in self.upstream[stage]:
            found |= {parent} | self.ancestors(parent)
        return found


def read_dag(root: Path) -> Dag:
    """Read `root`/dvc.yaml; raises WorkflowError where it is missing, malformed or has a cycle."""
    try:
        stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
        outputs = {path: name for name, stage in stages.items() for path in _paths(stage.get("outs", []))}
        graph = {
            name: {outputs[out] for dep in _paths(stage.get("deps", [])) for out in outputs if _touches(dep, out)}
            for name, stage in stages.items()
        }
        order = tuple(TopologicalSorter(graph).static_order())
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise WorkflowError(f"Expected stages in {root / 'dvc.yaml'}; got {error!r}; correct the file.") from error
    except CycleError as error:
        raise WorkflowError(f"Expected no cycle in dvc.yaml; got {' -> '.join(error.args[1])}; break it.") from error
    return Dag({name: tuple(sorted(graph[name], key=order.index)) for name in order})


def _paths(entries: list) -> list[str]:
    """Return the paths of a deps or outs list, whose entries are a path or {path: options}."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def _touches(dependency: str, output: str) -> bool:
    """Tell whether one of the two paths is the other, or lies inside it."""
    one, other = PurePosixPath(dependency), PurePosixPath(output)
    return one.is_relative_to(other) or other.is_relative_to(one)
