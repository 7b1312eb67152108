"""The report: read from the published warehouse, made into a page, put in place whole."""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb

from dora_pipeline.config import Home, Settings
from dora_pipeline.errors import DoraError, WarehouseError
from dora_pipeline.pipeline.report_queries import Queries
from dora_pipeline.pipeline.report_trends import environments
from dora_pipeline.report.content import (
    DeploymentRow,
    Excerpt,
    FailureRow,
    Figures,
    Member,
    Oddity,
    Query,
    Rejected,
    Report,
    SelectedSource,
    WithoutLeadTime,
)
from dora_pipeline.report.page import page
from dora_pipeline.settings import read_settings
from dora_pipeline.timeline import Window, day_of, start_of
from dora_pipeline.warehouse.reader import open_reader

DAYS = 30
# What a page holds at most, so that its size is bounded however large the warehouse is.
_MOST_ENVIRONMENTS = 6
_MOST_SERVICES = 500
_MOST_TEAMS = 200
_MOST_REASONS = 50
_MOST_OPEN = 50
_MOST_EVENTS = 25


class ReportError(DoraError):
    """The report cannot be written."""


def write_report(home: Home, days: int = DAYS) -> Path:
    """Write `report/index.html` of the home, and return its path; `days` is the length of the period of its figures.

    What the page says depends on the published warehouse and the settings only, not on the clock. Raises WarehouseError
    where nothing was published yet, or by a program whose tables are others, and ReportError where the file cannot be
    written; the report that was there stays then.
    """
    settings = read_settings(home)
    with open_reader(home) as connection:
        try:
            report = _report(Queries(connection), settings, days)
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise WarehouseError(
                f"{home.warehouse}: cannot be read for the report; `dora run` brings it up to date: {reason}"
            ) from error
    path = home.path / "report" / "index.html"
    put_page(path, page(report))
    return path


def _report(queries: Queries, settings: Settings, days: int) -> Report:
    zone = settings.zone
    ((newest_day, newest_event_at, read_at),) = queries.rows("span")
    sources = [SelectedSource(*row) for row in queries.rows("sources", "Selected sources")]
    failures_since = known_since(sources, "failure", zone)
    since_both = rates_since(sources, zone)
    if newest_day is None:
        rejected = queries.rows("rejected", "Rejected events", from_day=None, to_day=None)
        return Report(
            zone,
            newest_event_at,
            read_at,
            sources,
            rejected=Excerpt.of([Rejected(*row) for row in rejected], _MOST_REASONS),
            queries=_queries(queries),
        )
    period = Window(newest_day - timedelta(days=days - 1), newest_day)
    before = Window(period.first - timedelta(days=days), period.first - timedelta(days=1))
    since = min(newest_day - timedelta(days=365), before.first)
    bounds = {"from_day": period.first, "to_day": period.last}
    figures = {
        dimension: queries.rows("figures", title, since_day=since, dimension=dimension, **bounds)
        for dimension, title in (("env", "Cards"), ("service", "Services"), ("team", "Teams"))
    }
    all_environments = environments(queries, figures["env"], before, period, since)
    shown = Excerpt.of(all_environments, _MOST_ENVIRONMENTS)
    names = {environment.env for environment in shown.rows}
    places = {environment.env: place for place, environment in enumerate(all_environments)}
    teams = dict(queries.rows("teams", since_day=since))

    def members(dimension: str, most: int) -> Excerpt[Member]:
        rows = [
            Member(service, env, team or teams.get(service), Figures(*values))
            for _, service, env, team, *values in figures[dimension]
        ]
        # The query sorts by deployments within an environment; sorting keeps that.
        return Excerpt.of(sorted(rows, key=lambda row: places[row.env]), most)

    return Report(
        zone,
        newest_event_at,
        read_at,
        sources,
        period,
        before,
        failures_since,
        since_both,
        shown,
        members("service", _MOST_SERVICES),
        members("team", _MOST_TEAMS),
        Excerpt.of([Rejected(*row) for row in queries.rows("rejected", "Rejected events", **bounds)], _MOST_REASONS),
        Excerpt.of(
            [
                WithoutLeadTime(*row)
                for row in queries.rows("reasons", "Deployments without a change lead time", **bounds)
            ],
            _MOST_REASONS,
        ),
        Excerpt.of([FailureRow(*row) for row in queries.rows("open_failures", "Open failures")], _MOST_OPEN),
        [Oddity(*row) for row in queries.rows("oddities", "Counted, and to be looked at", **bounds)],
        [
            deployment
            for row in queries.rows("deployments", "Newest deployments", since_day=since, most=_MOST_EVENTS)
            if (deployment := DeploymentRow(*row)).env in names
        ],
        [
            failure
            for row in queries.rows("failures", "Newest failures", since_day=since, most=_MOST_EVENTS)
            if (failure := FailureRow(*row)).env in names
        ],
        _queries(queries),
    )


def known_since(sources: Sequence[SelectedSource], event_type: str, zone: ZoneInfo) -> date | None:
    """The day from which events of a type are known; None where none of the sources tells of them."""
    begins = _first_selection(sources, event_type)
    return None if begins is None else day_of(begins, zone)


def rates_since(sources: Sequence[SelectedSource], zone: ZoneInfo) -> date | None:
    """The first day from whose start deployments and failures are known; None while a type has no selected source."""
    deployments, failures = _first_selection(sources, "deployment"), _first_selection(sources, "failure")
    if deployments is None or failures is None:
        return None
    begins = max(deployments, failures)
    day = day_of(begins, zone)
    return day if start_of(day, zone) == begins else day + timedelta(days=1)


def _first_selection(sources: Sequence[SelectedSource], event_type: str) -> datetime | None:
    return min((source.first_selected_at for source in sources if source.event_type == event_type), default=None)


def _queries(queries: Queries) -> list[Query]:
    return [Query(title, text) for title, text in queries.texts.items()]


def put_page(path: Path, text: str) -> None:
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
