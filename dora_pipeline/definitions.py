"""Dagster's code location."""

import dagster as dg

from dora_pipeline.assets.jobs import select_sources
from dora_pipeline.assets.partitions import daily_partitions
from dora_pipeline.assets.resources import warehouse
from dora_pipeline.assets.tables import SOURCES, table_assets
from dora_pipeline.config import default_home

defs = dg.Definitions(
    assets=[*SOURCES, *table_assets(daily_partitions(default_home()))],
    jobs=[select_sources],
    resources={"warehouse": warehouse},
    # One process a run: it is faster, and the warehouse has one writer.
    executor=dg.in_process_executor,
)
