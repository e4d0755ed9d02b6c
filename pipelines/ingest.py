"""ingest: data/ in whatever layout it came, to images.npy, samples.parquet and rejects.parquet."""

from pathlib import Path

from ferrule.errors import DataError
from ferrule.layouts import Reading, read_samples
from ferrule.samples import save_samples
from pipelines.folders import fresh_folder
from pipelines.params import Params


def run(params: Params, root: Path) -> None:
    """Read `root`/data into `root`/artifacts/ingest."""
    data = root / "data"
    if not data.is_dir():
        raise DataError(
            f"Expected data in {data}; there is none; run `ferrule data sample` or `ferrule data use PATH`."
        )
    reading = read_samples(data, params.ingest.classes, max_reject_fraction=params.ingest.max_reject_fraction)
    with fresh_folder(root / "artifacts" / "ingest") as folder:
        save_samples(reading.samples, folder)
        reading.rejects.to_parquet(folder / "rejects.parquet", index=False)
    print(summarize(reading))


def summarize(reading: Reading) -> str:
    """Say in one line, and one more for each remark, what came of it."""
    reasons = reading.rejects["reason"].value_counts()
    told = f" ({', '.join(f'{count:,} {reason}' for reason, count in reasons.items())})" if len(reasons) else ""
    line = f"ingest: {len(reading.samples):,} images, {len(reading.rejects):,} rejected{told}"
    if reading.left_out:
        line += f", {reading.left_out:,} rows of other classes left out"
    return "\n".join([line, *reading.notes])
