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


def left_out_files(connection: duckdb.DuckDBPyConnection, source: str) -> list[tuple[str, str]]:
    """The files of a source that are not read: name and reason of each."""
    query = "SELECT name, reason FROM landing.left_out_files WHERE source = ? ORDER BY name"
    return connection.execute(query, [source]).fetchall()


def source_figures(connection: duckdb.DuckDBPyConnection) -> dict[str, SourceFigures]:
    """The figures by source."""
    return {
        row[0]: SourceFigures(*row[1:]) for row in connection.execute(statement("report.source_figures")).fetchall()
    }
