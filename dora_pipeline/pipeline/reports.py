"""The report: the page of a question as a file, read from the published warehouse, put in place whole."""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from dora_pipeline.config import Home
from dora_pipeline.errors import DoraError, WarehouseError
from dora_pipeline.pipeline.answers import Scope, answer_of_part, overview
from dora_pipeline.pipeline.appendices import appendix
from dora_pipeline.pipeline.report_queries import Queries
from dora_pipeline.pipeline.trends import trends_of_year
from dora_pipeline.report.answer import Answer, Overview
from dora_pipeline.report.content import Excerpt
from dora_pipeline.report.page import answer_page, nothing_page
from dora_pipeline.report.question import Question
from dora_pipeline.warehouse.filtered import Parts
from dora_pipeline.warehouse.reader import asking, open_publication

DAYS = 30
_EVERYTHING = Question()
_MEMORY = "1GB"
# What a file holds at most, so that its size is bounded however large the warehouse is.
_MOST_ENVIRONMENTS = 6
_MOST_MEMBERS: Mapping[str, int] = {"service": 500, "team": 200}


class ReportError(DoraError):
    """The report cannot be written."""


def write_report(home: Home, asked: Question = _EVERYTHING, days: int = DAYS) -> Path:
    """Write the page of a question over the newest `days`, and return its path: `report/index.html` of the home where
    nothing is asked for, else a name of its own beside it.

    What the page says depends on the published warehouse only, not on the clock. Raises WrongQuestion for what no event
    names, WarehouseError where nothing was published yet, or by a program whose tables are others, and ReportError
    where the file cannot be written; the page that was there stays then.
    """
    with TemporaryDirectory(prefix="dora-report-") as spill:
        connection = open_publication(home, _MEMORY, Path(spill))
        try:
            with asking(home, connection) as cursor, asking(home, connection) as other:
                named, text = _page([cursor, other], asked, days)
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise WarehouseError(
                f"{home.warehouse}: cannot be read for the report; `dora run` brings it up to date: {reason}"
            ) from error
        finally:
            connection.close()
    path = home.path / "report" / _file_name(named)
    _put(path, text)
    return path


def _page(connections: Sequence[duckdb.DuckDBPyConnection], asked: Question, days: int) -> tuple[Question, str]:
    """What is asked, by the name of its environment where that was an alias, and the page about it."""
    connection = connections[0]
    known = overview(connection)
    if known.newest_day is None:
        return asked, nothing_page(known, appendix(connection, asked, None)[0].rejected).html
    named = asked if asked.env is None else known.resolved(asked)
    question = named.but(from_day=known.newest_day - timedelta(days=days - 1))
    known.check(question)
    scope = _scope(question, known)
    found = _answer(connections, question, known, scope)
    own, queries = appendix(connection, question, scope, {item.env for item in found.environments.rows})
    return named, answer_page(replace(found, queries=[*found.queries, *queries], appendix=own)).html


def _scope(question: Question, known: Overview) -> Scope:
    """The days that are asked for, and the year that ends with them: its trends, and who was heard of in it."""
    assert known.newest_day is not None, "there is nothing to ask about"
    period = question.window(known.newest_day)
    before = question.compared(period)
    trends = trends_of_year(known.newest_day)
    since = min(window.first for window in (*(days for _, days in trends), period, *([before] if before else [])))
    if question.points(period) == "day":
        trends.append(("day", period))
    named = [name for name in _MOST_MEMBERS if getattr(question, name) is not None]
    most = {} if "service" in named else {name: most for name, most in _MOST_MEMBERS.items() if name not in named}
    return Scope(period, before, trends, since, most, has_provisional=False)


def _answer(
    connections: Sequence[duckdb.DuckDBPyConnection], question: Question, known: Overview, scope: Scope
) -> Answer:
    """The answer; of every environment with an event in the scope, where the question names none."""
    with Parts().filtered(connections, question.values, question.tag, scope.windows) as part:
        shown = [known.environment(question)]
        if question.env is None:
            rows = Queries(connections[0]).rows("environments", since_day=scope.since, to_day=scope.period.last)
            heard_of = {env for env, *_ in rows}
            shown = [environment for environment in known.environments if environment.env in heard_of] or shown
        return answer_of_part(connections, part, question, known, scope, Excerpt.of(shown, _MOST_ENVIRONMENTS))


def _file_name(asked: Question) -> str:
    """A name that no other question has, and says which this is as far as a file's name may."""
    if asked == _EVERYTHING:
        return "index.html"
    plain = re.sub(r"[^a-z0-9.]+", "-", asked.query.lower()).strip("-.")[:80]
    return f"{plain}-{blake2b(asked.query.encode(), digest_size=4).hexdigest()}.html"


def _put(path: Path, text: str) -> None:
    """Put a page in place, whole. Raises ReportError where it cannot be written."""
    temporary = path.with_name(f"{path.name}.writing-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ReportError(f"{path}: cannot be written: {error.strerror}; check space, owner and mode") from error
