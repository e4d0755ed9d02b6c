"""Pictures of a model: what it mistakes for what, how far its confidence can be trusted, where it errs most surely."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ferrule.charts.style import (
    ACCENT,
    GRID,
    INK,
    MUTED,
    PAPER,
    SEQUENTIAL,
    SERIES_COLOURS,
    WARNING,
    SheetRow,
    image_sheet,
    new_figure,
)
from ferrule.palette import CLASS_COLOURS

_SHEET_COLUMNS = 8


def confusion_chart(matrix: np.ndarray, classes: tuple[str, ...], subtitle: str) -> Figure:
    """Draw a confusion matrix (k, k), rows true classes: the share of each row as colour, the count as text."""
    with new_figure("What is taken for what", subtitle, width=7.4, height=6.6) as (figure, axes):
        _draw_confusion(axes, matrix, "{share:.0%}\n{count:,}")
        axes.set_xticks(range(len(classes)), classes)
        axes.set_yticks(range(len(classes)), classes)
        axes.set(xlabel="predicted", ylabel="label")
    return figure


def confusion_charts(matrices: Mapping[str, np.ndarray], classes: tuple[str, ...], subtitle: str) -> Figure:
    """Draw the confusion matrices (k, k) of several models side by side, each with its name and accuracy.

    Rows are true classes; colour and text are the share of each row, the text in per cent.
    """
    grid = {"ncols": len(matrices), "squeeze": False, "sharey": True}
    width = 0.8 + 3.6 * len(matrices)
    with new_figure("What is taken for what", subtitle, width=width, height=5.3, **grid) as (figure, axes):
        for panel, (name, matrix) in zip(axes.flat, matrices.items(), strict=True):
            _draw_confusion(panel, matrix, "{percent:.0f}")
            panel.set_title(f"{name}: {100 * np.trace(matrix) / matrix.sum():.1f} % right")
            panel.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
            panel.set_yticks(range(len(classes)), classes)
            panel.set_xlabel("predicted")
        axes[0, 0].set_ylabel("label")
    return figure


def _draw_confusion(axes: Axes, matrix: np.ndarray, text: str) -> None:
    """Draw a confusion matrix as shares of its rows, each with `text`, which may show share, percent and count."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        axes.text(
            column,
            row,
            text.format(share=share, percent=100 * share, count=matrix[row, column]),
            ha="center",
            va="center",
            fontsize=9,
            color=PAPER if share > 0.5 else INK,
            alpha=1 if matrix[row, column] else 0.3,
        )
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def reliability_chart(table: pd.DataFrame, subtitle: str) -> Figure:
    """Draw the table of `metrics.calibration_table`: accuracy over confidence, with intervals and gaps."""
    reach = np.stack([table["accuracy"] - table["low"], table["high"] - table["accuracy"]])
    with new_figure("How often it is right when it is this sure", subtitle, width=6.4, height=6.0) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 4)), label="as often as it is sure")
        axes.vlines(
            table["confidence"], table["confidence"], table["accuracy"], color=WARNING, alpha=0.35, lw=5, label="gap"
        )
        axes.errorbar(
            *(table["confidence"], table["accuracy"], reach),
            fmt="o-",
            color=ACCENT,
            markersize=5,
            elinewidth=1.2,
            label="accuracy, with its 95 % interval",
        )
        axes.legend(loc="upper left")
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence of the top class", ylabel="accuracy", aspect="equal")
    return figure


def coverage_chart(confidence: dict[str, Any]) -> Figure:
    """Draw the risk-coverage curve of `confidence.describe_confidence`: accuracy of the answers by their share.

    Marked are the targets that say what came of them on test images.
    """
    curve = pd.DataFrame(confidence["curve"])
    tested = {each["target"]: each for each in confidence["test"] if each["accuracy"] is not None}
    rules = [rule for rule in confidence["abstention"] if rule["target"] in tested]
    subtitle = f"thresholds are chosen on validation images, to hold with a certainty of {confidence['certainty']:.0%}"
    with new_figure("The less it answers, the more of it is right", subtitle, width=7.2, height=5.0) as (figure, axes):
        axes.plot(curve["coverage"], curve["accuracy"], color=ACCENT, label="validation images")
        for rule, marker in zip(rules, "os", strict=False):
            told = tested[rule["target"]]
            axes.axhline(rule["target"], color=MUTED, linewidth=0.8, linestyle=(0, (4, 4)))
            points = ((rule, ACCENT, "threshold for"), (told, WARNING, "the same on test images,"))
            for point, colour, text in points:
                label = (
                    f"{text} {rule['target']:.0%}: answers {point['coverage']:.0%}, right in {point['accuracy']:.1%}"
                )
                axes.plot(point["coverage"], point["accuracy"], marker, color=colour, markersize=7, label=label)
        axes.set(xlim=(0, 1.01), xlabel="share of images that are answered", ylabel="accuracy of the answers")
        axes.set_ylim(np.floor(10 * min(curve["accuracy"].min(), 0.7)) / 10, 1.005)
        axes.legend(loc="lower left")
    return figure


def class_chart(scores: dict[str, dict[str, dict[str, float]]], subtitle: str) -> Figure:
    """Draw precision, recall and F1 of each class with their intervals, from the "classes" of `metrics.score`."""
    names = ("precision", "recall", "f1")
    with new_figure("Scores by class", subtitle, width=9.0, height=4.6) as (figure, axes):
        for number, (name, colour) in enumerate(zip(names, SERIES_COLOURS, strict=False)):
            place = np.arange(len(scores)) + 0.26 * (number - 1)
            values = np.array([[scores[label][name][end] for end in ("value", "low", "high")] for label in scores])
            axes.bar(place, values[:, 0], width=0.24, color=colour, label="F1" if name == "f1" else name)
            reach = np.abs(values[:, 1:] - values[:, :1]).T
            axes.errorbar(place, values[:, 0], reach, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
        axes.set_xticks(range(len(scores)), [f"{label}\n{scores[label]['rows']:,} images" for label in scores])
        axes.set(ylim=(0, 1))
        figure.legend(loc="outside lower left", ncols=3)
    return figure


def mistakes_sheet(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]
) -> Figure:
    """Show for each true class the mistakes the model was surest of; frames have the colour of the predicted class.

    `images` is uint8 (n, 48, 48), `labels` class ids (n,), `probabilities` (n, k).
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    surest = np.lexsort([np.arange(len(labels)), -confidence])
    rows = []
    for number, name in enumerate(classes):
        wrong = [row for row in surest if labels[row] == number and predicted[row] != number][:_SHEET_COLUMNS]
        captions = [f"{classes[predicted[row]]}\n{confidence[row]:.0%}" for row in wrong]
        frames = [CLASS_COLOURS.get(classes[predicted[row]], GRID) for row in wrong]
        rows.append(SheetRow(images[wrong], name, captions, frames))
    subtitle = "rows: the label; beneath: what was predicted instead, and how surely"
    return image_sheet(rows, "The mistakes it was surest of", subtitle)
