"""The environments of the report: which come first, their figures, and their trends."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from dora_pipeline.pipeline.report_queries import Queries
from dora_pipeline.report.content import NOTHING, Environment, Figures, Point
from dora_pipeline.timeline import Window

_PRODUCTION = ("production", "prod")


def environments(
    queries: Queries,
    rows_of_figures: Sequence[tuple[Any, ...]],
    before: Window,
    period: Window,
    since: date,
) -> list[Environment]:
    """Every environment that has an event since the day: production first, then by number of deployments.

    `rows_of_figures` are those of the query of figures by env for the period.
    """
    rows = queries.rows("environments", since_day=since, to_day=period.last)
    now = _by_env(rows_of_figures)
    earlier = _by_env(
        queries.rows(
            "figures",
            "Cards, the period before",
            dimension="env",
            since_day=before.first,
            from_day=before.first,
            to_day=before.last,
        )
    )
    year = _year_before(period.last)
    trends = {
        grain: _points(
            queries.rows("trends", f"Trends by {grain}", grain=grain, from_day=first, to_day=period.last),
            grain,
        )
        for grain, first in (("month", year), ("week", year - timedelta(days=year.weekday())))
    }
    return [
        Environment(
            env,
            first,
            now.get(env, NOTHING),
            earlier.get(env, NOTHING) if first is not None and first <= before.first else None,
            *(
                [from_first_deployment(first, point) for point in trends[grain].get(env, [])]
                for grain in ("month", "week")
            ),
        )
        for env, first, _ in sorted(rows, key=production_first)
    ]


def _by_env(rows: Sequence[tuple[Any, ...]]) -> dict[str | None, Figures]:
    return {env: Figures(*figures) for _, _, env, _, *figures in rows}


def _points(rows: Sequence[tuple[Any, ...]], grain: str) -> dict[str | None, list[Point]]:
    points: dict[str | None, list[Point]] = {}
    for env, *row in rows:
        # Whether a period is provisional depends on the clock, and what a file says does not.
        points.setdefault(env, []).append(replace(point_of(row, grain), is_provisional=False))
    return points


def point_of(row: Sequence[Any], grain: str) -> Point:
    """A point of a trend by its row: first day, whether it is whole, whether it is provisional, figures."""
    first, is_whole, is_provisional, *figures = row
    return Point(Window(first, _last_day(first, grain)), is_whole, Figures(*figures), is_provisional)


def _year_before(day: date) -> date:
    """The first day of the twelve months that end with the month of the day."""
    month = day.year * 12 + day.month - 1 - 11
    return date(month // 12, month % 12 + 1, 1)


def _last_day(first: date, grain: str) -> date:
    days = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}[grain]
    if grain in ("day", "week"):
        return first + timedelta(days=days - 1)
    # A day of the next period, which begins with its month.
    return (first + timedelta(days=days)).replace(day=1) - timedelta(days=1)


def from_first_deployment(first: date | None, point: Point) -> Point:
    """The point as a part where the first deployment of the environment is in it; before it there were none."""
    if first is None or not point.window.first < first <= point.window.last:
        return point
    return replace(point, is_whole=False)


def production_first(row: tuple[Any, ...]) -> int:
    """The place of a row that begins with an environment: those of production come first, the others are alike."""
    name = (row[0] or "").lower()
    return _PRODUCTION.index(name) if name in _PRODUCTION else len(_PRODUCTION)
