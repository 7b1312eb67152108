"""Sensors: what changed outside is read, and the days that it changed are loaded.

A cursor holds what was last asked for, so that a restart asks for nothing twice. What is asked for and fails is not
asked for again until it changes, or the daily schedule takes it up.
"""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime

import dagster as dg

from dora_pipeline.assets.jobs import load_days, read_sources
from dora_pipeline.assets.partitions import DAYS_A_RUN, days_until, tags_of
from dora_pipeline.assets.readiness import OBSTACLES, ready_home, skipped
from dora_pipeline.assets.unfinished import days_in_work, waiting_reader
from dora_pipeline.config import Home, Settings
from dora_pipeline.pipeline.changes import (
    Change,
    days_to_load,
    ranges,
    rules_of,
    unread_events,
    unread_exports,
)
from dora_pipeline.timeline import Window, day_of

# Few enough days that they go before a long backfill that waits in the queue.
_SHORT = 31
_SOON, _LATER = "2", "0"

# Dagster takes an empty cursor for none, and keeps the one before.
_NOTHING = "{}"

_Look = Callable[[Home, Settings], Change | None]
_Result = dg.SensorResult | dg.SkipReason
_ON = dg.DefaultSensorStatus.RUNNING


def sensors(partitions: dg.DailyPartitionsDefinition) -> list[dg.SensorDefinition]:
    """All sensors that start runs, on by default."""
    return [
        _reading_sensor(
            "sent_events",
            10,
            "Reads the sources when events or webhooks were sent to the intake.",
            partitions,
            lambda home, settings: unread_events(home),
        ),
        _reading_sensor(
            "dropped_exports",
            20,
            "Reads the sources when exports were added, changed or removed, once they are written to the end.",
            partitions,
            lambda home, settings: unread_exports(home, settings, datetime.now(UTC)),
        ),
        _reading_sensor(
            "changed_home",
            20,
            "Reads the sources when dora.yaml, source_selections.csv or services/*.yaml changed.",
            partitions,
            lambda home, settings: rules_of(home),
        ),
        _loading_sensor(partitions),
    ]


def _reading_sensor(
    name: str, seconds: int, description: str, partitions: dg.DailyPartitionsDefinition, look: _Look
) -> dg.SensorDefinition:
    @dg.sensor(
        name=name,
        job=read_sources,
        minimum_interval_seconds=seconds,
        default_status=_ON,
        description=description,
    )
    def read_when_changed(context: dg.SensorEvaluationContext) -> _Result:
        try:
            change = look(*ready_home(partitions))
        except OBSTACLES as error:
            return skipped(error)
        if change is None:
            return dg.SensorResult(skip_reason="nothing new", cursor=_NOTHING)
        if change.state == context.cursor:
            return dg.SkipReason(f"{change.description}: nothing new since a run was asked to read them")
        if run := waiting_reader(context.instance):
            return dg.SkipReason(f"{change.description}: run {run.run_id[:8]} is about to read them")
        return dg.SensorResult(
            run_requests=[dg.RunRequest(tags={"dora/because": change.description, "dagster/priority": _SOON})],
            cursor=change.state,
        )

    return read_when_changed


def _loading_sensor(partitions: dg.DailyPartitionsDefinition) -> dg.SensorDefinition:
    @dg.sensor(
        job=load_days,
        minimum_interval_seconds=10,
        default_status=_ON,
        description="Loads the days that no longer match what was read, and no others.",
    )
    def changed_days(context: dg.SensorEvaluationContext) -> _Result:
        try:
            home, settings = ready_home(partitions)
            stale = days_to_load(home)
        except OBSTACLES as error:
            return skipped(error)
        return _loading(context, stale, days_until(partitions, day_of(datetime.now(UTC), settings.zone)))

    return changed_days


def _loading(context: dg.SensorEvaluationContext, stale: dict[date, str], days: Window) -> dg.SensorResult:
    asked: dict[str, str] = json.loads(context.cursor or _NOTHING)
    in_work = days_in_work(context.instance)
    wanted = [
        day for day, state in stale.items() if day in days and day not in in_work and asked.get(str(day)) != state
    ]
    # What is loaded leaves the cursor, so that the same change can come again.
    known = {str(day): asked[str(day)] for day in stale if str(day) in asked}
    cursor = json.dumps({**known, **{str(day): stale[day] for day in wanted}})
    if not wanted:
        return dg.SensorResult(skip_reason=_reason(stale, days), cursor=cursor)
    return dg.SensorResult(run_requests=[_request(window) for window in ranges(wanted, DAYS_A_RUN)], cursor=cursor)


def _request(window: Window) -> dg.RunRequest:
    priority = _SOON if len(window) <= _SHORT else _LATER
    return dg.RunRequest(tags={**tags_of(window), "dagster/priority": priority})


def _reason(stale: dict[date, str], days: Window) -> str:
    if not stale:
        return "every day matches what was read"
    early = sum(day < days.first for day in stale)
    if early:
        return (
            f"{early} changed days lie before {days.first}, the first partition; "
            "reload the code location (Deployment → Code locations → Reload)"
        )
    return f"{len(stale)} changed days: runs are at work on them, or have failed and are tried again every day"
