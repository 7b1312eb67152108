"""The report as an asset, at the right end of the lineage."""

import dagster as dg

from dora_pipeline.assets.failures import errors_told
from dora_pipeline.assets.metadata import asset_key
from dora_pipeline.config import default_home
from dora_pipeline.pipeline.reports import write_report
from dora_pipeline.tables import Daily


@dg.asset(
    key=["report", "index"], deps=[asset_key(Daily)], group_name="report", kinds={"html"}, owners=["team:platform"]
)
def report_page(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows only the bare class
    """The report page, report/index.html of the home."""
    with errors_told(context):
        path = write_report(default_home())
    return dg.MaterializeResult(
        metadata={"path": dg.MetadataValue.path(path), "bytes": dg.MetadataValue.int(path.stat().st_size)}
    )
