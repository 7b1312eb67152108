"""A part of the published warehouse under the same names, so that every statement of `sql/` answers over that part.

Filtering once and grouping several times takes a third of filtering each time. What does not belong here: what is
asked of it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from threading import Lock

import duckdb

from dora_pipeline.timeline import Window
from dora_pipeline.warehouse.queries import quoted, statement
from dora_pipeline.warehouse.reader import PUBLISHED

_MACROS = ["metrics.period", "metrics.start_of", "metrics.wilson_low", "metrics.wilson_high", "metrics.median_rank"]
_MACROS += ["metrics.summary_by"]
_MEASURES = ["deployment", "commit", "failed_change", "recovery", "rework", "linked_failure"]
_MEASURES += ["possible_link", "failure", "restore"]
_NAMES = ("service", "env", "team")
# As they are published: what the measures take of these is of a deployment that passes.
_WHOLE = ("core.deployment_commits", "core.failed_changes", "core.failure_links")
_FILTERED = ("core.deployments", "core.failures", "core.source_selections", "landing.properties", "metrics.counted")
_NARROWED = ("core.failures", "metrics.counted")
_NUMBERS = count(1)


@dataclass(frozen=True)
class Part:
    """A part of a warehouse, in memory: its name, and the conditions that its tables are made by."""

    name: str
    conditions: Mapping[str, str]

    def statements(self) -> list[str]:
        """What makes the part on a connection on which its source is attached."""
        return [
            *_beginning(self.name),
            f"CREATE TYPE metrics.measure_name AS ENUM ({', '.join(map(quoted, _MEASURES))})",
            *(f"CREATE TYPE metrics.{column}_name AS ENUM (\n{self._text('names', column)})" for column in _NAMES),
            *(f"CREATE VIEW {table} AS FROM {self.conditions['source']}.{table}" for table in _WHOLE),
            *(f"CREATE TABLE {table} AS\n{self._text(table.partition('.')[2])}" for table in _FILTERED),
            *_answering(),
        ]

    def _text(self, name: str, column: str = "") -> str:
        return statement(f"filtered.{name}").format(column=column, **self.conditions)


class Parts:
    """Parts of one publication. The newest is kept: the next question is often about the same events, sorted otherwise.

    Several threads may ask at once; each has a connection of its own to the publication.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: Part | None = None
        self._users: Counter[str] = Counter()

    @contextmanager
    def filtered(
        self,
        connections: Sequence[duckdb.DuckDBPyConnection],
        values: Mapping[str, str | None],
        tag: str | None,
        windows: Sequence[Window],
    ) -> Iterator[Part]:
        """For the length of the block, unqualified names on the connections mean what passes the filter.

        `connections` are of one `open_publication`. `values` names columns of `metrics.measures` and what each must be,
        None for NULL; with an env, events without one pass too. `tag` is one that an event must have; `windows` are the
        days. With a severity, sources of deployments are not there, with a source no other one is: what is made of the
        others is then NULL. The block gets the part.
        """
        wanted = conditions(values, tag, windows)
        connection = connections[0]
        part = self._taken(connection, wanted) or self._made(connection, wanted)
        try:
            _use(connections, part.name)
            yield part
        finally:
            _use(connections, PUBLISHED)
            with self._lock:
                self._users[part.name] -= 1
                self._drop_unused(connection, part)

    def _taken(self, connection: duckdb.DuckDBPyConnection, wanted: Mapping[str, str]) -> Part | None:
        with self._lock:
            kept = self._kept
            if kept is not None and kept.conditions == wanted:
                self._users[kept.name] += 1
                return kept
            # Its memory is free before that of another one is taken.
            self._kept = None
            if kept is not None:
                self._drop_unused(connection, kept)
            return None

    def _made(self, connection: duckdb.DuckDBPyConnection, wanted: Mapping[str, str]) -> Part:
        part = Part(f"part_{next(_NUMBERS)}", wanted)
        _execute_in_memory(connection, part.name, part.statements())
        with self._lock:
            former, self._kept = self._kept, part
            self._users[part.name] += 1
            if former is not None:
                self._drop_unused(connection, former)
        return part

    def _drop_unused(self, connection: duckdb.DuckDBPyConnection, part: Part) -> None:
        if part is not self._kept and self._users[part.name] == 0:
            del self._users[part.name]
            connection.execute(f"DETACH {part.name}")


@contextmanager
def narrowed(
    connection: duckdb.DuckDBPyConnection, part: Part, column: str, names: Sequence[str | None]
) -> Iterator[None]:
    """For the length of the block, unqualified names mean what of the part has one of the names in a column."""
    known = ", ".join(quoted(name) for name in names if name is not None)
    named = [f"m.{column} IN ({known})"] if known else []
    if None in names:
        named.append(f"m.{column} IS NULL")
    name = f"part_{next(_NUMBERS)}"
    statements = [
        *_beginning(name),
        *(f"CREATE VIEW {table} AS FROM {part.name}.{table}" for table in _FILTERED if table not in _NARROWED),
        *(
            f"CREATE TABLE {table} AS SELECT m.* FROM {part.name}.{table} AS m WHERE {' OR '.join(named) or 'FALSE'}"
            for table in _NARROWED
        ),
        *_answering(),
    ]
    try:
        _execute_in_memory(connection, name, statements)
        yield
    finally:
        connection.execute(f"USE {part.name}")
        connection.execute(f"DETACH IF EXISTS {name}")


def _use(connections: Iterable[duckdb.DuckDBPyConnection], name: str) -> None:
    for connection in connections:
        connection.execute(f"USE {name}")


def _execute_in_memory(connection: duckdb.DuckDBPyConnection, name: str, statements: Iterable[str]) -> None:
    """Make a database in memory by the statements; where one fails, there is none."""
    try:
        for text in statements:
            connection.execute(text)
    except duckdb.Error:
        connection.execute(f"USE {PUBLISHED}")
        connection.execute(f"DETACH IF EXISTS {name}")
        raise


def _beginning(name: str) -> list[str]:
    """What makes an empty database in memory, and lets unqualified names mean it."""
    schemas = (f"CREATE SCHEMA {schema}" for schema in ("core", "landing", "metrics"))
    return [f"ATTACH ':memory:' AS {name}", f"USE {name}", *schemas]


def _answering() -> list[str]:
    """What the statements of `sql/` ask besides tables."""
    return [
        f"CREATE VIEW metrics.measures AS\n{statement('filtered.measures')}",
        *(statement(macro) for macro in _MACROS),
    ]


def conditions(values: Mapping[str, str | None], tag: str | None, windows: Sequence[Window]) -> dict[str, str]:
    """What makes the tables of a part of the published warehouse: `sql/filtered/` has a place for each."""
    return {
        "source": PUBLISHED,
        "passes": passes(values, tag),
        # They have no severity, not even that of failures which name none.
        "has_deployments": "FALSE" if "severity" in values else "TRUE",
        "days": " OR ".join(f"m.day BETWEEN DATE '{days.first}' AND DATE '{days.last}'" for days in _joined(windows)),
        "first_day": f"DATE '{min(days.first for days in windows)}'",
        "last_day": f"DATE '{max(days.last for days in windows)}'",
        "is_selected": _is_selected(values),
    }


def _joined(windows: Sequence[Window]) -> Sequence[Window]:
    """The windows as few as they can be: one range of days is read much faster than two."""
    joined: list[Window] = []
    for window in sorted(windows, key=lambda days: days.first):
        if joined and window.first <= joined[-1].last + timedelta(days=1):
            joined[-1] = Window(joined[-1].first, max(joined[-1].last, window.last))
        else:
            joined.append(window)
    return joined


def passes(values: Mapping[str, str | None], tag: str | None) -> str:
    """What a row called m, with the columns of metrics.measures, has to be to pass a filter."""
    found = []
    for column, value in values.items():
        condition = f"m.{column} {'IS NULL' if value is None else f'= {quoted(value)}'}"
        # A failure that names no env can be of any: the statements say of which no rate is known by that.
        found.append(f"({condition} OR m.env IS NULL)" if column == "env" and value is not None else condition)
    if tag is not None:
        found.append(f"LIST_CONTAINS(m.tags, {quoted(tag)})")
    return " AND ".join(found) or "TRUE"


def _is_selected(values: Mapping[str, str | None]) -> str:
    found = ["s.is_selected"]
    if "severity" in values:
        found.append("s.event_type = 'failure'")
    if values.get("source") is not None:
        found.append(f"s.source = {quoted(values['source'] or '')}")
    return " AND ".join(found)
