"""One asset a table of core and metrics."""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from dora_pipeline.assets.metadata import asset_key, check_specs, definition_metadata, description, materialization
from dora_pipeline.assets.partitions import BACKFILL
from dora_pipeline.pipeline.runs import Run
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

_OWNERS = ["team:platform"]
_EXPORTS = dg.AssetKey(["sources", "apm_exports"])
_INTAKE = dg.AssetKey(["sources", "intake"])
_REPOSITORIES = dg.AssetKey(["sources", "repositories"])
_HOME = dg.AssetKey(["sources", "home"])

SOURCES = [
    dg.AssetSpec(_EXPORTS, group_name="sources", description="APM exports in the folder exports/apm.", kinds={"json"}),
    dg.AssetSpec(_INTAKE, group_name="sources", description="Events sent to the intake.", kinds={"api"}),
    dg.AssetSpec(
        _REPOSITORIES, group_name="sources", description="Git repositories named in settings or catalog.", kinds={"git"}
    ),
    dg.AssetSpec(_HOME, group_name="sources", description="source_selections.csv and services/*.yaml.", kinds={"file"}),
]

_DEPENDS: dict[type[Table], Sequence[dg.AssetKey]] = {
    SourceSelections: [_HOME],
    Services: [_HOME],
    ApmVersionActivity: [_EXPORTS, asset_key(SourceSelections)],
    Deployments: [
        _INTAKE,
        _REPOSITORIES,
        asset_key(ApmVersionActivity),
        asset_key(SourceSelections),
        asset_key(Services),
    ],
    Failures: [_INTAKE, asset_key(SourceSelections), asset_key(Services)],
    DeploymentCommits: [asset_key(Deployments)],
    RejectedEvents: [asset_key(ApmVersionActivity), asset_key(Deployments), asset_key(Failures)],
    Daily: [asset_key(Deployments), asset_key(DeploymentCommits), asset_key(Failures)],
}


def table_assets(partitions: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets of core and metrics: two that are whole, the others by days."""
    whole = {SourceSelections, Services}
    return [_asset(table, None if table in whole else partitions) for table in _DEPENDS]


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
    )
    def load(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Run]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows only the bare class
        days = [date.fromisoformat(key) for key in context.partition_keys] if partitions else []
        return materialization(warehouse.load_and_check(table, days))

    return load
