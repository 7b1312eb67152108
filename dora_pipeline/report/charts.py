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
    """A picture of WIDTH by HEIGHT: bars or dots with lines, labels of both axes, and what it shows in words."""

    title: str
    summary: str
    has_values: bool
    bars: Sequence[Mark]
    dots: Sequence[Mark]
    lines: Sequence[str]
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
    ),
)


def charts(points: Sequence[Point], grain: str) -> list[Chart]:
    """The four metrics over the points, oldest first; `grain` is `week` or `month`."""
    return [_chart(measure, points, grain) for measure in _MEASURES]


def period_text(point: Point, grain: str) -> str:
    """A month as 2024-05, a week by its Monday; one that is not whole says so."""
    text = point.window.first.strftime("%Y-%m") if grain == "month" else f"week of {day_text(point.window.first)}"
    return text if point.is_whole else f"{text}, in part"


def _chart(measure: _Measure, points: Sequence[Point], grain: str) -> Chart:
    values = [measure.value(point.figures) for point in points]
    known = [value for value in values if value is not None]
    levels = _levels(min(known, default=0), max(known, default=0), measure)
    (lowest, _), (highest, _) = levels[0], levels[-1]
    step = (WIDTH - LEFT - RIGHT) / max(len(points), 1)
    ground = HEIGHT - BOTTOM

    def height(value: float) -> float:
        return round((value - lowest) / (highest - lowest) * (ground - TOP), 1)

    marks: list[Mark | None] = []
    for number, (point, value) in enumerate(zip(points, values, strict=True)):
        if value is None:
            marks.append(None)
            continue
        made_of = measure.made_of(point.figures)
        title = f"{period_text(point, grain)}: {measure.text(value)}" + (f" ({made_of})" if made_of else "")
        if measure.is_count:
            size = max(height(value), 1.0)
            x, width = LEFT + step * (number + 0.12), step * 0.76
            marks.append(Mark(round(x, 1), round(ground - size, 1), round(width, 1), size, point.is_whole, title))
        else:
            x = LEFT + step * (number + 0.5)
            marks.append(Mark(round(x, 1), round(ground - height(value), 1), 0, 0, point.is_whole, title))
    drawn = [mark for mark in marks if mark is not None]
    return Chart(
        measure.title,
        _summary(measure, points, values, grain),
        bool(known),
        drawn if measure.is_count else [],
        [] if measure.is_count else drawn,
        [] if measure.is_count else _lines(marks),
        [Label(LEFT - 6, round(ground - height(level), 1), text) for level, text in levels],
        _period_labels(points, step, grain),
        round(ground - height(0), 1),
    )


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


def _period_labels(points: Sequence[Point], step: float, grain: str) -> list[Label]:
    every = -(-len(points) // _MOST_LABELS)
    form = "%Y-%m" if grain == "month" else "%m-%d"
    return [
        Label(round(LEFT + step * (number + 0.5), 1), HEIGHT - 7, points[number].window.first.strftime(form))
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
