"""How far the data of one publication can be trusted: what the checks find, and what they look at, row by row."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from dora_pipeline.config import Settings
from dora_pipeline.pipeline.check_results import all_results
from dora_pipeline.pipeline.remedies import remedies
from dora_pipeline.report.content import Excerpt, Rejected
from dora_pipeline.report.quality import Complaint, Quality
from dora_pipeline.warehouse.queries import named_rows, statement

_MOST_ROWS = 200
_TABLES = ("sources", "tables", "unlinked_failures", "unknown_services", "rejected_events")


def quality_queries() -> dict[str, str]:
    """The SQL of each table of the page."""
    return {name: statement(f"quality.{name}").strip() for name in _TABLES}


def quality(connection: duckdb.DuckDBPyConnection, settings: Settings, zone: ZoneInfo) -> Quality:
    """What `dora check` says by these settings, and the tables of the page; the zone is that of its times."""
    results = all_results(connection, settings)
    complaints = [
        Complaint(result.is_warning, result.line, result.advice, remedies(result))
        for result in results
        if not result.passed
    ]
    tables = {name: _excerpt(connection, text) for name, text in quality_queries().items()}
    rejected = [
        Rejected(row["event_type"], row["source"], row["reason"], 0, row["events"], row["newest_event_at"])
        for row in tables["rejected_events"].rows
    ]
    return Quality(zone, len(results), complaints, tables, Excerpt(rejected, tables["rejected_events"].total))


def _excerpt(connection: duckdb.DuckDBPyConnection, text: str) -> Excerpt[Mapping[str, Any]]:
    """The first rows of an ordered query, and how many there are in all."""
    rows = named_rows(connection, f"{text}\nLIMIT {_MOST_ROWS}")
    if len(rows) < _MOST_ROWS:
        return Excerpt(rows, len(rows))
    ((total,),) = connection.execute(f"SELECT COUNT(*) FROM (\n{text}\n)").fetchall()
    return Excerpt(rows, total)
