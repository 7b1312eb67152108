"""The pages: each one HTML text with its style and script in it, that fetches nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dora_pipeline.report import charts, links, ranking, words
from dora_pipeline.report.answer import Answer
from dora_pipeline.report.cards import cards
from dora_pipeline.report.content import Query, Report
from dora_pipeline.report.details import LINK_RULES, WAYS, Details
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
    links=links,
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
_STYLES = ("page.css", "answer.css")


@dataclass(frozen=True)
class Page:
    """A page, and the Content-Security-Policy under which it works."""

    html: str
    policy: str


def page(report: Report) -> str:
    """The HTML of the report, a file. Every text of the report is escaped, whatever it holds."""
    return _page(
        "page.html",
        "page.js",
        styles=("page.css",),
        policy_in_page=True,
        report=report,
        quiet_days=_quiet_days(report),
    ).html


def answer_page(answer: Answer) -> Page:
    """The page of a question. Every text of the answer is escaped, whatever it holds."""
    return _page("answer.html", "answer.js", answer=answer, is_live=True)


def answer_file(answer: Answer) -> str:
    """The HTML of the page of a question as a file, from which nothing more can be asked."""
    return _page("answer.html", policy_in_page=True, answer=answer, is_live=False).html


def explanation_page(explanation: Explanation) -> Page:
    """The page of the events behind a figure."""
    return _page("explanation.html", explanation=explanation)


def details_page(details: Details, zone: ZoneInfo) -> Page:
    """The page of a deployment or a failure; its times are those of the zone."""
    return _page(f"{details.event_type}.html", details=details, zone=zone)


def quality_page(quality: Quality) -> Page:
    """The page of how far the data can be trusted."""
    return _page("data_quality.html", quality=quality)


def queries_page(queries: Sequence[Query], asked: str) -> Page:
    """The page of the SQL of each table of another page, which the query string asks for."""
    return _page("sql.html", queries=queries, asked=asked)


def nothing_page() -> Page:
    """The page where no event has come yet."""
    return message_page("No events yet", "There is no event of a selected source yet, so there are no figures.")


def message_page(title: str, message: str, links: Sequence[tuple[str, str]] = ()) -> Page:
    """A page that says why there is no other one; `links` are texts with addresses that may help."""
    return _page("message.html", title=title, message=message, links=links)


def _page(
    template: str,
    script: str | None = None,
    *,
    styles: Sequence[str] = _STYLES,
    policy_in_page: bool = False,
    **values: Any,
) -> Page:
    style, program = "".join(map(_text, styles)), _text(script) if script else ""
    # Nothing but this style and this script may run or be fetched, even if a name were to slip through.
    policy = f"default-src 'none'; style-src '{_digest(style)}'"
    if program:
        policy += f"; script-src '{_digest(program)}'"
    if not policy_in_page:
        policy += "; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    html = _TEMPLATES.get_template(template).render(
        style=Markup(style), script=Markup(program), policy=policy, policy_in_page=policy_in_page, **values
    )
    return Page(html, policy)


@cache
def _text(name: str) -> str:
    return _TEMPLATES.get_template(name).render()


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _quiet_days(report: Report) -> int:
    """Whole days between the newest event and the last reading."""
    if report.read_at is None or report.newest_event_at is None:
        return 0
    return max((report.read_at - report.newest_event_at) // timedelta(days=1), 0)
