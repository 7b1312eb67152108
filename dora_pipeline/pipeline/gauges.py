"""What a monitor watches in one publication of the warehouse: values as they are now, of names that are bounded."""

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from dora_pipeline.pipeline.report_queries import filled
from dora_pipeline.warehouse.queries import named_rows, statement

# Stands in place of a service and an environment for all that are not among the first.
REST = "(rest)"
_MOST = 1000
_LONGEST = 200

Row = Mapping[str, Any]


def watched_services(connection: duckdb.DuckDBPyConnection, most: int = _MOST) -> Sequence[Row]:
    """The counted deployments, open failures and newest events of the services with most events, and of the rest."""
    return named_rows(connection, filled("monitoring.services", {"most": most, "rest": REST, "longest": _LONGEST}))


def watched_sources(connection: duckdb.DuckDBPyConnection) -> Sequence[Row]:
    """When each source that is selected now was read last, and its newest event."""
    return [row for row in named_rows(connection, statement("quality.sources")) if row["is_selected"]]


def watched_tables(connection: duckdb.DuckDBPyConnection) -> Sequence[Row]:
    """How new each table is."""
    return named_rows(connection, statement("quality.tables"))
