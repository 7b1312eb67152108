"""How far the data of one publication can be trusted: what the checks find, and what they look at, row by row."""

from zoneinfo import ZoneInfo

import duckdb

from dora_pipeline.config import Settings
from dora_pipeline.pipeline.check_results import all_results
from dora_pipeline.pipeline.remedies import remedies
from dora_pipeline.report.content import Excerpt, Rejected
from dora_pipeline.report.quality import Complaint, Quality
from dora_pipeline.warehouse.queries import named_rows, statement

_MOST_REASONS = 200
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
    tables = {name: named_rows(connection, text) for name, text in quality_queries().items()}
    rejected = [
        Rejected(row["event_type"], row["source"], row["reason"], 0, row["events"], row["newest_event_at"])
        for row in tables["rejected_events"]
    ]
    return Quality(zone, len(results), complaints, tables, Excerpt.of(rejected, _MOST_REASONS))
