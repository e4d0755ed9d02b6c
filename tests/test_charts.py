"""The house style and the pictures of data: right pixels, same bytes, whatever the user's settings or gaps in data."""

import itertools
import subprocess
import sys

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from ferrule.charts import copies as copy_charts
from ferrule.charts import data as data_charts
from ferrule.charts.style import DPI, SheetRow, image_sheet, new_figure, save_figure
from ferrule.duplicates import find_copies
from ferrule.emotions import EMOTIONS
from ferrule.palette import CLASS_COLOURS
from ferrule.quality import measure_quality
from ferrule.samples import Samples

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
VISION = {
    "full": np.eye(3),
    "protanopia": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deuteranopia": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritanopia": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}


def as_lab(colour: str, vision: str) -> np.ndarray:
    """Return a colour in CIE L*a*b* as it is seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(VISION[vision]) @ linear, 0, 1).astype(np.float32)
    encoded = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055).astype(np.float32)
    return cv2.cvtColor(encoded[None, None], cv2.COLOR_RGB2LAB)[0, 0]


@pytest.mark.parametrize("vision", VISION)
def test_classes_have_colours_that_everybody_tells_apart(vision):
    assert tuple(CLASS_COLOURS) == EMOTIONS
    seen = [as_lab(colour, vision) for colour in CLASS_COLOURS.values()]
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)) > 15


def draw_example():
    with new_figure("A title", "from something", width=5, height=3) as (figure, axes):
        axes.bar(["a", "b"], [1, 2], label="$x$")
        axes.legend()
    return figure


def test_a_picture_depends_on_nothing_but_its_data(tmp_path):
    save_figure(draw_example(), tmp_path / "first.png")
    with mpl.rc_context({"font.size": 25, "axes.facecolor": "red", "savefig.dpi": 30}):
        save_figure(draw_example(), tmp_path / "second.png")
        assert mpl.rcParams["font.size"] == 25, "the user's settings are left alone"
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert cv2.imread(str(tmp_path / "first.png")).shape == (3 * DPI, 5 * DPI, 3)
    assert b"Software" not in (tmp_path / "first.png").read_bytes()


def test_pyplot_stays_out():
    modules = "ferrule.charts.style, ferrule.charts.data, ferrule.charts.copies"
    code = f"import sys, {modules}; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def find_window(picture: np.ndarray, window: np.ndarray) -> tuple[int, int]:
    """Return the (x, y) at which `picture` holds exactly `window`."""
    result = cv2.matchTemplate(picture, window, cv2.TM_SQDIFF)
    _, _, (x, y), _ = cv2.minMaxLoc(result)
    assert np.array_equal(picture[y : y + len(window), x : x + len(window)], window), "the image is not in the picture"
    return x, y


def test_a_sheet_shows_every_image_exactly_in_its_place(make_samples, tmp_path):
    images = make_samples(5).images
    rows = [
        SheetRow(images[:3], "first\nrow", ["one\nline", "two"], [None, "#FF0000"]),
        SheetRow(images[3:], "second"),
    ]
    save_figure(image_sheet(rows, "Sheet", "of five"), tmp_path / "sheet.png")
    picture = cv2.imread(str(tmp_path / "sheet.png"))
    large = [cv2.resize(image, (96, 96), interpolation=cv2.INTER_CUBIC) for image in images]
    places = [find_window(picture, cv2.merge([image] * 3)) for image in large]
    (x0, y0), (x1, y1), (x2, _), (x3, y3), (x4, y4) = places
    assert x0 < x1 < x2
    assert (x3, x4) == (x0, x1)
    assert y0 == y1 < y3 == y4
    assert picture[y1 - 2, x1 + 48].tolist() == [0, 0, 255], "a red frame (in OpenCV's order of colours)"
    assert picture[y0 - 2, x0 + 48].tolist() == [255, 255, 255], "no frame"


def test_pairs_stand_together(make_samples, tmp_path):
    images = make_samples(4).images
    save_figure(image_sheet([SheetRow(images)], "Pairs", together=2), tmp_path / "sheet.png")
    picture = cv2.imread(str(tmp_path / "sheet.png"))
    large = [cv2.resize(image, (96, 96), interpolation=cv2.INTER_CUBIC) for image in images]
    x = [find_window(picture, cv2.merge([image] * 3))[0] for image in large]
    assert x[1] - x[0] == x[3] - x[2] < x[2] - x[1]


def without(column: str, rows: slice = slice(None)):
    """Return a change to a table: `column` is missing at `rows`."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        values = table[column].copy()
        values.iloc[rows] = None
        return table.assign(**{column: values})

    return change


GAPS = {
    "nothing missing": lambda table: table,
    "no labels": without("label"),
    "no usages": without("usage"),
    "neither": lambda table: without("label")(without("usage")(table)),
    "some unlabelled": lambda table: without("label", slice(20, None))(table).assign(
        usage=table["usage"].where(table.index < 20, "Unlabelled")
    ),
    "two classes": lambda table: table.assign(label=["happy", "sad"] * (len(table) // 2)),
    "one class": lambda table: table.assign(label="fear"),
    "one image": lambda table: table.head(1),
}


@pytest.mark.parametrize("gap", GAPS)
def test_every_chart_can_be_drawn_of_incomplete_data(gap, make_samples, tmp_path):
    whole = make_samples(40)
    images = whole.images.copy()
    images[30:36], images[36:] = images[:6], 7
    table = GAPS[gap](whole.table)
    samples = Samples(images[: len(table)], table)
    quality = measure_quality(samples.images)
    copies = find_copies(samples, quality, near_bits=12)
    figures = [
        data_charts.label_chart(table),
        data_charts.random_sheet(samples, images_per_class=3, seed=1),
        data_charts.mean_face_sheet(samples),
        data_charts.brightness_chart(table, quality),
        copy_charts.twin_sheet(samples, copies.groups),
        copy_charts.near_pair_sheet(samples, copies.pairs),
        copy_charts.near_group_sheet(samples, copies.groups),
        copy_charts.conflict_sheet(samples, copies.groups),
        copy_charts.blank_sheet(samples, quality),
    ]
    for number, figure in enumerate(figures):
        save_figure(figure, tmp_path / f"{number}.png")
        assert cv2.imread(str(tmp_path / f"{number}.png")).std() > 0


def test_shares_are_those_of_each_usage_and_stand_at_their_class():
    labels, usages = ["happy", "happy", "sad", None], ["Training", "Training", "Training", "Unlabelled"]
    _, axes = data_charts.label_chart(pd.DataFrame({"label": labels, "usage": usages}).astype("str")).axes
    (line,) = axes.lines
    assert line.get_xdata().tolist() == pytest.approx([2 / 3, 1 / 3])
    assert line.get_ydata().tolist() == [0, 1]


def test_counts_of_labels_are_in_canonical_order_and_complete():
    labels = ["sad", "happy", "happy", None, "angry", "happy"]
    usages = ["Training", "PrivateTest", "Training", "Unlabelled", None, "Training"]
    table = pd.DataFrame({"label": labels, "usage": usages}).astype("str")
    assert data_charts.count_labels(table).to_dict("split")["data"] == [
        ["angry", "no usage", 1],
        ["happy", "Training", 2],
        ["happy", "PrivateTest", 1],
        ["sad", "Training", 1],
        ["unlabelled", "Unlabelled", 1],
    ]


def test_counts_of_grey_levels_lose_no_value():
    counts = data_charts.count_levels(pd.Series([0.0, 7.9, 8.0, 254.9, 255.0]), width=8, name="brightness")
    assert counts["brightness"].iloc[[0, 1, -1]].tolist() == [4, 12, 252]
    assert counts["count"].iloc[[0, 1, -1]].tolist() == [2, 1, 2]
    assert counts["count"].sum() == 5


def test_random_images_change_with_the_seed_alone(make_samples, tmp_path):
    samples = make_samples(60)
    files = []
    for seed in (1, 1, 2):
        files.append(tmp_path / f"{len(files)}.png")
        save_figure(data_charts.random_sheet(samples, images_per_class=3, seed=seed), files[-1])
    first, same, other = (file.read_bytes() for file in files)
    assert first == same != other
