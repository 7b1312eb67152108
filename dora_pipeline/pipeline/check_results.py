"""Checks that tell whether the warehouse can be trusted, by the table that they look at.

A check that warns looks at what the sources gave, and names who can mend it; one that fails looks at what the pipeline
made. All look at every day of the warehouse, whatever was loaded last: a run of a quiet day turns nothing green.
"""

from collections.abc import Mapping

import duckdb

from dora_pipeline.config import Settings
from dora_pipeline.pipeline.expectation import CheckResult, Expectation
from dora_pipeline.pipeline.expectations import EXPECTATIONS
from dora_pipeline.tables import TABLES, Table


def check_descriptions(table: type[Table]) -> dict[str, str]:
    """The checks of a table and what each means."""
    return {name: item.description for name, item in EXPECTATIONS.get(table, {}).items()}


def check_results(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> list[CheckResult]:
    """Run the checks of a table over the whole warehouse."""
    return _results(connection, table, settings, EXPECTATIONS.get(table, {}))


def all_results(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[CheckResult]:
    """Run every check over the whole warehouse; what fails comes first, then what warns, then the others."""
    found = [result for table in TABLES for result in check_results(connection, table, settings)]
    return sorted(found, key=lambda result: (result.passed, result.is_warning))


def warnings(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[CheckResult]:
    """What warns now. Checks of what the pipeline made are left out: they cost more, and each load proves itself."""
    chosen = {
        table: {name: item for name, item in items.items() if item.kind == "warns"}
        for table, items in EXPECTATIONS.items()
    }
    found = [result for table, items in chosen.items() for result in _results(connection, table, settings, items)]
    return [result for result in found if not result.passed]


def _results(
    connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings, items: Mapping[str, Expectation]
) -> list[CheckResult]:
    return [item.result(table, name, item.look(connection, table, settings)) for name, item in items.items()]
