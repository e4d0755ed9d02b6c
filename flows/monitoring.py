"""The monitoring flow: what the champion scored is compared with its reference; drift is told, and announced once."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from filelock import FileLock
from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event
from prefect.logging import get_run_logger

from ferrule.documents import write_table
from ferrule.files import replacing
from ferrule.monitoring.announcements import find_news, say_announcement
from ferrule.monitoring.archive import read_reference
from ferrule.monitoring.check import Check, check_windows, spend_alpha
from ferrule.monitoring.drift_tests import Limits
from ferrule.monitoring.log import LastLook, log_announcement, log_check, open_monitoring, read_history, read_last_look
from ferrule.monitoring.report import TITLES, render_report
from ferrule.monitoring.windows import Window, days_before, read_labelled, read_window
from ferrule.registry.aliases import CHAMPION
from ferrule.registry.versions import VersionInfo, find_version
from flows.notifications import notify, report_failure
from pipelines.params import load_params, pick
from pipelines.sections import Params

EVENT = "ferrule.drift"
FOLDER = "monitoring"  # of the reports, in the project
LATEST = "latest.html"


@dataclass(frozen=True)
class Look:
    """What came of a look; `check` and `report` (a path below the root) are None where there was nothing to look at."""

    sentence: str
    check: Check | None = None
    report: Path | None = None
    announced: bool = False

    @property
    def drifted(self) -> bool:
        """Whether there is drift."""
        return self.check is not None and bool(self.check.drifted)


@flow(name="monitoring", on_failure=[report_failure], on_crashed=[report_failure])
def monitor_champion(root: Path | None = None) -> Look:
    """Compare what the champion scored since the last look with its reference, as the section `monitoring` says.

    Writes a report, metrics and an artifact. Drift is announced by the event `ferrule.drift` and a notification, and
    that of the same tests not again until `cool_down_days` have passed. Nothing to look at is a sentence and no error.
    """
    root = (root or Path.cwd()).resolve()
    (root / FOLDER).mkdir(exist_ok=True)
    with FileLock(root / FOLDER / ".lock"):  # two looks at once would both announce
        look = _look(root)
    get_run_logger().info(look.sentence)
    return look


@dataclass(frozen=True)
class Watch:
    """What a look goes by: the champion, its reference, its run in MLflow, where the last look left off, the time."""

    root: Path
    params: Params
    champion: VersionInfo
    reference: pd.DataFrame
    run_id: str
    last: LastLook
    now: datetime


def _look(root: Path) -> Look:
    params = load_params(root)
    champion = find_version(root, params.register.model_name, CHAMPION)
    if champion is None:
        return Look("There is no champion to watch yet; `ferrule run` makes one.")
    reference = read_reference(root, champion.model_md5)
    if reference is None:
        return Look(
            f"Version {champion.version} of {champion.name} has no reference to compare with, since it was not trained "
            "here, or by an older Ferrule; `ferrule run` makes a model that has one."
        )
    run_id = open_monitoring(root, champion)
    watch = Watch(root, params, champion, reference, run_id, read_last_look(root, run_id), datetime.now(UTC))
    images, labelled = _read_images(watch), _read_labelled(watch)
    settings = params.monitoring
    one = images if images.new and len(images.table) >= settings.min_images else None
    other = labelled if labelled.new and len(labelled.table) >= settings.min_labels else None
    if not (one or other):
        return Look(_say_why_not(watch, images, labelled))
    left_out = [("" if one else _say_no_images(watch, images)), ("" if other else _say_no_labels(watch, labelled))]
    return _conclude(watch, one, other, [note for note in left_out if note])


def _read_images(watch: Watch) -> Window:
    """Return what the champion scored since the last look, and as much before as a window takes."""
    settings = watch.params.monitoring
    return read_window(
        watch.root,
        watch.champion.model_md5,
        since=days_before(watch.now, settings.window_days),
        last=watch.last.scored,
        at_least=settings.window_images,
        at_most=settings.max_images,
        seed=watch.params.seed,
    )


def _read_labelled(watch: Watch) -> Window:
    """Return what was labelled since the last look, and as much before as a window takes."""
    settings = watch.params.monitoring
    return read_labelled(
        watch.root,
        watch.champion.model_md5,
        watch.champion.classes,
        since=days_before(watch.now, settings.label_days),
        last=watch.last.labelled,
        at_least=settings.window_images,
    )


def _say_why_not(watch: Watch, images: Window, labelled: Window) -> str:
    """Return why there is nothing to look at, as a sentence."""
    settings, version = watch.params.monitoring, f"version {watch.champion.version}"
    if images.new or labelled.new:
        return (
            f"Waiting for more: {len(images.table)} images scored by {version} and {len(labelled.table)} of them "
            f"labelled; a look takes {settings.min_images} images or {settings.min_labels} labels."
        )
    if watch.last.looked is None:
        return f"Nothing was scored by {version} in the last {settings.window_days:g} days: nothing to compare."
    found = f" That look found drift: see {FOLDER}/{LATEST}." if watch.last.drifted else ""
    return f"Nothing new was scored or labelled since the last look on {watch.last.looked:%Y-%m-%d %H:%M} UTC.{found}"


def _say_no_images(watch: Watch, images: Window) -> str:
    """Return why a look compares labels alone."""
    if not images.new:
        return "Images were not compared: none were scored since the last look that did."
    return (
        f"Images were not compared: {len(images.table)} were scored, and a look takes "
        f"{watch.params.monitoring.min_images}."
    )


def _say_no_labels(watch: Watch, labelled: Window) -> str:
    """Return why a look does not measure accuracy."""
    known = len(labelled.table)
    if not known:
        why = "no labels yet: `ferrule labels add`"
    elif not labelled.new:
        why = "no new labels since the last look that had some"
    else:
        why = f"{known} labels, and a look takes {watch.params.monitoring.min_labels}: `ferrule labels add`"
    return f"Whether accuracy suffered is unknown ({why})."


def _conclude(watch: Watch, images: Window | None, labelled: Window | None, left_out: list[str]) -> Look:
    """Compare, keep the look in MLflow, write the report and, where drift is new, announce it.

    `left_out` are sentences for the page on what was not compared.
    """
    settings = watch.params.monitoring
    check = check_windows(
        watch.reference,
        images,
        labelled,
        pick(Limits, settings),
        moment=watch.now,
        alpha=spend_alpha(
            watch.now,
            watch.last.spent,
            rate=settings.false_alarm_rate,
            period=timedelta(days=settings.period_days),
        ),
        seed=watch.params.seed,
    )
    cool_down = timedelta(days=settings.cool_down_days)
    announced = bool(find_news(check, watch.last.announced, cool_down))
    announcement = say_announcement(check, watch.last.announced, cool_down)
    log_check(watch.root, watch.run_id, check, _say_how_far(images, labelled), announced=announced)
    report = Path(FOLDER, f"{check.moment:%Y-%m-%dT%H-%M-%SZ}.html")
    if announced:
        _announce(watch, check, report)  # before anything that a full disk could stop
        names = [result.name for result in check.drifted]
        log_announcement(watch.root, watch.run_id, check.moment, names)  # after it: better told twice than never
    _write_report(watch, check, images, watch.root / report, [*filter(None, [announcement]), *left_out])
    sentence = f"{check.sentence} {announcement}".strip()
    table = _say_table(watch, check, sentence)
    create_markdown_artifact(key="monitoring", markdown=table, description="The last look at drift")
    return Look(sentence, check, report, announced)


def _say_how_far(images: Window | None, labelled: Window | None) -> dict[str, datetime]:
    """Return the times of the newest scoring and label that were looked at."""
    windows = {"scored": images, "labelled": labelled}
    return {name: window.newest for name, window in windows.items() if window and window.newest}


def _write_report(watch: Watch, check: Check, images: Window | None, path: Path, notes: list[str]) -> None:
    """Write the page at `path`, and as the latest; `notes` stand below its verdict."""
    settings, champion = watch.params.monitoring, watch.champion
    page = render_report(
        f"{champion.name} version {champion.version}",
        check,
        watch.reference,
        images,
        read_history(watch.root, watch.run_id, tuple(TITLES)),
        notes=notes,
        rate=settings.false_alarm_rate,
        period_days=settings.period_days,
    )
    for place in (path, path.with_name(LATEST)):
        with replacing(place) as draft:
            draft.write_text(page, encoding="utf-8")


def _say_table(watch: Watch, check: Check, sentence: str) -> str:
    """Return the look as Markdown."""
    rows = [
        (TITLES[each.name], f"{each.effect:.3f}", f"{each.limit:.2f}", each.p_text, "**drift**" if each.drifted else "")
        for each in check.results
    ]
    table = write_table(("test", "effect", "limit", "p, corrected", ""), rows)
    return f"**{watch.champion.name} version {watch.champion.version}.** {sentence}\n\n{table}"


def _announce(watch: Watch, check: Check, report: Path) -> None:
    """Tell Prefect, whose automation may start a training, and whoever is notified."""
    champion = watch.champion
    facts = {
        "model": champion.name,
        "version": champion.version,
        "images": check.images,
        "alpha": check.alpha,
        "drifted": {result.name: round(result.effect, 4) for result in check.drifted},
        "report": report.as_posix(),
    }
    resource = {"prefect.resource.id": f"ferrule.model.{champion.name}", "prefect.resource.name": champion.name}
    emit_event(EVENT, resource, payload=facts)
    notify(watch.root, "drift", f"Version {champion.version} of {champion.name}: {check.sentence}", facts)
