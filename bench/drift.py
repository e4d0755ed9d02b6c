"""How often drift is raised where there is none, and where there is some, on FER-2013 and the model that ships.

    python -m bench.drift --write docs/monitoring.md

Needs the stage ingest on FER-2013. The model was not trained on PublicTest; half of it is the reference, windows come
from the other half. No image of PrivateTest is looked at. Some minutes on two cores.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bench.corruptions import CORRUPTIONS, FOREIGN, film
from bench.data import select_usage
from bench.scorer import Score, find_basis, open_scorer, shorten
from bench.tables import show_tables
from ferrule.documents import write_table
from ferrule.metrics import wilson
from ferrule.monitoring.check import Result, judge
from ferrule.monitoring.drift_tests import Finding, Limits, compare_images, compare_values, stack_embeddings
from ferrule.samples import Samples, load_samples
from ferrule.scoring.columns import APPEARANCE, measure_appearance
from pipelines.params import load_params, pick
from pipelines.sections import Monitoring

SIZES = (100, 300, 1000)  # images in a window
RESAMPLES = 200  # windows without drift
DRAWS = 25  # windows with drift, of each kind, severity and size
MONTHS, DAYS, A_DAY = 100, 30, 100  # months without drift, looks in each, images scored between two looks
QUIET = ("windows without drift", "images", "a test significant", "alarm")
CAUGHT = ("change", "severity", "accuracy", *(f"{size:,} images" for size in SIZES), "seen most by")
SHIFTS = {"10 %": 0.1, "20 %": 0.2, "50 %": 0.5}  # of the window that is replaced

_FOREIGN, _FACES, _FRAMES = 600, 300, 10
_SEED = 2013

Line = tuple[str, ...]  # of a table


def main() -> int:
    """Print the tables, or write them; return the exit status."""
    return show_tables("drift", "docs/monitoring.md", __doc__, measure_project)


def measure_project(root: Path) -> str:
    """Return both tables for the project in `root`."""
    return measure(load_samples(root / "artifacts" / "ingest"), load_params(Path()).monitoring)


def measure(samples: Samples, settings: Monitoring) -> str:
    """Return both tables, Markdown: false alarms, and what is caught."""
    limits = pick(Limits, settings)
    daily = settings.false_alarm_rate / settings.period_days
    public, training = (select_usage(samples, usage) for usage in ("PublicTest", "Training"))
    full, rngs = open_scorer(), [np.random.default_rng([_SEED, part]) for part in range(4)]
    known = full(public.images).assign(label=public.table["label"].to_numpy())
    basis = find_basis(stack_embeddings(known))
    score, known = shorten(full, basis), known.assign(embedding=list(stack_embeddings(known) @ basis))
    half = rngs[0].permutation(len(public)) < len(public) // 2
    quiet = measure_quiet(known, training.images, limits, settings, rngs[1])
    quiet += measure_film(public.images, half, score, limits, rngs[2])
    caught = measure_caught(known, public.images, half, score, limits, daily, rngs[3])
    return f"{write_table(QUIET, quiet)}\n\n{write_table(CAUGHT, caught)}"


def measure_quiet(
    known: pd.DataFrame, training: np.ndarray, limits: Limits, settings: Monitoring, rng: np.random.Generator
) -> list[Line]:
    """Return the lines on false alarms: single looks at level 0.05, image statistics of Training, months of looks."""
    lines = []
    for size in SIZES:
        looks = [judge(compare_images(*_split(known, size, rng), limits, seed=n), 0.05) for n in range(RESAMPLES)]
        lines.append(_quiet_line("PublicTest against its other half, level 0.05", size, looks))
    facts = measure_appearance(training)
    for size in SIZES:
        windows = (facts.iloc[rng.choice(len(facts), size, replace=False)] for _ in range(RESAMPLES))
        looks = [judge(_compare_quality(known, window, limits), 0.05) for window in windows]
        lines.append(_quiet_line("Training against PublicTest, image statistics, level 0.05", size, looks))
    daily = settings.false_alarm_rate / settings.period_days
    months = [_watch_month(known, settings.window_images, daily, limits, rng) for _ in range(MONTHS)]
    lines.append(_quiet_line(f"a month of {DAYS} daily looks, {A_DAY} new images each", settings.window_images, months))
    return lines


def measure_film(
    images: np.ndarray, half: np.ndarray, score: Score, limits: Limits, rng: np.random.Generator
) -> list[Line]:
    """Return the line of windows in which each face stands ten times; the reference has one frame of each."""
    people = rng.choice(np.flatnonzero(~half), _FACES, replace=False)
    reference, frames = score(film(images[half], 1, rng)), score(film(images[people], _FRAMES, rng))
    looks = []
    for number in range(RESAMPLES):
        chosen = rng.choice(_FACES, 50, replace=False)
        rows = (chosen[:, np.newaxis] * _FRAMES + np.arange(_FRAMES)).ravel()
        looks.append(judge(compare_images(reference, frames.iloc[rows], limits, seed=number), 0.05))
    return [_quiet_line(f"50 faces, {_FRAMES} frames of each, level 0.05", 50 * _FRAMES, looks)]


def measure_caught(
    known: pd.DataFrame,
    images: np.ndarray,
    half: np.ndarray,
    score: Score,
    limits: Limits,
    alpha: float,
    rng: np.random.Generator,
) -> list[Line]:
    """Return the lines on detection rates, one a kind and severity, at the level `alpha`."""
    lines = []
    for kind, severity, pool, accuracy, draw in _list_changes(known, images, half, score, rng):
        cells, seen = [], Counter[str]()
        for size in SIZES:
            windows = (pool.iloc[draw(size)] for _ in range(DRAWS))
            looks = [
                judge(compare_images(known[half], window, limits, seed=n), alpha) for n, window in enumerate(windows)
            ]
            cells.append(f"{np.mean([_alarms(look) for look in looks]):.0%}")
            seen.update(result.name for look in looks for result in look if result.drifted)
        best = ", ".join(name for name, _ in seen.most_common(2)) or "none"
        lines.append((kind, severity, accuracy, *cells, best))
    return lines


Change = tuple[str, str, pd.DataFrame, str, Callable[[int], np.ndarray]]


def _list_changes(
    known: pd.DataFrame,
    images: np.ndarray,
    half: np.ndarray,
    score: Score,
    rng: np.random.Generator,
) -> Iterator[Change]:
    """Yield kind, severity, the scored images to draw from, the accuracy on these, and what draws rows for a window."""
    clean, rows = known[~half].reset_index(drop=True), np.flatnonzero(~half)
    for kind, (change, severities) in CORRUPTIONS.items():
        for severity, amount in severities.items():
            scored = score(change(images[rows], amount))
            accuracy = f"{(scored['predicted'].to_numpy() == clean['label'].to_numpy()).mean():.1%}"
            yield kind, severity, scored, accuracy, _mixing(1.0, clean.iloc[:0], scored, rng)
    happy = clean[clean["label"] == "happy"]
    pools = {"more happy faces": happy}
    pools |= {f"{kind} among them": score(draw(_FOREIGN, rng)) for kind, draw in FOREIGN.items()}
    for kind, pool in pools.items():
        for severity, share in SHIFTS.items():
            accuracy = f"{(pool['predicted'] == 'happy').mean():.1%} of them" if kind == "more happy faces" else ""
            yield (
                kind,
                severity,
                pd.concat([clean, pool], ignore_index=True),
                accuracy,
                _mixing(share, clean, pool, rng),
            )


def _mixing(
    share: float, clean: pd.DataFrame, pool: pd.DataFrame, rng: np.random.Generator
) -> Callable[[int], np.ndarray]:
    """Return what draws positions in `clean` and then `pool`, of the latter the `share`."""

    def draw(size: int) -> np.ndarray:
        added = round(share * size)
        ours = rng.choice(len(clean), size - added, replace=False)
        return np.concatenate([ours, len(clean) + rng.choice(len(pool), added, replace=added > len(pool))])

    return draw


def _watch_month(
    known: pd.DataFrame, window: int, alpha: float, limits: Limits, rng: np.random.Generator
) -> tuple[Result, ...]:
    """Return the results of all looks of a month at images drawn from one half, each at the newest `window` images."""
    reference, rest = _split(known, len(known) // 2, rng)
    stream = rng.integers(0, len(rest), window + DAYS * A_DAY)  # half of PublicTest does not last a month
    looks: list[Result] = []
    for day in range(DAYS):
        rows = np.unique(stream[day * A_DAY : day * A_DAY + window])
        looks += judge(compare_images(reference, rest.iloc[rows], limits, seed=day), alpha)
    return tuple(looks)


def _split(known: pd.DataFrame, size: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a random half as reference, and `size` images of the other."""
    order = rng.permutation(len(known))
    return known.iloc[order[: len(known) // 2]], known.iloc[order[len(known) // 2 :][:size]]


def _compare_quality(reference: pd.DataFrame, window: pd.DataFrame, limits: Limits) -> list[Finding]:
    return [compare_values(name, reference[name], window[name], limits.min_value_shift) for name in APPEARANCE]


def _quiet_line(name: str, size: int, looks: list[tuple[Result, ...]]) -> Line:
    shares = (_say_share(sum(map(happened, looks)), looks) for happened in (_is_significant, _alarms))
    return name, f"{size:,}", *shares


def _alarms(look: tuple[Result, ...]) -> bool:
    return any(result.drifted for result in look)


def _is_significant(look: tuple[Result, ...]) -> bool:
    return any(result.significant for result in look)


def _say_share(count: int, looks: list) -> str:
    low, high = wilson(count, len(looks))[1:]
    return f"**{count / len(looks):.1%}** ({100 * low:.1f}-{100 * high:.1f})"


if __name__ == "__main__":
    sys.exit(main())
