"""How lead times are distributed: numbers of commits by steps of time, and a picture of them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from dora_pipeline.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Label, Mark, count_levels
from dora_pipeline.report.words import counted
from dora_pipeline.timeline import Window

_HOUR, _DAY = 3600, 86400
# The lower end of each step in seconds, and what stands under its bar; the first one has all below 0.
_STEPS: Sequence[tuple[int, str]] = (
    (0, "0"),
    (_HOUR // 4, "15 min"),
    (_HOUR, "1 h"),
    (4 * _HOUR, "4 h"),
    (12 * _HOUR, "12 h"),
    (_DAY, "1 d"),
    (2 * _DAY, "2 d"),
    (4 * _DAY, "4 d"),
    (7 * _DAY, "7 d"),
    (14 * _DAY, "14 d"),
    (30 * _DAY, "30 d"),
    (90 * _DAY, "90 d"),
)
LOWER_ENDS = [seconds for seconds, _ in _STEPS]


def distribution(numbers: Mapping[int, int], period: Window) -> Chart:
    """A bar for each step; `numbers` has how many commits of these days begin at each lower end, -1 those below 0."""
    texts = [f"{text} to {end}" for (_, text), (_, end) in pairwise(_STEPS)]
    bars = [*zip(LOWER_ENDS, [text for _, text in _STEPS], [*texts, f"{_STEPS[-1][1]} and more"], strict=True)]
    if numbers.get(-1):
        bars.insert(0, (-1, "below", "below 0"))
    values = [numbers.get(lower, 0) for lower, _, _ in bars]
    total, levels = sum(values), count_levels(max(values))
    step, ground = (WIDTH - LEFT - RIGHT) / len(bars), HEIGHT - BOTTOM
    highest = levels[-1][0]
    marks, labels = [], []
    for number, ((_, label, title), value) in enumerate(zip(bars, values, strict=True)):
        size = round(value / highest * (ground - TOP), 1)
        x = LEFT + step * number
        said = f"{title}: {counted(value, 'commit')}, {value / total:.0%}" if total else ""
        marks.append(Mark(round(x + 1, 1), round(ground - size, 1), round(step - 2, 1), size, True, said))
        labels.append(Label(round(x, 1), HEIGHT - 7, label))
    most = max(zip(values, (title for *_, title in bars), strict=True))
    summary = f"{counted(total, 'commit')}, most often {most[1]}." if total else "No commit with a lead time."
    return Chart(
        f"Change lead times of commits, these {counted(len(period), 'day')}",
        summary,
        total > 0,
        marks,
        [],
        [],
        [],
        [Label(LEFT - 6, round(ground - level / highest * (ground - TOP), 1), text) for level, text in levels],
        labels,
        ground,
    )
