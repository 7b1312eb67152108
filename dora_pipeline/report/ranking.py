"""Where it is bad: services or teams, those with the worst figures first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dora_pipeline.report.content import Figures

_SPARK_WIDTH, _SPARK_HEIGHT = 120, 28
# The headings of the figures that rows can be sorted by, in their order in the table.
COLUMNS: Mapping[str, str] = {
    "deployments": "Deployments",
    "lead_time": "Change lead time",
    "failure_rate": "Change failure rate",
    "restore": "Time to restore",
    "failed_changes": "Failed change rate",
    "recovery": "Recovery time",
    "rework": "Rework rate",
    "open": "Open failures",
}


@dataclass(frozen=True)
class Ranked:
    """A service or a team in an environment, None for those that name none.

    `course` is the figure that it is sorted by, by period.
    """

    name: str | None
    env: str | None
    figures: Figures
    team: str | None = None
    course: Sequence[float | None] = ()


@dataclass(frozen=True)
class Ranking:
    """Rows of a ranking of `total` by a column of COLUMNS, largest first; `by` is `service` or `team`.

    Of several environments those of the first one come first. `grain` is that of the rows' courses. `first` is the rank
    of the first row; a page before or after it has `most` rows.
    """

    by: str
    sort: str
    grain: str
    rows: Sequence[Ranked]
    total: int
    first: int = 1
    most: int = 50

    @property
    def last(self) -> int:
        """The rank of the last row."""
        return self.first + len(self.rows) - 1

    @property
    def pages(self) -> Sequence[tuple[str, int]]:
        """Other pages of rows: what they are called, and their first rank; none where all rows are shown."""
        before, after = max(1, self.first - self.most), self.first + self.most
        end = (self.total - 1) // self.most * self.most + 1
        pages = [
            ("First", 1, before > 1),
            ("Before", before, self.first > 1),
            ("Next", after, after <= self.total),
            ("Last", end, end > after),
        ]
        return [(name, rank) for name, rank, is_there in pages if is_there]


def sparkline(values: Sequence[float | None]) -> tuple[int, int, list[str], list[tuple[float, float]]]:
    """Width and height of a small picture of a figure by period, its lines, and where its dots stand.

    A line ends where a period has no figure; a value beside none is a dot.
    """
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
