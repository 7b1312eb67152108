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
_MEASURES = ["deployment", "commit", "failed_change", "recovery", "rework", "linked_failure"]
_MEASURES += ["possible_link", "failure", "restore"]
_NAMES = ("service", "env", "team")
# As they are published: what the measures take of these is of a deployment that passes.
_WHOLE = ("core.deployment_commits", "core.failed_changes", "core.failure_links")
_FILTERED = ("core.deployments", "core.failures", "core.source_selections", "landing.properties", "metrics.counted")
_NUMBERS = count(1)


@dataclass(frozen=True)
class Part:
    """A part of a warehouse, in memory: its name, and the conditions that its tables are made by."""

    name: str
    conditions: Mapping[str, str]

    def statements(self) -> list[str]:
        """What makes the part on a connection on which its source is attached."""
        return [
            f"ATTACH ':memory:' AS {self.name}",
            f"USE {self.name}",
            *(f"CREATE SCHEMA {schema}" for schema in ("core", "landing", "metrics")),
            f"CREATE TYPE metrics.measure_name AS ENUM ({', '.join(map(quoted, _MEASURES))})",
            *(f"CREATE TYPE metrics.{column}_name AS ENUM (\n{self._text('names', column)})" for column in _NAMES),
            *(f"CREATE VIEW {table} AS FROM {self.conditions['source']}.{table}" for table in _WHOLE),
            *(f"CREATE TABLE {table} AS\n{self._text(table.partition('.')[2])}" for table in _FILTERED),
            f"CREATE VIEW metrics.measures AS\n{statement('filtered.measures')}",
            *(statement(macro) for macro in _MACROS),
        ]

    def _text(self, name: str, column: str = "") -> str:
        return statement(f"filtered.{name}").format(column=column, **self.conditions)


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
    part = Part(f"part_{next(_NUMBERS)}", conditions(values, tag, windows))
    try:
        for text in part.statements():
            connection.execute(text)
        yield part
    finally:
        connection.execute(f"USE {PUBLISHED}")
        connection.execute(f"DETACH IF EXISTS {part.name}")


def narrow(connection: duckdb.DuckDBPyConnection, column: str, names: Sequence[str | None]) -> None:
    """From here to the end of the block of `filtered`, take only what has one of the names in a column."""
    known = ", ".join(quoted(name) for name in names if name is not None)
    named = [f"m.{column} IN ({known})"] if known else []
    if None in names:
        named.append(f"m.{column} IS NULL")
    for table in ("core.failures", "metrics.counted"):
        connection.execute(
            f"CREATE OR REPLACE TABLE {table} AS SELECT m.* FROM {table} AS m WHERE {' OR '.join(named) or 'FALSE'}"
        )


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
