"""A part of the published warehouse under the same names, so that every statement of `sql/` answers over that part.

Filtering once and grouping several times takes a third of filtering each time. What does not belong here: what is
asked of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count

import duckdb

from dora_pipeline.timeline import Window
from dora_pipeline.warehouse.queries import quoted, statement
from dora_pipeline.warehouse.reader import PUBLISHED

_MACROS = ("metrics.period", "metrics.wilson_low", "metrics.wilson_high", "metrics.median_rank", "metrics.summary_by")
_TABLES = ("metrics.measures", "core.failures", "core.source_selections", "landing.properties")
_NUMBERS = count(1)


@contextmanager
def filtered(
    connection: duckdb.DuckDBPyConnection, values: Mapping[str, str | None], tag: str | None, windows: Sequence[Window]
) -> Iterator[None]:
    """For the length of the block, unqualified names on the connection mean what passes the filter.

    `connection` is one of `open_publication`. `values` names columns of `metrics.measures` and what each must be, None
    for NULL; with an env, events without one pass too. `tag` is one that an event must have; `windows` are the days.
    With a severity, sources of deployments are not there, with a source no other one is: what is made of the others is
    then NULL.
    """
    name = f"filtered_{next(_NUMBERS)}"
    connection.execute(f"ATTACH ':memory:' AS {name}")
    try:
        connection.execute(f"USE {name}")
        for schema in ("core", "landing", "metrics"):
            connection.execute(f"CREATE SCHEMA {schema}")
        conditions = {
            "passes": _passes(values, tag),
            "days": " OR ".join(f"m.day BETWEEN DATE '{days.first}' AND DATE '{days.last}'" for days in windows),
            "last_day": f"DATE '{max(days.last for days in windows)}'",
            "is_selected": _is_selected(values),
        }
        for table in _TABLES:
            query = statement(f"filtered.{table.partition('.')[2]}").format(**conditions)
            connection.execute(f"CREATE TABLE {table} AS {query}")
        for macro in _MACROS:
            connection.execute(statement(macro))
        yield
    finally:
        connection.execute(f"USE {PUBLISHED}")
        connection.execute(f"DETACH {name}")


def _passes(values: Mapping[str, str | None], tag: str | None) -> str:
    conditions = []
    for column, value in values.items():
        condition = f"m.{column} {'IS NULL' if value is None else f'= {quoted(value)}'}"
        # A failure that names no env can be of any: the statements say of which no rate is known by that.
        conditions.append(f"({condition} OR m.env IS NULL)" if column == "env" and value is not None else condition)
    if tag is not None:
        conditions.append(f"LIST_CONTAINS(m.tags, {quoted(tag)})")
    return " AND ".join(conditions) or "TRUE"


def _is_selected(values: Mapping[str, str | None]) -> str:
    conditions = ["s.is_selected"]
    if "severity" in values:
        conditions.append("s.event_type = 'failure'")
    if values.get("source") is not None:
        conditions.append(f"s.source = {quoted(values['source'] or '')}")
    return " AND ".join(conditions)
