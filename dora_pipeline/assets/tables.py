"""One asset a table of core and metrics, and what sources they are made from."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date

import dagster as dg

from dora_pipeline.assets.failures import errors_told
from dora_pipeline.assets.metadata import (
    FRESHNESS,
    asset_key,
    check_specs,
    definition_metadata,
    description,
    materialization,
    show_glimpse,
)
from dora_pipeline.assets.partitions import BACKFILL
from dora_pipeline.assets.resources import Warehouse
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.pipeline.loading import EVENT_TABLES, FOLLOWING_TABLES
from dora_pipeline.pipeline.table_loads import Loaded
from dora_pipeline.tables import (
    ApmVersionActivity,
    Daily,
    DeploymentCommits,
    Deployments,
    Failures,
    Freshness,
    RejectedEvents,
    Services,
    SourceSelections,
    SourceStates,
    Table,
)

_OWNERS = ["team:platform"]
# Runs of one pool wait in Dagster's queue; what protects the file is the writer's own lock.
_POOL = "warehouse"


def _source(name: str) -> dg.AssetKey:
    return dg.AssetKey(["sources", name])


_APM = _source("apm_deployment_tracking")
_DEPLOYMENT_EVENTS = _source("deployment_event_api")
_FAILURES = [_source("datadog_incidents"), _source("pagerduty"), _source("failure_event_api")]
_REPOSITORIES = _source("repositories")
_HOME = _source("home")

SOURCES = [
    dg.AssetSpec(key, group_name="sources", description=text, kinds={kind})
    for key, kind, text in (
        (_APM, "json", "Versions seen by APM: exports in the folder exports/apm, or pulled from Datadog."),
        (_DEPLOYMENT_EVENTS, "api", "Deployments sent to the intake, or pulled from Datadog."),
        (_FAILURES[0], "datadog", "Incidents pulled from Datadog."),
        (_FAILURES[1], "pagerduty", "Incidents pulled from PagerDuty, or told by its webhook."),
        (_FAILURES[2], "api", "Failures sent to the intake, or pulled from Datadog."),
        (_REPOSITORIES, "git", "Git repositories named in settings or catalog."),
        (_HOME, "file", "dora.yaml, source_selections.csv and services/*.yaml."),
    )
]

_DEPENDS: Mapping[type[Table], Sequence[dg.AssetKey]] = {
    SourceSelections: [_HOME],
    Services: [_HOME],
    SourceStates: [_APM, _DEPLOYMENT_EVENTS, *_FAILURES],
    ApmVersionActivity: [_APM, asset_key(SourceSelections)],
    Deployments: [
        _DEPLOYMENT_EVENTS,
        _REPOSITORIES,
        asset_key(ApmVersionActivity),
        asset_key(SourceSelections),
        asset_key(Services),
    ],
    Failures: [*_FAILURES, asset_key(SourceSelections), asset_key(Services)],
    DeploymentCommits: [asset_key(Deployments)],
    RejectedEvents: [asset_key(ApmVersionActivity), asset_key(Deployments), asset_key(Failures)],
    Daily: [asset_key(Deployments), asset_key(DeploymentCommits), asset_key(Failures)],
}
WHOLE_TABLES: tuple[type[Table], ...] = (SourceSelections, Services, SourceStates)
DAILY_TABLES: tuple[type[Table], ...] = tuple(table for table in _DEPENDS if table not in WHOLE_TABLES)


# Written with every publication, whichever asset it is for.
WRITTEN_ALONG = [
    dg.AssetSpec(
        asset_key(Freshness),
        deps=[asset_key(Daily), asset_key(RejectedEvents)],
        group_name="metrics",
        kinds={"duckdb", "sql"},
        owners=_OWNERS,
        description=description(Freshness),
        metadata=definition_metadata(Freshness),
    )
]


def table_assets(partitions: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets of all tables: a few that are whole, the others by days."""
    whole = [_asset(table, None) for table in (SourceSelections, Services)]
    return [*whole, _readings(), *(_asset(table, partitions) for table in DAILY_TABLES)]


def _asset(table: type[Table], partitions: dg.DailyPartitionsDefinition | None) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(table),
        deps=_DEPENDS[table],
        group_name=table.table_name.partition(".")[0],
        kinds={"duckdb", "sql"},
        owners=_OWNERS,
        description=description(table),
        metadata=definition_metadata(table),
        check_specs=check_specs(table),
        partitions_def=partitions,
        backfill_policy=BACKFILL if partitions else None,
        freshness_policy=FRESHNESS if partitions else None,
        pool=_POOL,
    )
    def load(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows only the bare class
        days = [date.fromisoformat(key) for key in context.partition_keys] if partitions else []
        with errors_told(context):
            loaded = warehouse.load(table, days)
        _tell_days(context, table, loaded.rows_by_day)
        if loaded.is_published:
            _tell_what_was_not_refused(context, loaded, days)
        for error in loaded.errors[1:]:
            context.log.error(without_credentials(str(error)))
        if loaded.errors:
            with errors_told(context):
                raise loaded.errors[0]
        show_glimpse(context, loaded, context.partition_keys[-1] if partitions else None)
        return materialization(loaded)

    return load


def _readings() -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(SourceStates),
        deps=_DEPENDS[SourceStates],
        group_name="sources",
        kinds={"duckdb"},
        owners=_OWNERS,
        description=f"{description(SourceStates)} It fails where a source could not be read; days are loaded from the "
        "others all the same, and again when the source has answered.",
        metadata=definition_metadata(SourceStates),
        pool=_POOL,
        # Last of a run, so that its retries wait for a source and nothing waits for them.
        op_tags={"dagster/priority": "-1"},
    )
    def read(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows only the bare class
        with errors_told(context):
            readings = warehouse.readings()
        for source, told in readings.items():
            newest = told.newest_event_at.isoformat() if told.newest_event_at else None
            metadata = {"rows": told.rows, "rejected": told.rejected, "newest_event_at": newest}
            context.log_event(dg.AssetObservation(_source(source), metadata=metadata))
        return dg.MaterializeResult(metadata={"dagster/row_count": len(readings)})

    return read


def _tell_days(context: dg.AssetExecutionContext, table: type[Table], rows_by_day: Mapping[date, int]) -> None:
    months: dict[str, list[int]] = defaultdict(list)
    for day, rows in rows_by_day.items():
        context.add_asset_metadata({"dagster/partition_row_count": rows}, partition_key=day.isoformat())
        months[f"{day:%Y-%m}"].append(rows)
    for month, counts in months.items():
        context.log.info(f"{table.table_name} {month}: {len(counts)} days, {sum(counts):,} rows")


def _tell_what_was_not_refused(context: dg.AssetExecutionContext, loaded: Loaded, days: Sequence[date]) -> None:
    # A step that fails tells of none of its partitions, and the steps behind it are left out.
    refused = loaded.refused_days.get(loaded.table)
    if refused:
        _tell_made(context, loaded.table, [day for day in days if day not in refused], loaded.rows_by_day)
    if loaded.table in EVENT_TABLES:
        refusing = {asset_key(table) for table in loaded.refused_days}
        made = [day for day in days if day not in loaded.waiting_days]
        for other in FOLLOWING_TABLES:
            if refusing.intersection(_DEPENDS[other]):
                _tell_made(context, other, made)


def _tell_made(
    context: dg.AssetExecutionContext,
    table: type[Table],
    days: Sequence[date],
    rows_by_day: Mapping[date, int] | None = None,
) -> None:
    for day in days:
        metadata = None if rows_by_day is None else {"dagster/partition_row_count": rows_by_day.get(day, 0)}
        context.log_event(dg.AssetMaterialization(asset_key(table), partition=day.isoformat(), metadata=metadata))
