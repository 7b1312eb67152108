"""The daily partitions: calendar days of the configured time zone, from the first selection of any source to today."""

from collections.abc import Iterable
from datetime import UTC, date, datetime

import dagster as dg

from dora_pipeline.config import Home, Settings
from dora_pipeline.selection import read_selection_log
from dora_pipeline.settings import read_settings
from dora_pipeline.timeline import Window, day_of

# Where nothing is selected yet, there are still partitions to look at.
_NOTHING_SELECTED = date(2020, 1, 1)

# A run that fails fails as a whole, so it costs at most half a year; ten years are twenty runs.
DAYS_A_RUN = 183
BACKFILL = dg.BackfillPolicy.multi_run(max_partitions_per_run=DAYS_A_RUN)

_FIRST_DAY_TAG = "dagster/asset_partition_range_start"
_LAST_DAY_TAG = "dagster/asset_partition_range_end"
_DAY_TAG = "dagster/partition"


def daily_partitions(home: Home) -> dg.DailyPartitionsDefinition:
    """The days of a home. They are read when the code location loads: reload it after an earlier selection."""
    settings = read_settings(home)
    return dg.DailyPartitionsDefinition(
        start_date=_first_day(home, settings).isoformat(), timezone=settings.timezone, end_offset=1
    )


def days_until(partitions: dg.DailyPartitionsDefinition, today: date) -> Window:
    """The days from the first partition to today."""
    first = partitions.start.date()
    return Window(min(first, today), today)


def tags_of(window: Window) -> dict[str, str]:
    """The tags of a run that loads these days."""
    return {_FIRST_DAY_TAG: window.first.isoformat(), _LAST_DAY_TAG: window.last.isoformat()}


def days_of(runs: Iterable[dg.DagsterRun]) -> set[date]:
    """The days that the runs load, or have loaded."""
    days: set[date] = set()
    for run in runs:
        first = run.tags.get(_FIRST_DAY_TAG) or run.tags.get(_DAY_TAG)
        last = run.tags.get(_LAST_DAY_TAG) or first
        if first and last:
            days.update(Window(date.fromisoformat(first), date.fromisoformat(last)))
    return days


def _first_day(home: Home, settings: Settings) -> date:
    first = read_selection_log(home).first_day(settings.zone)
    return _NOTHING_SELECTED if first is None else min(first, day_of(datetime.now(UTC), settings.zone))
