"""Pulling: what happened since the last time, what can still change, and what is open, into the raw layer.

Each window is kept whole before the next is asked for, so that a failed page loses nothing that came before it.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from dora_pipeline.config import Settings
from dora_pipeline.pipeline.progress import Progress
from dora_pipeline.sources.datadog.apm_metrics import fetch_sightings
from dora_pipeline.sources.day_files import DayFiles, write_whole
from dora_pipeline.sources.pulls import Connection, PullSource
from dora_pipeline.timeline import Window, day_of, start_of

# Long enough that a quiet source costs few requests, short enough that little is asked for twice after a failure.
_WINDOW = timedelta(days=30)


def pull(
    source: PullSource,
    files: DayFiles,
    settings: Settings,
    first_selected_at: datetime,
    known_in: Mapping[str, Path],
    open_records: Iterable[str],
    progress: Progress,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Pull a source up to now.

    Days since the last pull and the `reread` days before it are asked for again, and everything that is open at the
    source. `known_in` names the day file of each record that we hold, and `open_records` those that are open here: one
    that no answer held is asked for by itself, and kept as gone or out of reach where the source does not show it.
    Raises SourceError and ConfigError; windows that were whole stay.
    """
    connection = source.connect(settings, progress.note)
    try:
        seen = _pull_windows(
            source, connection, files, _beginning(files, settings, first_selected_at), known_in, now, progress
        )
        told = connection.fetch_open()
        files.keep(told, now(), known_in)
        seen |= {record.record_id for record in told}
        for record_id in open_records:
            if record_id not in seen:
                _ask_for(connection, files, record_id, known_in, now())
    finally:
        connection.close()


def pull_sightings(
    folder: Path,
    settings: Settings,
    first_selected_at: datetime,
    progress: Progress,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Pull the sightings of versions up to now, a file of answers a day; the last day there is asked for again.

    Raises SourceError and ConfigError; days that were whole stay.
    """
    known = sorted(date.fromisoformat(path.stem) for path in folder.glob("????-??-??.json"))
    end = now()
    days = Window(known[-1] if known else day_of(first_selected_at, settings.zone), day_of(end, settings.zone))
    for done, day in enumerate(days):
        progress.step("pull sightings", done, len(days))
        last = min(start_of(day + timedelta(days=1), settings.zone), end)
        answers = fetch_sightings(settings, progress.note, start_of(day, settings.zone), last)
        write_whole(folder / f"{day}.json", json.dumps(answers, sort_keys=True).encode())
    progress.step("pull sightings", len(days), len(days))


def _beginning(files: DayFiles, settings: Settings, first_selected_at: datetime) -> datetime:
    until = files.pulled_until()
    return first_selected_at if until is None else max(first_selected_at, until - settings.reread)


def _pull_windows(
    source: PullSource,
    connection: Connection,
    files: DayFiles,
    beginning: datetime,
    known_in: Mapping[str, Path],
    now: Callable[[], datetime],
    progress: Progress,
) -> set[str]:
    end = now()
    total = max(1, -((beginning - end) // _WINDOW))
    seen: set[str] = set()
    first = beginning
    for done in range(total):
        progress.step(f"pull {source.name}", done, total)
        last = min(first + _WINDOW, end)
        records = connection.fetch(first, last)
        files.keep(records, now(), known_in)
        files.note_pulled_until(last)
        seen |= {record.record_id for record in records}
        first = last
    progress.step(f"pull {source.name}", total, total)
    return seen


def _ask_for(
    connection: Connection, files: DayFiles, record_id: str, known_in: Mapping[str, Path], fetched_at: datetime
) -> None:
    answer = connection.fetch_one(record_id)
    if answer == "gone" or answer == "no_access":
        files.close_missing(known_in[record_id], record_id, answer, fetched_at)
    else:
        files.keep([answer], fetched_at, known_in)
