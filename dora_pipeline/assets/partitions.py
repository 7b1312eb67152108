"""The daily partitions: calendar days of the configured time zone, from the first selection of any source to today."""

from datetime import UTC, date, datetime

import dagster as dg

from dora_pipeline.config import Home, Settings, read_settings
from dora_pipeline.selection import read_selection_log
from dora_pipeline.timeline import day_of

# Where nothing is selected yet, there are still partitions to look at.
_NOTHING_SELECTED = date(2020, 1, 1)

# Days a run: a failure in a long backfill costs at most one run of a year.
BACKFILL = dg.BackfillPolicy.multi_run(max_partitions_per_run=366)


def daily_partitions(home: Home) -> dg.DailyPartitionsDefinition:
    """The days of a home. They are read when the code location loads: reload it after an earlier selection."""
    settings = read_settings(home)
    return dg.DailyPartitionsDefinition(
        start_date=_first_day(home, settings).isoformat(), timezone=settings.timezone, end_offset=1
    )


def _first_day(home: Home, settings: Settings) -> date:
    moments = [entry.selected_at for entry in read_selection_log(home).entries]
    today = day_of(datetime.now(UTC), settings.zone)
    return min(day_of(min(moments), settings.zone), today) if moments else _NOTHING_SELECTED
