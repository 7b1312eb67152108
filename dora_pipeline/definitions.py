"""Dagster's code location."""

import dagster as dg

from dora_pipeline.assets.jobs import load_days, read_sources, refresh, select_sources
from dora_pipeline.assets.lineage import SOURCES
from dora_pipeline.assets.lost_runs import lost_runs
from dora_pipeline.assets.notices import failed_runs
from dora_pipeline.assets.outside_loads import outside_loads_sensor
from dora_pipeline.assets.partitions import daily_partitions
from dora_pipeline.assets.report_asset import report_asset, report_automation
from dora_pipeline.assets.resources import Warehouse
from dora_pipeline.assets.schedules import schedules
from dora_pipeline.assets.sensors import sensors
from dora_pipeline.assets.tables import table_assets, written_along
from dora_pipeline.config import Home, default_home
from dora_pipeline.errors import DoraError
from dora_pipeline.settings import read_settings


def definitions(home: Home) -> dg.Definitions:
    """The definitions of a home. Raises DagsterInvalidDefinitionError for a home whose files are wrong.

    Time zone, owners and first day are read here once: after a change of these settings, or a selection before the
    first day, the code location is to be reloaded.
    """
    try:
        owners = read_settings(home).owners
        partitions = daily_partitions(home)
    except (DoraError, OSError) as error:
        reason = str(error)
    else:
        return dg.Definitions(
            assets=[*SOURCES, *table_assets(partitions, owners), written_along(owners), report_asset(owners)],
            jobs=[read_sources, load_days, refresh, select_sources],
            schedules=schedules(partitions),
            sensors=[*sensors(partitions), outside_loads_sensor(partitions), report_automation, failed_runs, lost_runs],
            resources={"warehouse": Warehouse(home=str(home.path))},
            # One process a run: it is faster, and the warehouse has one writer.
            executor=dg.in_process_executor,
        )
    raise dg.DagsterInvalidDefinitionError(f"{reason}; then reload the code location")


defs = definitions(default_home())
