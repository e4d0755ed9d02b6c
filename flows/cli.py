"""What the workflow adds to the command `ferrule` (the entry point `ferrule.commands` of pyproject.toml)."""

from flows.commands.data import data
from flows.commands.doctor import doctor
from flows.commands.evaluating import evaluate, reproduce
from flows.commands.monitoring import monitor
from flows.commands.registry import registry, rollback
from flows.commands.reporting import report
from flows.commands.running import promote_command, results, run, status
from flows.commands.scoring import labels, score
from flows.commands.servers import deploy, ui, up

commands = (
    data,
    run,
    promote_command,
    status,
    results,
    report,
    registry,
    rollback,
    evaluate,
    reproduce,
    score,
    labels,
    monitor,
    up,
    ui,
    deploy,
    doctor,
)
