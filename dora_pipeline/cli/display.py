"""How the command line shows things: tables, moments and the progress of a run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from dora_pipeline.identifiers import without_credentials

console = Console(highlight=False)
messages = Console(stderr=True, highlight=False)
_NO_TERMINAL = 10_000


class Bars:
    """The steps of a run as progress bars on stderr."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def step(self, name: str, done: int, total: int) -> None:
        """Show that `done` of `total` parts of a step are finished."""
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total)
        self._bars.update(self._tasks[name], completed=done, total=total)

    def note(self, message: str) -> None:
        """Show a message above the bars."""
        self._bars.console.print(without_credentials(message), markup=False, soft_wrap=True)


@contextmanager
def progress_bars() -> Iterator[Bars]:
    """Progress bars for as long as the block lasts; only messages where stderr is not a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=messages, disable=not messages.is_terminal) as bars:
        yield Bars(bars)


def show_table(headings: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print a table; columns after the first whose cells look like numbers are right-aligned."""
    _show(Table(*headings, title=title, title_justify="left"), rows)


def show_plain_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The same without lines, for what has to be narrow."""
    _show(Table(*headings, box=None, pad_edge=False, padding=(0, 2, 0, 0)), rows)


def _show(table: Table, rows: Sequence[Sequence[str]]) -> None:
    for position, column in enumerate(table.columns):
        if position and all(row[position][:1].isdigit() or row[position] in ("", "–") for row in rows):
            column.justify = "right"
    for row in rows:
        table.add_row(*row)
    # A file or a program behind a pipe has room for whole cells.
    shown = console if console.is_terminal else Console(file=console.file, width=_NO_TERMINAL, highlight=False)
    shown.print(table)


def cell(value: float | None, text: Callable[[float], str]) -> str:
    """A value of a table in words; a dash for None."""
    return "–" if value is None else text(value)


def utc_text(moment: datetime | None) -> str:
    """An instant in UTC to the second; a dash for None."""
    return "–" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%SZ")
