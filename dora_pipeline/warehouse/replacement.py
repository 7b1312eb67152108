"""Rows that a statement makes in the place of those that it made before, and which of them differ."""

from collections.abc import Mapping

import duckdb

from dora_pipeline.warehouse.engines import Engine
from dora_pipeline.warehouse.queries import count, difference, insert, require_rows


def replace_rows(
    connection: duckdb.DuckDBPyConnection,
    engine: Engine,
    table: str,
    of_replaced: str,
    new: str,
    parameters: Mapping[str, object] = {},
) -> str:
    """Replace rows of a table by those of its statement: the FROM clause, with the alias `x`, of those that differ.

    `of_replaced` is `FROM table AS x …` with each row once, what the new rows are in, too; they pass through the
    temporary table `new`. Raises WarehouseError where rows are lost.
    """
    if count(connection, f"CREATE OR REPLACE TEMP TABLE known_rows AS SELECT x.* {of_replaced}"):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {new} AS SELECT * FROM {table} LIMIT 0")
        rows = engine.insert(connection, new, table, parameters)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE differing_rows AS {difference('known_rows', new)}")
        connection.execute(f"DELETE FROM {table} WHERE rowid IN (SELECT x.rowid {of_replaced})")
        insert(connection, table, new, rows)
        return "FROM differing_rows AS x"
    # Nothing to compare with: whole rows are written once.
    rows = engine.insert(connection, table, table, parameters)
    require_rows(table, rows, count(connection, f"SELECT COUNT(*) {of_replaced}"))
    return of_replaced
