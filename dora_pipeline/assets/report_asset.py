"""The report as an asset, at the right end of the lineage. Dagster writes it by itself when days were loaded."""

from collections.abc import Sequence

import dagster as dg

from dora_pipeline.assets.metadata import FRESHNESS, asset_key
from dora_pipeline.assets.resources import Warehouse
from dora_pipeline.assets.run_errors import errors_as_failures
from dora_pipeline.pipeline.reports import write_report
from dora_pipeline.tables import Daily

REPORT = dg.AssetKey(["report", "index"])

_DAYS_WERE_LOADED = dg.AutomationCondition.any_deps_updated().since_last_handled() | (
    # A home whose days were loaded before Dagster looked for the first time.
    dg.AutomationCondition.initial_evaluation()
    & dg.AutomationCondition.any_deps_match(~dg.AutomationCondition.missing())
)
_WHEN = (
    _DAYS_WERE_LOADED & ~dg.AutomationCondition.any_deps_in_progress() & ~dg.AutomationCondition.in_progress()
).with_label("days were loaded")

report_automation = dg.AutomationConditionSensorDefinition(
    "report",
    target=dg.AssetSelection.assets(REPORT),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Writes the report when days were loaded.",
)


def report_asset(owners: Sequence[str]) -> dg.AssetsDefinition:
    """The asset of the report page."""

    @dg.asset(
        key=REPORT,
        deps=[asset_key(Daily)],
        group_name="report",
        kinds={"html", "duckdb"},
        tags={"layer": "report", "domain": "dora"},
        owners=owners,
        freshness_policy=FRESHNESS,
        automation_condition=_WHEN,
    )
    def write(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows only the bare class
        """The report page, report/index.html of the home."""
        with errors_as_failures(context):
            path = write_report(warehouse.folder)
        return dg.MaterializeResult(
            metadata={"path": dg.MetadataValue.path(path), "bytes": dg.MetadataValue.int(path.stat().st_size)}
        )

    return write
