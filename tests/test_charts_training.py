"""The pictures of trainings and of several models side by side, and the program that draws those of the documents."""

import importlib.util
import itertools
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from matplotlib.text import Text

from ferrule.charts.evaluation import confusion_charts
from ferrule.charts.style import DPI, save_figure
from ferrule.charts.training import learning_curves, recipe_curves
from ferrule.emotions import EMOTIONS


def make_history(epochs: int, best: float = 0.66) -> pd.DataFrame:
    """Return a made-up history that is best in its last epoch but one."""
    number = np.arange(1, epochs + 1)
    curve = 1 - np.exp(-4 * number / epochs)
    accuracy = best * curve
    accuracy[-2:] = accuracy[-2:][::-1]
    return pd.DataFrame(
        {
            "epoch": number,
            "size": np.where(number <= epochs // 3, 32, 48),
            "loss": 2 - curve,
            "accuracy": 0.7 * curve,
            "val_loss": 1.9 - curve,
            "val_accuracy": accuracy,
            "learning_rate": 0.03 * (1 - curve),
        }
    )


def make_ensemble(*names: str) -> pd.DataFrame:
    made = [make_history(8, 0.6 + 0.02 * number).assign(network=name) for number, name in enumerate(names)]
    return pd.concat(made, ignore_index=True)


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def rings(axes) -> list[tuple[float, float]]:
    """Return where the marks with a ring lie."""
    return [tuple(line.get_xydata()[0]) for line in axes.get_lines() if line.get_markersize() == 8]


def test_curves_show_both_metrics_and_mark_the_epoch_that_was_kept():
    history = make_history(12)
    accuracy, loss = learning_curves(history).axes
    assert rings(accuracy) == [(11, history["val_accuracy"][10])]
    assert rings(loss) == [(11, history["val_loss"][10])]
    assert set(texts(accuracy)) == {"training", "validation", f"kept: epoch 11\n{0.66 * 98.17:.1f} %", "32 px", "48 px"}
    drawn = [line.get_ydata() for line in loss.get_lines()[:2]]
    np.testing.assert_array_equal(drawn, history[["loss", "val_loss"]].T)
    assert accuracy.get_ylim()[1] > history["accuracy"].max()
    assert [patch.get_xy()[0] for patch in accuracy.patches] == [0.5], "every other size has a band"


def test_every_network_is_labelled_and_no_label_covers_another(tmp_path):
    history = make_ensemble("member_1", "member_2", "member_3", "member_4", "student")
    history["val_loss"] = 1.0  # all end in one point
    figure = learning_curves(history)
    save_figure(figure, tmp_path / "curves.png")  # lays it out
    names = {"training", "member 1", "member 2", "member 3", "member 4", "student"}
    for axes in figure.axes:
        labels = [text for text in axes.texts if text.get_text() in names]
        assert {text.get_text() for text in labels} == names
        boxes = sorted((Text.get_window_extent(label) for label in labels), key=lambda box: box.y0)  # without its line
        assert all(below.y1 <= above.y0 for below, above in itertools.pairwise(boxes))
    assert "kept of student: epoch 7" in "".join(texts(figure.axes[0]))
    assert rings(figure.axes[0]) == [(7, history["val_accuracy"].iloc[-2])]


@pytest.mark.parametrize("epochs", [2, 12, 60])
def test_curves_of_any_length_are_drawn_the_same_way_twice(epochs, tmp_path):
    for name in ("one.png", "two.png"):
        save_figure(learning_curves(make_history(epochs)), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert cv2.imread(str(tmp_path / "one.png")).shape[1] == 8 * DPI


def test_each_recipe_has_a_panel_on_one_scale():
    histories = {
        "quick": make_history(6, 0.5),
        "cpu": make_history(30, 0.7),
        "ensemble": make_ensemble("member_1", "member_2"),
        "student": make_ensemble("member_1", "student"),
    }
    figure = recipe_curves(histories, "made up")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == list(histories)
    assert len({axes.get_ylim() for axes in shown}) == 1
    assert [len(rings(axes)) for axes in shown] == [1, 1, 0, 1], "no epoch is that of an ensemble's mean"
    assert texts(shown[0]) == [f"{100 * histories['quick']['val_accuracy'].max():.1f} % in epoch 5"]
    assert texts(shown[2])[0].startswith("members ")
    assert {text.get_text() for text in figure.legends[0].texts} == {
        "training",
        "validation",
        "validation, each member",
    }


@pytest.mark.parametrize("count", [1, 2, 3])
def test_confusion_matrices_stand_side_by_side(count, tmp_path):
    matrices = {f"recipe {number}": np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]) for number in range(count)}
    figure = confusion_charts(matrices, ("angry", "happy", "neutral"), "")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == [f"{name}: 87.5 % right" for name in matrices]
    assert texts(shown[0]) == ["75", "25", "0", "0", "100", "0", "0", "0", "0"]
    save_figure(figure, tmp_path / "confusion.png")
    assert cv2.imread(str(tmp_path / "confusion.png")).std() > 1


def test_pyplot_stays_out():
    code = "import sys, ferrule.charts.training; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def draw_pictures():
    """Give the program docs/draw_pictures.py as a module."""
    spec = importlib.util.spec_from_file_location("draw_pictures", REPOSITORY / "docs" / "draw_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_predictions(path, right: int, rows: int = 70):
    """Write predictions of which, on the test images and averaged, the first `right` are right."""
    ids = np.arange(rows) % 7
    averaged = np.where(np.arange(rows) < right, ids, (ids + 1) % 7)
    table = pd.DataFrame({"sample_id": np.arange(rows), "split": "test", "label": np.array(EMOTIONS)[ids]})
    table = table.assign(predicted="happy", predicted_tta=np.array(EMOTIONS)[averaged])
    table = table.assign(**{f"probability_{name}": 0.1 for name in EMOTIONS})
    pd.concat([table, table.assign(split="val", predicted_tta="sad")]).to_parquet(path)
    return path


def test_the_pictures_of_recipes_are_drawn_from_their_artifacts(draw_pictures, tmp_path):
    make_history(6).to_csv(tmp_path / "history.csv", index=False)
    assert draw_pictures.main(["learning_curves", f"quick={tmp_path / 'history.csv'}"], tmp_path) == 0
    sources = {name: write_predictions(tmp_path / f"{name}.parquet", right) for name, right in (("a", 70), ("b", 35))}
    titles = [axes.get_title(loc="left") for axes in draw_pictures.draw_confusion(sources).axes]
    assert titles == ["a: 100.0 % right", "b: 50.0 % right"]
    assert draw_pictures.main(["confusion", *(f"{name}={path}" for name, path in sources.items())], tmp_path) == 0
    for name in ("recipes_learning_curves.png", "recipes_confusion.png"):
        assert cv2.imread(str(tmp_path / name)).std() > 1


def test_other_images_or_none_are_an_error_of_one_line(draw_pictures, tmp_path, capsys):
    first, second = (write_predictions(tmp_path / f"{rows}.parquet", 5, rows) for rows in (70, 77))
    assert draw_pictures.main(["confusion", f"one={first}", f"two={second}"], tmp_path) == 1
    assert "Expected predictions of the same test images; two has others" in capsys.readouterr().err
    assert draw_pictures.main(["learning_curves", f"one={tmp_path / 'absent.csv'}"], tmp_path) == 1
    for words in (["confusion"], ["confusion", "no-name"], ["sample", f"one={first}"]):
        with pytest.raises(SystemExit):
            draw_pictures.main(words, tmp_path)
    assert not (tmp_path / "recipes_confusion.png").exists()
