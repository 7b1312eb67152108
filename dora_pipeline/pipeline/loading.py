"""Loading: the tables of core and metrics, by whole days, from what has landed."""

import json
from collections.abc import Sequence
from datetime import date
from hashlib import sha256

import polars as pl

from dora_pipeline.catalog import Catalog
from dora_pipeline.catalog.misplaced import NAMES_IN_REPOSITORIES, misplaced_definitions
from dora_pipeline.code_versions import code_version
from dora_pipeline.config import Settings, Shapes, shaping
from dora_pipeline.files import printable
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.pipeline import aliases
from dora_pipeline.pipeline.mirrors import Repositories
from dora_pipeline.pipeline.session import Session
from dora_pipeline.selection import SelectionLog
from dora_pipeline.sources.apm.settings import apm_settings
from dora_pipeline.tables import (
    ApmVersionActivity,
    ConfiguredRepositories,
    Daily,
    DeploymentCommits,
    Deployments,
    FailedChanges,
    FailureLinks,
    Failures,
    RejectedEvents,
    RepositoryErrors,
    Services,
    SourcePatterns,
    SourceSelections,
    SourceStates,
    Table,
    empty_frame,
)
from dora_pipeline.timeline import day_offsets, microseconds
from dora_pipeline.warehouse import inputs, judgement, landing, links
from dora_pipeline.warehouse.commits import forget_commits, wait_for_commits
from dora_pipeline.warehouse.days import replace_days, replace_table
from dora_pipeline.warehouse.failed_changes import first_days, wait_for_changes
from dora_pipeline.warehouse.properties import change_properties
from dora_pipeline.warehouse.queries import frame
from dora_pipeline.warehouse.shrinkage import begin_meant_shrinks
from dora_pipeline.warehouse.sources import left_out_files
from dora_pipeline.warehouse.staleness import (
    mark_all_days,
    mark_days_of_services,
    stale_days,
)
from dora_pipeline.warehouse.upgrades import begin_landing_anew
from dora_pipeline.warehouse.writer import Writer

# What is loaded from what has landed, and what is loaded from those.
EVENT_TABLES: tuple[type[Table], ...] = (ApmVersionActivity, Deployments, Failures)
FOLLOWING_TABLES: tuple[type[Table], ...] = (
    DeploymentCommits,
    FailureLinks,
    FailedChanges,
    RejectedEvents,
    Daily,
)

# What every run reads or makes, whichever days it loads.
WHOLE_TABLES: tuple[type[Table], ...] = (SourceSelections, Services, SourceStates)

# What the files of service definitions are left out of, in place of a source.
SERVICES = "services"

# Bump when a normalizer or a rule of landing changes, so that every warehouse reads its raw layer again.
_LANDING_VERSION = "4"


def load_selections(writer: Writer, log: SelectionLog) -> int:
    """Load core.source_selections; a change makes every day stale. The number of rows."""
    spans = log.spans()
    with writer.transaction() as connection:
        if replace_table(connection, SourceSelections, spans).height:
            mark_all_days(connection, (*EVENT_TABLES, RejectedEvents))
            judgement.judge_all_again(connection)
    return spans.height


def load_services(writer: Writer, catalog: Catalog) -> int:
    """Load core.services; a change makes the days of the changed services stale. The number of rows."""
    frame = catalog.frame()
    with writer.transaction() as connection:
        changed = replace_table(connection, Services, frame)
        if changed.height:
            services = mark_days_of_services(connection, changed["service"].unique().to_list())
            wait_for_commits(connection, services)
            wait_for_changes(connection, first_days(services))
            links.wait_for_owners(connection, changed)
    return frame.height


def apply_settings(writer: Writer, settings: Settings, catalog: Catalog) -> None:
    """Make stale what settings have changed: all that landed when they shape it, else what they concern."""
    addresses = {**catalog.repositories(), **settings.repositories}
    shown = sorted((name, without_credentials(address)) for name, address in addresses.items())
    services = sorted(catalog.services.values(), key=lambda service: service.name)
    properties = {
        "landing_settings": json.dumps([_LANDING_VERSION, shaping(settings, Shapes.LANDING)]),
        "link_settings": json.dumps(shaping(settings, Shapes.LINKS)),
        aliases.PROPERTY: json.dumps(settings.environments, ensure_ascii=False),
        # What metrics.summary knows of time.
        "timezone": settings.timezone,
        "day_offsets": str([{"first_day": str(day), "seconds": ahead} for day, ahead in day_offsets(settings.zone)]),
        "link_window_us": str(microseconds(settings.link_window)),
        "repositories": sha256(repr(shown).encode()).hexdigest(),
        "squash_merges": settings.squash_merges,
        # Whether a pulled record is wanted, who it belongs to and where it is shown is decided when it is normalized.
        "normalized_by": repr((services, shaping(settings, Shapes.RECORDS))),
    }
    with writer.transaction() as connection:
        changed = change_properties(connection, properties)
        # The rules of a zone change with the data of time zones of the machine.
        if "landing_settings" in changed or "day_offsets" in changed:
            landing.forget_everything(connection)
            begin_landing_anew(connection)
        if "link_settings" in changed:
            links.link_all_again(connection)
        if "repositories" in changed:
            mark_all_days(connection, (Deployments, Failures))
            wait_for_commits(connection, "SELECT service FROM landing.judged_deployments")
        if "squash_merges" in changed:
            forget_commits(connection)
        replace_table(
            connection,
            ConfiguredRepositories,
            pl.DataFrame({"repository_id": sorted(addresses)}, schema={"repository_id": pl.String}),
        )
        if "normalized_by" in changed:
            inputs.forget_raw_inputs(connection)
            begin_meant_shrinks(connection)


def keep_repository_errors(writer: Writer, repositories: Repositories) -> None:
    """Keep what went wrong with each repository until it is fetched well, or nothing names it any more."""
    known = dict(writer.connection.execute("SELECT repository_id, error FROM landing.repository_errors").fetchall())
    lasting = {
        name: error
        for name, error in known.items()
        if repositories.mirror(name) is not None and not repositories.is_fetched(name)
    }
    rows = [
        {"repository_id": name, "error": error} for name, error in sorted({**lasting, **repositories.errors}.items())
    ]
    with writer.transaction() as connection:
        replace_table(connection, RepositoryErrors, pl.DataFrame(rows, schema=empty_frame(RepositoryErrors).schema))


def look_for_definitions(session: Session, repositories: Repositories) -> None:
    """Note the service definitions that are not read: elsewhere in the home, and in repositories of no service."""
    reason = "it holds a service definition; they are read from services/, as .yaml or .yml"
    found = dict.fromkeys(misplaced_definitions(session.home), reason)
    known = dict(left_out_files(session.writer.connection, SERVICES))
    for repository in sorted(session.settings.repositories.keys() - session.catalog.repositories().keys()):
        name = f"{repository}: {NAMES_IN_REPOSITORIES[0]}"
        is_new = repositories.is_fetched(repository) or not session.fetches
        if repositories.has_files(repository, NAMES_IN_REPOSITORIES) if is_new else name in known:
            found[name] = "it, or its like, lies in the repository, from which none are read; copy it to services/"
    left_out = {printable(name): text for name, text in found.items()}
    if left_out != known:
        with session.writer.transaction() as connection:
            inputs.note_left_out(connection, SERVICES, [*left_out.items()], is_raw=False)


def look_at_patterns(writer: Writer, repositories: Repositories, catalog: Catalog) -> None:
    """Keep whether a file matches the patterns of each service, where the patterns or the mirror are new."""
    known = {row["service"]: row for row in frame(writer.connection, "FROM landing.source_patterns").to_dicts()}
    rows = []
    for name, service in catalog.services.items():
        if service.repository_id is None or not service.source_patterns:
            continue
        row = {"service": name, "repository_id": service.repository_id, "patterns": list(service.source_patterns)}
        before = known.get(name, {})
        is_known = before == {**before, **row} and not repositories.is_fetched(service.repository_id)
        found = None if is_known else repositories.has_files(service.repository_id, service.source_patterns)
        if is_known or found is not None:
            rows.append(row | {"is_matched": before["is_matched"] if found is None else found})
    with writer.transaction() as connection:
        replace_table(connection, SourcePatterns, pl.DataFrame(rows, schema=empty_frame(SourcePatterns).schema))


def load_version_activity(writer: Writer, settings: Settings, days: Sequence[date]) -> int:
    """Load days of core.apm_version_activity; the number of rows."""
    gap = apm_settings(settings).quiet_gap
    return replace_days(
        writer, ApmVersionActivity, days, code_version(ApmVersionActivity), {"quiet_gap_us": microseconds(gap)}
    )


def load_deployments(writer: Writer, repositories: Repositories, catalog: Catalog, days: Sequence[date]) -> int:
    """Load days of core.deployments, with the lead times over their commits; the number of rows."""
    look_at_patterns(writer, repositories, catalog)
    return replace_days(writer, Deployments, days, code_version(Deployments))


def load_failures(writer: Writer, days: Sequence[date]) -> int:
    """Load days of core.failures; the number of rows."""
    return replace_days(writer, Failures, days, code_version(Failures))


def load_following(writer: Writer, table: type[Table], days: Sequence[date]) -> int:
    """Load days of a table that is made from others, and all its days that are stale; the number of rows."""
    stale = stale_days(writer.connection, (table,))
    return replace_days(writer, table, sorted({*days, *stale}), code_version(table))
