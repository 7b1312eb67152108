"""The pages: each one HTML text with its style and script in it, that fetches nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dora_pipeline.report import charts, ranking, words
from dora_pipeline.report.answer import Answer
from dora_pipeline.report.cards import cards
from dora_pipeline.report.content import Report
from dora_pipeline.report.distribution import distribution
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
    distribution=distribution,
    sparkline=ranking.sparkline,
    RANKED=ranking.COLUMNS,
    COMPARISONS=COMPARISONS,
    GRAINS=GRAINS,
    NONE=NONE,
    PERIODS=PERIODS,
)


@dataclass(frozen=True)
class Page:
    """A page, and the Content-Security-Policy under which it works."""

    html: str
    policy: str


def page(report: Report) -> str:
    """The HTML of the report, a file. Every text of the report is escaped, whatever it holds."""
    return _page(
        "page.html", ("page.css",), "page.js", policy_in_page=True, report=report, quiet_days=_quiet_days(report)
    ).html


def answer_page(answer: Answer) -> Page:
    """The page of a question. Every text of the answer is escaped, whatever it holds."""
    return _page("answer.html", ("page.css", "answer.css"), "answer.js", answer=answer)


def message_page(title: str, message: str, links: Sequence[tuple[str, str]] = ()) -> Page:
    """A page that says why there is no other one; `links` are texts with addresses that may help."""
    return _page("message.html", ("page.css", "answer.css"), title=title, message=message, links=links)


def _page(
    template: str, styles: Sequence[str], script: str | None = None, *, policy_in_page: bool = False, **values: Any
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
