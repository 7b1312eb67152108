"""Days of core that would lose much of what they show, and whether the loss is one of settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from dora_pipeline.tables import Deployments, Failures, Table
from dora_pipeline.warehouse.days import make_days
from dora_pipeline.warehouse.inputs import read_property, write_property
from dora_pipeline.warehouse.queries import statement
from dora_pipeline.warehouse.writer import Writer

_STATEMENTS: Mapping[type[Table], str] = {Deployments: "shrunken_deployments", Failures: "shrunken_failures"}
_MEANT = "shrinks_are_meant"


@dataclass(frozen=True)
class ShrunkenDay:
    """A day of a source: the rows that the table shows, and those that it would show."""

    source: str
    day: date
    rows_before: int
    rows_after: int


def shrunken_days(
    writer: Writer, table: type[Table], days: Sequence[date], share: float, fewest: int
) -> list[ShrunkenDay]:
    """Those of the days on which a source would lose more than a share of at least so many rows."""
    make_days(writer.connection, days)
    query = statement(_STATEMENTS[table])
    rows = writer.connection.execute(query, {"share": share, "fewest": fewest}).fetchall()
    return [ShrunkenDay(*row) for row in rows]


def begin_meant_shrinks(connection: duckdb.DuckDBPyConnection) -> None:
    """Say that settings or catalog now want fewer of the events that were pulled."""
    write_property(connection, _MEANT, "true")


def are_shrinks_meant(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether days that such a change concerns may still wait to be loaded."""
    return read_property(connection, _MEANT) is not None


def end_meant_shrinks(connection: duckdb.DuckDBPyConnection) -> None:
    """Say that every day is loaded as settings and catalog want it."""
    connection.execute("DELETE FROM landing.properties WHERE name = ?", [_MEANT])
