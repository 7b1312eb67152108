"""Which days of which tables no longer match what has landed, kept in landing.stale_days."""

from collections.abc import Iterable, Mapping
from datetime import date

import duckdb

from dora_pipeline.tables import ApmVersionActivity, Deployments, Failures, RejectedEvents, Table
from dora_pipeline.warehouse.queries import statement

_LANDED: Mapping[type[Table], str] = {
    ApmVersionActivity: "landing.version_activity",
    Deployments: "landing.deployments",
    Failures: "landing.failures",
    RejectedEvents: "landing.rejected_events",
}


def stale_days(connection: duckdb.DuckDBPyConnection, tables: Iterable[type[Table]]) -> list[date]:
    """The stale days of any of the tables, in order."""
    rows = connection.execute(
        "SELECT DISTINCT day FROM landing.stale_days WHERE LIST_CONTAINS(?, target) ORDER BY day",
        [[table.table_name for table in tables]],
    ).fetchall()
    return [row[0] for row in rows]


def waiting_days(connection: duckdb.DuckDBPyConnection) -> dict[date, str]:
    """The stale days in order, each with a digest of what has landed of it and of what it is loaded by.

    The digest of a day changes when the same day changes again, and with selections, services and settings.
    """
    return dict(connection.execute(statement("landing.waiting_days")).fetchall())


def mark_days(connection: duckdb.DuckDBPyConnection, tables: Iterable[type[Table]], days: str) -> None:
    """Mark the days that a query of one column gives for each of the tables."""
    connection.execute(
        f"""
        INSERT INTO landing.stale_days
        SELECT UNNEST(?) AS target, m.day FROM ({days}) AS m(day)
        EXCEPT
        SELECT target, day FROM landing.stale_days
        """,
        [[table.table_name for table in tables]],
    )


def mark_all_days(connection: duckdb.DuckDBPyConnection, tables: Iterable[type[Table]]) -> None:
    """Mark every day on which the tables have, or should have, rows."""
    for table in tables:
        known = f"SELECT day FROM {table.table_name}"
        landed = f" UNION ALL SELECT day FROM {_LANDED[table]}" if table in _LANDED else ""
        mark_days(connection, [table], known + landed)


def mark_days_of_services(connection: duckdb.DuckDBPyConnection, services: Iterable[str]) -> str:
    """Mark every day on which one of the services has events; the query of the services."""
    connection.execute("CREATE OR REPLACE TEMP TABLE named_services AS SELECT UNNEST(?) AS service", [list(services)])
    named = "SELECT service FROM named_services"
    for table in (Deployments, Failures):
        mark_days(connection, [table], f"SELECT day FROM {_LANDED[table]} WHERE service IN ({named})")
    return named
