"""What is known of each source: selection, newest event, rows, last reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dora_pipeline.config import Home
from dora_pipeline.identifiers import EventType
from dora_pipeline.selection import read_selection_log
from dora_pipeline.sources.registry import SOURCES
from dora_pipeline.warehouse.reader import open_reader
from dora_pipeline.warehouse.sources import SourceFigures, left_out_files, source_figures


@dataclass(frozen=True)
class SourceState:
    """A source as `dora sources` shows it. Times are UTC; figures are those of the published warehouse.

    `left_out` are its files that are not read, each with the reason; `empty_folders` those that hold none, likewise.
    """

    source: str
    event_type: EventType
    is_selected: bool
    first_selected_at: datetime | None
    newest_event_at: datetime | None
    rows: int
    rejected: int
    read_at: datetime | None
    error: str | None
    left_out: Sequence[tuple[str, str]] = ()
    empty_folders: Sequence[tuple[str, str]] = ()


def source_states(home: Home) -> list[SourceState]:
    """Every source, whether it was ever selected or not."""
    log = read_selection_log(home)
    figures: dict[str, SourceFigures] = {}
    left_out: dict[str, list[tuple[str, str]]] = {}
    if home.warehouse.exists():
        with open_reader(home) as connection:
            figures = source_figures(connection)
            left_out = {source: left_out_files(connection, source) for source in figures}
    states = []
    for name, source in SOURCES.items():
        known = figures.get(name, SourceFigures())
        noted = left_out.get(name, [])
        states.append(
            SourceState(
                name,
                source.event_type,
                name in log.selected(source.event_type),
                log.first_selected_at(name),
                known.newest_event_at,
                known.rows,
                known.rejected,
                known.read_at,
                known.error,
                [(path, reason) for path, reason in noted if not path.endswith("/")],
                [(path, reason) for path, reason in noted if path.endswith("/")],
            )
        )
    return states
