"""Loading whole days of core and metrics: what was there is replaced, in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import date

import duckdb
import polars as pl

from dora_pipeline.tables import (
    Daily,
    DeploymentCommits,
    Deployments,
    FailedChanges,
    FailureLinks,
    Failures,
    RejectedEvents,
    Table,
)
from dora_pipeline.warehouse.loads import record_load
from dora_pipeline.warehouse.queries import (
    count,
    difference,
    frame,
    insert,
    make_alike,
    statement,
)
from dora_pipeline.warehouse.staleness import mark_days
from dora_pipeline.warehouse.writer import Writer

# Loading a table makes the same days of these stale.
_FEEDS: Mapping[type[Table], tuple[type[Table], ...]] = {
    Deployments: (DeploymentCommits, FailedChanges, RejectedEvents, Daily),
    DeploymentCommits: (Daily,),
    FailedChanges: (Daily,),
    Failures: (FailureLinks, RejectedEvents, Daily),
}

# The other days of metrics.daily in which rows of a day count: a restore, a deployment with failures, a remediation.
_OTHER_DAYS: Mapping[type[Table], str] = {
    Failures: "SELECT restored_day FROM core.failures WHERE restored_day IS NOT NULL AND day IN (FROM run_days)",
    FailureLinks: """
        SELECT d.day FROM core.deployments AS d
        WHERE d.deployment_id IN (
            SELECT l.deployment_id FROM core.failure_links AS l WHERE l.day IN (FROM run_days)
            UNION ALL
            SELECT UNNEST(l.possible_ids) FROM core.failure_links AS l WHERE l.day IN (FROM run_days)
        )
    """,
    FailedChanges: """
        SELECT r.day FROM core.failed_changes AS c JOIN core.deployments AS r ON c.remediation_id = r.deployment_id
        WHERE c.day IN (FROM run_days)
    """,
}


def replace_days(
    writer: Writer,
    table: type[Table],
    days: Sequence[date],
    code_version: str,
    parameters: Mapping[str, int] | None = None,
) -> int:
    """Load the days of a table from its SQL file, as of a code version; the number of rows that they have now."""
    with writer.transaction() as connection:
        make_days(connection, days)
        if table in _OTHER_DAYS:
            mark_days(connection, [Daily], _OTHER_DAYS[table])
        connection.execute(f"DELETE FROM {table.table_name} WHERE day IN (SELECT day FROM run_days)")
        values: dict[str, object] = dict(parameters or {})
        if table is Daily:
            connection.execute(f"CREATE OR REPLACE TEMP TABLE known_days AS {statement('metrics.known_days')}")
            values |= {"first_day": min(days, default=None), "last_day": max(days, default=None)}
        rows = writer.engine.insert(connection, table.table_name, table.table_name, values)
        if rows and table in _OTHER_DAYS:
            mark_days(connection, [Daily], _OTHER_DAYS[table])
        connection.execute(
            "DELETE FROM landing.stale_days WHERE target = ? AND day IN (SELECT day FROM run_days)", [table.table_name]
        )
        if table in _FEEDS:
            mark_days(connection, _FEEDS[table], "SELECT day FROM run_days")
        record_load(connection, table, code_version, "SELECT day FROM run_days")
    return rows


def services_with_commits(writer: Writer) -> set[str]:
    """The services of which a deployment with a commit has landed."""
    query = "SELECT DISTINCT service FROM landing.deployments WHERE commit_sha IS NOT NULL"
    return {row[0] for row in writer.connection.execute(query).fetchall()}


def replace_table(connection: duckdb.DuckDBPyConnection, table: type[Table], rows: pl.DataFrame) -> pl.DataFrame:
    """Replace the rows of a table that is not loaded by days. Returns the rows that differ, before and after."""
    known = frame(connection, f"FROM {table.table_name}")
    # Most of the time nothing has changed, and to see that here takes less than to plan a statement.
    if known.sort(table.key()).equals(rows.select(known.columns).sort(table.key())):
        return known.clear()
    make_alike(connection, "new_rows", table.table_name, rows)
    changed = frame(connection, difference(table.table_name, "new_rows"))
    if changed.height:
        connection.execute(f"DELETE FROM {table.table_name}")
        insert(connection, table.table_name, "new_rows", rows.height)
    return changed


def row_count(writer: Writer, table: type[Table], days: Sequence[date]) -> int:
    """The number of rows of a table on the days."""
    make_days(writer.connection, days)
    query = f"SELECT COUNT(*) FROM {table.table_name} WHERE day IN (SELECT day FROM run_days)"
    return count(writer.connection, query)


def rows_by_day(writer: Writer, table: type[Table], days: Sequence[date]) -> dict[date, int]:
    """The number of rows of a table on each of the days, in order."""
    make_days(writer.connection, days)
    found = writer.connection.execute(
        f"""
        SELECT r.day, COUNT(t.day) FROM run_days AS r LEFT JOIN {table.table_name} AS t ON r.day = t.day
        GROUP BY r.day ORDER BY r.day
        """
    ).fetchall()
    return dict(found)


def all_row_count(writer: Writer, table: type[Table]) -> int:
    """The number of rows of a table on all days."""
    return count(writer.connection, f"SELECT COUNT(*) FROM {table.table_name}")


def make_days(connection: duckdb.DuckDBPyConnection, days: Sequence[date]) -> None:
    """Put the days into the temporary table run_days, which the SQL files read."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE run_days AS SELECT DISTINCT UNNEST(?::DATE[]) AS day", [list(days)]
    )
