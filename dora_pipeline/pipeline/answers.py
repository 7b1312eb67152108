"""The answers to questions, computed from one publication of the warehouse.

Every figure comes from the events of its question: medians under any filter are exact.
"""

from datetime import date
from zoneinfo import ZoneInfo

import duckdb

from dora_pipeline.pipeline.report_queries import Queries
from dora_pipeline.pipeline.report_trends import production_first
from dora_pipeline.pipeline.reports import rates_since
from dora_pipeline.report.answer import Answer, Catalog, NamedEnvironment
from dora_pipeline.report.content import Environment, Figures, Query, SelectedSource
from dora_pipeline.report.question import COLUMNS, NONE, Question
from dora_pipeline.timeline import OLDEST_INSTANT, Window, day_of
from dora_pipeline.warehouse.filtered import filtered

_MOST_TAGS = 200


def catalog(connection: duckdb.DuckDBPyConnection) -> Catalog:
    """What there is to ask about; `connection` is one of `open_publication`."""
    queries = Queries(connection)
    ((timezone,),) = queries.rows("time_zone")
    ((newest_day, newest_event_at, read_at),) = queries.rows("span")
    environments = (
        [] if newest_day is None else queries.rows("environments", since_day=OLDEST_INSTANT.date(), to_day=newest_day)
    )
    names: dict[str, list[str | None]] = {parameter: [] for parameter in (*COLUMNS, "tag") if parameter != "env"}
    for parameter, name in queries.rows("names", most_tags=_MOST_TAGS):
        names[parameter].append(name)
    return Catalog(
        ZoneInfo(timezone),
        newest_day,
        newest_event_at,
        read_at,
        [SelectedSource(*row) for row in queries.rows("sources")],
        [NamedEnvironment(*row) for row in sorted(environments, key=production_first)],
        names,
    )


def answer(connection: duckdb.DuckDBPyConnection, asked: Question, known: Catalog) -> Answer:
    """The answer to a question of a catalog that has events; `connection` is one of `open_publication`.

    Raises WrongQuestion for what the publication does not know, or days that are too many or not there yet.
    """
    assert known.newest_day is not None, "there is nothing to ask about"
    environment = known.environment(asked)
    known.check(asked)
    question = asked.but(env=NONE if environment.env is None else environment.env)
    period = question.window(known.newest_day)
    question.points(period)
    before = question.compared(period)
    failures_since = _since("failure", known, question)
    nothing = _nothing(known, question)
    queries = Queries(connection)
    windows = [period] if before is None else [period, before]
    with filtered(connection, question.values, question.tag, windows):
        now = _figures(queries, "Cards", environment.env, period) or nothing
        first = environment.first_deployment_day
        is_before_known = before is not None and first is not None and first <= before.first
        then = (
            _figures(queries, "Cards, the days compared with", environment.env, before)
            if before and is_before_known
            else None
        )
    return Answer(
        question,
        known,
        Environment(environment.env, first, now, (then or nothing) if is_before_known else None),
        period,
        before,
        failures_since,
        rates_since(known.sources, known.zone),
        [Query(title, text) for title, text in queries.texts.items()],
    )


def _figures(queries: Queries, title: str, env: str | None, window: Window) -> Figures | None:
    """The figures of the environment, None where no event is."""
    rows = queries.rows("figures", title, since_day=window.first, from_day=window.first, to_day=window.last)
    found = (Figures(*figures) for dimension, _, of, _, *figures in rows if dimension == "env" and of == env)
    return next(found, None)


def _nothing(known: Catalog, question: Question) -> Figures:
    """The figures of days on which nothing came: counts are 0 of what is told by a source that is asked about."""
    deployments = 0 if _since("deployment", known, question) else None
    failures = 0 if _since("failure", known, question) else None
    return Figures(
        deployments=deployments,
        failures=failures,
        lead_time_commits=deployments,
        lead_time_deployments=deployments,
        restores=failures,
        failed_changes=deployments,
        recoveries=deployments,
        rework_deployments=deployments,
        open_failures=failures,
    )


def _since(event_type: str, known: Catalog, question: Question) -> date | None:
    """The day from which events of the type are known, None where none of its sources is asked about."""
    if event_type == "deployment" and question.severity is not None:
        return None
    firsts = [
        source.first_selected_at
        for source in known.sources
        if source.event_type == event_type and question.source in (None, source.source)
    ]
    return day_of(min(firsts), known.zone) if firsts else None
