"""Stage explore: pictures of the data, and its counts as tables for DVC's plots."""

from pathlib import Path

from ferrule.charts import data as charts
from ferrule.charts.style import save_figure
from ferrule.quality import measure_quality
from ferrule.samples import load_samples
from pipelines.folders import fresh_folder
from pipelines.params import Params

BIN_WIDTH = 8  # grey levels


def run(params: Params, root: Path) -> None:
    """Write label_distribution, random_images, mean_faces and brightness_contrast as PNG, and two tables as CSV."""
    samples = load_samples(root / "artifacts" / "ingest")
    quality = measure_quality(samples.images)
    figures = {
        "label_distribution": charts.label_chart(samples.table),
        "random_images": charts.random_sheet(
            samples, images_per_class=params.explore.images_per_class, seed=params.seed
        ),
        "mean_faces": charts.mean_face_sheet(samples),
        "brightness_contrast": charts.brightness_chart(samples.table, quality),
    }
    with fresh_folder(root / "artifacts" / "explore") as out:
        for name, figure in figures.items():
            save_figure(figure, out / f"{name}.png")
        charts.count_labels(samples.table).to_csv(out / "label_distribution.csv", index=False)
        charts.count_levels(quality["mean"], width=BIN_WIDTH, name="brightness").to_csv(
            out / "brightness.csv", index=False
        )
    print(f"{len(samples):,} images of {samples.table['label'].nunique()} classes: {len(figures)} pictures, 2 tables")
