"""The raw layer of pulled sources: `raw/<source>/<day>.jsonl.gz`, the records of a day as they came, ordered by id.

A record that is told again replaces what was known of it, and moves with its day; one that is not told any more stays.
What webhooks told of a record is kept beside it, by the ids of their deliveries: pulls and deliveries can come in any
order and again, and neither takes anything away from the other.
A day that says the same as before keeps its file untouched. `pulled_until` says up to when there are whole windows.
"""

import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.files import whole_file
from dora_pipeline.sources.raw import PULLED_SCHEMA
from dora_pipeline.sources.source import Change, PulledRecord, RecordState
from dora_pipeline.timeline import OLDEST_INSTANT, day_of

_ENDING = ".jsonl.gz"
_PULLED_UNTIL = "pulled_until"
# When a record was fetched that was only ever delivered.
_NEVER = OLDEST_INSTANT.isoformat()


@dataclass(frozen=True)
class _Line:
    occurred_at: str
    fetched_at: str
    state: RecordState
    body: dict[str, Any]
    deliveries: dict[str, dict[str, Any]] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        return {**self.body, "deliveries": list(self.deliveries.values())} if self.deliveries else self.body


class DayFiles:
    """The day files of one source. Every method raises SourceUnavailable for a file that cannot be read."""

    def __init__(self, folder: Path, source: str, zone: ZoneInfo) -> None:
        self._folder = folder
        self._source = source
        self._zone = zone

    def paths(self) -> list[Path]:
        """The files of all days, oldest first."""
        return sorted(path for path in self._folder.glob(f"*{_ENDING}") if _is_day(path.name.removesuffix(_ENDING)))

    def keep(
        self, records: Iterable[PulledRecord], fetched_at: datetime, known_in: Mapping[str, Path] | None = None
    ) -> None:
        """Keep records in the files of their days. `known_in` says in which file each record was until now."""
        told: dict[Path, dict[str, _Line]] = defaultdict(dict)
        moved: dict[Path, dict[str, Path]] = defaultdict(dict)
        for record in records:
            path = self._path(record.occurred_at)
            line = _Line(record.occurred_at.isoformat(), fetched_at.isoformat(), "present", record.body)
            told[path][record.record_id] = line
            former = (known_in or {}).get(record.record_id, path)
            if former != path:
                moved[former][record.record_id] = path
        # Into the new file first: a run that is killed in between leaves the record in both, for `settled` to see.
        for path, lines in told.items():
            self._merge(path, lines)
        for path, targets in moved.items():
            self._leave(path, targets)

    def deliver(self, changes: Iterable[Change]) -> None:
        """Keep what webhooks told, beside the records in the files of their days, for `settled` to bring together."""
        told: dict[Path, dict[str, _Line]] = defaultdict(dict)
        for change in changes:
            blank = _Line(change.occurred_at.isoformat(), _NEVER, "present", {})
            line = told[self._path(change.occurred_at)].setdefault(change.record_id, blank)
            line.deliveries[change.delivery_id] = change.body
        for path, lines in told.items():
            self._merge(path, lines)

    def settled(self) -> dict[str, Path]:
        """The file of each record. Of one in several files, as a killed run leaves it, the newest telling stays.

        So does what webhooks told of it, in whichever file.
        """
        newest: dict[str, tuple[datetime, Path]] = {}
        outdated: dict[Path, set[str]] = defaultdict(set)
        for path in self.paths():
            for record_id, line in self._lines(path).items():
                told = (datetime.fromisoformat(line.fetched_at), path)
                former = newest.get(record_id, told)
                newest[record_id] = max(told, former)
                if former != told:
                    outdated[min(told, former)[1]].add(record_id)
        for path, record_ids in outdated.items():
            self._leave(path, {record_id: newest[record_id][1] for record_id in record_ids})
        return {record_id: path for record_id, (_, path) in newest.items()}

    def close_missing(self, path: Path, record_id: str, state: RecordState, fetched_at: datetime) -> None:
        """Say of a record in a file that the source does not show it any more."""
        known = self._lines(path).get(record_id)
        if known is not None and known.state != state:
            self._merge(path, {record_id: _Line(known.occurred_at, fetched_at.isoformat(), state, known.body)})

    def frame(self, path: Path) -> pl.DataFrame:
        """The records of a file, with the columns of PULLED_SCHEMA."""
        rows = [
            (
                record_id,
                datetime.fromisoformat(line.occurred_at),
                datetime.fromisoformat(line.fetched_at),
                line.state,
                json.dumps(line.told()),
            )
            for record_id, line in self._lines(path).items()
        ]
        return pl.DataFrame(rows, schema=PULLED_SCHEMA, orient="row")

    def pulled_until(self) -> datetime | None:
        """The end (UTC) of the last window that was kept whole."""
        try:
            return datetime.fromisoformat((self._folder / _PULLED_UNTIL).read_text(encoding="ascii").strip())
        except (FileNotFoundError, ValueError):
            return None

    def note_pulled_until(self, moment: datetime) -> None:
        """Say that every window up to `moment` (UTC) was kept."""
        write_whole(self._folder / _PULLED_UNTIL, moment.isoformat().encode())

    def pull_from_the_beginning(self) -> None:
        """Forget which windows were kept, so that the next pull asks for all of them again."""
        (self._folder / _PULLED_UNTIL).unlink(missing_ok=True)

    def _merge(self, path: Path, told: dict[str, _Line]) -> None:
        known = self._lines(path) if path.exists() else {}
        united = {name: _united(known.get(name), line) for name, line in told.items()}
        changed = {name: line for name, line in united.items() if not _says_the_same(known.get(name), line)}
        if changed:
            self._write(path, {**known, **changed})

    def _leave(self, path: Path, targets: Mapping[str, Path]) -> None:
        """Leave records to other files that hold newer tellings of them; what webhooks told goes there, too."""
        known = self._lines(path) if path.exists() else {}
        late: dict[Path, dict[str, _Line]] = defaultdict(dict)
        for record_id in known.keys() & targets.keys():
            late[targets[record_id]][record_id] = replace(known[record_id], fetched_at=_NEVER)
        for target, lines in late.items():
            self._merge(target, lines)
        if late:
            self._write(path, {name: line for name, line in known.items() if name not in targets})

    def _path(self, moment: datetime) -> Path:
        return self._folder / f"{day_of(moment, self._zone)}{_ENDING}"

    def _write(self, path: Path, lines: Mapping[str, _Line]) -> None:
        text = "".join(_written(name, lines[name]) for name in sorted(lines))
        write_whole(path, gzip.compress(text.encode(), mtime=0))

    def _lines(self, path: Path) -> dict[str, _Line]:
        try:
            if path.stat().st_size == 0:
                # The checksum of no bytes at all holds.
                raise EOFError("the file is empty")
            with gzip.open(path, "rt", encoding="utf-8") as texts:
                told = [json.loads(text) for text in texts]
            return {item.pop("record_id"): _Line(**item) for item in told}
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
            raise SourceUnavailable(
                self._source, f"{path}: cannot be read ({error}); restore the file from a backup and run again"
            ) from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all; one that holds the content already stays untouched."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(content)


def _is_day(name: str) -> bool:
    try:
        return bool(date.fromisoformat(name))
    except ValueError:
        return False


def _united(known: _Line | None, told: _Line) -> _Line:
    """The newer of two tellings of a record, with what webhooks told before and now."""
    if known is None:
        return told
    newest = known if told.fetched_at == _NEVER else told
    return replace(newest, deliveries={**known.deliveries, **told.deliveries})


def _says_the_same(known: _Line | None, told: _Line) -> bool:
    return known is not None and replace(known, fetched_at=told.fetched_at) == told


def _written(record_id: str, line: _Line) -> str:
    told = {
        "record_id": record_id,
        "occurred_at": line.occurred_at,
        "fetched_at": line.fetched_at,
        "state": line.state,
        "body": line.body,
    }
    if line.deliveries:
        told["deliveries"] = {name: line.deliveries[name] for name in sorted(line.deliveries)}
    return json.dumps(told, separators=(",", ":")) + "\n"
