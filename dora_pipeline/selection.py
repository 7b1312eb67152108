"""Which sources are selected, and since when: the log `source_selections.csv`.

The log is append-only: `event_type,selected_at,sources`, one line for each moment at which the sources of an event
type became a set, in order of priority and separated by `;`. What does not belong here: rules about single events.
"""

import csv
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from filelock import FileLock, Timeout

from dora_pipeline.config import Home
from dora_pipeline.errors import ConfigError
from dora_pipeline.files import whole_file
from dora_pipeline.identifiers import EventType, suggestion
from dora_pipeline.sources.registry import SOURCES, sources_of
from dora_pipeline.timeline import FUTURE_TOLERANCE, InstantError, day_of, instant
from dora_pipeline.yaml_files import mistakes_text

if TYPE_CHECKING:
    import polars as pl

_HEADER = ("event_type", "selected_at", "sources")
_EVENT_TYPES: Mapping[str, EventType] = {
    "deployment": "deployment",
    "deployments": "deployment",
    "failure": "failure",
    "failures": "failure",
}


@dataclass(frozen=True)
class Selection:
    """From `selected_at` (UTC) on, the sources of the event type are these, in order of priority."""

    event_type: EventType
    selected_at: datetime
    sources: tuple[str, ...]


@dataclass(frozen=True)
class SelectionLog:
    """Every selection, in the order of the log: within an event type each is later than the one before."""

    entries: tuple[Selection, ...] = ()

    def newest(self, event_type: EventType) -> Selection | None:
        """The entry that holds now."""
        return next((entry for entry in reversed(self.entries) if entry.event_type == event_type), None)

    def selected(self, event_type: EventType) -> tuple[str, ...]:
        """The sources selected now, in order of priority; none before the first entry."""
        newest = self.newest(event_type)
        return newest.sources if newest else ()

    def first_selected_at(self, source: str) -> datetime | None:
        """The earliest moment (UTC) at which the source was selected; selecting it again does not move it."""
        return min((entry.selected_at for entry in self.entries if source in entry.sources), default=None)

    def first_day(self, zone: ZoneInfo) -> date | None:
        """The day in which the earliest selection of any source lies; nothing before it can count."""
        return min((day_of(entry.selected_at, zone) for entry in self.entries), default=None)

    def spans(self) -> "pl.DataFrame":
        """The rows of `core.source_selections`, sorted: one for each unbroken time in which a source was selected.

        Entries that keep a source prolong its span; the priority is that of the newest entry of the span.
        """
        # Only a load needs them; selecting, and asking what is selected, should not wait for these.
        import polars as pl

        from dora_pipeline.tables import SourceSelections, empty_frame

        spans: list[dict[str, object]] = []
        for event_type in dict.fromkeys(_EVENT_TYPES.values()):
            open_spans: dict[str, dict[str, object]] = {}
            for entry in (entry for entry in self.entries if entry.event_type == event_type):
                for source in open_spans.keys() - set(entry.sources):
                    open_spans.pop(source).update(unselected_at=entry.selected_at, is_selected=False)
                for priority, source in enumerate(entry.sources, start=1):
                    if source not in open_spans:
                        open_spans[source] = {
                            "event_type": event_type,
                            "source": source,
                            "selected_at": entry.selected_at,
                            "unselected_at": None,
                            "first_selected_at": self.first_selected_at(source),
                            "is_selected": True,
                        }
                        spans.append(open_spans[source])
                    open_spans[source]["priority"] = priority
        frame = pl.DataFrame(spans, schema=empty_frame(SourceSelections).schema)
        return frame.sort("event_type", "source", "selected_at")


def read_selection_log(home: Home, now: datetime | None = None) -> SelectionLog:
    """The selection log of a home; no entries where the file is missing or empty.

    Raises ConfigError with every mistake of the file in one message, also for an entry that is out of order or
    lies in the future by more than the five minutes that clocks may differ.
    """
    return _parsed(home.selection_log, _content(home.selection_log), now or datetime.now(UTC))


def append_selection(
    home: Home,
    event_type: EventType,
    sources: Sequence[str],
    at: datetime | None = None,
    now: datetime | None = None,
    lock_timeout: timedelta = timedelta(seconds=10),
) -> Selection:
    """Select the sources, in this order of priority, from `at` on (default: now), and return the entry.

    Where the newest entry of the event type already holds these sources in this order nothing is written, and that
    entry is returned: selecting twice is selecting once.
    Raises ConfigError for unknown, repeated or missing sources, for a moment that is naive, before 2000, in the future
    or not later than the newest entry of the event type, for a log with mistakes, and where the log cannot be written
    or stays locked.
    """
    if mistakes := _mistakes_in_sources(event_type, sources):
        raise ConfigError(mistakes_text(mistakes))
    try:
        moment = None if at is None else instant(at.isoformat())
    except InstantError as error:
        raise ConfigError(str(error)) from None
    path = home.selection_log.resolve()
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent}: there is no such folder; create it with `dora init`, or correct DORA_HOME")
    try:
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=lock_timeout.total_seconds()):
            # The clock is read under the lock, so that a process that had to wait comes after the one it waited for.
            clock = (now or datetime.now(UTC)).astimezone(UTC)
            content = _content(path)
            entry = Selection(event_type, moment or clock, tuple(sources))
            newest = _parsed(path, content, clock).newest(event_type)
            if entry.selected_at > clock:
                moments = f"{_written(entry.selected_at)} is in the future (now: {_written(clock)})"
                raise ConfigError(f"{moments}; select from now or from an earlier moment")
            if newest is not None and newest.sources == entry.sources and newest.selected_at <= entry.selected_at:
                return newest
            if newest is not None and entry.selected_at <= newest.selected_at:
                raise ConfigError(
                    f"{_written(entry.selected_at)} is not later than the newest selection of {event_type}s "
                    f"({_written(newest.selected_at)}); the log only grows. To count earlier events too, "
                    f"correct selected_at in {path} and run again"
                )
            _replace(path, _with_entry(content, entry))
            return entry
    except Timeout:
        raise ConfigError(f"{path}: another process has held the log for {lock_timeout}; try again later") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; check owner, mode and free space") from error


def _mistakes_in_sources(event_type: EventType, sources: Sequence[str]) -> list[str]:
    known = sources_of(event_type)
    if not sources:
        return [f"no source is named; choose from {', '.join(known)}"]
    mistakes = []
    for place, source in enumerate(sources):
        if source not in known:
            other = SOURCES.get(source)
            what = f"is a source of {other.event_type}s" if other else "is not a source"
            near = suggestion(source, known) or f"; for {event_type}s choose from {', '.join(known)}"
            mistakes.append(f"{source!r} {what}{near}")
        elif source in sources[:place]:
            mistakes.append(f"{source!r} is named twice")
    return mistakes


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check the file's owner and mode") from error


def _parsed(path: Path, content: bytes, now: datetime) -> SelectionLog:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines:
        return SelectionLog()
    (number, header), *rest = lines
    if _fields(header) != _HEADER:
        raise ConfigError(f"{path}, line {number}: the header must be {','.join(_HEADER)}")
    entries: list[Selection] = []
    mistakes: list[str] = []
    newest: dict[EventType, datetime] = {}
    for number, line in rest:
        entry, wrong = _entry(line)
        if entry is not None:
            moment, before = entry.selected_at, newest.get(entry.event_type)
            if moment > now + FUTURE_TOLERANCE:
                wrong.append(f"{_written(moment)} is in the future (now: {_written(now)})")
            if before is not None and moment <= before:
                wrong.append(f"{_written(moment)} is not later than {_written(before)} above it")
            newest[entry.event_type] = max(moment, before or moment)
            entries.append(entry)
        mistakes += [f"{path}, line {number}: {reason}" for reason in wrong]
    if mistakes:
        raise ConfigError(mistakes_text(mistakes))
    return SelectionLog(tuple(entries))


def _entry(line: str) -> tuple[Selection | None, list[str]]:
    fields = _fields(line)
    if len(fields) != len(_HEADER):
        return None, [f"{len(fields)} fields in place of {','.join(_HEADER)}; separate the sources by ';'"]
    mistakes = []
    event_type = _EVENT_TYPES.get(fields[0])
    sources = tuple(source.strip() for source in fields[2].split(";")) if fields[2] else ()
    if event_type is None:
        mistakes.append(f"event_type {fields[0]!r} is neither deployment nor failure")
    else:
        mistakes += _mistakes_in_sources(event_type, sources)
    try:
        selected_at = instant(fields[1])
    except InstantError as error:
        return None, [*mistakes, f"selected_at: {error}"]
    return Selection(event_type, selected_at, sources) if event_type else None, mistakes


def _fields(line: str) -> tuple[str, ...]:
    try:
        return tuple(field.strip() for field in next(csv.reader([line], strict=True)))
    except csv.Error:
        return (line,)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _with_entry(content: bytes, entry: Selection) -> bytes:
    line = f"{entry.event_type},{_written(entry.selected_at)},{';'.join(entry.sources)}\n".encode()
    header = b"" if content.removeprefix(b"\xef\xbb\xbf").strip() else f"{','.join(_HEADER)}\n".encode()
    newline = b"\n" if content and not content.endswith(b"\n") else b""
    return content + newline + header + line


def _replace(path: Path, content: bytes) -> None:
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    with whole_file(path) as file:
        file.write(content)
        if mode is not None:
            os.fchmod(file.fileno(), mode)
