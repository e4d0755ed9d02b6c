"""Stage report: what a person needs to decide whether to believe the model, on one page that needs no other file."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ferrule.documents import say_score
from ferrule.emotions import EMOTIONS
from ferrule.environment import describe_environment
from ferrule.modelcard.origin import Origin, recognise
from ferrule.portable.bundle import read_bundle
from ferrule.predictions import select_held_out
from ferrule.promotion.candidates import find_obstacle, pair_predictions
from ferrule.promotion.comparison import Comparison, compare
from ferrule.promotion.evidence import read_candidate, read_rescored
from ferrule.registry.aliases import list_former, read_history
from ferrule.registry.versions import CHAMPION, VersionInfo, find_version
from ferrule.report import data, model, record, rivals
from ferrule.report.blocks import Check, Facts, Report, Section, Text, not_run
from ferrule.report.render import render_markdown, render_page
from ferrule.samples import Samples, load_samples
from ferrule.store import has_store
from ferrule.tracking import digest_file, digest_test_set, read_looks
from pipelines.folders import fresh_folder, read_json
from pipelines.lineage import read_lineage
from pipelines.params import Params
from pipelines.pins import read_ingested_md5, read_yaml

PAGE, MARKDOWN = "index.html", "report.md"


def run(params: Params, root: Path) -> None:
    """Write index.html and report.md from whatever the other stages left, and from what the store knows.

    It looks at no test image: it compares with the champion where that was asked about these images before.
    """
    report = read_report(params, root)
    with fresh_folder(root / "artifacts" / "report") as out:
        (out / PAGE).write_text(render_page(report), encoding="utf-8")
        (out / MARKDOWN).write_text(render_markdown(report), encoding="utf-8")
    print(f"report: artifacts/report/{PAGE}; `ferrule report` opens it")


def read_report(params: Params, root: Path) -> Report:
    """Return the report on the run whose artifacts are under `root`; what did not run is said in its place."""
    found = Run(params, root)
    sections = [_describe(found, *part) for part in _PARTS]
    registered = found.registered
    title = f"{registered['name']} version {registered['version']}" if registered else params.register.model_name
    began = found.effort.when
    when = f", trained on {began:%-d %B %Y}" if began else ""
    return Report(title, f"recipe {params.recipe}, seed {params.seed}{when}", found.figures, sections)


@dataclass(frozen=True)
class Run:
    """What the stages of one run left, read where it is asked for, and once."""

    params: Params
    root: Path

    def path(self, *parts: str) -> Path:
        """Return a path below artifacts/."""
        return self.root.joinpath("artifacts", *parts)

    def json(self, *parts: str) -> dict[str, Any] | None:
        """Return the content of a JSON file below artifacts/, or None where there is none."""
        path = self.path(*parts)
        return read_json(path) if path.is_file() else None

    @cached_property
    def ingested(self) -> Samples:
        """The images that were read."""
        return load_samples(self.path("ingest"))

    @cached_property
    def augmented(self) -> Samples:
        """The same with the generated ones."""
        return load_samples(self.path("augment"))

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """What the model said of validation and test images."""
        return pd.read_parquet(self.path("evaluate", "predictions.parquet"))

    @cached_property
    def metrics(self) -> dict[str, Any] | None:
        """The scores."""
        return self.json("evaluate", "metrics.json")

    @cached_property
    def registered(self) -> dict[str, Any] | None:
        """Name, version and MD5 of the registered model."""
        return self.json("register", "version.json")

    @cached_property
    def model_md5(self) -> str | None:
        """The MD5 of the network in artifacts/, or of the registered one where that is not here."""
        network = self.path("train", "model.keras")
        if network.is_file():
            return digest_file(network)
        return self.registered["model_md5"] if self.registered else None

    @cached_property
    def effort(self) -> record.Effort:
        """What its training took."""
        return record.read_effort(self.root, self.model_md5) if self.model_md5 else record.Effort()

    @cached_property
    def origin(self) -> Origin:
        """Where the data is from."""
        labels = self.ingested.table["label"].value_counts().to_dict()
        return recognise(read_ingested_md5(self.root), labels, self.params.ingest.classes)

    @cached_property
    def tags(self) -> dict[str, str]:
        """Where the model is from: what its version says, or what is known of the checkout where there is none."""
        if self.registered and has_store(self.root):
            version = find_version(self.root, self.registered["name"], self.registered["version"])
            if version is not None:
                return version.tags
        return read_lineage(self.root)

    @property
    def figures(self) -> Facts:
        """What one sees first."""
        if not self.metrics:
            return Facts([("test accuracy", "not run", "the stage evaluate has left nothing")])
        test, calibration = self.metrics["test"], self.json("evaluate", "calibration.json")
        tested = [each for each in test["classes"].items() if each[1]["rows"]]  # what is not there is not found
        weakest, found = min(tested, key=lambda each: each[1]["recall"]["value"])
        rows = [
            _figure("test accuracy", test["accuracy"], f"{test['rows']:,} images"),
            _figure("macro F1", test["macro_f1"], "every class counts the same"),
            _figure(f"weakest class, {weakest}", found["recall"], "of it are found"),
        ]
        if calibration:
            rows.append(_figure("calibration error", calibration["scores"]["test"]["ece"]["after"], "test images"))
        return Facts(rows)


def _describe(
    found: Run, name: str, title: str, stages: tuple[str, ...], describe: Callable[[Run], Section]
) -> Section:
    """Return a section, or that one of the stages it is about did not run."""
    missing = [stage for stage in stages if not found.path(stage).is_dir()]
    return not_run(name, title, missing[0]) if missing else describe(found)


def _data(found: Run) -> Section:
    rejects = pd.read_parquet(found.path("ingest", "rejects.parquet"))
    return data.describe_data(found.ingested, rejects, found.origin, found.params.ingest.classes)


def _validation(found: Run) -> Section:
    return data.describe_validation(read_json(found.path("validate", "result.json")))


def _duplicates(found: Run) -> Section:
    groups = pd.read_parquet(found.path("audit", "groups.parquet"))
    audit = read_json(found.path("audit", "audit.json"))
    return data.describe_duplicates(found.ingested, groups, audit, found.json("split", "split.json"))


def _noise(found: Run) -> Section:
    suspects = found.path("noise", "suspects.csv")
    table = pd.read_csv(suspects) if suspects.is_file() else pd.DataFrame({"sample_id": []})
    noise = read_json(found.path("noise", "noise.json"))
    labels, shown = found.params.train.labels, found.params.report.faces
    return data.describe_noise(noise, table, found.ingested, labels=labels, shown=shown)


def _balance(found: Run) -> Section:
    balance: Any = read_json(found.path("augment", "balance.json"))
    return data.describe_balance(balance, found.augmented)


def _splits(found: Run) -> Section:
    return data.describe_splits(read_json(found.path("split", "split.json")), found.params.ingest.classes)


def _training(found: Run) -> Section:
    history = pd.read_csv(found.path("train", "history.csv"))
    params, network = found.params, read_json(found.path("evaluate", "network.json"))
    return model.describe_training(history, network, asdict(params.train), params.recipe, params.seed)


def _evaluation(found: Run) -> Section:
    assert found.metrics is not None, "evaluate has run"
    looks = None
    if found.model_md5 and has_store(found.root):
        looks = read_looks(found.root, found.model_md5, digest_test_set(found.predictions))
    parity, classes = found.json("export", "parity.json"), found.params.ingest.classes
    return model.describe_evaluation(found.metrics, found.predictions, classes, looks=looks, parity=parity)


def _champion(found: Run) -> Section:
    """Return the comparison with the champion of now, or with the one before where this version is it."""
    assert found.registered is not None, "register has run"
    one, other, told = _find_pair(found.root, found.registered)
    compared = _compare(found, one, other) if one and other else None
    if isinstance(compared, Comparison):
        assert one is not None, "both were compared"
        assert other is not None, "likewise"
        section = rivals.describe_comparison(compared, f"version {one.version}", f"version {other.version}")
        return replace(section, blocks=[Text(told), *section.blocks])
    return Section("champion", "Beside the champion", [], [Check("absent", f"{told} {compared or ''}".strip())])


def _find_pair(root: Path, registered: Mapping[str, str]) -> tuple[VersionInfo | None, VersionInfo | None, str]:
    """Return the registered version, the one to hold it against, and a sentence on who that is."""
    name, number = registered["name"], registered["version"]
    one = find_version(root, name, number) if has_store(root) else None
    if one is None:
        return None, None, "There is no registry here, so nothing to compare with."
    champion = find_version(root, name, CHAMPION)
    if champion is None:
        return one, None, "There was no champion when this was written: the first that passes the gate becomes it."
    if champion.version != number:
        return one, champion, f"The champion was version {champion.version} when this was written."
    former = list_former(read_history(root, name))
    if not former:
        return one, None, "This version is the champion, the first there is."
    return one, find_version(root, name, former[0]), f"This version is the champion; before it was version {former[0]}."


def _compare(found: Run, one: VersionInfo, other: VersionInfo) -> Comparison | str:
    """Return the comparison on what both said before, or why there is none."""
    challenger, champion = read_candidate(found.root, one), read_candidate(found.root, other)
    obstacle = find_obstacle(challenger, champion)
    if obstacle:
        return obstacle
    said = pair_predictions(challenger, champion)
    if said is None:
        kept = read_rescored(found.root, other, test_md5=digest_test_set(found.predictions))
        said = pair_predictions(challenger, replace(champion, predictions=kept))
    if said is None:
        return "It was not asked about these test images yet; `ferrule promote` asks it, which is a counted look."
    settings = found.params.evaluate
    return compare(said, draws=settings.bootstrap, bins=settings.calibration_bins, seed=found.params.seed)


def _published(found: Run) -> Section:
    split = found.json("split", "split.json")
    whole = found.params.ingest.classes == EMOTIONS
    comparable = found.origin == "fer2013" and whole and bool(split and split["strategy"] == "official")
    return rivals.describe_published(found.metrics, comparable, labels=found.params.train.labels)


def _calibration(found: Run) -> Section:
    calibration = read_json(found.path("evaluate", "calibration.json"))
    reliability = pd.read_csv(found.path("evaluate", "reliability.csv"))
    return model.describe_calibration(calibration, reliability)


def _errors(found: Run) -> Section:
    split = pd.read_parquet(found.path("split", "split.parquet"))
    held_out = select_held_out(found.augmented.table, split)
    rows = held_out.loc[held_out["split"] == "test", "row"].to_numpy()
    images = found.augmented.images[rows]
    return model.describe_errors(found.predictions, images, found.params.ingest.classes, found.params.report.faces)


def _robustness(found: Run) -> Section:
    robustness = read_json(found.path("robustness", "robustness.json"))
    corruptions, slices = (pd.read_csv(found.path("robustness", f"{name}.csv")) for name in ("corruptions", "slices"))
    accuracy = found.metrics["test"]["accuracy"]["value"] if found.metrics else None
    return model.describe_robustness(robustness, corruptions, slices, accuracy)


def _lineage(found: Run) -> Section:
    bundle = read_bundle(found.path("export")) if found.path("export").is_dir() else None
    return record.describe_lineage(
        found.tags,
        bundle.files if bundle else {},
        read_yaml(found.root / "dvc.lock").get("stages") or {},
        found.registered,
        found.model_md5,
    )


def _environment(found: Run) -> Section:
    return record.describe_machines(found.effort.environment, describe_environment())


def _cost(found: Run) -> Section:
    sizes = {path.name: path.stat().st_size for path in sorted(found.path("export").glob("*.onnx"))}
    return record.describe_cost(found.effort, sizes, found.params.report.watts_per_core)


def _figure(name: str, estimate: Mapping[str, float], note: str) -> tuple[str, str, str]:
    """Return a score as value and note: "68.5 %" and "66.9 to 70.0, 3,589 images"."""
    value, interval = say_score(estimate).split(" (")
    return name, value, f"{interval.rstrip(')')}; {note}"


# Name, title, the stages whose folders it reads, and what writes it.
_PARTS = (
    ("data", "Data", ("ingest",), _data),
    ("validation", "Validation", ("validate",), _validation),
    ("duplicates", "Duplicates", ("ingest", "audit"), _duplicates),
    ("noise", "Label noise", ("ingest", "noise"), _noise),
    ("balance", "Balance", ("augment",), _balance),
    ("splits", "Splits", ("split",), _splits),
    ("training", "Training", ("train", "evaluate"), _training),
    ("evaluation", "Evaluation", ("evaluate",), _evaluation),
    ("champion", "Beside the champion", ("evaluate", "register"), _champion),
    ("published", "Beside published figures", ("ingest", "evaluate"), _published),
    ("calibration", "Calibration", ("evaluate",), _calibration),
    ("errors", "Errors worth looking at", ("augment", "split", "evaluate"), _errors),
    ("robustness", "Robustness and slices", ("robustness",), _robustness),
    ("lineage", "Lineage", (), _lineage),
    ("environment", "Environment", (), _environment),
    ("cost", "Cost", (), _cost),
)
