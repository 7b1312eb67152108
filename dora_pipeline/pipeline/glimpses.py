"""What a table looks like at a glance: some rows, and a plot of the last days."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from dora_pipeline.pipeline.plots import Plot
from dora_pipeline.tables import (
    ApmVersionActivity,
    Daily,
    DeploymentCommits,
    Deployments,
    FailedChanges,
    FailureLinks,
    Failures,
    RejectedEvents,
    Table,
)
from dora_pipeline.warehouse.samples import newest_rows, values_by_day
from dora_pipeline.warehouse.writer import Writer

_ROWS = 10
_PLOTTED_DAYS = 90
_LONGEST_TEXT = 80

Shown = str | int | float | bool | None

_PLOTS: Mapping[type[Table], tuple[str, Literal["count", "seconds", "ratio"]]] = {
    ApmVersionActivity: ("Sightings of versions per day", "count"),
    Deployments: ("Deployments per day", "count"),
    DeploymentCommits: ("Median lead time of commits per day", "seconds"),
    Failures: ("Failures per day", "count"),
    FailureLinks: ("Linked failures per day", "count"),
    FailedChanges: ("Failed changes per day", "count"),
    RejectedEvents: ("Rejected events per day", "count"),
    Daily: ("Failures / deployments per day, over all rows", "ratio"),
}


@dataclass(frozen=True)
class Glimpse:
    """The newest rows of a table, without the columns that are NULL in all of them; a plot where the table has days."""

    rows: list[dict[str, Shown]]
    plot: Plot | None


def glimpse(writer: Writer, table: type[Table], until: date | None) -> Glimpse:
    """What a table looks like, up to the day `until`; None for a table without days."""
    newest = newest_rows(writer, table, until, _ROWS)
    filled = [name for name in newest.columns if newest[name].null_count() < newest.height]
    # People know events by their services and times, so ids stand last.
    names = sorted(filled, key=lambda name: name.endswith(("_id", "_sha")))
    rows = shown_rows(newest.select(names).to_dicts())
    return Glimpse(rows, _plot(writer, table, until) if until and table in _PLOTS else None)


def shown_rows(rows: Iterable[Mapping[str, object]]) -> list[dict[str, Shown]]:
    """The rows with values that any table on a page can hold: times and lists as text, long texts cut."""
    return [{name: _shown(value) for name, value in row.items()} for row in rows]


def _plot(writer: Writer, table: type[Table], until: date) -> Plot:
    title, measure = _PLOTS[table]
    days = [until - timedelta(days=back) for back in reversed(range(_PLOTTED_DAYS))]
    values = values_by_day(writer, table, days)
    # Where nothing was counted there were none; where nothing was measured nobody knows.
    return Plot(title, measure, days, [values.get(day, 0.0 if measure == "count" else None) for day in days])


def _shown(value: object) -> Shown:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}Z"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
