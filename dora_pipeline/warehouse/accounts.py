"""Whether the warehouse adds up: what landed is in core or accounted for, and what counts in core is in metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from dora_pipeline.errors import WarehouseError
from dora_pipeline.warehouse.queries import named_rows, quoted, statement

_ORDER = "ORDER BY table_name LIKE 'landing.%' DESC, first_day, table_name, measure, source"


@dataclass(frozen=True)
class Discrepancy:
    """What of a source does not add up in a table: rows that should be there on some days, and rows that are.

    `sources` of metrics.daily are all that are selected, those of links are not told apart. `measure` says what is
    counted, `first_day` is one of `days`.
    """

    table: str
    measure: str
    sources: str | None
    expected: int
    found: int
    days: int
    first_day: date

    def __str__(self) -> str:
        days = f"on {self.first_day}" if self.days == 1 else f"on {self.days:,} days from {self.first_day} on"
        return (
            f"{self.table}: {self.sources or 'no source selected'}: {self.expected:,} {self.measure} should be there, "
            f"{self.found:,} are, {days}"
        )


def account_rows(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> list[dict[str, Any]]:
    """What does not add up in some tables: the columns of `sql/checks/accounts.sql`, nothing of others.

    Days that wait to be loaded are left out: refused ones, and those that have changed and were not asked for.
    """
    named = ", ".join(map(quoted, tables))
    query = f"SELECT * FROM ({statement('checks.accounts')}) WHERE table_name IN ({named}) {_ORDER}"
    return named_rows(connection, query)


def discrepancies(connection: duckdb.DuckDBPyConnection) -> list[Discrepancy]:
    """What does not add up in the whole warehouse, where it was lost first; empty where everything adds up."""
    return [Discrepancy(*row) for row in connection.execute(statement("checks.accounts")).fetchall()]


def require_accounts(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise WarehouseError where something does not add up."""
    found = discrepancies(connection)
    if found:
        more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
        raise WarehouseError(
            f"{found[0]}{more}. The load does not add up, so nothing is published and what was published stays. Make "
            "the warehouse anew with `dora run --rebuild`; if that does not help, it is a fault of the program"
        )
