"""The promotion flow: the challenger becomes the champion if it passes the gate, and it is said why or why not."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from ferrule.errors import RegistryError
from ferrule.promotion import (
    Candidate,
    Decision,
    Gate,
    decide_promotion,
    find_obstacle,
    find_predictions,
    select_new_images,
)
from ferrule.registry import (
    CHALLENGER,
    CHAMPION,
    VersionInfo,
    describe_version,
    find_version,
    move_alias,
    read_candidate,
    read_rescored,
    rescore,
)
from ferrule.tracking import digest_test_set
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
    """Compare the two on test images that are new to both; a champion that was not asked about them is asked now."""
    one = read_candidate(root, challenger)
    if champion is None:
        return decide_promotion(one, None, gate)
    other = read_candidate(root, champion)
    if champion.version != challenger.version and not find_obstacle(one, other):
        other = _complete_predictions(root, challenger, champion, one, other)
    return decide_promotion(one, other, gate)


@task(task_run_name="move-champion", cache_policy=NO_CACHE, persist_result=False, retries=2, retry_delay_seconds=2)
def move_champion(root: Path, challenger: VersionInfo) -> None:
    """Let `champion` mean the challenger's version."""
    move_alias(root, challenger.name, CHAMPION, challenger.version)


def _outcome(decision: Decision, challenger: VersionInfo, champion: VersionInfo | None) -> str:
    if decision.promote:
        return "promoted"
    return "unchanged" if champion and champion.version == challenger.version else "refused"


def _complete_predictions(
    root: Path, challenger: VersionInfo, champion: VersionInfo, one: Candidate, other: Candidate
) -> Candidate:
    """Return the champion with predictions on the images it is compared on: its own, those kept, or a counted look."""
    images = select_new_images(one, other)
    if not find_predictions(images, other).isna().any():
        return other
    assert one.predictions is not None
    test_md5 = digest_test_set(one.predictions)
    other = replace(other, predictions=read_rescored(root, champion, test_md5=test_md5))
    if find_predictions(images, other).isna().any():
        get_run_logger().info(
            f"Version {champion.version} was not asked about these test images: it predicts them now."
        )
        pixels = _read_images(root, challenger, images["sample_id"].to_numpy())
        other = replace(other, predictions=rescore(root, champion, images, pixels, test_md5=test_md5))
    return other


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
