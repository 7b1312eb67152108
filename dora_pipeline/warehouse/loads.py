"""When each day of each table was last loaded, kept in landing.loads, so that others can follow."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

import duckdb

from dora_pipeline.tables import TABLES, Table
from dora_pipeline.timeline import Window
from dora_pipeline.warehouse.queries import count, first_row

_TABLES = {table.table_name: table for table in TABLES}


@dataclass(frozen=True)
class Load:
    """The days of a table that were loaded together at a moment (UTC), by a code version, each with its rows now.

    A table that has no days is one day, None.
    """

    table: type[Table]
    loaded_at: datetime
    code_version: str
    rows: dict[date | None, int]


def record_load(connection: duckdb.DuckDBPyConnection, table: type[Table], days: str, code_version: str) -> None:
    """Record that days of a table were loaded now: those that a query of one column gives, NULL for a whole table."""
    connection.execute(
        f"""
        DELETE FROM landing.loads USING ({days}) AS d(day)
        WHERE target = ? AND loads.day IS NOT DISTINCT FROM d.day
        """,
        [table.table_name],
    )
    connection.execute(
        f"INSERT INTO landing.loads SELECT ?, d.day, ?, ?, FALSE FROM ({days}) AS d(day)",
        [table.table_name, _next_moment(connection), code_version],
    )


def record_whole_load(connection: duckdb.DuckDBPyConnection, table: type[Table], code_version: str) -> None:
    """Record that a table that has no days was loaded now."""
    record_load(connection, table, "SELECT CAST(NULL AS DATE)", code_version)


def record_quiet_days(
    connection: duckdb.DuckDBPyConnection, table: type[Table], days: Window, code_version: str
) -> None:
    """Record as loaded the days that never were and need not be: nothing has landed for them."""
    quiet = f"""
        SELECT q.day FROM (
            SELECT CAST(UNNEST(GENERATE_SERIES(DATE '{days.first}', DATE '{days.last}', INTERVAL 1 DAY)) AS DATE)
        ) AS q(day)
        WHERE NOT EXISTS (SELECT 1 FROM landing.loads AS l WHERE l.target = '{table.table_name}' AND l.day = q.day)
            AND NOT EXISTS (
                SELECT 1 FROM landing.stale_days AS s WHERE s.target = '{table.table_name}' AND s.day = q.day
            )
    """
    record_load(connection, table, quiet, code_version)


def mark_reported(connection: duckdb.DuckDBPyConnection, table: type[Table], days: Sequence[date]) -> None:
    """Say of loads that who made them reports them himself; without days, of the load of the whole table."""
    connection.execute(
        """
        UPDATE landing.loads SET is_reported = TRUE
        WHERE target = $target AND (day IN (SELECT UNNEST($days::DATE[])) OR (day IS NULL AND LEN($days::DATE[]) = 0))
        """,
        {"target": table.table_name, "days": list(days)},
    )


def newest_load(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """The moment of the newest load (UTC), None where there was none."""
    row = first_row(connection, "SELECT MAX(loaded_at) FROM landing.loads")
    return row[0] if row else None


def unreported_loads(
    connection: duckdb.DuckDBPyConnection,
    since: datetime | None,
    days: Window,
    following: Collection[type[Table]],
    followed: Collection[type[Table]],
) -> list[Load]:
    """The loads after a moment that nobody reports himself, oldest first.

    Left out are days that are stale, and of the `following` tables those on which one of the `followed` is.
    """
    found = connection.execute(
        """
        SELECT l.target, l.loaded_at, l.code_version, l.day FROM landing.loads AS l
        WHERE NOT l.is_reported AND ($since IS NULL OR l.loaded_at > $since)
            AND (l.day IS NULL OR l.day BETWEEN $first AND $last)
            AND NOT EXISTS (
                SELECT 1 FROM landing.stale_days AS s WHERE s.day = l.day AND (
                    s.target = l.target
                    OR (l.target IN (SELECT UNNEST($following)) AND s.target IN (SELECT UNNEST($followed)))
                )
            )
        ORDER BY l.loaded_at, l.day
        """,
        {
            "since": since,
            "first": days.first,
            "last": days.last,
            "following": [table.table_name for table in following],
            "followed": [table.table_name for table in followed],
        },
    ).fetchall()
    wanted: dict[str, list[date | None]] = {}
    for name, _, _, day in found:
        wanted.setdefault(name, []).append(day)
    counts = {name: _rows_by_day(connection, _TABLES[name], listed) for name, listed in wanted.items()}
    return [
        Load(_TABLES[name], loaded_at, version, {row[3]: counts[name].get(row[3], 0) for row in rows})
        for (name, loaded_at, version), rows in groupby(found, key=lambda row: row[:3])
    ]


def _rows_by_day(
    connection: duckdb.DuckDBPyConnection, table: type[Table], days: Sequence[date | None]
) -> dict[date | None, int]:
    if None in days:
        return {None: count(connection, f"SELECT COUNT(*) FROM {table.table_name}")}
    query = f"SELECT day, COUNT(*) FROM {table.table_name} WHERE day IN (SELECT UNNEST(?)) GROUP BY day"
    return dict(connection.execute(query, [days]).fetchall())


def _next_moment(connection: duckdb.DuckDBPyConnection) -> datetime:
    """Now, or just after the newest load where a clock was set back."""
    newest = newest_load(connection)
    now = datetime.now(UTC)
    return now if newest is None else max(now, newest + timedelta(microseconds=1))
