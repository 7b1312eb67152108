"""The pages: each one HTML text with its style and script in it, that fetches nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dora_pipeline.report import addresses, charts, ranking, words
from dora_pipeline.report.answer import Answer, Overview
from dora_pipeline.report.cards import cards
from dora_pipeline.report.content import Excerpt, Query, Rejected
from dora_pipeline.report.details import LINK_RULES, WAYS, EventDetails
from dora_pipeline.report.distribution import distribution
from dora_pipeline.report.explanation import COUNTED, FIGURES, Explanation, left_out_text
from dora_pipeline.report.quality import Quality
from dora_pipeline.report.question import COMPARISONS, GRAINS, NONE, PERIODS

_TEMPLATES = Environment(
    loader=PackageLoader("dora_pipeline.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals.update(
    words=words,
    charts=charts,
    cards=cards,
    addresses=addresses,
    distribution=distribution,
    sparkline=ranking.sparkline,
    left_out_text=left_out_text,
    RANKED=ranking.COLUMNS,
    COMPARISONS=COMPARISONS,
    COUNTED=COUNTED,
    FIGURES=FIGURES,
    GRAINS=GRAINS,
    LINK_RULES=LINK_RULES,
    NONE=NONE,
    PERIODS=PERIODS,
    WAYS=WAYS,
)


def _code(text: str) -> Markup:
    """The text for the inside of an element, where quotes, of which SQL is full, need no escape of five letters."""
    return Markup(escape(text, quote=False))


_TEMPLATES.filters["code"] = _code


@dataclass(frozen=True)
class Page:
    """A page, and the Content-Security-Policy under which it works."""

    html: str
    policy: str


def answer_page(answer: Answer) -> Page:
    """The page of a question. Every text of the answer is escaped, whatever it holds."""
    script = "filters.js" if answer.is_live else "choices.js"
    return _page("answer.html", script, in_file=not answer.is_live, answer=answer)


def explanation_page(explanation: Explanation) -> Page:
    """The page of the events behind a figure."""
    return _page("explanation.html", explanation=explanation)


def details_page(details: EventDetails, zone: ZoneInfo) -> Page:
    """The page of a deployment or a failure; its times are those of the zone."""
    return _page(f"{details.event_type}.html", details=details, zone=zone)


def quality_page(quality: Quality) -> Page:
    """The page of how far the data can be trusted."""
    return _page("data_quality.html", quality=quality)


def queries_page(queries: Sequence[Query], asked: str) -> Page:
    """The page of the SQL of each table of another page, which the query string asks for."""
    return _page("sql.html", queries=queries, asked=asked)


def nothing_page(known: Overview, rejected: Excerpt[Rejected] | None = None) -> Page:
    """The page where no event has come yet; a file has what was rejected on it."""
    return _page("nothing.html", in_file=rejected is not None, known=known, rejected=rejected)


def message_page(title: str, message: str, links: Sequence[tuple[str, str]] = ()) -> Page:
    """A page that says why there is no other one; `links` are texts with addresses that may help."""
    return _page("message.html", title=title, message=message, links=links)


def _page(template: str, script: str | None = None, *, in_file: bool = False, **values: Any) -> Page:
    style, program = _text("page.css"), _text(script) if script else ""
    # Nothing but this style and this script may run or be fetched, even if a name were to slip through.
    policy = f"default-src 'none'; style-src '{_digest(style)}'"
    if program:
        policy += f"; script-src '{_digest(program)}'"
    if not in_file:
        policy += "; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    html = _TEMPLATES.get_template(template).render(
        style=Markup(style), script=Markup(program), policy=policy, in_file=in_file, **values
    )
    return Page(html, policy)


@cache
def _text(name: str) -> str:
    return _TEMPLATES.get_template(name).render()


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
