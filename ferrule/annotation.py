"""Answers drawn into their photo: a box around each face, its label, and bars of what else it might be.

Sizes follow the face and the photo. Bars stand beside their face where they hide no other one; where there is no place
for them, a strip under the box says the same in little.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ferrule.answers import UNCERTAIN, Answer, percent
from ferrule.drawing import INK, MUTED, PAPER, QUIET, Box, brighten, colour_of, fill, measure, write

_VEIL = 0.86  # how much of the photo the ground of the bars covers
_SMALL = 720  # pixels; a smaller photo is enlarged before it is drawn into
_LEAST, _MOST = 12, 30  # pixels of text
_LINE = 1.45  # from one line of text to the next, in its size
_FACTORS = (1.0, 0.8, 0.65, 0.5)  # of the text: smaller bars are tried before they are given up


def annotate(photo: np.ndarray, answers: Sequence[Answer]) -> np.ndarray:
    """Return a photo, uint8 (h, w, 3) RGB, with its answers, as a picture to show.

    A small photo is enlarged. Where one face leaves no place for its bars, ground for them is added on the right; where
    several do, each has a strip, and what its colours mean is told below. Answers without a box are about the whole.
    """
    photo, answers = _enlarge(photo, answers)
    plans = _plan(photo, answers)
    strips = [plan for plan in plans if plan.answer.probabilities and plan.panel is None]
    if len(strips) == len(plans) == 1:
        return _draw_beside(photo, plans[0])
    drawn = _draw(photo.copy(), plans)
    return _add_legend(drawn, strips[0]) if strips else drawn


def draw_answers(photo: np.ndarray, answers: Sequence[Answer]) -> np.ndarray:
    """Return a copy of a photo, uint8 (h, w, 3) RGB, of the same size, with its answers drawn into it."""
    return _draw(photo.copy(), _plan(photo, answers))


def bars_size(size: int, answer: Answer) -> tuple[int, int]:
    """Return the width and height of the bars of an answer, with text of `size` pixels."""
    return round(13.4 * size), round(_LINE * size * len(answer.probabilities or ()) + 0.9 * size)


def draw_bars(canvas: np.ndarray, place: Box, size: int, answer: Answer) -> None:
    """Draw a bar a class, in the model's order, on dark ground; `place` is as large as `bars_size` says."""
    left, top, width, _ = place
    fill(canvas, place, INK, _VEIL, size // 3)
    begin, length = left + round(5.2 * size), round(4.4 * size)
    for row, (name, value) in enumerate((answer.probabilities or {}).items()):
        middle = round(top + 0.45 * size + _LINE * size * (row + 0.5))
        weight, colour = (600, PAPER) if name == answer.best else (400, MUTED)
        write(canvas, name, (left + size // 2, middle), size, weight, colour)
        bar = (begin, middle - round(0.32 * size), length, round(0.64 * size))
        fill(canvas, bar, QUIET, 0.7, size // 6)
        if (filled := round(length * value)) > 0:
            fill(canvas, (*bar[:2], max(filled, 2), bar[3]), brighten(colour_of(name)), 1.0, size // 6)
        share = percent(value)
        write(canvas, share, (left + width - size // 2 - measure(share, size, weight), middle), size, weight, colour)


@dataclass(frozen=True)
class _Plan:
    """Where an answer is drawn: `size` is that of its label in pixels, `chip` the label's ground.

    `panel` is where its bars are, if anywhere, `small` the size of their text.
    """

    answer: Answer
    box: Box
    size: int
    chip: Box
    panel: Box | None = None
    small: int = 0


def _enlarge(photo: np.ndarray, answers: Sequence[Answer]) -> tuple[np.ndarray, list[Answer]]:
    """Return photo and boxes with a longer side of at least _SMALL pixels."""
    import cv2

    factor = _SMALL / max(photo.shape[:2])
    if factor <= 1:
        return photo, list(answers)
    large = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    scaled = [
        each if each.box is None else replace(each, box=_as_box(round(factor * value) for value in each.box))
        for each in answers
    ]
    return large, scaled


def _plan(photo: np.ndarray, answers: Sequence[Answer]) -> list[_Plan]:
    """Return how each answer is drawn, the largest face first; either all have a place for their bars, or none has."""
    height, width = photo.shape[:2]
    plans = [_plan_label(each, (0, 0, width, height)) for each in answers]
    plans.sort(key=lambda plan: -plan.box[2] * plan.box[3])
    for factor in _FACTORS:
        smaller = [replace(plan, small=max(_LEAST, round(factor * plan.size))) for plan in plans]
        if (placed := _place_panels(smaller, (width, height))) is not None:
            return placed
    return plans


def _plan_label(answer: Answer, whole: Box) -> _Plan:
    box = answer.box or whole
    size = _text_size(box, whole)
    return _Plan(answer, box, size, _place_chip(answer, size, whole[2]))


def _text_size(box: Box, whole: Box) -> int:
    """Return the height of the text: an eighth of a small face's width, and no more than suits the photo."""
    return round(max(_LEAST, min(box[2] / 8, max(whole[2:]) / 28, _MOST * max(1.0, max(whole[2:]) / 1600))))


def _place_chip(answer: Answer, size: int, room: int) -> Box:
    """Return the ground of the label: on the box, or within it where that would leave the photo, `room` pixels wide."""
    width, height = measure(_caption(answer), size, 600) + size, round(1.6 * size)
    if answer.box is None:
        return size // 2, size // 2, width, height
    x, y, _, _ = answer.box
    return max(min(x, room - width), 0), max(y, 0) if y < height else y - height, width, height


def _place_panels(plans: Sequence[_Plan], canvas: tuple[int, int]) -> list[_Plan] | None:
    """Give each face the first place for its bars that hides no face, label or other bars; None where one has none."""
    taken = [plan.box for plan in plans] + [plan.chip for plan in plans]
    placed = []
    for plan in plans:
        panel = _find_place(plan, taken, canvas) if plan.answer.probabilities else None
        if panel is None and plan.answer.probabilities:
            return None
        taken += [panel] if panel else []
        placed.append(replace(plan, panel=panel))
    return placed


def _find_place(plan: _Plan, taken: Sequence[Box], canvas: tuple[int, int]) -> Box | None:
    """Return a place for the bars to the right of the box, to its left, below or above it, within the canvas."""
    x, y, box_width, box_height = plan.box
    width, height = bars_size(plan.small, plan.answer)
    gap = max(4, plan.small // 3)
    top = min(max(y, 0), max(canvas[1] - height, 0))
    left = min(max(x, 0), max(canvas[0] - width, 0))
    above = y - height - gap - plan.chip[3]
    for at in ((x + box_width + gap, top), (x - width - gap, top), (left, y + box_height + gap), (left, above)):
        place = (*at, width, height)
        inside = min(at) >= 0 and at[0] + width <= canvas[0] and at[1] + height <= canvas[1]
        if inside and not any(_overlap(place, other) for other in taken):
            return place
    return None


def _overlap(one: Box, other: Box) -> bool:
    return all(one[at] < other[at] + other[at + 2] and other[at] < one[at] + one[at + 2] for at in (0, 1))


def _draw_beside(photo: np.ndarray, plan: _Plan) -> np.ndarray:
    """Draw the one answer with its bars on ground that is added on the right."""
    height, width = photo.shape[:2]
    panel_width, panel_height = bars_size(plan.size, plan.answer)
    canvas = np.full((max(height, panel_height), width + panel_width + plan.size, 3), INK, np.uint8)
    canvas[:height, :width] = photo
    top = min(max(plan.box[1], 0), len(canvas) - panel_height)
    return _draw(
        canvas, [replace(plan, panel=(width + plan.size // 2, top, panel_width, panel_height), small=plan.size)]
    )


def _add_legend(photo: np.ndarray, plan: _Plan) -> np.ndarray:
    """Add ground below that tells which colour is which class."""
    size = max(_LEAST, min(_MOST, photo.shape[1] // 56))
    names = list(plan.answer.probabilities or ())
    widths = [measure(name, size, 400) + 2.6 * size for name in names]
    columns = max(1, min(len(names), int((photo.shape[1] - size) // max(widths))))
    rows = -(-len(names) // columns)
    ground = np.full((round((1.6 * rows + 0.8) * size), photo.shape[1], 3), INK, np.uint8)
    for at, name in enumerate(names):
        left, middle = round(size + at % columns * max(widths)), round((1.2 + 1.6 * (at // columns)) * size)
        fill(ground, (left, middle - size // 2, size, size), brighten(colour_of(name)), 1.0, size // 5)
        write(ground, name, (left + round(1.5 * size), middle), size, 400, MUTED)
    return np.concatenate([photo, ground])


def _draw(canvas: np.ndarray, plans: Sequence[_Plan]) -> np.ndarray:
    """Draw into the canvas: the largest faces first, so that the box of a small one in front stays whole."""
    for plan in plans:
        if plan.answer.box is not None:
            _draw_box(canvas, plan)
    for plan in plans:
        if plan.panel is not None:
            draw_bars(canvas, plan.panel, plan.small, plan.answer)
        elif plan.answer.probabilities:
            _draw_strip(canvas, plan)
        _draw_chip(canvas, plan)
    return canvas


def _draw_box(canvas: np.ndarray, plan: _Plan) -> None:
    import cv2

    x, y, width, height = plan.box
    thick = max(2, round(plan.size / 7))
    corners = (x, y), (x + width, y + height)
    cv2.rectangle(canvas, *corners, INK, thick + 2, cv2.LINE_AA)
    cv2.rectangle(canvas, *corners, colour_of(plan.answer.label), thick, cv2.LINE_AA)


def _draw_chip(canvas: np.ndarray, plan: _Plan) -> None:
    """Draw the label on ground of its colour."""
    left, top, _, height = plan.chip
    colour = colour_of(plan.answer.label)
    fill(canvas, plan.chip, colour, 1.0, plan.size // 5)
    dark = np.dot(colour, (0.299, 0.587, 0.114)) > 140
    write(
        canvas,
        _caption(plan.answer),
        (left + plan.size // 2, top + height // 2),
        plan.size,
        600,
        INK if dark else PAPER,
    )


def _caption(answer: Answer) -> str:
    if not answer.probabilities:
        return answer.label
    best, confidence = answer.ranked[0]
    said = f"{UNCERTAIN}: {best}?" if answer.label == UNCERTAIN else answer.label
    number = "" if answer.track is None else f"{answer.track}: "
    return f"{number}{said} {percent(confidence)}"


def _draw_strip(canvas: np.ndarray, plan: _Plan) -> None:
    """Draw the probabilities as parts of one strip along the lower edge of the box, the most likely first."""
    x, y, width, height = plan.box
    deep = max(4, plan.size // 2)
    top = min(y + height + 2, canvas.shape[0] - deep - 1)
    fill(canvas, (x - 1, top - 1, width + 2, deep + 2), INK, 1.0, 0)
    begin = 0.0
    for name, value in plan.answer.ranked:
        edges = x + round(begin * width), x + round((begin + value) * width)
        fill(canvas, (edges[0], top, max(edges[1] - edges[0] - 1, 0), deep), brighten(colour_of(name)), 1.0, 0)
        begin += value


def _as_box(values: Iterable[int]) -> Box:
    x, y, width, height = values
    return x, y, width, height
