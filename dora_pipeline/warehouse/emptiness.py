"""Statements that find nothing while a table is empty: to look at the table takes less than to plan the statement."""

from collections.abc import Mapping

import duckdb

from dora_pipeline.warehouse.queries import first_row

# Statements of `sql/` by name, each with a table, or several that are all empty then.
NOTHING_WITHOUT: Mapping[str, tuple[str, ...]] = {
    "core.apm_version_activity": ("landing.version_activity",),
    "core.deployment_commits": ("landing.range_commits",),
    "core.failures": ("landing.judged_failures",),
    "core.failure_links": ("landing.failure_links",),
    "core.failed_changes": ("landing.failed_changes",),
    "landing.failed_changes": ("marks", "landing.change_signs"),
    "checks.services_known": ("core.services",),
    "checks.negative_lead_times": ("core.deployment_commits",),
    "checks.squash_merges_expanded": ("landing.commit_ranges",),
    "checks.failures_with_env": ("core.failures",),
    "checks.failures_linked": ("core.failure_links",),
    "checks.rejected_share": ("core.rejected_events",),
}


def finds_nothing(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether a statement of `sql/` finds nothing, as a look at its tables shows; False where only it can tell."""
    tables = NOTHING_WITHOUT.get(name)
    if tables is None:
        return False
    rows = " UNION ALL ".join(f"SELECT 1 FROM {table}" for table in tables)
    return first_row(connection, f"{rows} LIMIT 1") is None
