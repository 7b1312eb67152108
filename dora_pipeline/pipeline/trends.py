"""The points of a trend, and which trends a file has."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any

from dora_pipeline.report.content import Figures, Point
from dora_pipeline.timeline import Window


def trends_of_year(newest: date) -> list[tuple[str, Window]]:
    """Grain and days of the trends of the twelve months that end with that of the day: by month, and by week."""
    month = newest.year * 12 + newest.month - 1 - 11
    first = date(month // 12, month % 12 + 1, 1)
    return [("month", Window(first, newest)), ("week", Window(first - timedelta(days=first.weekday()), newest))]


def points_by_env(rows: Iterable[Sequence[Any]], grain: str, *, has_provisional: bool) -> dict[str | None, list[Point]]:
    """The points of each environment, by rows of env, first day, whether it is whole, whether provisional, figures."""
    points: dict[str | None, list[Point]] = {}
    for env, first, is_whole, is_provisional, *figures in rows:
        window, is_open = Window(first, _last_day(first, grain)), has_provisional and is_provisional
        points.setdefault(env, []).append(Point(window, is_whole, Figures(*figures), is_open))
    return points


def _last_day(first: date, grain: str) -> date:
    days = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}[grain]
    if grain in ("day", "week"):
        return first + timedelta(days=days - 1)
    # A day of the next period, which begins with its month.
    return (first + timedelta(days=days)).replace(day=1) - timedelta(days=1)
