"""Where it is bad: services or teams, those with the worst figures first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dora_pipeline.report.content import Figures, Point

# Fewer events say nothing: such rows come after the others.
_LEAST = 6
_SPARK_WIDTH, _SPARK_HEIGHT = 120, 28


@dataclass(frozen=True)
class Column:
    """A column that rows can be sorted by: its heading, the figure, and of how many events it is made."""

    title: str
    value: Callable[[Figures], float | None]
    events: Callable[[Figures], int | None]


COLUMNS: Mapping[str, Column] = {
    "deployments": Column("Deployments", lambda row: row.deployments, lambda row: _LEAST),
    "lead_time": Column("Change lead time", lambda row: row.lead_time_p50_seconds, lambda row: row.lead_time_commits),
    "failure_rate": Column("Change failure rate", lambda row: row.change_failure_rate, lambda row: row.deployments),
    "restore": Column("Time to restore", lambda row: row.time_to_restore_p50_seconds, lambda row: row.restores),
    "failed_changes": Column("Failed change rate", lambda row: row.failed_change_rate, lambda row: row.deployments),
    "recovery": Column("Recovery time", lambda row: row.recovery_p50_seconds, lambda row: row.recoveries),
    "rework": Column("Rework rate", lambda row: row.rework_rate, lambda row: row.deployments),
    "open": Column("Open failures", lambda row: row.open_failures, lambda row: _LEAST),
}


@dataclass(frozen=True)
class Ranked:
    """A service or a team, None for those that name none; `points` are of the figure that the rows are sorted by."""

    name: str | None
    figures: Figures
    team: str | None = None
    points: Sequence[Point] = ()


@dataclass(frozen=True)
class Ranking:
    """The first rows of `total`, by a column of COLUMNS, largest first; `by` is `service` or `team`."""

    by: str
    sort: str
    rows: Sequence[Ranked]
    total: int


def worst_first(rows: Sequence[tuple[str | None, Figures]], sort: str) -> list[tuple[str | None, Figures]]:
    """The rows with the largest figures first; those of fewer than 6 events follow, and then those without a figure."""
    column = COLUMNS[sort]

    def place(row: tuple[str | None, Figures]) -> tuple[int, float, float, str]:
        name, figures = row
        value = column.value(figures)
        if value is None:
            return 2, 0, -(figures.deployments or 0), name or ""
        return int((column.events(figures) or 0) < _LEAST), -value, -(figures.deployments or 0), name or ""

    return sorted(rows, key=place)


def sparkline(points: Sequence[Point], sort: str) -> tuple[int, int, list[str], list[tuple[float, float]]]:
    """Width and height of a small picture of the sorted figure, its lines, and where its dots stand.

    A line ends where a period has no figure; a value beside none is a dot.
    """
    values = [COLUMNS[sort].value(point.figures) for point in points]
    most = max((value for value in values if value is not None), default=0) or 1
    step = _SPARK_WIDTH / max(len(values), 1)
    lines: list[list[tuple[float, float]]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            lines.append([])
        else:
            y = _SPARK_HEIGHT - 3 - max(value, 0) / most * (_SPARK_HEIGHT - 6)
            lines[-1].append((round(step * (number + 0.5), 1), round(y, 1)))
    texts = [" ".join(f"{x},{y}" for x, y in line) for line in lines if len(line) > 1]
    return _SPARK_WIDTH, _SPARK_HEIGHT, texts, [line[0] for line in lines if len(line) == 1]
