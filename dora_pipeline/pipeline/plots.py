"""Small plots of a figure by day, as SVG text.

They are kept short, since Dagster's UI shows short Markdown at once and longer one after a click.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from dora_pipeline.report.words import duration_unit

_DAY, _HEIGHT = 4, 100
_INK = "#46e"


@dataclass(frozen=True)
class Plot:
    """What to draw: a value for each day in order, None for a day without data.

    `count`s are bars. `seconds` and `ratio`s are dots, so that no data cannot be taken for 0.
    """

    title: str
    measure: Literal["count", "seconds", "ratio"]
    days: Sequence[date]
    values: Sequence[float | None]


def svg(plot: Plot) -> str:
    """The plot as an SVG document; its axes tell the first and the last day, 0, and the least and largest value."""
    size, unit = _unit(plot)
    values = [None if value is None else value / size for value in plot.values]
    known = [value for value in values if value is not None]
    least, most = min(0.0, *known, 0.0), max(0.1 if plot.measure == "ratio" else 1.0, *known, 0.0)
    scale = _HEIGHT / (most - least)
    zero, width = round(least * scale), _DAY * len(values)
    heights = [None if value is None else round(value * scale) for value in values]
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='-64 -{_HEIGHT + 10} {width + 68} {_HEIGHT + 28}' "
        f"width='{width}' font-family='sans-serif' font-size='12' style='background:#fff'>"
        f"<text x='-62' y='-{_HEIGHT - 5}'>{most:.3g}{unit}</text>"
        f"<text x='-62' y='{zero + 4}'>0</text>"
        + (f"<text x='-62' y='4'>{least:.3g}{unit}</text>" if least < 0 else "")
        + f"<text y='14'>{plot.days[0]}</text><text x='{width - 66}' y='14'>{plot.days[-1]}</text>"
        f"<path d='M0-{_HEIGHT}V0M0 {zero}H{width}' stroke='#999'/>"
        + (_bars(heights) if plot.measure == "count" else _dots(heights, zero))
        + "</svg>"
    )


def _unit(plot: Plot) -> tuple[float, str]:
    """How many seconds a unit of the axis has, and its name."""
    if plot.measure != "seconds":
        return 1.0, ""
    return duration_unit(max((abs(value) for value in plot.values if value is not None), default=0.0))


def _bars(heights: Sequence[int | None]) -> str:
    steps, former = [], 0
    for height in heights:
        now = height or 0
        steps.append((f"v{former - now}" if now != former else "") + f"h{_DAY}")
        former = now
    return f"<path d='M0 0{''.join(steps)}V0' fill='{_INK}'/>"


def _dots(heights: Sequence[int | None], zero: int) -> str:
    marks, former = [], (-_DAY // 2, 0)
    for place, height in enumerate(heights):
        if height is not None:
            x, y = place * _DAY, zero - height
            marks.append(f"m{x - former[0]},{y - former[1]}h0")
            former = (x, y)
    return f"<path d='{''.join(marks)}' stroke='{_INK}' stroke-width='4' stroke-linecap='round'/>"
