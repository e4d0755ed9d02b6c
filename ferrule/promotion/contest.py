"""What a decision or a comparison of two versions looks like: tables for a person, numbers for the ledger."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from ferrule.documents import write_table
from ferrule.metrics import confusion_matrix, score
from ferrule.promotion.candidates import Candidate
from ferrule.promotion.comparison import Comparison, Difference, Said
from ferrule.promotion.decision import Decision
from ferrule.promotion.gate import Evidence, Gate, spend_alpha

SCORES = {"accuracy": "accuracy", "macro_f1": "macro F1", "log_loss": "log loss", "ece": "calibration error"}
HEAD = ("", "images", "difference", "95 % interval", "chance of such a loss")


def tabulate_decision(decision: Decision) -> str:
    """Return the checks of the gate as a Markdown table."""
    rows = [("passed" if check.passed else "**refused**", check.name, check.sentence) for check in decision.checks]
    return write_table(("", "check", "what was found"), rows)


def tabulate_comparison(found: Comparison, one: str, other: str) -> str:
    """Return the scores of both as a Markdown table; the difference is the score of `one` less that of `other`."""
    named = {SCORES[name]: each for name, each in found.scores.items()}
    named |= {f"recall of {name}": each for name, each in found.recalls.items()}
    head = (HEAD[0], one, other, *HEAD[1:])
    return write_table(head, [_compare_row(name, each) for name, each in named.items()])


def explain_comparison(found: Comparison, one: str, other: str) -> str:
    """Return what the table is of, and how to read it."""
    return (
        f"On the same {found.images:,} test images, new to both: {one} is right on {found.won:,} that {other} gets "
        f"wrong, and wrong on {found.lost:,} that {other} gets right. The last column is the chance of {one} "
        f"losing so much where both are as good, adjusted (Holm) for all scores of the table but accuracy."
    )


def tabulate_scores(said: Said, one: str, other: str, *, draws: int, bins: int, seed: int) -> str:
    """Return the scores of each by itself, with their 95 % intervals, as a Markdown table."""
    shares = (said.challenger_probabilities, said.champion_probabilities)
    both = [score(said.labels, each, said.classes, bootstrap=draws, bins=bins, seed=seed) for each in shares]
    names = [name for name, value in both[0].items() if isinstance(value, dict) and "value" in value]
    cells = "{value:.4f} ({low:.4f} to {high:.4f})"
    rows = [
        (SCORES.get(name, name.replace("_", " ")), *(cells.format(**each[name]) for each in both)) for name in names
    ]
    return write_table(("95 % intervals", one, other), rows)


def tabulate_confusion(said: Said) -> str:
    """Return how often the first says a class more often than the second, label by label, as a Markdown table."""
    k = len(said.classes)
    matrix = confusion_matrix(said.labels, said.challenger, k) - confusion_matrix(said.labels, said.champion, k)
    rows = [
        (name, *(f"{count:+d}" if count else "0" for count in matrix[row])) for row, name in enumerate(said.classes)
    ]
    return write_table(("label", *said.classes), rows)


def list_disagreements(images: pd.DataFrame, said: Said, one: str, other: str) -> pd.DataFrame:
    """Return the images of which the two say different classes: sample_id, label, what each says, and who is right."""
    classes, differ = np.array(said.classes), said.challenger != said.champion
    table = images.loc[differ, ["sample_id", "label"]].reset_index(drop=True)
    table[one], table[other] = classes[said.challenger[differ]], classes[said.champion[differ]]
    right = [table[name] == table["label"] for name in (one, other)]
    return table.assign(right=np.select(right, [one, other], "neither"))


def list_metrics(
    challenger: Candidate, champion: Candidate | None, gate: Gate, evidence: Evidence | None
) -> dict[str, float]:
    """Return the numbers of a decision as metrics of its entry in the ledger."""
    metrics = {"challenger_accuracy": challenger.accuracy, "challenger_lowest_recall": min(challenger.recalls.values())}
    for who, candidate in (("challenger", challenger), ("champion", champion)):
        if candidate and candidate.speed:
            metrics |= {f"{who}_ms_single": candidate.speed.single, f"{who}_ms_batch": candidate.speed.batch}
        if candidate and candidate.size:
            metrics[f"{who}_megabytes"] = candidate.size / 1e6
    return metrics | (_list_evidence(gate, evidence) if evidence else {})


def _list_evidence(gate: Gate, evidence: Evidence) -> dict[str, float]:
    found = evidence.comparison
    differences = found.scores | {f"recall_{name}": each for name, each in found.recalls.items()}
    gains = {
        f"{name}_{part}": value
        for name, each in differences.items()
        for part, value in (("gain", each.gain), ("gain_low", each.low), ("gain_high", each.high))
    }
    return gains | {
        "images": found.images,
        "won": found.won,
        "lost": found.lost,
        "p_better": found.p_better,
        "p_not_worse": found.p_not_worse(gate.margin),
        "look": evidence.look,
        "level": spend_alpha(gate.alpha, evidence.look),
    }


def describe_decision(decision: Decision, gate: Gate, evidence: Evidence | None) -> dict[str, Any]:
    """Return all of a decision, for JSON."""
    return {
        "promote": decision.promote,
        "waits": decision.waits,
        "reasons": list(decision.reasons),
        "checks": [asdict(check) for check in decision.checks],
        "gate": asdict(gate),
        "look": evidence and evidence.look,
        "comparison": evidence and asdict(evidence.comparison),
    }


def _compare_row(name: str, each: Difference) -> tuple[str, ...]:
    interval = f"{each.low:+.4f} to {each.high:+.4f}"
    chance = "" if name == "accuracy" else f"{each.p_worse:.4f}"
    return (
        name,
        f"{each.challenger:.4f}",
        f"{each.champion:.4f}",
        f"{each.rows:,}",
        f"{each.gain:+.4f}",
        interval,
        chance,
    )
