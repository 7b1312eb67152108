"""Schedules: every day what can still change, every hour today. Both read the sources first, as every run does."""

from collections.abc import Callable
from datetime import date
from zoneinfo import ZoneInfo

import dagster as dg

from dora_pipeline.assets.jobs import refresh
from dora_pipeline.assets.metadata import asset_key
from dora_pipeline.assets.partitions import DAYS_A_RUN, days_of, days_until, tags_of
from dora_pipeline.assets.readiness import OBSTACLES, ready_home, skipped
from dora_pipeline.assets.unfinished import days_in_work
from dora_pipeline.pipeline.changes import days_to_load, ranges
from dora_pipeline.tables import Daily
from dora_pipeline.timeline import Window, day_of

# Neither is at a time that clocks skip or repeat.
_EVERY_DAY = "10 4 * * *"
_EVERY_HOUR = "40 * * * *"

_Result = list[dg.RunRequest] | dg.SkipReason


def schedules(partitions: dg.DailyPartitionsDefinition) -> list[dg.ScheduleDefinition]:
    """Both schedules, on by default. For ticks that were missed, as by a laptop that slept, Dagster makes the last."""
    return [
        _schedule(
            "daily",
            _EVERY_DAY,
            "Loads today, the days within `reread`, those since the last daily run, and those that wait.",
            partitions,
            lambda instance, today: _days_that_can_change(instance, partitions, today),
        ),
        _schedule("hourly", _EVERY_HOUR, "Loads today.", partitions, lambda instance, today: {today}),
    ]


def _schedule(
    name: str,
    cron: str,
    description: str,
    partitions: dg.DailyPartitionsDefinition,
    days: Callable[[dg.DagsterInstance, date], set[date]],
) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=name,
        job=refresh,
        cron_schedule=cron,
        execution_timezone=partitions.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )
    def load(context: dg.ScheduleEvaluationContext) -> _Result:
        try:
            ready_home(partitions)
            today = day_of(context.scheduled_execution_time, ZoneInfo(partitions.timezone))
            wanted = days(context.instance, today) - days_in_work(context.instance)
        except OBSTACLES as error:
            return skipped(error)
        if not wanted:
            return dg.SkipReason("a run that has not ended loads these days")
        moment = context.scheduled_execution_time.isoformat()
        return [
            dg.RunRequest(run_key=f"{moment} {window}", tags=tags_of(window)) for window in ranges(wanted, DAYS_A_RUN)
        ]

    return load


def _days_that_can_change(
    instance: dg.DagsterInstance, partitions: dg.DailyPartitionsDefinition, today: date
) -> set[date]:
    home, settings = ready_home(partitions)
    days = days_until(partitions, today)
    since = min(today - settings.reread, _last_day_of_daily_runs(instance) or today)
    # Open failures and late data need no day of their own: when a run reads them, their days wait.
    return {*Window(max(since, days.first), today), *(day for day in days_to_load(home) if day in days)}


def _last_day_of_daily_runs(instance: dg.DagsterInstance) -> date | None:
    loaded = instance.get_materialized_partitions(asset_key(Daily))
    runs = instance.get_runs(dg.RunsFilter(job_name=refresh.name, tags={"dagster/schedule_name": "daily"}), limit=100)
    return max((day for day in days_of(runs) if day.isoformat() in loaded), default=None)
