"""What the workflow adds to the command `ferrule` (the entry point `ferrule.commands` of pyproject.toml)."""

from flows.commands.data import data
from flows.commands.registry import registry
from flows.commands.running import promote_command, results, run, status
from flows.commands.servers import ui

commands = (data, run, promote_command, status, results, registry, ui)
