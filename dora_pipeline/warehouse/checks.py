"""Checks of the whole warehouse: queries that find rows which must not be there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from dora_pipeline.tables import (
    Deployments,
    FailureLinks,
    Failures,
    JudgedDeployments,
    JudgedFailures,
    LinkedFailures,
    Table,
)
from dora_pipeline.warehouse.accounts import account_rows
from dora_pipeline.warehouse.emptiness import finds_nothing
from dora_pipeline.warehouse.queries import named_rows, statement

Row = Mapping[str, Any]

_EXAMPLES = 10
# So many are counted at a time.
_BATCH = 10_000
_JUDGED: Mapping[type[Table], Sequence[str]] = {
    Deployments: (JudgedDeployments.table_name,),
    Failures: (JudgedFailures.table_name,),
    FailureLinks: (LinkedFailures.table_name,),
}


@dataclass(frozen=True)
class Finding:
    """The first of the rows that a check shows, the number of things that are wrong, and what else is known of them."""

    rows: Sequence[Row]
    wrong: int
    remark: str = ""

    @property
    def examples(self) -> Sequence[Row]:
        """The first of the rows."""
        return self.rows[:_EXAMPLES]


def repeated_keys(connection: duckdb.DuckDBPyConnection, table: type[Table]) -> Finding:
    """Keys that stand more than once."""
    keys = ", ".join(table.key())
    # To group millions of keys by a number first takes half of grouping them by their texts.
    suspects = f"SELECT HASH({keys}) FROM {table.table_name} GROUP BY HASH({keys}) HAVING COUNT(*) > 1"
    return _finding(
        connection,
        f"SELECT CONCAT_WS(' ', {keys}) AS key, COUNT(*) AS times, {keys} FROM {table.table_name} "
        f"WHERE HASH({keys}) IN ({suspects}) GROUP BY {keys} HAVING COUNT(*) > 1 ORDER BY ALL",
    )


def accounts(connection: duckdb.DuckDBPyConnection, table: type[Table]) -> Finding:
    """What does not add up in a table; in that of deployments or failures also what was not judged."""
    rows = account_rows(connection, [table.table_name, *_JUDGED.get(table, ())])
    return Finding(rows, len(rows))


def check(connection: duckdb.DuckDBPyConnection, name: str, parameters: Mapping[str, object] | None = None) -> Finding:
    """The rows that `sql/checks/<name>.sql` finds, each of them wrong; the first of them are kept."""
    if finds_nothing(connection, f"checks.{name}"):
        return Finding((), wrong=0)
    return _finding(connection, statement(f"checks.{name}"), parameters)


def check_rows(
    connection: duckdb.DuckDBPyConnection, name: str, parameters: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """All rows that `sql/checks/<name>.sql` finds, which need not be wrong."""
    if finds_nothing(connection, f"checks.{name}"):
        return []
    return named_rows(connection, statement(f"checks.{name}"), parameters)


def _finding(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, object] | None = None
) -> Finding:
    found = connection.execute(query, parameters or {})
    names = [column[0] for column in found.description]
    examples = [dict(zip(names, row, strict=True)) for row in found.fetchmany(_EXAMPLES)]
    wrong = len(examples)
    while rows := found.fetchmany(_BATCH):
        wrong += len(rows)
    return Finding(examples, wrong)
