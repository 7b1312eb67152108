"""One asset a table of core and metrics."""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from dora_pipeline.assets.lineage import DAILY_TABLES, DEPENDS
from dora_pipeline.assets.metadata import asset_key, check_specs, table_spec
from dora_pipeline.assets.partitions import BACKFILL
from dora_pipeline.assets.reporting import (
    materialization,
    report_days,
    report_readings,
    report_refusals,
    show_glimpse,
)
from dora_pipeline.assets.resources import Warehouse
from dora_pipeline.assets.run_errors import errors_as_failures
from dora_pipeline.pipeline.loading import WHOLE_TABLES
from dora_pipeline.tables import Daily, Freshness, RejectedEvents, SourceStates, Table

# Runs of one pool wait in Dagster's queue; what protects the file is the writer's own lock.
_POOL = "warehouse"


def table_assets(partitions: dg.DailyPartitionsDefinition, owners: Sequence[str] = ()) -> list[dg.AssetsDefinition]:
    """The assets of all tables: a few that are whole, the others by days."""
    assets = []
    for table in (*WHOLE_TABLES, *DAILY_TABLES):
        if table in DAILY_TABLES:
            assets.append(_load_days(table, table_spec(table, DEPENDS[table], owners, partitions)))
        else:
            spec = table_spec(table, DEPENDS[table], owners)
            assets.append(_read(spec) if table is SourceStates else _load(table, spec))
    return assets


def written_along(owners: Sequence[str] = ()) -> dg.AssetSpec:
    """What is written with every publication, whichever asset it is for."""
    spec = table_spec(Freshness, [asset_key(Daily), asset_key(RejectedEvents)], owners)
    return spec.replace_attributes(freshness_policy=None)


def _load(table: type[Table], spec: dg.AssetSpec) -> dg.AssetsDefinition:
    @dg.multi_asset(name=_name(spec), specs=[spec], check_specs=check_specs(table), pool=_POOL)
    def load(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows only the bare class
        with errors_as_failures(context):
            loaded = warehouse.load(table, [])
        show_glimpse(context, loaded, None)
        return materialization(loaded)

    return load


def _load_days(table: type[Table], spec: dg.AssetSpec) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=_name(spec), specs=[spec], check_specs=check_specs(table), backfill_policy=BACKFILL, pool=_POOL
    )
    def load_days(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows only the bare class
        days = [date.fromisoformat(key) for key in context.partition_keys]
        with errors_as_failures(context):
            loaded = warehouse.load(table, days)
            report_days(context, loaded)
            report_refusals(context, loaded)
        show_glimpse(context, loaded, context.partition_keys[-1])
        return materialization(loaded)

    return load_days


def _read(spec: dg.AssetSpec) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=_name(spec),
        specs=[
            spec.replace_attributes(
                group_name="sources",
                description=f"{spec.description} It fails where a source could not be read; days are loaded from the "
                "others all the same, and again when the source can be read.",
            )
        ],
        pool=_POOL,
        # Last of a run, so that its retries wait for a source and nothing waits for them.
        op_tags={"dagster/priority": "-1"},
    )
    def read(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows only the bare class
        with errors_as_failures(context):
            readings = warehouse.readings()
        report_readings(context, readings)
        return dg.MaterializeResult(metadata={"dagster/row_count": len(readings)})

    return read


def _name(spec: dg.AssetSpec) -> str:
    return "__".join(spec.key.path)
