"""Statements with their values written into them, so that a page can show what was asked."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from queue import SimpleQueue
from typing import Any, TypeVar

import duckdb

from dora_pipeline.warehouse.queries import quoted, statement

Value = date | str | int | Sequence[int] | Sequence[str] | None

Found = TypeVar("Found")


class Queries:
    """Asks the queries `sql/report/<name>.sql` of a connection, and keeps the text of each by its title."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.texts: dict[str, str] = {}
        self.connection = connection

    def rows(self, name: str, title: str = "", /, **parameters: Value) -> list[tuple[Any, ...]]:
        """The rows of a query whose `$name`s are the parameters; with a title, the page shows its text."""
        text = filled(f"report.{name}", parameters)
        if title:
            self.texts[title] = text
        return self.connection.execute(text).fetchall()


class QueriesAtOnce:
    """Acts with queries, as many at once as there are connections; a statement is planned by one thread alone."""

    def __init__(self, connections: Sequence[duckdb.DuckDBPyConnection], threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._free: SimpleQueue[duckdb.DuckDBPyConnection] = SimpleQueue()
        for connection in connections:
            self._free.put(connection)
        self._texts: list[dict[str, str]] = []

    @property
    def texts(self) -> dict[str, str]:
        """The text of each query by its title, in the order of the acts."""
        return {title: text for texts in self._texts for title, text in texts.items()}

    def start(self, act: Callable[[Queries], Found]) -> Future[Found]:
        """What the act will have found; it has a connection for itself as long as it takes."""
        texts: dict[str, str] = {}
        self._texts.append(texts)
        return self._threads.submit(self._run, act, texts)

    def _run(self, act: Callable[[Queries], Found], texts: dict[str, str]) -> Found:
        connection = self._free.get()
        try:
            queries = Queries(connection)
            found = act(queries)
            texts.update(queries.texts)
            return found
        finally:
            self._free.put(connection)


@contextmanager
def queries_at_once(connections: Sequence[duckdb.DuckDBPyConnection]) -> Iterator[QueriesAtOnce]:
    """Queries on several connections, of which none is used after the block; what has not begun then is not asked."""
    threads = ThreadPoolExecutor(len(connections), "part")
    try:
        yield QueriesAtOnce(connections, threads)
    finally:
        threads.shutdown(cancel_futures=True)


def filled(name: str, parameters: Mapping[str, Value]) -> str:
    """A statement of `sql/` with its parameters written into it, so that it can be copied."""
    return re.sub(r"\$(\w+)", lambda match: _literal(parameters[match[1]]), statement(name)).strip()


def _literal(value: Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, date):
        return f"DATE '{value}'"
    if isinstance(value, str):
        return quoted(value)
    return str(value) if isinstance(value, int) else f"[{', '.join(map(_literal, value))}]"
