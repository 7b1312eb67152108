"""What core shows, compared with what sources have now, and whether a loss is one of settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from dora_pipeline.tables import Deployments, Failures, Table
from dora_pipeline.warehouse.landing import APM
from dora_pipeline.warehouse.properties import read_property, write_property
from dora_pipeline.warehouse.queries import count, statement
from dora_pipeline.warehouse.version import SCHEMA_VERSION, schema_version
from dora_pipeline.warehouse.writer import Writer

COMPARED: tuple[type[Table], ...] = (Deployments, Failures)
_COLUMNS: Mapping[type[Table], str] = {
    Deployments: "source, day, deployment_id, service, version, finished_at",
    Failures: "source, day, failure_id, service",
}
_SENT_ONE_BY_ONE = ("deployment_event_api", "failure_event_api")
_MEANT = "shrinks_are_meant"


@dataclass(frozen=True)
class ComparedDay:
    """A day of a source: the rows that are shown, and those that would be."""

    source: str
    day: date
    rows_before: int
    rows_after: int


def compared_days(writer: Writer, table: type[Table], days: Sequence[date]) -> list[ComparedDay]:
    """The days of a table, compared with what landed; none where nothing is shown on any of them.

    Without events of the event API: they are sent and taken back one by one, so that every loss is meant.
    """
    shown = f"{table.table_name} WHERE day IN (SELECT day FROM run_days) AND source NOT IN {_SENT_ONE_BY_ONE}"
    from_others = f"SELECT COUNT(*) FROM {table.table_name} WHERE source NOT IN {_SENT_ONE_BY_ONE}"
    if count(writer.connection, f"{from_others} AND day IN (SELECT UNNEST(?::DATE[]))", [list(days)]) == 0:
        return []
    return _compared(writer, table, shown, "SELECT UNNEST(?::DATE[]) AS day", [list(days)])


def compared_with_published(writer: Writer, table: type[Table]) -> list[ComparedDay]:
    """Every day of a table that people see, compared with what landed; inside `Writer.published` only."""
    shown = f"published.{table.table_name}"
    landed = table.table_name.replace("core.", "landing.")
    return _compared(writer, table, shown, f"SELECT day FROM {shown} UNION SELECT day FROM {landed}")


def _compared(
    writer: Writer, table: type[Table], shown: str, days: str, parameters: Sequence[object] = ()
) -> list[ComparedDay]:
    name = table.table_name.partition(".")[2]
    connection = writer.connection
    connection.execute(f"CREATE OR REPLACE TEMP TABLE run_days AS {days}", list(parameters))
    connection.execute(f"CREATE OR REPLACE TEMP VIEW shown_{name} AS SELECT {_COLUMNS[table]} FROM {shown}")
    return [ComparedDay(*row) for row in connection.execute(statement(f"checks.compared_{name}")).fetchall()]


def unlanded_files(writer: Writer) -> list[tuple[str, str, int]]:
    """The files of raw/ of which that is made that people see, and which have not landed.

    Each with its source, its name below the home, and how many records that the intake received in it have not landed
    by another one. An older program may have named its files in another way, so what it made says nothing. Inside
    `Writer.published` only.
    """
    if schema_version(writer.connection, "published.landing") != SCHEMA_VERSION:
        return []
    return writer.connection.execute(statement("checks.unlanded_files")).fetchall()


def rejected_exports(writer: Writer) -> list[str]:
    """The names of the exports that are rejected as a whole."""
    query = """
        SELECT DISTINCT input FROM landing.rejected_events
        WHERE source = ? AND record = 'file' AND service IS NULL
        ORDER BY input
    """
    return [name for (name,) in writer.connection.execute(query, [APM]).fetchall()]


def begin_meant_shrinks(connection: duckdb.DuckDBPyConnection) -> None:
    """Say that settings or catalog now want fewer of the events that were pulled."""
    write_property(connection, _MEANT, "true")


def are_shrinks_meant(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether days that such a change concerns may still wait to be loaded."""
    return read_property(connection, _MEANT) is not None


def end_meant_shrinks(connection: duckdb.DuckDBPyConnection) -> None:
    """Say that every day is loaded as settings and catalog want it."""
    connection.execute("DELETE FROM landing.properties WHERE name = ?", [_MEANT])
