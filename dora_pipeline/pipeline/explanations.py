"""The events behind a figure of a question, computed from one publication of the warehouse."""

import duckdb

from dora_pipeline.pipeline.report_queries import Value, filled
from dora_pipeline.report.answer import Overview
from dora_pipeline.report.explanation import COUNTED, ExplainedEvent, Explanation, ReasonCount
from dora_pipeline.report.question import Question, WrongQuestion
from dora_pipeline.warehouse.filtered import passes
from dora_pipeline.warehouse.queries import quoted

_ROWS = 200
# Where an environment is asked; what was rejected has no id.
_WITHOUT_ENV = "CASE WHEN m.env IS NULL AND m.event_id IS NOT NULL THEN 'no_env' END"
_REJECTED_WITHOUT_ENV = "CASE WHEN m.env IS NULL AND m.event_id IS NULL THEN ', no_env' ELSE '' END"


def explained_query(question: Question, known: Overview, figure: str, reason: str | None = None) -> str:
    """The SQL of the events behind a figure of a question that names its environment; of one reason, or all."""
    assert known.newest_day is not None, "there is nothing to ask about"
    period = question.window(known.newest_day)
    options: dict[str, Value] = {"figure": figure, "from_day": period.first, "to_day": period.last}
    is_of_env = question.values.get("env") is not None
    # What is filled in first holds nothing that comes from outside.
    return filled("report.explained", options).format(
        passes=passes(question.values, question.tag),
        without_env=_WITHOUT_ENV if is_of_env else "NULL",
        rejected_without_env=_REJECTED_WITHOUT_ENV if is_of_env else "''",
        has_reason=_has_reason(reason),
    )


def _has_reason(reason: str | None) -> str:
    if reason is None:
        return "TRUE"
    return "m.reason IS NULL" if reason == COUNTED else f"m.reason = {quoted(reason)}"


def figure_explanation(
    connection: duckdb.DuckDBPyConnection, asked: Question, known: Overview, figure: str, reason: str | None, page: int
) -> Explanation:
    """A page, from 1, of the events behind a figure; `connection` is one of `open_publication`.

    Raises WrongQuestion for what the publication does not know, and for a page that there is not.
    """
    question = known.resolved(asked)
    assert known.newest_day is not None, "there is nothing to ask about"
    counted = connection.execute(
        f"SELECT reason, COUNT(*), COUNT(DISTINCT event_id) FROM (\n{explained_query(question, known, figure)}\n) "
        "GROUP BY reason ORDER BY reason IS NOT NULL, 2 DESC, reason"
    ).fetchall()
    counts = [ReasonCount(*row) for row in counted]
    chosen = [count for count in counts if reason in (None, count.reason or COUNTED)]
    pages = max(1, -(-sum(count.rows for count in chosen) // _ROWS))
    if page > pages:
        raise WrongQuestion("page", f"there are {pages:,}")
    rows = connection.execute(
        f"{explained_query(question, known, figure, reason)}\nLIMIT {_ROWS} OFFSET {(page - 1) * _ROWS}"
    ).fetchall()
    events = [ExplainedEvent(*row) for row in rows]
    period = question.window(known.newest_day)
    return Explanation(question, known, figure, period, reason, page, pages, counts, events)
