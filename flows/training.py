"""The training flow: every stage of dvc.yaml as a Prefect task, side by side where the DAG allows."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.futures import PrefectFuture, wait
from prefect.logging import get_run_logger
from prefect.states import State
from prefect.task_runners import ThreadPoolTaskRunner

from ferrule.errors import WorkflowError
from flows.dag import Dag, read_dag
from flows.data import ensure_data
from flows.notifications import report_failure
from flows.project import run_dvc, stopping_together
from flows.standing import FOLDER
from flows.status import read_summary, registry_holds_last
from flows.tasks import StageRun, run_stage
from pipelines.params import choose_recipe

STAGES_AT_ONCE = 4  # the widest part of the DAG


@flow(
    name="training",
    task_runner=ThreadPoolTaskRunner(max_workers=STAGES_AT_ONCE),  # type: ignore[arg-type]
    on_failure=[report_failure],
    on_crashed=[report_failure],
)
def train_challenger(root: Path | None = None, recipe: str | None = None) -> list[StageRun]:
    """Bring every stage up to date and return what became of each, in DAG order; `recipe` is chosen first, if given.

    Raises WorkflowError that names the first failed stage and shows its last lines; stages that do not depend on it
    still finish.
    """
    root = (root or Path.cwd()).resolve()
    logger = get_run_logger()
    with taking_turns(root):
        if recipe:
            logger.info(choose_recipe(root, recipe))
        logger.info(ensure_data(root))
        forget_lost_version(root)
        dag = read_dag(root)
        if is_current(root):
            logger.info("Every stage is up to date: nothing to run.")
            runs = [StageRun(stage, "unchanged", 0.0) for stage in dag.stages]
        else:
            with stopping_together():
                runs = _collect(_submit(dag, root))
        _publish(root, runs)
    return runs


@contextmanager
def taking_turns(root: Path) -> Iterator[None]:
    """Wait until no other training of this project is under way (one by hand, say): DVC would call its files busy."""
    (root / FOLDER).mkdir(exist_ok=True)
    lock = FileLock(root / FOLDER / "training.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        get_run_logger().info("Another training of this project is under way: waiting until it is done.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_current(root: Path) -> bool:
    """Ask DVC whether no stage has anything to do; one question instead of one a stage."""
    return run_dvc(root, "--wait-for-lock", "status", "--json").strip().endswith("{}")


def forget_lost_version(root: Path) -> None:
    """Remove register's output where the registry does not hold it (mlruns/ was emptied, say), so that it runs."""
    folder = root / "artifacts" / "register"
    if folder.exists() and not registry_holds_last(root):
        get_run_logger().info("The registry does not hold the last model as challenger: it is registered again.")
        shutil.rmtree(folder)


def _submit(dag: Dag, root: Path) -> dict[str, PrefectFuture[StageRun]]:
    futures: dict[str, PrefectFuture[StageRun]] = {}
    for stage, upstream in dag.upstream.items():
        needed = [futures[parent] for parent in upstream]
        task = run_stage.with_options(name=stage)
        futures[stage] = task.submit(return_state=False, wait_for=needed, stage=stage, root=root)
    return futures


def _collect(futures: dict[str, PrefectFuture[StageRun]]) -> list[StageRun]:
    wait(list(futures.values()))
    states: dict[str, State] = {stage: future.state for stage, future in futures.items()}
    failed = [stage for stage, state in states.items() if state.is_failed() or state.is_crashed()]
    if failed:
        try:
            futures[failed[0]].result()
        except WorkflowError:
            raise
        except Exception as error:
            raise WorkflowError(f"Stage {failed[0]} failed: {error!r}; see its log above.") from error
    stopped = [stage for stage, state in states.items() if not state.is_completed()]
    if stopped:
        raise WorkflowError(f"Expected every stage to complete; {', '.join(stopped)} did not; run `ferrule run` again.")
    return [future.result() for future in futures.values()]


def _publish(root: Path, runs: list[StageRun]) -> None:
    """Show the results in Prefect's UI: a table of the stages, and the summary with where to look."""
    create_table_artifact(
        key="stages",
        table=[{"stage": run.stage, "outcome": run.outcome, "seconds": round(run.seconds, 1)} for run in runs],
        description="What became of each stage",
    )
    rows = "\n".join(f"| {name} | {value} |" for name, value in read_summary(root).rows())
    create_markdown_artifact(key="result", markdown=f"| | |\n|---|---|\n{rows}\n", description="The run's result")
