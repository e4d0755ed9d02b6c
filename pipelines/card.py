"""Stage card: the model card of the run, which goes with the model wherever it is served."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from ferrule.modelcard.card import CardFacts, DataFacts, write_card_files
from ferrule.modelcard.origin import recognise
from ferrule.portable.bundle import read_bundle
from pipelines.folders import fresh_folder, read_json
from pipelines.params import Params


def run(params: Params, root: Path) -> None:
    """Write model_card.md and model_card.html from what the stages before wrote."""
    facts = read_facts(params, root)
    with fresh_folder(root / "artifacts" / "card") as out:
        write_card_files(out, facts)
    print(f"model card of {facts.name}: artifacts/card/model_card.html")


def read_facts(params: Params, root: Path) -> CardFacts:
    """Return what the card of the last run is written from."""
    artifacts, classes = root / "artifacts", params.ingest.classes
    bundle = read_bundle(artifacts / "export")
    return CardFacts(
        name=bundle.name,
        classes=classes,
        recipe=params.recipe,
        seed=params.seed,
        train=asdict(params.train),
        network=read_json(artifacts / "evaluate" / "network.json"),
        data=_read_data(artifacts / "ingest", bundle.data_md5, classes),
        validation=read_json(artifacts / "validate" / "result.json"),
        audit=read_json(artifacts / "audit" / "audit.json"),
        split=read_json(artifacts / "split" / "split.json"),
        metrics=read_json(artifacts / "evaluate" / "metrics.json"),
        calibration=read_json(artifacts / "evaluate" / "calibration.json"),
        parity=bundle.parity,
        model_md5=bundle.model_md5,
    )


def _read_data(ingest: Path, md5: str | None, classes: tuple[str, ...]) -> DataFacts:
    """Return what ingest read, and where it is from."""
    table = pd.read_parquet(ingest / "samples.parquet", columns=["label", "usage", "source_file"])
    files = table["source_file"].drop_duplicates()
    return DataFacts(
        origin=recognise(md5, table["label"].value_counts().to_dict(), classes),
        md5=md5,
        images=len(table),
        rejected=len(pd.read_parquet(ingest / "rejects.parquet", columns=["file"])),
        files=len(files),
        kinds=tuple(sorted({Path(name).suffix or "no ending" for name in files})),
        usages={str(name): int(rows) for name, rows in table["usage"].value_counts().items()},
    )
