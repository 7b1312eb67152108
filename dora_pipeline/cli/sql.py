"""`dora sql`: a query of the published warehouse."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import duckdb

from dora_pipeline.cli.results import FORMATS, show
from dora_pipeline.config import Settings, default_home
from dora_pipeline.errors import DoraError
from dora_pipeline.settings import read_settings
from dora_pipeline.warehouse.queries import quoted
from dora_pipeline.warehouse.reader import lock, open_reader
from dora_pipeline.warehouse.storage.storage_reader import open_storage

_READING = (
    "`dora sql` takes what only reads: SELECT, WITH, FROM, VALUES, TABLE, PIVOT, UNPIVOT, SHOW, DESCRIBE, SUMMARIZE, "
    "EXPLAIN of these, and PRAGMA table_info and its like"
)
_PRAGMAS = frozenset(
    (
        "collations",
        "database_list",
        "database_size",
        "functions",
        "metadata_info",
        "platform",
        "show",
        "show_databases",
        "show_tables",
        "show_tables_expanded",
        "storage_info",
        "table_info",
        "user_agent",
        "version",
    )
)
# DuckDB shows those of the schema main, where none are.
_SHOW_TABLES = re.compile(r"\s*SHOW\s+TABLES\s*;?\s*", re.IGNORECASE)
_OUR_TABLES = """
    SELECT
        schema_name || '.' || name AS name, kind,
        COALESCE(REGEXP_EXTRACT(comment, '^[^.;:]*'), 'call it in FROM') AS holds
    FROM (
        SELECT schema_name, table_name AS name, 'table' AS kind, comment FROM duckdb_tables()
        UNION ALL SELECT schema_name, view_name, 'view', comment FROM duckdb_views()
        UNION ALL SELECT schema_name, function_name || '(' || ARRAY_TO_STRING(parameters, ', ') || ')', 'macro', comment
        FROM duckdb_functions() WHERE function_type = 'table_macro'
    )
    WHERE schema_name IN ('core', 'metrics') ORDER BY ALL
"""
# What the locks of the connection answer, and what that means to the user.
_LOCKS = {
    "file system operations are disabled": "refused: files other than the warehouse are out of reach; `--files` lets "
    "the query read them",
    "loading external extensions is disabled": f"refused: the query is read-only; {_READING}",
    "configuration has been locked": f"refused: the query is read-only and changes no setting; {_READING}",
    "attached in read-only mode": f"refused: the query is read-only; {_READING}",
    "must be at the top level": f"refused: the query is read-only; {_READING}",
}


class QueryError(DoraError):
    """The query is wrong, or not one that only reads."""


@dataclass(frozen=True)
class _Statement:
    """A statement that only reads, as it is run. All but PRAGMA, CALL and EXPLAIN can stand in another query."""

    text: str
    is_query: bool


class _SqlCommand(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take a query that begins with a comment for what it is, where an option is one word."""
        return super().parse_args(ctx, [f"\n{text}" if re.match(r"--.*\s", text) else text for text in args])


@click.command("sql", cls=_SqlCommand)
@click.argument("query", required=False)
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--files", is_flag=True, help="Let the query read files, such as FROM 'budget.csv'. It never writes any.")
@click.option("--from-storage", is_flag=True, help="Query the Parquet files of the setting engine.storage.")
@click.option("--zone", is_flag=True, help="Show times in the time zone that is configured, in place of UTC.")
def sql_command(query: str | None, form: str, files: bool, from_storage: bool, zone: bool) -> None:
    """Query the warehouse, read-only; without QUERY, or with `-`, it is read from stdin.

    SHOW TABLES lists the tables, DESCRIBE one of them its columns. A table shows at most 1,000 rows, and every other
    format all of them.
    """
    if query is None and sys.stdin.isatty():
        raise click.UsageError('give a query, such as "SHOW TABLES", or send one to stdin')
    if query in (None, "-"):
        query = _from_stdin()
    home = default_home()
    settings = read_settings(home) if zone or from_storage else Settings()
    opened = open_storage(settings) if from_storage else open_reader(home)
    with opened as connection, TemporaryDirectory(prefix="dora-sql-") as scratch:
        if zone:
            connection.execute(f"SET TimeZone = {quoted(settings.timezone)}")
        lock(connection, Path(scratch), reads_files=files, storage=settings.engine.storage)
        try:
            statement = _read_only(connection, _OUR_TABLES if _SHOW_TABLES.fullmatch(query) else query)
            show(connection, statement.text, form, Path(scratch), is_query=statement.is_query)
        except duckdb.Error as error:
            raise QueryError(_explained(error)) from error


def _from_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise QueryError(f"the query on stdin is not UTF-8 text (byte {error.start})") from None


def _explained(error: duckdb.Error) -> str:
    # DuckDB shows the place of a mistake on lines of their own.
    text = " ".join(str(error).partition("\n\nLINE ")[0].split())
    return next((meant for words, meant in _LOCKS.items() if words in text.lower()), text)


def _read_only(connection: duckdb.DuckDBPyConnection, query: str) -> _Statement:
    """The one statement of a query as it is run. Raises QueryError for what does more than read."""
    try:
        query.encode()
        statements = connection.extract_statements(query)
        kinds = [statement.type for statement in statements]
    except UnicodeEncodeError:
        raise QueryError("the query is not UTF-8 text") from None
    except ValueError:
        # The client has no name for some statements, such as CONNECT.
        raise QueryError(f"refused: the query is read-only; {_READING}") from None
    if len(statements) != 1:
        raise QueryError(f"give one query, not {len(statements)}")
    text, words = _without_end(statements[0].query)
    if (wrapped := _wrapped(connection, text)) is not None:
        return _Statement(wrapped, is_query=True)
    first = _word(text, words[0])
    if kinds[0] in (duckdb.StatementType.PRAGMA, duckdb.StatementType.CALL) and len(words) > 1:
        name = _word(text, words[1]).lower().removeprefix("pragma_")
        if first in ("PRAGMA", "CALL") and name in _PRAGMAS:
            return _Statement(text, is_query=False)
    if first == "EXPLAIN" and (explained := _explained_query(connection, text, words)) is not None:
        return _Statement(explained, is_query=False)
    raise QueryError(f"refused: the query is read-only, and this {first} does more than read; {_READING}")


def _wrapped(connection: duckdb.DuckDBPyConnection, text: str) -> str | None:
    """The query that has this one in its FROM; None for what cannot stand there.

    There DuckDB takes nothing but queries, and refuses those that write or delete in their WITH.
    """
    wrapped = f"FROM (\n{text}\n)"
    try:
        return wrapped if len(connection.extract_statements(wrapped)) == 1 else None
    except duckdb.ParserException:
        return None


def _explained_query(connection: duckdb.DuckDBPyConnection, text: str, words: list[int]) -> str | None:
    """An EXPLAIN with its query wrapped; None where it explains no query."""
    content = text.encode()
    for place in words[1:]:
        rest = content[place:].decode()
        try:
            connection.extract_statements(rest)
        except duckdb.ParserException:
            # Still among the options of EXPLAIN.
            continue
        wrapped = _wrapped(connection, rest)
        return None if wrapped is None else content[:place].decode() + wrapped
    return None


def _without_end(text: str) -> tuple[str, list[int]]:
    """A statement without the semicolons at its end, and where in its bytes its words begin."""
    content = text.encode()
    words = [place for place, kind in duckdb.tokenize(text) if kind != duckdb.token_type.comment]
    while content[words[-1] : words[-1] + 1] == b";":
        content = content[: words.pop()]
    return content.decode(), words


def _word(text: str, place: int) -> str:
    found = re.match(rb"\w+", text.encode()[place:])
    return found[0].decode().upper() if found else ""
