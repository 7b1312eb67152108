"""`dora sql`: a query of the published warehouse, shown as a table, CSV or JSON."""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import duckdb

from dora_pipeline.config import default_home
from dora_pipeline.errors import DoraError
from dora_pipeline.warehouse.reader import open_reader

_MOST_ROWS = 1000
_FORMS = {"csv": "FORMAT csv, HEADER true", "json": "FORMAT json, ARRAY true"}
# A PIVOT is several statements to DuckDB, and one to the user.
_READING = (
    duckdb.StatementType.SELECT,
    duckdb.StatementType.EXPLAIN,
    duckdb.StatementType.PRAGMA,
    duckdb.StatementType.CALL,
    duckdb.StatementType.MULTI,
)


class QueryError(DoraError):
    """The query is wrong, or not one that only reads."""


@click.command("sql")
@click.argument("query")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def sql_command(query: str, form: str) -> None:
    """Query the warehouse, read-only. A table shows at most 1,000 rows, CSV and JSON all of them."""
    with open_reader(default_home()) as connection:
        try:
            relation = connection.sql(_reading_statement(connection, query))
            if relation is None:
                return
            if form == "table":
                width = shutil.get_terminal_size((200, 24)).columns
                relation.show(max_width=width, max_rows=_MOST_ROWS)
            else:
                _print_all(connection, relation, form)
        except duckdb.Error as error:
            # DuckDB shows the place of a mistake on lines of their own.
            told = str(error).partition("\n\nLINE ")[0]
            raise QueryError(" ".join(told.split())) from error


def _reading_statement(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    statements = connection.extract_statements(query)
    if len(statements) != 1:
        raise QueryError(f"give one query, not {len(statements)}")
    if statements[0].type not in _READING:
        raise QueryError(f"{statements[0].type.name} does not only read; `dora sql` takes queries such as SELECT")
    return query


def _print_all(connection: duckdb.DuckDBPyConnection, relation: duckdb.DuckDBPyRelation, form: str) -> None:
    # Not straight to /dev/stdout: opening it would empty the file that the output is appended to.
    with TemporaryDirectory(prefix="dora-sql-") as folder:
        path = Path(folder) / "result"
        # DuckDB finds the relation by the name of the variable.
        connection.execute(f"COPY (SELECT * FROM relation) TO ? ({_FORMS[form]})", [str(path)])
        sys.stdout.flush()
        with path.open("rb") as result:
            shutil.copyfileobj(result, sys.stdout.buffer)
