"""What a file has beside its figures: events by what is the matter with them, and the newest."""

from collections.abc import Collection
from itertools import starmap
from typing import Any

import duckdb

from dora_pipeline.pipeline.answers import Scope
from dora_pipeline.pipeline.report_queries import Value, filled
from dora_pipeline.report.content import (
    Appendix,
    DeploymentRow,
    Excerpt,
    FailureRow,
    Oddity,
    Query,
    Rejected,
    WithoutLeadTime,
)
from dora_pipeline.report.question import Question
from dora_pipeline.warehouse.filtered import passes

_MOST_REASONS = 50
_MOST_OPEN = 50
_MOST_EVENTS = 25


def appendix(
    connection: duckdb.DuckDBPyConnection, question: Question, scope: Scope | None, shown: Collection[str | None] = ()
) -> tuple[Appendix, list[Query]]:
    """The appendix of a question, and the SQL of its parts; `connection` is one of `open_publication`.

    The newest events are those of the environments that are shown, since the scope begins. Without a scope there is no
    event yet, but for those rejected.
    """
    queries = []

    def rows(name: str, title: str, **options: Value) -> list[tuple[Any, ...]]:
        # What is filled in first holds nothing that comes from outside.
        text = filled(f"report.{name}", options).format(passes=passes(question.values, question.tag))
        queries.append(Query(title, text))
        return connection.execute(text).fetchall()

    def rejected(**bounds: Value) -> Excerpt[Rejected]:
        return Excerpt.of([Rejected(*row) for row in rows("rejected", "Rejected events", **bounds)], _MOST_REASONS)

    if scope is None:
        return Appendix(rejected(from_day=None, to_day=None)), queries
    bounds: dict[str, Value] = {"from_day": scope.period.first, "to_day": scope.period.last}
    newest: dict[str, Value] = {"since_day": scope.since, "most": _MOST_EVENTS}
    reasons = rows("reasons", "Deployments without a change lead time", **bounds)
    deployments, failures = (rows(name, f"Newest {name}", **newest) for name in ("deployments", "failures"))
    found = Appendix(
        rejected(**bounds),
        Excerpt.of([WithoutLeadTime(*row) for row in reasons], _MOST_REASONS),
        Excerpt.of([FailureRow(*row) for row in rows("open_failures", "Open failures")], _MOST_OPEN),
        [Oddity(*row) for row in rows("oddities", "Counted, and to be looked at", **bounds)],
        [row for row in starmap(DeploymentRow, deployments) if row.env in shown],
        [row for row in starmap(FailureRow, failures) if row.env in shown],
    )
    return found, queries
