"""The promotion flow: the challenger becomes the champion if it passes the gate, and it is said why or why not."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from ferrule.errors import ParameterError
from ferrule.promotion.candidates import Candidate, find_obstacle, pair_predictions
from ferrule.promotion.comparison import compare
from ferrule.promotion.contest import (
    describe_decision,
    explain_comparison,
    list_metrics,
    tabulate_comparison,
    tabulate_decision,
)
from ferrule.promotion.decision import Decision, Verdict, decide_promotion
from ferrule.promotion.evidence import digest_question, measure, read_candidate
from ferrule.promotion.gate import Evidence, Gate
from ferrule.registry.aliases import (
    CHALLENGER,
    CHAMPION,
    PROMOTION,
    OvertakenError,
    carry_out,
    end_decision,
    find_refusal,
    find_withdrawal,
    note_decision,
    open_decision,
    read_history,
)
from ferrule.registry.ledger import DONE, JUDGING, REFUSED, REPORT, Entry, claim_look, log_evidence, who_am_i
from ferrule.registry.versions import VersionInfo, describe_version, find_version
from ferrule.tracking import digest_test_set
from flows.approval import answer_waiting, wait_for_person
from flows.comparing import comparison_settings, complete_predictions, use_backend
from flows.notifications import notify, report_failure
from pipelines.params import Params, load_params, pick

TOLD = 4  # reasons of a decision that are printed
ROUNDS = 3  # where the champion changes while the challenger is judged, it is judged again beside the new one


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
        more = len(self.reasons) - TOLD
        rest = [f"{more} more reasons stand in MLflow's experiment `promotions`, decision.md."] if more > 1 else []
        return " ".join([verdict, *(self.reasons[:TOLD] if rest else self.reasons), *rest]).strip()


@dataclass(frozen=True)
class Case:
    """A challenger before the gate: what is known of both versions, and once it was gathered, the evidence."""

    challenger: Candidate
    champion: Candidate | None
    evidence: Evidence | None = None

    def decide(self, gate: Gate, verdict: Verdict | None = None) -> Decision:
        """Return what the gate, or in the mode `manual` a person, says."""
        return decide_promotion(self.challenger, self.champion, gate, self.evidence, verdict)

    def report(self, decision: Decision) -> str:
        """Return the decision for a person, as Markdown."""
        parts = [" ".join(decision.reasons), tabulate_decision(decision)]
        if self.evidence and self.champion:
            names = (f"version {self.challenger.version}", f"version {self.champion.version}")
            found = self.evidence.comparison
            parts += [explain_comparison(found, *names), tabulate_comparison(found, *names)]
        return "\n\n".join(parts)


@flow(name="promotion", on_failure=[report_failure], on_crashed=[report_failure])
def promote_challenger(
    root: Path | None = None, approve: bool | None = None, why: str = "", who: str = "somebody"
) -> Promotion:
    """Let the challenger be judged by the section `promotion` of params.yaml, and move `champion` if it passes.

    What was refused over the very same facts is refused with the reason of then, and neither noted nor told again.

    In the mode `manual` a person decides: the run pauses for that, unless `approve`, `why` and `who` tell already.
    Raises RegistryError where there is no challenger, and ParameterError for a verdict in another mode.
    """
    root = (root or Path.cwd()).resolve()
    params = load_params(root)
    use_backend(params)
    verdict = None if approve is None else Verdict(approve, why, who)
    if verdict and params.promotion.mode != "manual":
        raise ParameterError(
            f"Expected promotion.mode: manual for a person's word; it is {params.promotion.mode}, where the numbers "
            "decide; change params.yaml, or leave the word out."
        )
    for last in [False] * (ROUNDS - 1) + [True]:
        try:
            promotion = _promote(root, params, verdict)
            break
        except OvertakenError as error:
            if last:
                raise
            get_run_logger().info(str(error))
    get_run_logger().info(promotion.sentence)
    return promotion


def answer_challenger(root: Path, approve: bool, why: str) -> Promotion:
    """Give a person's word in the mode `manual`: to the run that waits for it, or in a run of its own."""
    verdict = Verdict(approve, why, who_am_i())
    entry = answer_waiting(root, load_params(root).register.model_name, verdict)
    if entry is None:
        return promote_challenger(root, approve, why, verdict.who)
    told = str(verdict) if entry.state in (DONE, REFUSED) else entry.why
    return Promotion(str(entry.after), "promoted" if entry.state == DONE else "refused", (told,))


def _promote(root: Path, params: Params, verdict: Verdict | None) -> Promotion:
    """Judge once; raises OvertakenError where the champion changed meanwhile."""
    name = params.register.model_name
    challenger, champion = describe_version(root, name, CHALLENGER), find_version(root, name, CHAMPION)
    if champion is not None and champion.version == challenger.version:
        return Promotion(challenger.version, "unchanged", (f"Version {challenger.version} is the champion already.",))
    history, pair = read_history(root, name), (challenger.model_md5, champion.model_md5 if champion else None)
    case = read_case(root, challenger, champion, history)
    question = digest_question(pair, case.challenger, case.champion, read_gate(params), comparison_settings(params))
    earlier = None if verdict else find_refusal(history, question)
    if earlier:
        return _refuse_again(challenger.version, earlier)
    before = champion.version if champion else None
    run_id = open_decision(root, name, PROMOTION, before, challenger.version)
    try:
        note_decision(root, run_id, JUDGING, flow_run_id=str(flow_run.id))
        case = gather_evidence(root, params, run_id, case, challenger, champion)
        decision = _conclude(root, params, run_id, case, verdict)
        _record(root, params, run_id, case, decision)
        _act(root, name, run_id, decision, question)
    except BaseException as error:
        end_decision(root, run_id, f"It broke off: {error!r}")
        raise
    return _tell(root, name, case, decision)


def read_case(root: Path, challenger: VersionInfo, champion: VersionInfo | None, history: list[Entry]) -> Case:
    """Return what the store knows of both."""
    withdrawn = find_withdrawal(history, challenger.version, challenger.model_md5)
    one = replace(read_candidate(root, challenger), withdrawn=withdrawn)
    return Case(one, read_candidate(root, champion) if champion else None)


def _refuse_again(version: str, earlier: Entry) -> Promotion:
    since = f"Nothing has changed since it was refused on {earlier.when[:10]} (entry {earlier.number} of the ledger)."
    return Promotion(version, "refused", (since, earlier.why))


def gather_evidence(
    root: Path, params: Params, run_id: str, case: Case, challenger: VersionInfo, champion: VersionInfo | None
) -> Case:
    """Return the case with the evidence: both on test images that are new to both, and how large and fast they are.

    A champion that was not asked about these images is asked now. The comparison is counted before it is made.
    """
    one, other, evidence = case.challenger, case.champion, None
    if champion is None or other is None:
        return replace(case, challenger=measure(root, {"challenger": (challenger, one)})["challenger"])
    if not find_obstacle(one, other):
        assert one.predictions is not None, "find_obstacle refuses it"
        test_md5 = digest_test_set(one.predictions)
        look = claim_look(root, run_id, test_md5, (challenger.model_md5, champion.model_md5))
        other = complete_predictions(root, champion, one, other)
        said = pair_predictions(one, other)
        assert said is not None, "complete_predictions asks the champion about every image"
        evidence = Evidence(compare(said, **comparison_settings(params)), look)
    measured = measure(root, {"challenger": (challenger, one), "champion": (champion, other)})
    return Case(measured["challenger"], measured["champion"], evidence)


@task(task_run_name="move-champion", cache_policy=NO_CACHE, persist_result=False)
def move_champion(root: Path, name: str, run_id: str, why: str) -> None:
    """Let `champion` mean the challenger's version, as the open entry says."""
    carry_out(root, name, run_id, why=why)


def read_gate(params: Params) -> Gate:
    """Return the gate that params.yaml describes."""
    return pick(Gate, params.promotion)


def _conclude(root: Path, params: Params, run_id: str, case: Case, verdict: Verdict | None) -> Decision:
    """Return the decision, a person's where one is asked for; that waits."""
    gate = read_gate(params)
    decision = case.decide(gate, verdict)
    if decision.waits:
        report, hours = case.report(decision), params.promotion.approval_hours
        create_markdown_artifact(key="approval", markdown=report, description="What a person has to decide")
        decision = case.decide(gate, wait_for_person(root, run_id, case.challenger.version, report, hours))
    return decision


def _record(root: Path, params: Params, run_id: str, case: Case, decision: Decision) -> None:
    """Put the numbers and the report into the ledger, and the report before whoever looks at Prefect."""
    gate, report = read_gate(params), case.report(decision)
    content = json.dumps(describe_decision(decision, gate, case.evidence), indent=2)
    metrics = list_metrics(case.challenger, case.champion, gate, case.evidence)
    log_evidence(root, run_id, metrics, {"decision.json": content, REPORT: report})
    create_markdown_artifact(key="promotion", markdown=report, description="The gate's decision")


def _act(root: Path, name: str, run_id: str, decision: Decision, question: str) -> None:
    """Move the alias or leave it, and write down which."""
    why = " ".join(decision.reasons)
    if decision.promote:
        move_champion(root, name, run_id, why)
    else:
        note_decision(root, run_id, REFUSED, why=why, question=question if decision.settled else "")


def _tell(root: Path, name: str, case: Case, decision: Decision) -> Promotion:
    """Tell what came of it, also who listens; the ledger is written by then, since that may take its time."""
    version = case.challenger.version
    promotion = Promotion(version, "promoted" if decision.promote else "refused", decision.reasons)
    facts = {"model": name, "version": version, "champion_before": case.champion and case.champion.version}
    kind = "promotion" if decision.promote else "refusal"
    notify(root, kind, promotion.sentence, facts | {"look": case.evidence and case.evidence.look})
    return promotion
