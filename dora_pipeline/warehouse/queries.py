"""Statements of `sql/`, and results taken whole: DuckDB keeps a connection busy until the last row is fetched."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import duckdb

from dora_pipeline.errors import WarehouseError

if TYPE_CHECKING:
    import polars as pl


@cache
def statement(name: str) -> str:
    """The text of a file below `sql/`, where each table has its own name: `core.failures` is `core/failures.sql`.

    `{metrics.figures}` in it stands for the text of that file.
    """
    folder, _, file = name.partition(".")
    text = resources.files("dora_pipeline.warehouse").joinpath("sql", folder, f"{file}.sql").read_text(encoding="utf-8")
    return re.sub(r"\{(\w+\.\w+)\}", lambda match: statement(match[1]).strip(), text)


def quoted(text: str) -> str:
    """The text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def first_row(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
) -> tuple[Any, ...] | None:
    """The first row of a query's result, None where there is none."""
    values = dict(parameters) if isinstance(parameters, Mapping) else list(parameters)
    rows = connection.execute(query, values).fetchall()
    return rows[0] if rows else None


def count(connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> int:
    """The number that a query's only row holds, such as the number of rows that an INSERT made."""
    row = first_row(connection, query, parameters)
    return int(row[0]) if row else 0


def named_rows(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """The rows of a query's result by the names of its columns. For few rows: a frame of many takes less memory."""
    found = connection.execute(query, parameters or {})
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def frame(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, object] | None = None
) -> "pl.DataFrame":
    """The result of a query, which is planned twice: once for the names and types of its columns."""
    import polars as pl

    # As a stream, without PyArrow: to import that takes as long as a third of a small run.
    return pl.DataFrame(connection.sql(query, params=parameters))


def execute_with(connection: duckdb.DuckDBPyConnection, given_rows: "pl.DataFrame", query: str) -> None:
    """Execute a statement that reads the frame as `given_rows`."""
    # DuckDB finds it by the name of the argument: to register it takes longer than most of these statements.
    connection.execute(query)


def make_alike(connection: duckdb.DuckDBPyConnection, name: str, table: str, rows: "pl.DataFrame") -> None:
    """Make the temporary table `name` with the columns of `table` and the rows of the frame."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM {table} LIMIT 0")
    execute_with(connection, rows, f"INSERT INTO {name} BY NAME SELECT * FROM given_rows")


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: str, expected: int) -> None:
    """Insert the rows of a table into another one. Raises WarehouseError where they are not as many as expected."""
    require_rows(table, expected, count(connection, f"INSERT INTO {table} BY NAME SELECT * FROM {rows}"))


def require_rows(table: str, expected: int, found: int) -> None:
    """Raise WarehouseError where what a transaction wrote is not read back whole, as happened with DuckDB 2.0.0."""
    if found != expected:
        raise WarehouseError(
            f"{table}: {expected:,} rows were to be written or read, and {found:,} were; nothing is published. It is a "
            "fault of the program or of DuckDB: update them, and run again"
        )


def difference(known: str, new: str) -> str:
    """The query of the rows that stand in one of two tables only, whichever input they are from, each once."""
    return _difference(known, new, "'input', 'is_new'")


def difference_by_input(known: str, new: str) -> str:
    """As `difference`, but rows of different inputs are different."""
    return _difference(known, new, "'is_new'")


def _difference(known: str, new: str, left_out: str) -> str:
    return f"""
        SELECT COLUMNS(lambda c: c NOT IN ({left_out}))
        FROM (SELECT *, FALSE AS is_new FROM {known} UNION ALL SELECT *, TRUE AS is_new FROM {new})
        GROUP BY ALL HAVING MIN(is_new) = MAX(is_new)
    """
