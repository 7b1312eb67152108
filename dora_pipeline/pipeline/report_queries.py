"""Statements with their values written into them, so that a page can show what was asked."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import duckdb

from dora_pipeline.warehouse.queries import quoted, statement

Value = date | str | int | Sequence[int] | Sequence[str] | None


class Queries:
    """Asks the queries `sql/report/<name>.sql` of a connection, and keeps the text of each by its title."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.texts: dict[str, str] = {}
        self._connection = connection

    def rows(self, name: str, title: str = "", /, **parameters: Value) -> list[tuple[Any, ...]]:
        """The rows of a query whose `$name`s are the parameters; with a title, the page shows its text."""
        text = filled(f"report.{name}", parameters)
        if title:
            self.texts[title] = text
        return self._connection.execute(text).fetchall()


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
