"""Schemas, tables, views, comments and macros of the warehouse, made from `tables.py` and `sql/`."""

import dataframely as dy
import duckdb
import polars as pl

from dora_pipeline.tables import TABLES, VIEWS, Table, View
from dora_pipeline.warehouse.queries import quoted, statement
from dora_pipeline.warehouse.version import SCHEMA_VERSION, schema_version

# The property of a working database that is to take the place of a published one, and lacks days.
IS_MADE_ANEW = "is_made_anew"
_SCHEMAS = ("core", "metrics", "landing")
_MACROS = (
    "metrics.period",
    "metrics.start_of",
    "metrics.wilson_low",
    "metrics.wilson_high",
    "metrics.median_rank",
    "metrics.summary",
    "metrics.summary_by",
    "metrics.explain",
)
_TYPES = {
    pl.String: "VARCHAR",
    pl.Datetime: "TIMESTAMPTZ",
    pl.Date: "DATE",
    pl.Int64: "BIGINT",
    pl.Float64: "DOUBLE",
    pl.Boolean: "BOOLEAN",
    pl.List: "VARCHAR[]",
}


def duckdb_type(column: dy.Column) -> str:
    """The type of a column in DuckDB's words."""
    named = (column.metadata or {}).get("duckdb_type")
    return named if isinstance(named, str) else _TYPES[column.dtype.base_type()]


def table_comment(table: type[Table]) -> str:
    """The comment of a table: its docstring on one line."""
    return " ".join((table.__doc__ or "").split())


def table_statements(table: type[Table]) -> list[str]:
    """The statements that make a table, with its comments, where it is not there yet."""
    columns = ", ".join(f"{name} {_declared(column)}" for name, column in table.columns().items())
    return [f"CREATE TABLE IF NOT EXISTS {table.table_name} ({columns})", *comments("TABLE", table)]


def _declared(column: dy.Column) -> str:
    compression = (column.metadata or {}).get("compression")
    return (
        duckdb_type(column)
        + (f" USING COMPRESSION {compression}" if compression else "")
        + ("" if column.nullable else " NOT NULL")
    )


def view_statements(view: type[View]) -> list[str]:
    """The statements that make a view, with its comments."""
    return [f"CREATE OR REPLACE VIEW {view.table_name} AS {statement(view.table_name)}", *comments("VIEW", view)]


def macro_statements() -> list[str]:
    """The statements that make the macros."""
    return [statement(macro) for macro in _MACROS]


def comments(kind: str, table: type[Table]) -> list[str]:
    """The statements that give a table, or a view (`kind`) of its name, its comments."""
    return [
        f"COMMENT ON {kind} {table.table_name} IS {quoted(table_comment(table))}",
        *(
            f"COMMENT ON COLUMN {table.table_name}.{name} IS {quoted(column.description or '')}"
            for name, column in table.columns().items()
        ),
    ]


def ensure_schema(connection: duckdb.DuckDBPyConnection, *, replaces: bool) -> None:
    """Make all that an empty database has to have; `replaces` says that another warehouse is published."""
    if schema_version(connection) is not None:
        return
    connection.execute("BEGIN")
    for schema in _SCHEMAS:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    for table in TABLES:
        for text in table_statements(table):
            connection.execute(text)
    for view in VIEWS:
        for text in view_statements(view):
            connection.execute(text)
    for text in macro_statements():
        connection.execute(text)
    connection.execute("INSERT INTO landing.properties VALUES ('schema_version', ?)", [SCHEMA_VERSION])
    if replaces:
        connection.execute("INSERT INTO landing.properties VALUES (?, 'true')", [IS_MADE_ANEW])
    connection.execute("COMMIT")
