"""Dagster as a test drives it: runs in this process on an instance of the test, ticks of schedules and sensors."""

import atexit
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import dagster as dg
from dagster import DagsterInstance

from dora_pipeline.assets.event_storage import Storage
from dora_pipeline.definitions import definitions
from dora_pipeline_tests.homes import TestHome

DAILY = (
    "core/apm_version_activity",
    "core/deployments",
    "core/deployment_commits",
    "core/failures",
    "core/failure_links",
    "core/failed_changes",
    "core/rejected_events",
    "metrics/daily",
)


@cache
def _empty_instance() -> Path:
    folder = Path(mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with DagsterInstance.local_temp(str(folder)):
        return folder


@contextmanager
def instance_with_files(folder: Path) -> Iterator[DagsterInstance]:
    """An instance of Dagster with its SQLite files in a new folder: copied, since Alembic makes them slowly."""
    shutil.copytree(_empty_instance(), folder)
    with existing_instance(folder) as made:
        yield made


@contextmanager
def existing_instance(folder: Path) -> Iterator[DagsterInstance]:
    """The instance of Dagster whose files are in the folder, with the storage that `dora dev` gives it."""
    storage = {"module": Storage.__module__, "class": Storage.__name__, "config": {"base_dir": str(folder)}}
    settings = {"telemetry": {"enabled": False}, "storage": {"custom": storage}}
    with DagsterInstance.local_temp(str(folder), overrides=settings) as made:
        yield made


def job_run(
    home: TestHome, instance: DagsterInstance, job: str, tags: Mapping[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    """Run a job as a run worker would, also where it fails."""
    found = definitions(home.home).resolve_job_def(job)
    return found.execute_in_process(instance=instance, tags=dict(tags or {}), raise_on_error=False)


def days_run(
    home: TestHome, instance: DagsterInstance, first: str, last: str | None = None, job: str = "load_days"
) -> dg.ExecuteInProcessResult:
    """Load a range of days in one run."""
    return job_run(home, instance, job, range_tags(first, last or first))


def range_tags(first: str, last: str) -> dict[str, str]:
    """The tags of a run of these days, as Dagster writes them."""
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def sensor_tick(home: TestHome, instance: DagsterInstance, name: str, cursor: str | None = None) -> Any:
    """What a sensor of freshly loaded definitions answers, as after a restart."""
    found = definitions(home.home)
    context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=found)
    return found.resolve_sensor_def(name).evaluate_tick(context)


def schedule_tick(home: TestHome, instance: DagsterInstance, name: str, moment: datetime) -> Any:
    """What a schedule of freshly loaded definitions answers at a moment."""
    found = definitions(home.home)
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=moment)
    return found.resolve_schedule_def(name).evaluate_tick(context)


def statuses(home: TestHome, instance: DagsterInstance, asset: str, days: list[str]) -> dict[str, str | None]:
    """The status of each day of an asset, as the page shows it; None: neither loaded nor failed."""
    found = definitions(home.home).resolve_asset_graph().get(dg.AssetKey(asset.split("/"))).partitions_def
    told = instance.get_status_by_partition(dg.AssetKey(asset.split("/")), days, found)
    return {day: None if told is None or told.get(day) is None else told[day].value for day in days}
