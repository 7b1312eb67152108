"""Loading: the tables of core and metrics, by whole days, from what has landed."""

from collections.abc import Sequence
from datetime import date, timedelta

from dora_pipeline.catalog import Catalog
from dora_pipeline.config import Settings
from dora_pipeline.pipeline.commits import PASSING_REASONS, Repositories, assigned_ranges
from dora_pipeline.pipeline.landing import microseconds
from dora_pipeline.pipeline.progress import Progress
from dora_pipeline.selection import SelectionLog
from dora_pipeline.tables import (
    ApmVersionActivity,
    Daily,
    DeploymentCommits,
    Deployments,
    Failures,
    RejectedEvents,
    Services,
    SourceSelections,
    Table,
)
from dora_pipeline.warehouse import landing
from dora_pipeline.warehouse.days import assign_ranges, derive_deployments, replace_days, replace_table
from dora_pipeline.warehouse.staleness import (
    mark_all_days,
    mark_days_of_services,
    mark_days_without_lead_time,
    stale_days,
)
from dora_pipeline.warehouse.writer import Writer

# A previous deployment that is older brings no lead time (the rule of Datadog's change lead time).
LONGEST_GAP = timedelta(days=60)

# What is loaded from what has landed, and what is loaded from those.
EVENT_TABLES: tuple[type[Table], ...] = (ApmVersionActivity, Deployments, Failures)
FOLLOWING_TABLES: tuple[type[Table], ...] = (DeploymentCommits, RejectedEvents, Daily)

# Bump when a normalizer or a rule of landing changes, so that every warehouse reads its raw layer again.
_LANDING_VERSION = "1"


def load_selections(writer: Writer, log: SelectionLog) -> int:
    """Load core.source_selections; a change makes every day stale. The number of rows."""
    spans = log.spans()
    if replace_table(writer, SourceSelections, spans).height:
        with writer.transaction() as connection:
            mark_all_days(connection, (*EVENT_TABLES, RejectedEvents))
    return spans.height


def load_services(writer: Writer, catalog: Catalog) -> int:
    """Load core.services; a change makes the days of the changed services stale. The number of rows."""
    frame = catalog.frame()
    changed = replace_table(writer, Services, frame)
    if changed.height:
        with writer.transaction() as connection:
            mark_days_of_services(connection, changed["service"].unique().to_list())
    return frame.height


def apply_settings(writer: Writer, settings: Settings, catalog: Catalog, today: date) -> None:
    """Make stale what settings have changed: all that landed when they shape it, else what they concern."""
    apm = settings.sources.apm_deployment_tracking
    landed = repr(
        (
            _LANDING_VERSION,
            settings.timezone,
            sorted(settings.environments.items()),
            apm.path,
            apm.quiet_gap,
            settings.merge_window,
        )
    )
    repositories = repr(sorted({**catalog.repositories(), **settings.repositories}))
    with writer.transaction() as connection:
        if landing.read_property(connection, "landing_settings") not in (None, landed):
            landing.forget_everything(connection)
        landing.write_property(connection, "landing_settings", landed)
        if landing.read_property(connection, "repositories") not in (None, repositories):
            mark_all_days(connection, (Deployments,))
        landing.write_property(connection, "repositories", repositories)
        mark_days_without_lead_time(connection, PASSING_REASONS, today - settings.reread)


def load_version_activity(writer: Writer, settings: Settings, days: Sequence[date]) -> int:
    """Load days of core.apm_version_activity; the number of rows."""
    gap = settings.sources.apm_deployment_tracking.quiet_gap
    return replace_days(writer, ApmVersionActivity, days, {"quiet_gap_us": microseconds(gap)})


def load_deployments(
    writer: Writer, settings: Settings, repositories: Repositories, days: Sequence[date], progress: Progress
) -> int:
    """Load days of core.deployments, with the lead times over their commits; the number of rows."""
    wanted = derive_deployments(writer, days, microseconds(settings.merge_window), microseconds(LONGEST_GAP))
    assign_ranges(writer, assigned_ranges(writer, repositories, wanted, progress))
    return replace_days(writer, Deployments, days)


def load_failures(writer: Writer, days: Sequence[date]) -> int:
    """Load days of core.failures; the number of rows."""
    return replace_days(writer, Failures, days)


def load_following(writer: Writer, table: type[Table], days: Sequence[date]) -> int:
    """Load days of a table that is made from others, and all its days that are stale; the number of rows."""
    stale = stale_days(writer.connection, (table,))
    return replace_days(writer, table, sorted({*days, *stale}))
