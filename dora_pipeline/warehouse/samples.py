"""Samples of tables: their newest rows, and a figure by day to plot."""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from dora_pipeline.tables import (
    ApmVersionActivity,
    Daily,
    DeploymentCommits,
    Deployments,
    FailedChanges,
    FailureLinks,
    Failures,
    RejectedEvents,
    Services,
    SourceSelections,
    Table,
)
from dora_pipeline.warehouse.days import make_days
from dora_pipeline.warehouse.queries import frame, statement
from dora_pipeline.warehouse.writer import Writer

_NEWEST_FIRST: Mapping[type[Table], str] = {
    SourceSelections: "selected_at DESC, source",
    Services: "service",
    ApmVersionActivity: "last_seen_at DESC, service, env, version",
    Deployments: "finished_at DESC, deployment_id",
    DeploymentCommits: "finished_at DESC, deployment_id, authored_at DESC, commit_sha",
    Failures: "started_at DESC, failure_id, service",
    FailureLinks: "day DESC, failure_id, service",
    FailedChanges: "day DESC, deployment_id",
    RejectedEvents: "detected_at DESC, source, payload",
    Daily: "day DESC, service, env, team",
}


def newest_rows(writer: Writer, table: type[Table], until: date | None, most: int) -> pl.DataFrame:
    """The newest rows of a table, at most so many; of one that has days, those of the day `until` and before."""
    days = "WHERE day <= $until" if until else ""
    query = f"SELECT * FROM {table.table_name} {days} ORDER BY {_NEWEST_FIRST[table]} LIMIT {most}"
    return frame(writer.connection, query, {"until": until} if until else None)


def values_by_day(writer: Writer, table: type[Table], days: Sequence[date]) -> dict[date, float | None]:
    """The figure that `sql/report/plot_<table>.sql` gives for the days; a day on which there is nothing is left out."""
    make_days(writer.connection, days)
    query = statement(f"report.plot_{table.table_name.partition('.')[2]}")
    return dict(writer.connection.execute(query).fetchall())
