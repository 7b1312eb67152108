"""Results of queries, shown as a table, as lines, CSV or JSON, or written as Parquet."""

import json
import re
import shutil
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import click
import duckdb

from dora_pipeline.cli.display import messages
from dora_pipeline.warehouse.queries import quoted

FORMATS = ("table", "lines", "csv", "json", "parquet")
_MOST_ROWS = 1000


def show(connection: duckdb.DuckDBPyConnection, text: str, form: str, scratch: Path, *, is_query: bool = True) -> None:
    """Print the result of a statement in one of FORMATS; `is_query` says whether it can stand in another query.

    The folder `scratch` is used for results that DuckDB writes. Raises click.UsageError for Parquet on a terminal.
    """
    if form == "parquet" and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for terminals; send it to a file: … --format parquet > result.parquet")
    relation = connection.sql(text)
    if relation is None:
        return
    result = scratch / "result"
    match form:
        case "table":
            _print_table(relation)
        case "lines":
            _print_lines(relation)
        case "parquet":
            relation.write_parquet(str(result), compression="zstd")
            _print_file(result)
        case "csv":
            # Not straight to /dev/stdout: opening it would empty the file that the output is appended to.
            relation.write_csv(str(result), header=True)
            _print_file(result)
        case _ if is_query:
            connection.execute(f"COPY ({text}) TO {quoted(str(result))} (FORMAT json, ARRAY true)")
            _print_file(result)
        case _:
            rows = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
            click.echo(json.dumps(rows, default=str, ensure_ascii=False))


def _print_table(relation: duckdb.DuckDBPyRelation) -> None:
    width = shutil.get_terminal_size((200, 24)).columns
    shown = StringIO()
    with redirect_stdout(shown):
        relation.show(max_width=width, max_rows=_MOST_ROWS)
    table = shown.getvalue()
    sys.stdout.write(table)
    hidden = re.search(r"(\d+) columns \((\d+) shown\)\s*\Z", table)
    if hidden is not None or "… │" in table:
        cut = f"{hidden[2]} of {hidden[1]} columns are shown" if hidden else "texts are cut"
        sys.stdout.flush()
        messages.print(
            f"The table is too wide for {width} characters: {cut}. `--format lines` shows all of it.", soft_wrap=True
        )


def _print_lines(relation: duckdb.DuckDBPyRelation) -> None:
    """Each column of a row on a line of its own, an empty line between rows; further lines of a text are indented."""
    names = relation.columns
    width = max(map(len, names))
    is_first = True
    for row in relation.project("CAST(COLUMNS(*) AS VARCHAR)").iter_rows():
        if not is_first:
            sys.stdout.write("\n")
        is_first = False
        for name, value in zip(names, row, strict=True):
            text = "NULL" if value is None else value.rstrip("\n").replace("\n", "\n" + " " * (width + 3))
            sys.stdout.write(f"{name:<{width}} = {text}\n")
    if is_first:
        messages.print("no rows")


def _print_file(result: Path) -> None:
    sys.stdout.flush()
    with result.open("rb") as content:
        shutil.copyfileobj(content, sys.stdout.buffer)
