"""The timeline of a video: a row a face, what it shows over time, as one SVG that needs nothing else.

Above, the probabilities of all classes, stacked; below them, what was answered, hatched where that is "uncertain".
It is light or dark as the reader's screen is, and shows nobody.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

import numpy as np

from ferrule.answers import UNCERTAIN, Answer, percent
from ferrule.files import replacing
from ferrule.palette import CLASS_COLOURS
from ferrule.video.analyse import Track, VideoResult
from ferrule.video.tracks import is_gap

# In units of the drawing.
_WIDTH, _LEFT, _RIGHT = 960, 168, 936
_HEAD, _FOOT = 96, 40
_PLOT, _STRIP, _GAP = 72, 18, 26  # heights: of the stacked areas, of the answers below, of what parts two faces
_LETTER = 6.2  # about the width of one, in the answers' size
_ROW = _PLOT + 3 + _STRIP + _GAP

_FACES = 12  # rows; the faces that were seen longest
_LETTERS = 70  # of the video's name; the last ones of a longer one
_POINTS = 400  # of a row; more are not to be told apart
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)  # seconds between two ticks
_TICKS = 10

_STYLE = """
svg { --ink: #1b1f24; --muted: #5b6570; --paper: #fff; --empty: #f5f7f8; --unsure: #dfe4e8;
  --hatch: #a9b4bd; --neutral: #4d4d4d; --on-neutral: #fff;
  font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
@media (prefers-color-scheme: dark) { svg { --ink: #e6e9ec; --muted: #9aa5af; --paper: #14181c;
  --empty: #1b2127; --unsure: #2b333a; --hatch: #5a6671; --neutral: #a7adb3; --on-neutral: #1b1f24 } }
text { fill: var(--muted) } .title { font-size: 17px; font-weight: 600; fill: var(--ink) }
.face { font-size: 13px; font-weight: 600; fill: var(--ink) } .tick { stroke: var(--muted) }
.half { stroke: var(--paper); stroke-opacity: .55; stroke-dasharray: 2 3 }
.said { font-size: 11px; font-weight: 600 } .on-uncertain { fill: var(--ink) } .unsure { fill: var(--unsure) }
.small { font-size: 11px }
"""

_HATCH = (
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="unsure" width="6" height="6"/><path d="M0 0V6" stroke="var(--hatch)" stroke-width="2.4"/>'
    "</pattern></defs>"
)


def write_timeline(result: VideoResult, path: str | os.PathLike[str]) -> None:
    """Write the timeline of `result` as an SVG, which appears whole or not at all."""
    with replacing(Path(path)) as draft:
        draft.write_text(draw_timeline(result), encoding="utf-8")


def draw_timeline(result: VideoResult) -> str:
    """Return the timeline of `result` as SVG; of more than twelve faces, those that were seen longest."""
    tracks = sorted(sorted(result.tracks, key=_length, reverse=True)[:_FACES], key=lambda track: track.number)
    axis = _Axis(result.seconds + result.step)
    bottom = _HEAD + _ROW * max(len(tracks), 1) - _GAP
    body = [
        _draw_head(result, len(tracks)),
        *(_draw_face(track, result, axis, _HEAD + _ROW * row) for row, track in enumerate(tracks)),
        _draw_axis(axis, bottom),
    ]
    if not tracks:
        body.insert(1, _text((_LEFT + _RIGHT) / 2, _HEAD + _PLOT / 2, "No face was found.", "middle"))
    height = bottom + _FOOT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(_describe(result))}"><style>{_STYLE}{_colours(result.classes)}</style>{_HATCH}'
        f'<rect width="100%" height="100%" fill="var(--paper)"/>{"".join(body)}</svg>\n'
    )


@dataclass(frozen=True)
class _Axis:
    """Time from left to right, up to `seconds`."""

    seconds: float

    def x(self, seconds: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * min(seconds / self.seconds, 1.0), 1)

    def ticks(self) -> list[float]:
        step = next((step for step in _STEPS if self.seconds / step <= _TICKS), _STEPS[-1])
        return [number * step for number in range(int(self.seconds / step) + 1)]


@dataclass(frozen=True)
class _Point:
    """What a face shows from `seconds` to `end`: probabilities (k,), and the label that was answered."""

    seconds: float
    end: float
    probabilities: np.ndarray
    label: str


def _draw_head(result: VideoResult, shown: int) -> str:
    """Draw what it is about, and what the colours mean."""
    facts = [
        f"{result.rate:g} looks a second",
        f"smoothed over {result.smoothing:g} s" if result.smoothing else "not smoothed",
        result.model,
    ]
    if shown < len(result.tracks):
        facts.insert(0, f"the {shown} of {len(result.tracks)} faces that were seen longest")
    parts = [
        _text(24, 32, f"Expressions in {_name(result)}", "start", "title"),
        _text(24, 52, " · ".join(facts)),
    ]
    x = float(_LEFT)
    for name in (*result.classes, UNCERTAIN):
        fill = 'fill="url(#hatch)"' if name == UNCERTAIN else f'class="{name}"'
        parts.append(f'<rect {fill} x="{x:.0f}" y="68" width="12" height="12" rx="2"/>{_text(x + 17, 78, name)}')
        x += 34 + 1.1 * _LETTER * len(name)
    return "".join(parts)


def _draw_face(track: Track, result: VideoResult, axis: _Axis, top: float) -> str:
    """Draw a row: what its face is called, how its probabilities went, what was answered."""
    mostly = f"mostly {track.label}" if track.label != UNCERTAIN else UNCERTAIN
    words = [mostly, f"{_clock(track.first)} to {_clock(track.last)}"]
    if 0 < track.uncertain < 1:
        words.append(f"uncertain in {percent(track.uncertain)}")
    parts = [_text(24, top + 16, f"Face {track.number}", "start", "face")]
    parts += [_text(24, top + 34 + 16 * row, word) for row, word in enumerate(words)]
    parts.append(f'<rect x="{_LEFT}" y="{top}" width="{_RIGHT - _LEFT}" height="{_PLOT}" fill="var(--empty)"/>')
    for stretch in _stretches([each for each in result.answers if each.track == track.number], result.step):
        points = _thin(stretch)
        parts += [_draw_areas(points, result.classes, axis, top), _draw_answers(points, axis, top + _PLOT + 3)]
    middle = top + _PLOT / 2
    parts.append(f'<path class="half" d="M{_LEFT} {middle}H{_RIGHT}"/>')
    parts += [
        _text(_LEFT - 6, y + 4, share, "end", "small") for y, share in ((top + 4, "100 %"), (top + _PLOT - 4, "0"))
    ]
    return "".join(parts)


def _draw_areas(points: Sequence[_Point], classes: Sequence[str], axis: _Axis, top: float) -> str:
    """Draw the probabilities of the classes, one upon the other; the last ones go on to the end of their look."""
    shares = np.array([point.probabilities for point in (*points, points[-1])])
    edges = np.column_stack([np.zeros(len(shares)), np.cumsum(shares, axis=1)])
    heights = np.round(top + _PLOT * (1 - np.minimum(edges, 1.0)), 1)
    x = [axis.x(point.seconds) for point in points] + [axis.x(points[-1].end)]
    parts = []
    for number, name in enumerate(classes):
        there = [f"{across} {down}" for across, down in zip(x, heights[:, number], strict=True)]
        back = [f"{across} {down}" for across, down in zip(x, heights[:, number + 1], strict=True)]
        parts.append(f'<path class="{name}" d="M{"L".join([*there, *reversed(back)])}Z"/>')
    return "".join(parts)


def _draw_answers(points: Sequence[_Point], axis: _Axis, top: float) -> str:
    """Draw what was answered and for how long, by name where there is room for it."""
    parts = []
    for label, run in groupby(points, key=lambda point: point.label):
        first, *rest = run
        end = rest[-1].end if rest else first.end
        left, width = axis.x(first.seconds), axis.x(end) - axis.x(first.seconds)
        fill = 'fill="url(#hatch)"' if label == UNCERTAIN else f'class="{label}"'
        told = f"{label}, {first.seconds:.1f} to {end:.1f} s"
        parts.append(
            f'<rect {fill} x="{left}" y="{top}" width="{width:.1f}" height="{_STRIP}"><title>{told}</title></rect>'
        )
        if width > _LETTER * len(label) + 10:
            parts.append(_text(left + width / 2, top + 13, label, "middle", f"said on-{label}"))
    return "".join(parts)


def _draw_axis(axis: _Axis, bottom: float) -> str:
    """Draw the seconds below, and a line up from each tick."""
    parts = []
    for seconds in axis.ticks():
        x = axis.x(seconds)
        parts.append(
            f'<path class="tick" d="M{x} {bottom + 4}v5"/>{_text(x, bottom + 23, _clock(seconds), "middle", "small")}'
        )
    return "".join(parts)


def _stretches(answers: Sequence[Answer], step: float) -> list[list[_Point]]:
    """Return the answers about one face, parted where it was away; each is taken to hold until the next."""
    stretches: list[list[_Point]] = [[]]
    for answer, after in zip(answers, [*answers[1:], None], strict=True):
        seconds = answer.seconds or 0.0
        ends = after is None or is_gap((after.seconds or 0.0) - seconds, step)
        end = seconds + step if ends or after is None else after.seconds or 0.0
        probabilities = np.array(list((answer.probabilities or {}).values()))
        stretches[-1].append(_Point(seconds, end, probabilities, answer.label))
        if ends:
            stretches.append([])
    return stretches[:-1]


def _thin(points: Sequence[_Point]) -> list[_Point]:
    """Return at most _POINTS points: of neighbours the mean, and the label that they have most often."""
    groups = np.array_split(np.arange(len(points)), min(len(points), _POINTS))
    return [_merge([points[row] for row in group]) for group in groups]


def _merge(points: Sequence[_Point]) -> _Point:
    label = Counter(point.label for point in points).most_common(1)[0][0]
    mean = np.mean([point.probabilities for point in points], axis=0)
    return _Point(points[0].seconds, points[-1].end, mean, label)


def _describe(result: VideoResult) -> str:
    """Return the timeline in words."""
    told = [
        f"face {track.number} mostly {track.label}, {track.first:.1f} to {track.last:.1f} s" for track in result.tracks
    ]
    return f"Expressions in {_name(result)}: {'; '.join(told[:_FACES]) or 'no face was found'}"


def _colours(classes: Sequence[str]) -> str:
    """Return the style of each class's areas and of text on them, where _STYLE does not know better."""
    return "\n".join(
        f".{name} {{ fill: var(--{name}, {colour}) }} .on-{name} {{ fill: var(--on-{name}, {_text_on(colour)}) }}"
        for name, colour in CLASS_COLOURS.items()
        if name in classes
    )


def _text_on(colour: str) -> str:
    """Return the colour of text on ground of a `colour`, dark or white: what has more contrast (WCAG's luminance)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return "#fff" if np.dot(linear, (0.2126, 0.7152, 0.0722)) < 0.19 else "#1b1f24"


def _name(result: VideoResult) -> str:
    """Return what the video is called, without its folder and without what no drawing may hold."""
    name = "".join(letter if letter.isprintable() else "?" for letter in Path(result.name).name)
    return name if len(name) <= _LETTERS else f"…{name[-_LETTERS:]}"


def _length(track: Track) -> float:
    return track.last - track.first


def _clock(seconds: float) -> str:
    """Return a time as "2.5 s" or, from a minute on, as "1:05"."""
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
