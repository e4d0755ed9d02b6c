"""The data and what was made from it: data.dvc, data/, DVC's cache, the stages, and what git does not hold yet."""

import subprocess
from pathlib import Path

import yaml

from ferrule.errors import FerruleError
from flows.checks import Finding
from flows.checks.settings import check_dag, read_dvc_config, read_params
from flows.dag import read_dag
from flows.data import DATA, FORMER, POINTER, SAMPLE_MD5
from flows.project import BUSY
from flows.status import ask_dvc, derive_states
from pipelines.pins import read_data_md5

RECORDS = ("dvc.lock", "data.dvc", "dvc.yaml", "params.yaml")  # what git must hold for a model to be made again


def check_data(root: Path) -> list[Finding]:
    """See that there is data, or that it can be had."""
    try:
        md5 = read_data_md5(root)
    except FerruleError as error:
        return [Finding("error", str(error), f"git checkout {POINTER}")]
    if (root / FORMER).is_dir() and not (root / DATA).exists():
        sentence = f"A change of the data was interrupted: {DATA}/ is gone, and what was in it is in {FORMER}/."
        return [Finding("error", sentence, f"mv {FORMER} {DATA}")]
    if md5 is None:
        remedy = f"dvc add {DATA}" if (root / DATA).is_dir() else "ferrule data sample"
        return [Finding("error", f"There is no {POINTER}, so no data is known.", remedy)]
    if is_cached(root, md5) or md5 == SAMPLE_MD5:
        return []  # `ferrule run` restores it, or draws it
    if (root / DATA).is_dir():
        sentence = f"DVC's cache does not hold what {POINTER} pins: {DATA}/ is its only copy here."
        return [Finding("warning", sentence, f"dvc add {DATA}")]
    if any(section.strip("'").startswith("remote ") for section in read_dvc_config(root)):
        return [Finding("warning", f"What {POINTER} pins is not on this machine; a remote may have it.", "dvc pull")]
    sentence = f"What {POINTER} pins ({md5}) is neither in {DATA}/ nor in DVC's cache, and there is no remote."
    return [Finding("error", sentence, "ferrule data use PATH")]


def check_stages(root: Path) -> list[Finding]:
    """Ask DVC which stages are not what dvc.yaml, params.yaml, the code and the data would give now."""
    if finding := _cannot_ask(root):
        return [finding]
    try:
        dag, changed = read_dag(root), ask_dvc(root)
    except FerruleError as error:
        if BUSY in str(error):
            return [Finding("note", "DVC is at work, so that the stages were not examined.", "ferrule status")]
        reason = str(error).splitlines()[-1].removeprefix("ERROR: ")
        return [Finding("error", f"DVC cannot tell the state of the stages: {reason}", "dvc status")]
    findings, states = [], derive_states(root, dag, changed)
    if POINTER in changed and (root / DATA).is_dir() and is_cached(root, read_data_md5(root) or ""):
        sentence = f"{DATA}/ is not what {POINTER} pins, so that nothing runs."
        remedy = f"dvc add {DATA}   # or, to drop what is there: dvc checkout --force {POINTER}"
        findings.append(Finding("error", sentence, remedy))
    stale = {state: [s for s in states if states[s] == state] for state in ("missing", "changed", "behind")}
    told = "; ".join(f"{state}: {', '.join(stages)}" for state, stages in stale.items() if stages)
    if told:
        findings.append(Finding("warning", f"What the stages made is not up to date ({told}).", "ferrule run"))
    return findings


def check_commits(root: Path) -> list[Finding]:
    """See that git holds what a model was made by; without git there is nothing to see."""
    if not (root / ".git").exists():
        return []
    command = ["git", "-C", str(root), "--no-optional-locks", "status", "--porcelain", "--", *RECORDS]
    try:
        changed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return [Finding("note", "git could not be asked what is committed.", "git status")]
    names = [line[3:] for line in changed]
    if not names:
        return []
    files = " ".join(names)
    sentence = f"git does not hold the present {', '.join(names)}: what was made by them cannot be made again from it."
    return [Finding("warning", sentence, f"git add {files} && git commit --message 'Pin the run' {files}")]


def is_cached(root: Path, md5: str) -> bool:
    """Tell whether DVC's cache holds the object, by the place it has there."""
    configured = read_dvc_config(root).get("cache", {}).get("dir", "cache")
    return (root / ".dvc" / configured / "files" / "md5" / md5[:2] / md5[2:]).is_file()


def _cannot_ask(root: Path) -> Finding | None:
    """Return why DVC is not asked, or None where it can be."""
    if not (root / ".dvc").is_dir():
        return Finding("error", "There is no .dvc/, so that DVC cannot work.", "git checkout .dvc")
    try:
        yaml.safe_load((root / "dvc.lock").read_text()) if (root / "dvc.lock").is_file() else None
    except (yaml.YAMLError, UnicodeDecodeError):
        return Finding("error", "dvc.lock is no YAML (a conflict of a merge, perhaps).", "git checkout dvc.lock")
    if read_params(root) is None or check_dag(root):
        return Finding(
            "note", "The stages were not examined, since params.yaml or dvc.yaml is broken.", "ferrule doctor"
        )
    if not (root / "artifacts").is_dir():
        return Finding("note", "No stage has run here yet.", "ferrule run")
    if not (root / ".git").exists() and read_dvc_config(root).get("core", {}).get("no_scm") != "true":
        # Without git every other command sets core.no_scm; this one changes nothing.
        return Finding(
            "note", "DVC does not know yet that there is no git, so that it was not asked.", "ferrule status"
        )
    return None
