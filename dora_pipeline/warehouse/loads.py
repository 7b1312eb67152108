"""When each day of each table was last loaded, kept in landing.loads, so that others can follow."""

from collections.abc import Collection, Mapping, Sequence
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


def record_load(connection: duckdb.DuckDBPyConnection, table: type[Table], code_version: str, days: str) -> None:
    """Record that days of a table were loaded now, by a code version: those that a query of one column gives."""
    name = table.table_name
    connection.execute(f"DELETE FROM landing.loads WHERE target = ? AND day IN ({days})", [name])
    connection.execute(
        f"INSERT INTO landing.loads SELECT $target, d.day, $loaded_at, $code_version, FALSE FROM ({days}) AS d(day)",
        {"target": name, "loaded_at": _moment(connection), "code_version": code_version},
    )


def record_whole_loads(connection: duckdb.DuckDBPyConnection, versions: Mapping[type[Table], str]) -> None:
    """Record that tables that have no days were loaded now, in their order, each by a code version."""
    connection.execute("DELETE FROM landing.loads WHERE day IS NULL AND LIST_CONTAINS(?, target)", [_targets(versions)])
    connection.execute(
        """
        INSERT INTO landing.loads
        SELECT UNNEST($targets), NULL, UNNEST($moments), UNNEST($versions), FALSE
        """,
        _loads(connection, versions),
    )


def record_quiet_days(connection: duckdb.DuckDBPyConnection, versions: Mapping[type[Table], str], days: Window) -> None:
    """Record as loaded the days that never were and need not be: nothing has landed for them."""
    connection.execute(
        f"""
        INSERT INTO landing.loads
        SELECT t.target, d.day, t.loaded_at, t.code_version, FALSE
        FROM (
            SELECT UNNEST($targets) AS target, UNNEST($moments) AS loaded_at, UNNEST($versions) AS code_version
        ) AS t
        CROSS JOIN (
            SELECT CAST(UNNEST(GENERATE_SERIES(DATE '{days.first}', DATE '{days.last}', INTERVAL 1 DAY)) AS DATE) AS day
        ) AS d
        WHERE NOT EXISTS (SELECT 1 FROM landing.loads AS l WHERE l.target = t.target AND l.day = d.day)
            AND NOT EXISTS (SELECT 1 FROM landing.stale_days AS s WHERE s.target = t.target AND s.day = d.day)
        """,
        _loads(connection, versions),
    )


def _loads(connection: duckdb.DuckDBPyConnection, versions: Mapping[type[Table], str]) -> dict[str, list[object]]:
    # Each table has a moment of its own.
    first = _moment(connection)
    moments: list[object] = [first + timedelta(microseconds=place) for place in range(len(versions))]
    return {"targets": [*_targets(versions)], "moments": moments, "versions": [*versions.values()]}


def _moment(connection: duckdb.DuckDBPyConnection) -> datetime:
    """Now, or just after the newest load where a clock was set back."""
    now, newest = datetime.now(UTC), newest_load(connection)
    return now if newest is None else max(now, newest + timedelta(microseconds=1))


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
