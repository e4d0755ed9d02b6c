"""The promotion flow: the challenger becomes the champion if it passes the gate, and it is said why or why not."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from ferrule.errors import RegistryError
from ferrule.promotion import Candidate, Decision, Gate, decide_promotion, find_predictions
from ferrule.registry import (
    CHALLENGER,
    CHAMPION,
    VersionInfo,
    describe_version,
    find_version,
    move_alias,
    read_candidate,
    rescore,
)
from pipelines.params import load_params


@dataclass(frozen=True)
class Promotion:
    """What came of asking: `outcome` is promoted, unchanged (the challenger is the champion already) or refused."""

    version: str
    outcome: str
    reasons: tuple[str, ...]

    @property
    def refused(self) -> bool:
        """Whether the gate kept the challenger out."""
        return self.outcome == "refused"

    @property
    def sentence(self) -> str:
        """The outcome and its reasons, for a person."""
        verdict = {
            "promoted": f"Version {self.version} is the champion now.",
            "refused": f"Version {self.version} was not promoted.",
            "unchanged": "",
        }[self.outcome]
        return " ".join([verdict, *self.reasons]).strip()


@flow(name="promotion")
def promote_challenger(root: Path | None = None) -> Promotion:
    """Let the challenger be judged by the section `promotion` of params.yaml, and move `champion` if it passes.

    Raises RegistryError where there is no challenger.
    """
    root = (root or Path.cwd()).resolve()
    params = load_params(root)
    name, gate = params.register.model_name, Gate(**asdict(params.promotion))
    challenger, champion = describe_version(root, name, CHALLENGER), find_version(root, name, CHAMPION)
    decision = judge(root, challenger, champion, gate)
    if decision.promote:
        move_champion(root, challenger)
    promotion = Promotion(challenger.version, _outcome(decision, challenger, champion), decision.reasons)
    get_run_logger().info(promotion.sentence)
    create_markdown_artifact(key="promotion", markdown=promotion.sentence, description="The gate's decision")
    return promotion


@task(task_run_name="judge", cache_policy=NO_CACHE, persist_result=False)
def judge(root: Path, challenger: VersionInfo, champion: VersionInfo | None, gate: Gate) -> Decision:
    """Compare the two on the challenger's test images; a champion that never saw them is asked now (a counted look)."""
    one = read_candidate(root, challenger)
    other = read_candidate(root, champion) if champion else None
    if champion and other and champion.version != challenger.version and _lacks_predictions(one, other):
        get_run_logger().info(f"Version {champion.version} has not seen these test images: it predicts them now.")
        assert one.predictions is not None
        test = one.predictions[one.predictions["split"] == "test"].reset_index(drop=True)
        other = rescore(root, champion, test, _read_images(root, challenger, test["sample_id"].to_numpy()))
    return decide_promotion(one, other, gate)


@task(task_run_name="move-champion", cache_policy=NO_CACHE, persist_result=False, retries=2, retry_delay_seconds=2)
def move_champion(root: Path, challenger: VersionInfo) -> None:
    """Let `champion` mean the challenger's version."""
    move_alias(root, challenger.name, CHAMPION, challenger.version)


def _outcome(decision: Decision, challenger: VersionInfo, champion: VersionInfo | None) -> str:
    if decision.promote:
        return "promoted"
    return "unchanged" if champion and champion.version == challenger.version else "refused"


def _lacks_predictions(challenger: Candidate, champion: Candidate) -> bool:
    if challenger.predictions is None or set(challenger.recalls) != set(champion.recalls):
        return False  # decide_promotion refuses these; there is nothing to predict
    test = challenger.predictions[challenger.predictions["split"] == "test"]
    return bool(find_predictions(test, champion).isna().any())


def _read_images(root: Path, challenger: VersionInfo, sample_ids: np.ndarray) -> np.ndarray:
    """Return the challenger's images, uint8 (n, 48, 48), from the artifacts, which must be those it was made from."""
    registered = root / "artifacts" / "register" / "version.json"
    if not registered.is_file() or json.loads(registered.read_text())["model_md5"] != challenger.model_md5:
        raise RegistryError(
            f"Expected the artifacts that version {challenger.version} was made from, to compare it with the champion; "
            "others are in artifacts/; run `ferrule run` first."
        )
    from ferrule.samples import load_samples

    samples = load_samples(root / "artifacts" / "augment")
    return samples.images[np.searchsorted(samples.table["sample_id"], sample_ids)]
