"""When each day of each table was last loaded, kept in landing.loads, so that others can follow."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
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


def record_loads(connection: duckdb.DuckDBPyConnection, versions: Mapping[type[Table], str], days: str) -> None:
    """Record that days of tables were loaded now: those that a query of one column gives, NULL for a whole table.

    `versions` are the code versions of the tables, in the order in which they were loaded.
    """
    connection.execute(
        f"""
        DELETE FROM landing.loads USING ({days}) AS d(day)
        WHERE target IN (SELECT UNNEST($targets)) AND loads.day IS NOT DISTINCT FROM d.day
        """,
        {"targets": _targets(versions)},
    )
    _insert_loads(connection, versions, days)


def record_whole_loads(connection: duckdb.DuckDBPyConnection, versions: Mapping[type[Table], str]) -> None:
    """Record that tables that have no days were loaded now."""
    record_loads(connection, versions, "SELECT CAST(NULL AS DATE)")


def record_quiet_days(connection: duckdb.DuckDBPyConnection, versions: Mapping[type[Table], str], days: Window) -> None:
    """Record as loaded the days that never were and need not be: nothing has landed for them."""
    _insert_loads(
        connection,
        versions,
        f"SELECT CAST(UNNEST(GENERATE_SERIES(DATE '{days.first}', DATE '{days.last}', INTERVAL 1 DAY)) AS DATE)",
        """
        NOT EXISTS (SELECT 1 FROM landing.loads AS l WHERE l.target = t.target AND l.day = d.day)
        AND NOT EXISTS (SELECT 1 FROM landing.stale_days AS s WHERE s.target = t.target AND s.day = d.day)
        """,
    )


def _insert_loads(
    connection: duckdb.DuckDBPyConnection, versions: Mapping[type[Table], str], days: str, condition: str = "TRUE"
) -> None:
    # Each table has a moment of its own: now, or just after the newest load where a clock was set back.
    connection.execute(
        f"""
        INSERT INTO landing.loads
        SELECT
            t.target,
            d.day,
            GREATEST($now, (SELECT MAX(loaded_at) + TO_MICROSECONDS(1) FROM landing.loads)) + TO_MICROSECONDS(t.place),
            t.code_version,
            FALSE
        FROM (
            SELECT
                UNNEST($targets) AS target,
                UNNEST($versions) AS code_version,
                UNNEST(RANGE(LEN($targets))) AS place
        ) AS t
        CROSS JOIN ({days}) AS d(day)
        WHERE {condition}
        """,
        {"targets": _targets(versions), "versions": list(versions.values()), "now": datetime.now(UTC)},
    )


def _targets(versions: Mapping[type[Table], str]) -> list[str]:
    return [table.table_name for table in versions]


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
