"""How often the gate promotes what it should not, and misses what it should, by simulation.

    python -m bench.promotion --write docs/promotion.md

Needs no data: a simulated pair is right and wrong on images as two trainings of the recipe `cpu` are. Half a minute.

The images are as many of each class as PrivateTest has, and the recalls those of the model that ships. Whether a model
is right on an image depends on how hard the image is, which both share, and on luck of its own; the two are mixed so
that exactly one of both is right on 12 % of images. Measured on PublicTest, that share is 9 to 13 % for pairs of
networks of one size that differ by a setting, and 17 % for one of `cpu` and one of `quick`.
"""

import itertools
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.stats import multivariate_normal, norm

from bench.tables import show_tables
from ferrule.documents import write_table
from ferrule.holm import holm
from ferrule.metrics import wilson
from ferrule.pretrained import load_pretrained
from ferrule.promotion.comparison import mcnemar, not_inferior
from ferrule.promotion.gate import Gate, spend_alpha
from flows.promotion import read_gate
from pipelines.params import load_params

PAIRS = 2000
LENGTHS = (20, 52)  # of a sequence of challengers
DISCORDANT = 0.12  # share of images on which exactly one of two equal models is right
GAINS = (-0.01, -0.005, 0.0, 0.005, 0.01, 0.02, 0.03)  # of true accuracy
LOOKS = (1, 2, 5, 10, 20)

_GUARDS = 10  # scores that Holm's correction counts: seven recalls, macro F1, log loss, calibration error
_CHUNK = 250  # pairs at a time, so that memory does not grow with their number


@dataclass(frozen=True)
class World:
    """What pairs are drawn from: each image's class, int (n,), each class's recall, how alike two models err."""

    labels: np.ndarray
    recalls: np.ndarray
    likeness: float  # correlation of the two models' latent scores

    @property
    def accuracy(self) -> float:
        """The true accuracy of the champion."""
        return float(self.recalls[self.labels].mean())


@dataclass(frozen=True)
class Counts:
    """What a gate sees of pairs (or of sequences of them): won and lost images, int (…, classes)."""

    won: np.ndarray
    lost: np.ndarray
    rows: int

    @property
    def totals(self) -> tuple[np.ndarray, np.ndarray]:
        """Won and lost images of all classes, int (…)."""
        return self.won.sum(axis=-1), self.lost.sum(axis=-1)

    def first(self, challengers: int) -> "Counts":
        """Return the counts of so many challengers of each sequence."""
        return replace(self, won=self.won[:, :challengers], lost=self.lost[:, :challengers])


def main() -> int:
    """Print the tables, or write them; return the exit status."""
    return show_tables("promotion", "docs/promotion.md", __doc__, simulate_project)


def simulate_project(root: Path) -> str:
    """Return all tables for the gate of the project in `root`."""
    params = load_params(root)
    return simulate(read_gate(params), params.seed)


def simulate(gate: Gate, seed: int, pairs: int = PAIRS) -> str:
    """Return all tables as Markdown."""
    world, rng = build_world(), np.random.default_rng([seed, 6])
    by_gain = {gain: draw_pairs(world, gain, pairs, rng) for gain in GAINS}
    equal, worse = (draw_pairs(world, gain, pairs, rng, max(LENGTHS)) for gain in (0.0, -gate.margin))
    return "\n\n".join(
        [
            f"{pairs:,} pairs for each line, {len(world.labels):,} images, true accuracy of the champion "
            f"{100 * world.accuracy:.1f} %, exactly one of two equal models right on {100 * DISCORDANT:g} % of images. "
            f"Share of pairs in which the first comparison promotes (alpha {gate.alpha:g}, margin "
            f"{100 * gate.margin:g} points), with its 95 % interval; the last column is how often the check of recalls "
            "refuses:",
            tabulate_gains(by_gain, gate),
            f"Challengers one after the other before one champion, on the same images; share of {pairs:,} such "
            "sequences in which any of them is promoted:",
            tabulate_sequences(equal, worse, gate),
            "Share of better challengers that `better` promotes, by the number of the comparison under its model name:",
            tabulate_looks(by_gain, gate),
        ]
    )


def build_world() -> World:
    """Return PrivateTest's classes, with the recalls of the model that ships."""
    classes = load_pretrained().card.scores["test"]["classes"]
    labels = np.repeat(np.arange(len(classes)), [each["rows"] for each in classes.values()])
    recalls = np.array([each["recall"]["value"] for each in classes.values()])
    shares = np.bincount(labels) / len(labels)

    def miss(likeness: float) -> float:
        both = [_both_right(recall, likeness) for recall in recalls]
        return float(shares @ (2 * (recalls - both))) - DISCORDANT

    return World(labels, recalls, brentq(miss, 0.5, 0.999, xtol=1e-4))


def draw_pairs(world: World, gain: float, pairs: int, rng: np.random.Generator, challengers: int = 0) -> Counts:
    """Return the counts of `pairs` pairs, int (pairs, classes); with `challengers`, (pairs, challengers, classes).

    The challengers of one row meet the same champion on the same images. Their true accuracy is higher by `gain`.
    """
    thresholds = norm.ppf(world.recalls)
    raised = thresholds + brentq(lambda shift: _accuracy(world, thresholds + shift) - world.accuracy - gain, -1, 1)
    parts = [
        _draw(world, raised, min(_CHUNK, pairs - start), max(challengers, 1), rng) for start in range(0, pairs, _CHUNK)
    ]
    won, lost = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    return Counts(*((won, lost) if challengers else (won[:, 0], lost[:, 0])), rows=len(world.labels))


def promotes_if_as_good(counts: Counts) -> np.ndarray:
    """Return what a plain `>=` of two accuracies does, bool (…)."""
    won, lost = counts.totals
    return np.greater_equal(won, lost)


def promotes(counts: Counts, mode: str, margin: float, level: np.ndarray | float) -> np.ndarray:
    """Return which pairs the gate's question promotes at `level`, bool (…): the p-values are the gate's own."""
    won, lost = counts.totals
    p_values = mcnemar(won, lost) if mode == "better" else not_inferior(won, lost, counts.rows, margin)
    return np.less_equal(p_values, level)


def refuses_for_recall(counts: Counts, gate: Gate, world: World) -> np.ndarray:
    """Return which pairs the check of recalls refuses, bool (…); the other scores of Holm's family count as passed."""
    p_values = mcnemar(counts.lost, counts.won)
    padding = np.ones((*p_values.shape[:-1], _GUARDS - p_values.shape[-1]))
    adjusted = holm(np.concatenate([p_values, padding], axis=-1))[..., : p_values.shape[-1]]
    loss = (counts.lost - counts.won) / np.bincount(world.labels)
    return np.any((loss > gate.max_recall_loss) & (adjusted <= gate.alpha), axis=-1)


def list_levels(alpha: float, challengers: int) -> dict[str, np.ndarray | float]:
    """Return the level of each comparison of a sequence, or of all of them, by ways to count."""
    return {
        f"at {alpha:g} each": alpha,
        "count begun anew each time": spend_alpha(alpha, 1),
        "as the gate does": np.array([spend_alpha(alpha, look) for look in range(1, challengers + 1)]),
    }


def tabulate_gains(by_gain: dict[float, Counts], gate: Gate) -> str:
    """Return a line a true gain: what each rule promotes."""
    world, level, rows = build_world(), spend_alpha(gate.alpha, 1), []
    for gain, counts in by_gain.items():
        decided = [promotes(counts, mode, gate.margin, level) for mode in ("better", "not_worse")]
        rates = [promotes_if_as_good(counts), *decided, refuses_for_recall(counts, gate, world)]
        rows.append((f"{100 * gain:+.1f} points" if gain else "none: equal models", *map(_rate, rates)))
    return write_table(("true gain", "plain `>=`", "`better`", "`not_worse`", "recalls refuse"), rows)


def tabulate_sequences(equal: Counts, worse: Counts, gate: Gate) -> str:
    """Return how often sequences promote: equal models, and such as are worse by the margin."""
    rows = []
    for length, (name, drawn, mode) in itertools.product(
        LENGTHS, (("equal models", equal, "better"), ("worse by the margin", worse, "not_worse"))
    ):
        counts, levels = drawn.first(length), list_levels(gate.alpha, length).values()
        promoted = [promotes_if_as_good(counts), *(promotes(counts, mode, gate.margin, level) for level in levels)]
        rows.append((f"{length} {name}", f"`{mode}`", *(_rate(np.any(each, axis=1)) for each in promoted)))
    return write_table(("challengers", "mode", "plain `>=`", *list_levels(gate.alpha, 1)), rows)


def tabulate_looks(by_gain: dict[float, Counts], gate: Gate) -> str:
    """Return the power of `better` by look and true gain."""
    rows = []
    for look in LOOKS:
        level = spend_alpha(gate.alpha, look)
        rates = [_rate(promotes(by_gain[gain], "better", gate.margin, level)) for gain in GAINS if gain > 0]
        rows.append((str(look), f"{level:.4f}", *rates))
    return write_table(("comparison", "level", *(f"{100 * gain:+.1f} points" for gain in GAINS if gain > 0)), rows)


def _draw(
    world: World, raised: np.ndarray, pairs: int, challengers: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return won and lost images of each challenger by class, int (pairs, challengers, classes)."""
    n, k, shared = len(world.labels), len(world.recalls), np.float32(np.sqrt(world.likeness))
    own = np.float32(np.sqrt(1 - world.likeness))
    hard = shared * rng.standard_normal((pairs, n), np.float32)

    def ask(thresholds: np.ndarray) -> np.ndarray:
        limits = thresholds[world.labels].astype(np.float32)
        return hard + own * rng.standard_normal((pairs, n), np.float32) < limits

    champion, starts = ask(norm.ppf(world.recalls)), np.flatnonzero(np.diff(world.labels, prepend=-1))
    won, lost = np.empty((2, pairs, challengers, k), np.int64)
    for number in range(challengers):
        challenger = ask(raised)
        won[:, number] = np.add.reduceat(challenger & ~champion, starts, axis=1, dtype=np.int64)
        lost[:, number] = np.add.reduceat(champion & ~challenger, starts, axis=1, dtype=np.int64)
    return won, lost


def _both_right(recall: float, likeness: float) -> float:
    limit = norm.ppf(recall)
    return float(multivariate_normal.cdf([limit, limit], cov=[[1, likeness], [likeness, 1]]))


def _accuracy(world: World, thresholds: np.ndarray) -> float:
    return float(norm.cdf(thresholds)[world.labels].mean())


def _rate(happened: np.ndarray) -> str:
    """Return a share as "2.6 % (2.0-3.4)"."""
    share = wilson(int(happened.sum()), len(happened))
    return f"{100 * share.value:.1f} % ({100 * share.low:.1f}-{100 * share.high:.1f})"


if __name__ == "__main__":
    sys.exit(main())
