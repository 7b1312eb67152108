"""Checks of loaded days: queries that find rows which must not be there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from dora_pipeline.tables import Table
from dora_pipeline.warehouse.days import make_days
from dora_pipeline.warehouse.queries import frame, statement
from dora_pipeline.warehouse.writer import Writer

EXAMPLES = 10


@dataclass(frozen=True)
class Finding:
    """What a check found: the number of wrong rows, and the first of them."""

    wrong: int
    examples: pl.DataFrame


def repeated_keys(writer: Writer, table: type[Table], days: Sequence[date]) -> Finding:
    """Keys that stand more than once on the days."""
    make_days(writer.connection, days)
    keys = ", ".join(table.key())
    return _finding(
        writer,
        f"SELECT {keys}, COUNT(*) AS times FROM {table.table_name} "
        f"WHERE day IN (SELECT day FROM run_days) GROUP BY {keys} HAVING COUNT(*) > 1 ORDER BY ALL",
    )


def check(writer: Writer, name: str, days: Sequence[date], parameters: Mapping[str, object] | None = None) -> Finding:
    """The rows that `sql/check_<name>.sql` finds on the days."""
    make_days(writer.connection, days)
    return _finding(writer, statement(f"check_{name}"), parameters)


def _finding(writer: Writer, query: str, parameters: Mapping[str, object] | None = None) -> Finding:
    found = frame(writer.connection, query, parameters)
    return Finding(found.height, found.head(EXAMPLES))
