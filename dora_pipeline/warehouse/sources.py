"""Figures of each source, from a warehouse that is open for reading."""

from dataclasses import dataclass
from datetime import datetime

import duckdb

from dora_pipeline.warehouse.queries import statement


@dataclass(frozen=True)
class SourceFigures:
    """Newest event (UTC) and number of rows in core, rejected events, last good reading (UTC), last error."""

    newest_event_at: datetime | None = None
    rows: int = 0
    rejected: int = 0
    read_at: datetime | None = None
    error: str | None = None


def source_figures(connection: duckdb.DuckDBPyConnection) -> dict[str, SourceFigures]:
    """The figures by source."""
    return {row[0]: SourceFigures(*row[1:]) for row in connection.execute(statement("source_figures")).fetchall()}
