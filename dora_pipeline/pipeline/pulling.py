"""Pulling: what happened since the last time, what can still change, and what is open, into the raw layer.

Each window is kept whole before the next is asked for, so that a failed page loses nothing that came before it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from dora_pipeline.config import Shapes, shaping
from dora_pipeline.files import write_whole
from dora_pipeline.pipeline.session import Session
from dora_pipeline.sources.apm.datadog_sightings import fetch_sightings
from dora_pipeline.sources.day_files import DayFiles
from dora_pipeline.sources.registry import SOURCES
from dora_pipeline.sources.source import Connection, Source
from dora_pipeline.timeline import Window, day_of, start_of

# Long enough that a quiet source costs few requests, short enough that little is asked for twice after a failure.
_WINDOW = timedelta(days=30)
_DAY = timedelta(days=1)
# Hidden, since all else in the folder is read as an export.
_SPANS = ".spans"


@dataclass(frozen=True)
class Held:
    """What is held of a source: the day file of each record by id, and the ids of those that are open here."""

    known_in: Mapping[str, Path]
    open_records: Sequence[str]


def pull(session: Session, source: Source[Any], files: DayFiles, held: Held) -> None:
    """Pull a source up to now.

    Days since the last pull and the `reread` days before it are asked for again, and everything that is open at the
    source. What is open here and in no answer is asked for by itself, and kept as gone or out of reach where the source
    does not show it. Raises SourceError and ConfigError; windows that were whole stay.
    """
    connection = source.open(session.settings, session.progress.note)
    try:
        seen = _pull_windows(session, source, connection, files, held)
        open_now = connection.fetch_open()
        files.keep(open_now, datetime.now(UTC), held.known_in)
        seen |= {record.record_id for record in open_now}
        for record_id in held.open_records:
            if record_id not in seen:
                _ask_for(connection, files, record_id, held)
    finally:
        connection.close()


def pull_sightings(session: Session, source: str, folder: Path) -> None:
    """Pull the sightings of versions up to now, a file of answers a day; the last two days there are asked for again.

    A day begins where the one before it ended, which may have been a day of another time zone. Raises SourceError and
    ConfigError; days that were whole stay.
    """
    zone, progress = session.settings.zone, session.progress
    known = sorted(date.fromisoformat(path.stem) for path in folder.glob("????-??-??.json"))
    now = datetime.now(UTC)
    today = day_of(now, zone)
    selected = day_of(session.log.first_selected_at(source) or now, zone)
    kept = {day for day in known if day < min(known[-1], today) - _DAY}
    # Where the clock or the zone was ahead, there are days to come.
    ahead = [day for day in known if day > today]
    days = [day for day in Window(min([selected, *known[:1], today]), today) if day not in kept] + ahead
    spans = _spans(folder)
    for done, day in enumerate(days):
        progress.step("pull sightings", done, len(days))
        before, after = spans.get(day - _DAY), spans.get(day + _DAY)
        first = before[1] if before else start_of(day, zone)
        end = after[0] if after and day + _DAY in kept else start_of(day + _DAY, zone)
        last = max(first, min(end, now))
        answers = fetch_sightings(session.settings, progress.note, first, last) if first < last else []
        write_whole(folder / f"{day}.json", json.dumps(answers, sort_keys=True).encode())
        spans[day] = first, last
        write_whole(
            folder / _SPANS, json.dumps({str(one): list(map(str, span)) for one, span in spans.items()}).encode()
        )
    progress.step("pull sightings", len(days), len(days))


def _spans(folder: Path) -> dict[date, tuple[datetime, datetime]]:
    """From when until when each day was asked for, as far as that is known."""
    try:
        written = json.loads((folder / _SPANS).read_bytes())
    except FileNotFoundError:
        return {}
    return {
        date.fromisoformat(day): (datetime.fromisoformat(first), datetime.fromisoformat(last))
        for day, (first, last) in written.items()
    }


def _pull_windows(
    session: Session, source: Source[Any], connection: Connection, files: DayFiles, held: Held
) -> set[str]:
    end = datetime.now(UTC)
    first = _beginning(session, source, files, end) or end
    total = max(1, -((first - end) // _WINDOW))
    seen: set[str] = set()
    for done in range(total):
        session.progress.step(f"pull {source.name}", done, total)
        last = min(first + _WINDOW, end)
        records = connection.fetch(first, last)
        files.keep(records, datetime.now(UTC), held.known_in)
        files.note_pulled_until(last)
        seen |= {record.record_id for record in records}
        first = last
    session.progress.step(f"pull {source.name}", total, total)
    return seen


def _beginning(session: Session, source: Source[Any], files: DayFiles, now: datetime) -> datetime | None:
    selected = session.log.first_selected_at(source.name)
    if selected is None:
        return None
    asked = shaping(session.settings, Shapes.PULLED).items()
    of_others = tuple(f"sources.{name}." for name in SOURCES if name != source.name)
    files.ask_for(selected, {name: value for name, value in asked if not name.startswith(of_others)})
    until = files.pulled_until()
    # A clock that was ahead has seen nothing of what was to come.
    return selected if until is None else max(selected, min(until, now) - session.settings.reread)


def _ask_for(connection: Connection, files: DayFiles, record_id: str, held: Held) -> None:
    answer = connection.fetch_one(record_id)
    if answer == "gone" or answer == "no_access":
        files.close_missing(held.known_in[record_id], record_id, answer, datetime.now(UTC))
    else:
        files.keep([answer], datetime.now(UTC), held.known_in)
