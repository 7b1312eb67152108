"""Which version of its SQL, its rules and its declaration made a table, so that people see what a change concerns.

What does not belong here: the version of the whole schema (`warehouse/schema.py`), which has every warehouse made anew.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib import resources

from dora_pipeline.identifiers import EventType
from dora_pipeline.sources.registry import SOURCES
from dora_pipeline.tables import (
    ApmVersionActivity,
    Daily,
    DeploymentCommits,
    Deployments,
    FailedChanges,
    FailureLinks,
    Failures,
    Freshness,
    RejectedEvents,
    Services,
    SourceSelections,
    SourceStates,
    Table,
)


def _normalizers(event_type: EventType) -> list[str]:
    """The modules that make rows of the records of an event type's sources, by their paths in the package."""
    readers = [source.reader() for source in SOURCES.values() if source.event_type == event_type]
    modules = [(reader.events or reader).normalize.__module__ for reader in readers]
    return [f"{module.partition('.')[2].replace('.', '/')}.py" for module in modules]


# The files of the package that a table is made by; the one that is its statement comes first where it has one.
_FILES: Mapping[type[Table], Sequence[str]] = {
    SourceSelections: ("selection.py",),
    Services: ("catalog/services.py", "catalog/service_definitions.py"),
    SourceStates: ("pipeline/landing.py",),
    ApmVersionActivity: (
        "warehouse/sql/core/apm_version_activity.sql",
        "sources/apm/comparable.py",
        "sources/apm/export_reading.py",
        "sources/apm/sessions.py",
    ),
    Deployments: (
        "warehouse/sql/core/deployments.sql",
        "warehouse/sql/core/derived_deployments.sql",
        "warehouse/sql/core/carried_tags.sql",
        "warehouse/sql/landing/judged_deployments.sql",
        "warehouse/sql/landing/chain_names.sql",
        "warehouse/sql/landing/chains.sql",
        "warehouse/sql/landing/live_before.sql",
        "warehouse/sql/landing/returning_contents.sql",
        "warehouse/sql/landing/returning_chains.sql",
        "warehouse/sql/landing/returning_rows.sql",
        "warehouse/sql/landing/deployment_kinds.sql",
        "pipeline/failed_changes.py",
        "warehouse/sql/landing/inferred_deployments.sql",
        *_normalizers("deployment"),
    ),
    DeploymentCommits: (
        "warehouse/sql/core/deployment_commits.sql",
        "warehouse/sql/landing/brought_commits.sql",
        "warehouse/sql/landing/repeated_commits.sql",
        "repositories/ranges.py",
        "repositories/squash_merges.py",
        "repositories/delivered.py",
        "pipeline/commits.py",
    ),
    Failures: (
        "warehouse/sql/core/failures.sql",
        "warehouse/sql/core/carried_tags.sql",
        "warehouse/sql/landing/judged_failures.sql",
        *_normalizers("failure"),
    ),
    FailureLinks: (
        "warehouse/sql/core/failure_links.sql",
        "warehouse/sql/landing/failure_links.sql",
        "warehouse/sql/landing/named_deployments.sql",
    ),
    FailedChanges: (
        "warehouse/sql/core/failed_changes.sql",
        "warehouse/sql/landing/failed_changes.sql",
        "warehouse/sql/landing/chain_names.sql",
        "warehouse/sql/landing/chains.sql",
        "warehouse/sql/landing/live_before.sql",
        "warehouse/sql/landing/returning_contents.sql",
        "warehouse/sql/landing/returning_chains.sql",
        "warehouse/sql/landing/returning_rows.sql",
        "warehouse/sql/core/carried_tags.sql",
        "warehouse/sql/landing/marks.sql",
        "warehouse/sql/landing/brought_messages.sql",
        "warehouse/sql/landing/reverts.sql",
        "warehouse/sql/landing/reverted_deployments.sql",
        "warehouse/sql/landing/rule_matches.sql",
        "warehouse/sql/landing/change_signs.sql",
        "pipeline/failed_changes.py",
    ),
    RejectedEvents: (
        "warehouse/sql/core/rejected_events.sql",
        "warehouse/sql/core/first_selections.sql",
        "sources/event_rules.py",
        "sources/apm/rejects.py",
    ),
    Daily: (
        "warehouse/sql/metrics/daily.sql",
        "warehouse/sql/metrics/measures.sql",
        "warehouse/sql/metrics/counted_deployments.sql",
        "warehouse/sql/metrics/possible_links.sql",
        "warehouse/sql/metrics/beginnings.sql",
        "warehouse/sql/metrics/known_days.sql",
        "warehouse/sql/metrics/known.sql",
        "warehouse/sql/metrics/counts.sql",
        "warehouse/sql/metrics/statistics.sql",
        "warehouse/sql/metrics/without_env.sql",
        "warehouse/sql/metrics/placed_statistics.sql",
        "warehouse/sql/metrics/figures.sql",
        "warehouse/sql/metrics/newest_team.sql",
    ),
    Freshness: ("warehouse/sql/metrics/freshness.sql",),
}


def files_of(table: type[Table]) -> Sequence[str]:
    """The files that a table is made by, by their paths in the package; empty for one that nobody looks at."""
    return _FILES.get(table, ())


def sql_of(table: type[Table]) -> str | None:
    """The statement that makes a table; None where Python does."""
    first = next(iter(files_of(table)), "")
    return _text(first) if first.endswith(".sql") else None


@cache
def code_version(table: type[Table]) -> str:
    """Twelve hex digits, the same on every machine, that change with the files of a table and with its declaration.

    What tables are described by, and how lines end, has no part in it.
    """
    columns = [(name, str(column.dtype), column.nullable) for name, column in table.columns().items()]
    declared = repr((table.table_name, table.key(), columns))
    return sha256("\0".join([declared, *map(_text, files_of(table))]).encode()).hexdigest()[:12]


def _text(path: str) -> str:
    return resources.files("dora_pipeline").joinpath(path).read_text(encoding="utf-8")
