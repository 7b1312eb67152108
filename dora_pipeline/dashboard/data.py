"""`/data.csv`, `/data.json` and `/sql`: what a page shows as tables, and the SQL that makes them.

They take the parameters of the page: those of a question, with `figure` and `reason` for the events behind a figure; or
`deployment` or `failure`, with the id of one; or `page=quality`. Each table is what its SQL gives, so that both say the
same.
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from io import StringIO
from typing import Any

import duckdb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dora_pipeline.dashboard.event_pages import no_event
from dora_pipeline.dashboard.publications import Publication, publications_of
from dora_pipeline.dashboard.questions import asked, choice
from dora_pipeline.dashboard.responses import html
from dora_pipeline.identifiers import EventType
from dora_pipeline.pipeline.answer_queries import answer_queries
from dora_pipeline.pipeline.details import detail_queries
from dora_pipeline.pipeline.explanations import explained_query
from dora_pipeline.pipeline.quality import quality_queries
from dora_pipeline.report.answer import Overview
from dora_pipeline.report.content import Query
from dora_pipeline.report.explanation import FIGURES
from dora_pipeline.report.page import nothing_page, queries_page
from dora_pipeline.report.question import Question, WrongQuestion

_MOST_ROWS = 100_000
_OWN = ("figure", "reason", "deployment", "failure", "page", "table")
_EVENT_TYPES: Sequence[EventType] = ("deployment", "failure")
# What spreadsheets take for the beginning of a formula, in full width too.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


@dataclass(frozen=True)
class _View:
    """What is asked for: an event, the events behind a figure, how good the data is, or the figures of a question."""

    question: Question
    own: Mapping[str, str]

    def check(self) -> None:
        """Raise WrongQuestion where it is about an event or a page, and about others too."""
        alone = next((name for name in (*_EVENT_TYPES, "page") if name in self.own), None)
        if alone and (self.question != Question() or self.own.keys() - {alone, "table"}):
            raise WrongQuestion(alone, "stands alone, but for `table`")

    @property
    def event(self) -> tuple[EventType, str] | None:
        return next(((name, self.own[name]) for name in _EVENT_TYPES if name in self.own), None)

    def queries(self, known: Overview) -> dict[str, str]:
        """The SQL of each table; none where there is no event yet. Raises WrongQuestion."""
        if self.event is not None:
            return detail_queries(*self.event)
        if "page" in self.own:
            choice(self.own, "page", ("quality",))
            return quality_queries()
        if known.newest_day is None:
            return {}
        if "figure" in self.own:
            question = known.resolved(self.question)
            figure = choice(self.own, "figure", FIGURES)
            return {"events": explained_query(question, known, figure, self.own.get("reason"))}
        return answer_queries(self.question, known)


async def send_csv(request: Request) -> Response:
    """One table of a page; texts that a spreadsheet would take for formulas are marked as text by a `'` before them."""

    def text(connection: duckdb.DuckDBPyConnection, view: _View, queries: Mapping[str, str]) -> Response:
        name = choice({"table": view.own.get("table", next(iter(queries)))}, "table", queries)
        columns, rows = _table(connection, queries[name])
        written = StringIO()
        writer = csv.writer(written)
        writer.writerows([columns, *([_cell(value) for value in row] for row in rows)])
        headers = {"Content-Disposition": f'attachment; filename="dora-{name}.csv"'}
        return Response(written.getvalue(), media_type="text/csv; charset=utf-8; header=present", headers=headers)

    return await _answered(request, text)


async def send_json(request: Request) -> Response:
    """The tables of a page, or one of them: an object of lists of rows, instants in UTC."""

    def text(connection: duckdb.DuckDBPyConnection, view: _View, queries: Mapping[str, str]) -> Response:
        names = [choice(view.own, "table", queries)] if "table" in view.own else list(queries)
        tables = {}
        for name in names:
            columns, rows = _table(connection, queries[name])
            tables[name] = [dict(zip(columns, row, strict=True)) for row in rows]
        return Response(json.dumps(tables, default=_json, ensure_ascii=False), media_type="application/json")

    return await _answered(request, text)


async def show_sql(request: Request) -> Response:
    """The SQL of each table of a page."""

    def page(connection: duckdb.DuckDBPyConnection, view: _View, queries: Mapping[str, str]) -> Response:
        return html(queries_page([Query(name, text) for name, text in queries.items()], request.url.query))

    return await _answered(request, page)


async def _answered(
    request: Request, act: Callable[[duckdb.DuckDBPyConnection, _View, Mapping[str, str]], Response]
) -> Response:
    question, own = asked(request, _OWN)
    view = _View(question, own)
    view.check()

    def found(connection: duckdb.DuckDBPyConnection, publication: Publication) -> Response:
        queries = view.queries(publication.overview)
        if not queries:
            return html(nothing_page(publication.overview), 404)
        if view.event is not None and not _table(connection, queries[view.event[0]])[1]:
            return no_event(*view.event)
        return act(connection, view, queries)

    return await publications_of(request).ask(found)


def _table(connection: duckdb.DuckDBPyConnection, text: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    found = connection.execute(text)
    columns = [column[0] for column in found.description or ()]
    rows = found.fetchmany(_MOST_ROWS + 1)
    if len(rows) > _MOST_ROWS:
        raise WrongQuestion(
            "table", f"has more than {_MOST_ROWS:,} rows; ask for fewer days, or have `dora sql` run what `/sql` shows"
        )
    return columns, rows


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date | datetime):
        return value.isoformat()
    text = "; ".join(map(str, value)) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(_FORMULA) else text


def _json(value: object) -> str:
    assert isinstance(value, date | datetime), value
    return value.isoformat()


ROUTES = [
    Route("/data.csv", send_csv, methods=["GET"]),
    Route("/data.json", send_json, methods=["GET"]),
    Route("/sql", show_sql, methods=["GET"]),
]
