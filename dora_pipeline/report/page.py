"""The page: one HTML file with everything in it, that asks for nothing else."""

import base64
import hashlib
from datetime import timedelta

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dora_pipeline.report import charts, words
from dora_pipeline.report.cards import cards
from dora_pipeline.report.content import Report

_TEMPLATES = Environment(
    loader=PackageLoader("dora_pipeline.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals.update(words=words, charts=charts, cards=cards)


def page(report: Report) -> str:
    """The HTML of the report. Every text of the report is escaped, whatever it holds."""
    style, script = _text("page.css"), _text("page.js")
    return _TEMPLATES.get_template("page.html").render(
        report=report,
        style=Markup(style),
        script=Markup(script),
        # Nothing but this style and this script may run or be fetched, even if a name were to slip through.
        policy=f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'",
        quiet_days=_quiet_days(report),
    )


def _text(name: str) -> str:
    return _TEMPLATES.get_template(name).render()


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _quiet_days(report: Report) -> int:
    """Whole days between the newest event and the last reading."""
    if report.read_at is None or report.newest_event_at is None:
        return 0
    return max((report.read_at - report.newest_event_at) // timedelta(days=1), 0)
