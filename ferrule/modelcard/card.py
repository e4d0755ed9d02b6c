"""The model card of one run, as Markdown and as a page that needs no other file; every number in it is the run's."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markdown_it import MarkdownIt
from markupsafe import Markup

from ferrule.documents import say_score, say_share
from ferrule.modelcard.origin import Origin

MARKDOWN, PAGE = "model_card.md", "model_card.html"


@dataclass(frozen=True)
class DataFacts:
    """What was read from data/: where it is from, as far as that is known; images, rejects, files, and their kinds.

    `usages` counts the images by the source's own marks; it is empty where there are none.
    """

    origin: Origin
    md5: str | None
    images: int
    rejected: int
    files: int
    kinds: tuple[str, ...]  # endings of the files' names
    usages: dict[str, int]


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from: parameters, and what the stages of one run wrote (docs/artifacts.md).

    `network` is evaluate/network.json, `validation` validate/result.json, `audit` audit/audit.json, `split`
    split/split.json, `metrics` evaluate/metrics.json, `calibration` evaluate/calibration.json, and `parity` says by
    precision how near each exported file is to the network.
    """

    name: str
    classes: tuple[str, ...]
    recipe: str
    seed: int
    train: dict[str, Any]  # that section of params.yaml
    network: dict[str, Any]
    data: DataFacts
    validation: dict[str, Any]
    audit: dict[str, Any]
    split: dict[str, Any]
    metrics: dict[str, Any]
    calibration: dict[str, Any]
    parity: dict[str, dict[str, Any]]
    model_md5: str


def write_card_files(folder: Path, facts: CardFacts) -> None:
    """Write model_card.md and model_card.html into `folder`; equal facts give equal bytes."""
    text = render_markdown(facts)
    (folder / MARKDOWN).write_text(text, encoding="utf-8")
    (folder / PAGE).write_text(render_page(facts.name, text), encoding="utf-8")


def render_markdown(facts: CardFacts) -> str:
    """Return the card as Markdown."""
    derived = {"counts": _count_split(facts.split), "blocks": _describe_blocks(facts.metrics, facts.calibration)}
    return _environment().get_template("card.md.jinja").render(vars(facts) | derived)


def render_page(name: str, markdown: str) -> str:
    """Return the card as HTML: one file, light or dark, that loads nothing and can be printed."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    return _environment().get_template("page.html.jinja").render(name=name, body=Markup(body))  # noqa: S704  # escaped


def _environment() -> Environment:
    """Return the templates with the filters that put numbers as people read them; the page alone is HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=select_autoescape(["html.jinja"]),
    )
    environment.filters |= {"count": "{:,}".format, "percent": say_share, "score": say_score, "number": _number}
    return environment


def _count_split(split: dict[str, Any]) -> dict[str, Any]:
    """Return the sums of split.json: images `by_class` in each split, `totals`, and those `dropped` by reason."""
    original = {name: Counter(classes) for name, classes in split["original"].items()}
    generated = {name: Counter(classes) for name, classes in split["generated"].items()}
    return {
        "by_class": original,
        "generated": sum(generated.values(), Counter()),
        "totals": {name: classes.total() for name, classes in original.items()},
        "dropped": {reason: sum(classes.values()) for reason, classes in split["dropped"].items()},
    }


def _describe_blocks(metrics: dict[str, Any], calibration: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the scores that a card shows, by kind of images; what a temperature changes has `before` and `after`."""
    titles = {
        "test": "test images",
        "test_leak_free": "test, without a copy elsewhere",
        "test_tta": "test, mean over all views",
        "val": "validation images",
    }
    return [
        {"block": block, "title": title} | metrics[block] | calibration["scores"][block]
        for block, title in titles.items()
        if block in metrics
    ]


def _number(estimate: dict[str, float]) -> str:
    """Return what is no share with its 95 % interval as "0.901 (0.870 to 0.928)"."""
    return "{value:.3f} ({low:.3f} to {high:.3f})".format(**estimate)
