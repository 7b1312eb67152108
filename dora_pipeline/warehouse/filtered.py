"""A part of the published warehouse under the same names, so that every statement of `sql/` answers over that part.

Filtering once and grouping several times takes a third of filtering each time. What does not belong here: what is
asked of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

import duckdb

from dora_pipeline.timeline import Window
from dora_pipeline.warehouse.queries import quoted, statement
from dora_pipeline.warehouse.reader import PUBLISHED

_MACROS = ("metrics.period", "metrics.wilson_low", "metrics.wilson_high", "metrics.median_rank", "metrics.summary_by")
_TABLES = (("metrics", "counted"), ("core", "failures"), ("core", "source_selections"), ("landing", "properties"))
_NUMBERS = count(1)


@dataclass(frozen=True)
class Part:
    """A part of a warehouse, in memory: its name, and the conditions that its tables are made by."""

    name: str
    conditions: Mapping[str, str]

    def statements(self) -> list[str]:
        """What makes the part on a connection on which its source is attached."""
        tables = [
            f"CREATE TABLE {schema}.{table} AS\n{statement(f'filtered.{table}').format(**self.conditions)}"
            for schema, table in _TABLES
        ]
        schemas = [f"CREATE SCHEMA {schema}" for schema in ("core", "landing", "metrics")]
        opening = [f"ATTACH ':memory:' AS {self.name}", f"USE {self.name}"]
        view = f"CREATE VIEW metrics.measures AS\n{statement('filtered.measures').format(counted='metrics.counted')}"
        return [*opening, *schemas, *tables, view, *(statement(macro) for macro in _MACROS)]


@contextmanager
def filtered(
    connection: duckdb.DuckDBPyConnection, values: Mapping[str, str | None], tag: str | None, windows: Sequence[Window]
) -> Iterator["Part"]:
    """For the length of the block, unqualified names on the connection mean what passes the filter.

    `connection` is one of `open_publication`. `values` names columns of `metrics.measures` and what each must be, None
    for NULL; with an env, events without one pass too. `tag` is one that an event must have; `windows` are the days.
    With a severity, sources of deployments are not there, with a source no other one is: what is made of the others is
    then NULL. The block gets the part.
    """
    with _open_part(connection, conditions(values, tag, windows)) as part:
        yield part


@contextmanager
def narrowed(
    connection: duckdb.DuckDBPyConnection, part: "Part", column: str, names: Sequence[str | None]
) -> Iterator[None]:
    """For the length of the block, the same for what has one of the names in a column, of a part made by `filtered`."""
    known = ", ".join(quoted(name) for name in names if name is not None)
    named = [f"m.{column} IN ({known})"] if known else []
    if None in names:
        named.append(f"m.{column} IS NULL")
    narrower = {
        "source": part.name,
        "passes": f"({' OR '.join(named) or 'FALSE'})",
        "days": "TRUE",
        "first_day": "DATE '0001-01-01'",
        "last_day": "DATE '9999-12-31'",
        "is_selected": "TRUE",
    }
    with _open_part(connection, narrower):
        yield


@contextmanager
def _open_part(connection: duckdb.DuckDBPyConnection, given: Mapping[str, str]) -> Iterator[Part]:
    part = Part(f"part_{next(_NUMBERS)}", given)
    try:
        for text in part.statements():
            connection.execute(text)
        yield part
    finally:
        connection.execute(f"USE {given['source']}")
        connection.execute(f"DETACH IF EXISTS {part.name}")


def conditions(values: Mapping[str, str | None], tag: str | None, windows: Sequence[Window]) -> dict[str, str]:
    """What makes the tables of a part of the published warehouse: `sql/filtered/` has a place for each."""
    return {
        "source": PUBLISHED,
        "passes": passes(values, tag),
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
