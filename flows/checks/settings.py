"""What is set: params.yaml, dvc.yaml, the backend, telemetry, the webhook, and who may read the secrets."""

import os
import stat
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from configobj import ConfigObj, ConfigObjError

from ferrule.errors import FerruleError
from flows.checks import Finding
from flows.dag import read_dag
from flows.notifications import KINDS, KINDS_VARIABLE, URL_VARIABLE, wanted_kinds
from pipelines.params import load_params
from pipelines.sections import Params

# What must be false for nothing to be sent, and the variables that, set to these values, would override it.
_SILENT = (("server", "analytics_enabled"), ("cloud", "enable_orchestration_telemetry"))
_LOUD = {"MLFLOW_DISABLE_TELEMETRY": ("false", "0"), "PREFECT_SERVER_ANALYTICS_ENABLED": ("true", "1")}

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SECRET_KEYS = ("password", "secret_access_key", "session_token", "connection_string", "account_key", "sas_token")


def read_params(root: Path) -> Params | None:
    """Return the parameters, or None where params.yaml is broken, which `check_params` says."""
    try:
        return load_params(root)
    except FerruleError:
        return None


def check_params(root: Path) -> list[Finding]:
    """See that params.yaml holds every value, of its type and in its range."""
    try:
        load_params(root)
    except FerruleError as error:
        return [Finding("error", str(error), "git diff params.yaml")]
    return []


def check_dag(root: Path) -> list[Finding]:
    """See that dvc.yaml defines stages that can be ordered."""
    try:
        read_dag(root)
    except FerruleError as error:
        return [Finding("error", str(error), "git diff dvc.yaml")]
    return []


def check_backend(root: Path) -> list[Finding]:
    """See that the backend of params.yaml is installed, and that KERAS_BACKEND says no other."""
    params, variable = read_params(root), os.environ.get("KERAS_BACKEND")
    if params is None:
        return []
    backend, findings = params.train.backend, []
    if variable and variable != backend:
        sentence = (
            f"Expected Keras on train.backend, {backend}; KERAS_BACKEND says {variable}, and no stage will train."
        )
        findings.append(Finding("error", sentence, "unset KERAS_BACKEND"))
    if find_spec(backend) is None:
        sentence = f"Expected {backend}, which train.backend names; it is not installed."
        findings.append(Finding("error", sentence, f"pip install --editable '.[workflow,{backend}]'"))
    return findings


def check_telemetry(root: Path) -> list[Finding]:
    """See that no tool's telemetry was turned on again."""
    findings = []
    for name, values in _LOUD.items():
        if os.environ.get(name, "").lower() in values:
            findings.append(Finding("warning", f"{name}={os.environ[name]} turns telemetry on.", f"unset {name}"))
    prefect = _read_toml(root / "prefect.toml")
    if any(prefect.get(section, {}).get(key, True) is not False for section, key in _SILENT):
        sentence = "prefect.toml does not turn Prefect's telemetry off, or is missing or broken."
        findings.append(Finding("warning", sentence, "git checkout prefect.toml"))
    if read_dvc_config(root).get("core", {}).get("analytics", "true").lower() != "false":
        findings.append(
            Finding("warning", "DVC's analytics are on for commands by hand.", "dvc config core.analytics false")
        )
    return findings


def check_webhook(root: Path) -> list[Finding]:
    """See that the webhook has an address, and is asked for kinds of messages that exist; nothing is sent."""
    address, findings = os.environ.get(URL_VARIABLE, ""), []
    if unknown := [kind for kind in wanted_kinds() if kind not in KINDS]:
        sentence = f"Expected kinds among {', '.join(KINDS)} in {KINDS_VARIABLE}; got {', '.join(unknown)}."
        findings.append(Finding("warning", sentence, f"export {KINDS_VARIABLE}={','.join(KINDS)}"))
    if address and not _is_address(address):
        sentence = (
            f"Expected the address of a webhook in {URL_VARIABLE}, https://…; it is none, and no message arrives."
        )
        findings.append(Finding("error", sentence, f"export {URL_VARIABLE}=https://…"))
    elif address and urlsplit(address).scheme == "http" and urlsplit(address).hostname not in _LOOPBACK:
        sentence = f"{URL_VARIABLE} is http://, so that its token can be read on the way."
        findings.append(Finding("warning", sentence, f"export {URL_VARIABLE}=https://…"))
    return findings


def check_secrets(root: Path) -> list[Finding]:
    """See that files with credentials are for their owner alone, and that none are in a file that git keeps."""
    findings = []
    if found := _secrets(root / ".dvc" / "config"):
        sentence = (
            f".dvc/config, which git keeps, holds {', '.join(found)}: change the secret, and keep it in config.local."
        )
        findings.append(Finding("error", sentence, "dvc config --local --help"))
    local = root / ".dvc" / "config.local"
    private = [local] if _secrets(local) else []
    private += [path for path in (root / ".env", Path.home() / ".kaggle" / "kaggle.json") if path.is_file()]
    for path in private:
        if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            sentence = f"{path} holds credentials and can be read by others on this machine."
            findings.append(Finding("warning", sentence, f"chmod 600 {path}"))
    return findings


def read_dvc_config(root: Path) -> dict[str, Any]:
    """Return DVC's settings of the project, the local ones over the shared; what is broken is left out."""
    merged: dict[str, Any] = {}
    for name in ("config", "config.local"):
        for section, values in _read_config(root / ".dvc" / name).items():
            merged[section] = merged.get(section, {}) | dict(values)
    return merged


def _is_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in address
    except ValueError:
        return False


def _secrets(path: Path) -> list[str]:
    return [key for section in _read_config(path).values() for key in section if key in _SECRET_KEYS]


def _read_config(path: Path) -> dict[str, Any]:
    try:
        content = ConfigObj(str(path)) if path.is_file() else {}
    except (ConfigObjError, UnicodeDecodeError):
        return {}
    return {section: values for section, values in content.items() if isinstance(values, dict)}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text()) if path.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return {}
