"""Geometry of the trends: where bars, lines and labels stand in an SVG picture, and the same in words.

A period without a value is a gap: no bar, no dot, no line through it. A bar of 0 is a mark on the ground line.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from dora_pipeline.report.content import Figures, Point
from dora_pipeline.report.words import count_text, counted, day_text, duration_text, duration_unit, share_text

WIDTH, HEIGHT = 480, 190
LEFT, RIGHT, TOP, BOTTOM = 62, 8, 10, 28
_STEPS = (1, 2, 2.5, 5, 10)
_MOST_LABELS = 6
# Of a month, with some room.
_LABEL_WIDTH = 44


@dataclass(frozen=True)
class Mark:
    """A bar or dot of one period; `title` says its value."""

    x: float
    y: float
    width: float
    height: float
    is_whole: bool
    title: str


@dataclass(frozen=True)
class Label:
    """A text beside or under the picture."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A picture of WIDTH by HEIGHT: bars or dots with lines, labels of both axes, and what it shows in words.

    `bands` are the outlines of intervals; one that goes beyond the picture ends at its edge.
    """

    title: str
    summary: str
    has_values: bool
    bars: Sequence[Mark]
    dots: Sequence[Mark]
    lines: Sequence[str]
    bands: Sequence[str]
    levels: Sequence[Label]
    periods: Sequence[Label]
    ground: float


@dataclass(frozen=True)
class _Measure:
    title: str
    value: Callable[[Figures], float | None]
    text: Callable[[float], str]
    made_of: Callable[[Figures], str]
    # Size and name of the unit in which the axis counts, by the largest value.
    unit: Callable[[float], tuple[float, str]]
    is_count: bool = False
    interval: Callable[[Figures], tuple[float | None, float | None]] = lambda figures: (None, None)


_MEASURES = (
    _Measure(
        "Deployments",
        lambda figures: figures.deployments,
        lambda value: count_text(round(value)),
        lambda figures: "",
        lambda most: (1, ""),
        is_count=True,
    ),
    _Measure(
        "Change lead time, median over commits",
        lambda figures: figures.lead_time_p50_seconds,
        duration_text,
        lambda figures: counted(figures.lead_time_commits, "commit"),
        duration_unit,
    ),
    _Measure(
        "Change failure rate",
        lambda figures: figures.change_failure_rate,
        share_text,
        lambda figures: (
            f"{counted(figures.failures or 0, 'failure')}, {counted(figures.deployments or 0, 'deployment')}"
        ),
        lambda most: (0.01, " %"),
    ),
    _Measure(
        "Time to restore, median",
        lambda figures: figures.time_to_restore_p50_seconds,
        duration_text,
        lambda figures: counted(figures.restores, "restore"),
        duration_unit,
        interval=lambda figures: (figures.time_to_restore_p50_seconds_low, figures.time_to_restore_p50_seconds_high),
    ),
    _Measure(
        "Change lead time, median over deployments",
        lambda figures: figures.deployment_lead_time_p50_seconds,
        duration_text,
        lambda figures: counted(figures.lead_time_deployments, "deployment"),
        duration_unit,
        interval=lambda figures: (
            figures.deployment_lead_time_p50_seconds_low,
            figures.deployment_lead_time_p50_seconds_high,
        ),
    ),
    _Measure(
        "Failed change rate",
        lambda figures: figures.failed_change_rate,
        share_text,
        lambda figures: f"{figures.failed_changes or 0:,} of {counted(figures.deployments or 0, 'deployment')}",
        lambda most: (0.01, " %"),
        interval=lambda figures: (figures.failed_change_rate_low, figures.failed_change_rate_high),
    ),
    _Measure(
        "Failed deployment recovery time, median",
        lambda figures: figures.recovery_p50_seconds,
        duration_text,
        lambda figures: counted(figures.recoveries, "mended deployment"),
        duration_unit,
        interval=lambda figures: (figures.recovery_p50_seconds_low, figures.recovery_p50_seconds_high),
    ),
    _Measure(
        "Rework rate",
        lambda figures: figures.rework_rate,
        share_text,
        lambda figures: f"{figures.rework_deployments or 0:,} of {counted(figures.deployments or 0, 'deployment')}",
        lambda most: (0.01, " %"),
        interval=lambda figures: (figures.rework_rate_low, figures.rework_rate_high),
    ),
)
# How far an axis follows an interval: up to so many times the largest value.
_MOST_OF_INTERVAL = 4


def charts(points: Sequence[Point], grain: str) -> list[Chart]:
    """The four metrics, the lead time of deployments, and what DORA adds since 2024, over the points, oldest first."""
    return [_chart(measure, points, grain) for measure in _MEASURES]


def period_text(point: Point, grain: str) -> str:
    """A month as 2024-05, a week by its Monday; one that is not whole, or provisional, says so."""
    first = point.window.first
    texts = {
        "day": day_text(first),
        "week": f"week of {day_text(first)}",
        "month": first.strftime("%Y-%m"),
        "quarter": f"{first.year} Q{(first.month + 2) // 3}",
        "year": str(first.year),
    }
    return texts[grain] + ("" if point.is_whole else ", in part") + (", provisional" if point.is_provisional else "")


def _chart(measure: _Measure, points: Sequence[Point], grain: str) -> Chart:
    values = [measure.value(point.figures) for point in points]
    known = [value for value in values if value is not None]
    intervals = [measure.interval(point.figures) for point in points]
    most = max(known, default=0)
    top = min(max([most, *(high for _, high in intervals if high is not None)]), most * _MOST_OF_INTERVAL or 1)
    levels = _levels(min(known, default=0), max(top, most), measure)
    (lowest, _), (highest, _) = levels[0], levels[-1]
    step = (WIDTH - LEFT - RIGHT) / max(len(points), 1)
    ground = HEIGHT - BOTTOM

    def height(value: float) -> float:
        return round((min(max(value, lowest), highest) - lowest) / (highest - lowest) * (ground - TOP), 1)

    marks: list[Mark | None] = []
    ends: list[tuple[float, float, float] | None] = []
    for number, (point, value, (low, high)) in enumerate(zip(points, values, intervals, strict=True)):
        x = round(LEFT + step * (number + 0.5), 1)
        sure = None if value is None or low is None or high is None else (low, high)
        ends.append(sure and (x, round(ground - height(sure[0]), 1), round(ground - height(sure[1]), 1)))
        if value is None:
            marks.append(None)
            continue
        made_of = measure.made_of(point.figures)
        title = f"{period_text(point, grain)}: {measure.text(value)}" + (f" ({made_of})" if made_of else "")
        if sure is not None:
            title += f", 95 % interval {measure.text(sure[0])} to {measure.text(sure[1])}"
        is_whole = point.is_whole and not point.is_provisional
        if measure.is_count:
            size = max(height(value), 1.0)
            left, width = LEFT + step * (number + 0.12), step * 0.76
            marks.append(Mark(round(left, 1), round(ground - size, 1), round(width, 1), size, is_whole, title))
        else:
            marks.append(Mark(x, round(ground - height(value), 1), 0, 0, is_whole, title))
    drawn = [mark for mark in marks if mark is not None]
    return Chart(
        measure.title,
        _summary(measure, points, values, grain),
        bool(known),
        drawn if measure.is_count else [],
        [] if measure.is_count else drawn,
        [] if measure.is_count else _lines(marks),
        _bands(ends),
        [Label(LEFT - 6, round(ground - height(level), 1), text) for level, text in levels],
        _period_labels(points, step, grain),
        round(ground - height(0), 1),
    )


def count_levels(most: int) -> list[tuple[float, str]]:
    """The levels of an axis of numbers up to `most`, each with its text."""
    return _levels(0, most, _MEASURES[0])


def _levels(least: float, most: float, measure: _Measure) -> list[tuple[float, str]]:
    """Round values from 0, or below it where a value is, up to the largest; each with its text."""
    unit, name = measure.unit(max(abs(least), abs(most)))
    step = _round_step((max(most, 0) - min(least, 0)) / unit / 3 or 1)
    if measure.is_count:
        step = max(1, round(step))
    first = math.floor(least / unit / step) if least < 0 else 0
    last = max(math.ceil(most / unit / step), first + 1)
    return [(number * step * unit, f"{number * step:,g}{name}") for number in range(first, last + 1)]


def _round_step(size: float) -> float:
    power = 1.0
    while power * 10 <= size:
        power *= 10
    while power > size:
        power /= 10
    return next(power * step for step in _STEPS if power * step >= size * 0.999)


def _lines(marks: Sequence[Mark | None]) -> list[str]:
    runs = (list(run) for is_gap, run in groupby(marks, key=lambda mark: mark is None) if not is_gap)
    return [" ".join(f"{mark.x},{mark.y}" for mark in run if mark is not None) for run in runs if len(run) > 1]


def _bands(ends: Sequence[tuple[float, float, float] | None]) -> list[str]:
    """An outline for each run of intervals; one alone has some width."""
    outlines = []
    for is_gap, group in groupby(ends, key=lambda end: end is None):
        run = [end for end in group if end is not None]
        if is_gap:
            continue
        if len(run) == 1:
            ((x, low, high),) = run
            run = [(x - 3, low, high), (x + 3, low, high)]
        lower, upper = [f"{x},{low}" for x, low, _ in run], [f"{x},{high}" for x, _, high in reversed(run)]
        outlines.append(" ".join(lower + upper))
    return outlines


def _period_labels(points: Sequence[Point], step: float, grain: str) -> list[Label]:
    every = -(-len(points) // _MOST_LABELS)
    form = {"day": "%m-%d", "week": "%m-%d", "year": "%Y"}.get(grain, "%Y-%m")
    return [
        Label(
            round(min(LEFT + step * (number + 0.5), WIDTH - _LABEL_WIDTH / 2), 1),
            HEIGHT - 7,
            points[number].window.first.strftime(form),
        )
        for number in range(0, len(points), every or 1)
    ]


def _summary(measure: _Measure, points: Sequence[Point], values: Sequence[float | None], grain: str) -> str:
    known = [(value, point) for value, point in zip(values, points, strict=True) if value is not None]
    if not known:
        return f"No data in any {grain}."
    low = min(known, key=lambda item: item[0])
    high = max(known, key=lambda item: item[0])

    def named(word: str, item: tuple[float, Point]) -> str:
        return f"{word} {measure.text(item[0])} ({period_text(item[1], grain)})"

    if len(known) == 1:
        said = named("Only value", known[0]) + "."
    else:
        said = f"{named('Lowest', low)}, {named('highest', high)}, {named('newest', known[-1])}."
    gaps = len(points) - len(known)
    return said + (f" No data in {gaps} of {counted(len(points), grain)}." if gaps else "")
