"""What has been read: the inputs as they were then, and how the last reading of each source went."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import duckdb
import polars as pl

from dora_pipeline.tables import LandedInputs, empty_frame
from dora_pipeline.warehouse.queries import execute_with, first_row


class Input(NamedTuple):
    """An input as it was when it was read: its name, size in bytes and last change (microseconds since 1970)."""

    name: str
    size: int
    modified_us: int
    content_of: str | None = None


def known_inputs(connection: duckdb.DuckDBPyConnection, source: str, below: str = "") -> dict[str, Input]:
    """The inputs of a source that have landed, by name; those whose name begins so."""
    query = """
        SELECT input, size, EPOCH_US(modified_at), content_of
        FROM landing.inputs
        WHERE source = ? AND STARTS_WITH(input, ?)
    """
    rows = connection.execute(query, [source, below]).fetchall()
    return {row[0]: Input._make(row) for row in rows}


def note_input(connection: duckdb.DuckDBPyConnection, source: str, read: Input, records: int) -> None:
    """Remember that an input was read as it was then."""
    note_inputs(connection, source, [(read, records)])


def note_inputs(connection: duckdb.DuckDBPyConnection, source: str, read: Sequence[tuple[Input, int]]) -> None:
    """Remember that inputs were read as they were then, with the records of each."""
    schema = empty_frame(LandedInputs).schema
    rows = pl.DataFrame(
        [(source, one.name, one.size, one.modified_us, one.content_of, records) for one, records in read],
        schema={**schema, "modified_at": pl.Int64},
        orient="row",
    ).cast(schema)
    delete = "DELETE FROM landing.inputs WHERE source = ? AND input IN (SELECT UNNEST(CAST(? AS VARCHAR[])))"
    connection.execute(delete, [source, [one.name for one, _ in read]])
    execute_with(connection, rows, "INSERT INTO landing.inputs BY NAME SELECT * FROM given_rows")


def forget_input(connection: duckdb.DuckDBPyConnection, source: str, name: str) -> None:
    """Forget an input, so that it is read again when it is met again."""
    connection.execute("DELETE FROM landing.inputs WHERE source = ? AND input = ?", [source, name])


def forget_raw_inputs(connection: duckdb.DuckDBPyConnection) -> None:
    """Forget the files of the raw layer, so that they are normalized again.

    Exports stay known: one that is removed before it is read again would leave behind what it told.
    """
    connection.execute("DELETE FROM landing.inputs WHERE STARTS_WITH(input, 'raw/')")


def note_left_out(
    connection: duckdb.DuckDBPyConnection, source: str, files: Sequence[tuple[str, str]], *, is_raw: bool
) -> None:
    """Remember which files of a source, of the raw layer or of the others, were not read: name and reason of each."""
    connection.execute(
        "DELETE FROM landing.left_out_files WHERE source = ? AND STARTS_WITH(name, 'raw/') = ?", [source, is_raw]
    )
    if files:
        rows = pl.DataFrame(files, schema=["name", "reason"], orient="row").with_columns(source=pl.lit(source))
        execute_with(connection, rows, "INSERT INTO landing.left_out_files BY NAME SELECT * FROM given_rows")


def note_reading(connection: duckdb.DuckDBPyConnection, source: str, read_at: datetime, error: str | None) -> None:
    """Remember how the reading of a source went at `read_at` (UTC); an error leaves the last good reading as it was."""
    known = first_row(connection, "SELECT read_at FROM landing.source_states WHERE source = ?", [source])
    good = read_at if error is None else (known[0] if known else None)
    connection.execute("DELETE FROM landing.source_states WHERE source = ?", [source])
    connection.execute("INSERT INTO landing.source_states VALUES (?, ?, ?)", [source, good, error])
