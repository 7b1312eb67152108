"""The raw layer of pulled sources: `raw/<source>/<day>.jsonl.gz`, the records of a day as they came, ordered by id.

A newer version of a record replaces what was known of it, and moves with its day; what does not come any more stays.
Where the newest version cannot be used, the last one that can is kept beside it, never more than these two: a version
that is usable when it comes drops the others, and which of the two stands is decided anew at each landing.
What webhooks told of a record is kept beside it, by the ids of their deliveries: pulls and deliveries can come in any
order and again, and neither takes anything away from the other.
A day that says the same as before keeps its file untouched. `pulled_until` says up to when there are whole windows,
`pulled_for` since when, and by which settings, they were asked for.
"""

import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.files import whole_file
from dora_pipeline.sources.raw import PULLED_SCHEMA
from dora_pipeline.sources.source import PulledRecord, RecordChange, RecordState
from dora_pipeline.timeline import OLDEST_INSTANT, day_of

_ENDING = ".jsonl.gz"
_PULLED_UNTIL = "pulled_until"
_PULLED_FOR = "pulled_for"
# When a record was fetched that was only ever delivered.
_NEVER = OLDEST_INSTANT.isoformat()


@dataclass(frozen=True)
class _Version:
    """A record as it came at one time."""

    occurred_at: str
    fetched_at: str
    state: RecordState
    body: dict[str, Any]


@dataclass(frozen=True)
class _Line:
    """What is kept of a record; `usable` is the last version that can be used, where the newest one cannot."""

    newest: _Version
    usable: _Version | None = None
    deliveries: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def versions(self) -> list[_Version]:
        return [self.newest] if self.usable is None else [self.newest, self.usable]

    def closed(self, state: RecordState, fetched_at: str) -> "_Line":
        usable = None if self.usable is None else replace(self.usable, state=state, fetched_at=fetched_at)
        return _Line(replace(self.newest, state=state, fetched_at=fetched_at), usable)


class DayFiles:
    """The day files of one source. Every method raises SourceUnavailable for a file that cannot be read.

    `unusable` names those records of a frame with the columns of PULLED_SCHEMA that would be rejected.
    """

    def __init__(
        self, folder: Path, source: str, zone: ZoneInfo, unusable: Callable[[pl.DataFrame], Iterable[str]]
    ) -> None:
        self._folder = folder
        self._source = source
        self._zone = zone
        self._unusable = unusable

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
            version = _Version(record.occurred_at.isoformat(), fetched_at.isoformat(), "present", record.body)
            told[path][record.record_id] = _Line(version)
            former = (known_in or {}).get(record.record_id, path)
            if former != path:
                moved[former][record.record_id] = path
        # Into the new file first: a run that is killed in between leaves the record in both, for `settled` to see.
        for path, lines in told.items():
            self._merge(path, lines)
        for path, targets in moved.items():
            self._leave(path, targets)

    def deliver(self, changes: Iterable[RecordChange]) -> None:
        """Keep what webhooks told, beside the records in the files of their days, for `settled` to bring together."""
        told: dict[Path, dict[str, _Line]] = defaultdict(dict)
        for change in changes:
            blank = _Line(_Version(change.occurred_at.isoformat(), _NEVER, "present", {}))
            line = told[self._path(change.occurred_at)].setdefault(change.record_id, blank)
            line.deliveries[change.delivery_id] = change.body
        for path, lines in told.items():
            self._merge(path, lines, are_newer=False)

    def settled(self) -> dict[str, Path]:
        """The file of each record. Of one in several files, as a killed run leaves it, the newest telling stays.

        So does what webhooks told of it, in whichever file.
        """
        newest: dict[str, tuple[datetime, Path]] = {}
        outdated: dict[Path, set[str]] = defaultdict(set)
        for path in self.paths():
            for record_id, line in self._lines(path).items():
                told = (datetime.fromisoformat(line.newest.fetched_at), path)
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
        if known is not None and known.newest.state != state:
            self._merge(path, {record_id: known.closed(state, fetched_at.isoformat())})

    def frame(self, path: Path) -> pl.DataFrame:
        """The newest versions of the records of a file, with the columns of PULLED_SCHEMA."""
        lines = self._lines(path)
        return _frame({name: (line.newest, line.deliveries) for name, line in lines.items()})

    def usable_frame(self, path: Path) -> pl.DataFrame:
        """As `frame`, of those records alone whose newest version could not be used: the last ones that could."""
        lines = self._lines(path)
        return _frame({name: (line.usable, line.deliveries) for name, line in lines.items() if line.usable})

    def pulled_until(self) -> datetime | None:
        """The end (UTC) of the last window that was kept whole."""
        try:
            return datetime.fromisoformat((self._folder / _PULLED_UNTIL).read_text(encoding="ascii").strip())
        except (FileNotFoundError, ValueError):
            return None

    def note_pulled_until(self, moment: datetime) -> None:
        """Say that every window up to `moment` (UTC) was kept."""
        write_whole(self._folder / _PULLED_UNTIL, moment.isoformat().encode())

    def ask_for(self, since: datetime, settings: Mapping[str, object]) -> None:
        """Say since when (UTC) and by which settings records are asked for.

        Where that is earlier, or by other settings, than what was pulled, all is pulled again.
        """
        path = self._folder / _PULLED_FOR
        try:
            known = json.loads(path.read_bytes())
            if since >= datetime.fromisoformat(known["since"]) and settings == known["settings"]:
                return
            self.pull_from_the_beginning()
        except FileNotFoundError:
            # An older program pulled, which did not tell, or none did.
            pass
        except (ValueError, KeyError, TypeError):
            self.pull_from_the_beginning()
        write_whole(path, json.dumps({"since": since.isoformat(), "settings": settings}).encode())

    def pull_from_the_beginning(self) -> None:
        """Forget which windows were kept, so that the next pull asks for all of them again."""
        (self._folder / _PULLED_UNTIL).unlink(missing_ok=True)

    def _merge(self, path: Path, told: Mapping[str, _Line], *, are_newer: bool = True) -> None:
        """Bring lines together with those of a file; `are_newer` says which of the two are."""
        known = self._lines(path) if path.exists() else {}
        changed = {name: line for name, line in told.items() if name not in known}
        again = self._usable_again(told, known) if are_newer else set()
        met = {
            name: line for name, line in told.items() if name in known and (name in again or _adds(line, known[name]))
        }
        pairs = {name: (line, known[name]) if are_newer else (known[name], line) for name, line in met.items()}
        versions = {name: [*newer.versions, *older.versions] for name, (newer, older) in pairs.items()}
        deliveries = {name: {**known[name].deliveries, **line.deliveries} for name, line in met.items()}
        usable = self._newest_usable(versions, deliveries)
        for name, [newest, *_] in versions.items():
            stands = usable.get(name)
            line = _Line(newest, None if stands is newest else stands, deliveries[name])
            if name in again or not _says_the_same(known[name], line):
                changed[name] = line
        if changed:
            self._write(path, {**known, **changed})

    def _usable_again(self, told: Mapping[str, _Line], known: Mapping[str, _Line]) -> set[str]:
        """The records that come as they are known, could not be used then, and can be now: an end was in the future."""
        same = {name: known[name] for name in told if name in known and not _adds(told[name], known[name])}
        refused = self._refused({name: (line.newest, line.deliveries) for name, line in same.items()})
        later = {name: (told[name].newest, known[name].deliveries) for name in refused}
        return refused - self._refused(later)

    def _refused(self, records: Mapping[str, tuple[_Version, dict[str, dict[str, Any]]]]) -> set[str]:
        return set(self._unusable(_frame(records))) if records else set()

    def _newest_usable(
        self, versions: Mapping[str, Sequence[_Version]], deliveries: Mapping[str, dict[str, dict[str, Any]]]
    ) -> dict[str, _Version]:
        """Of each record the first of its versions that can be used; none of a record without one."""
        usable: dict[str, _Version] = {}
        while versions:
            rejected = self._refused({name: (each[0], deliveries[name]) for name, each in versions.items()})
            usable |= {name: each[0] for name, each in versions.items() if name not in rejected}
            versions = {name: each[1:] for name, each in versions.items() if name in rejected and each[1:]}
        return usable

    def _leave(self, path: Path, targets: Mapping[str, Path]) -> None:
        """Leave records to other files that hold newer versions of them; what webhooks told goes there, too."""
        known = self._lines(path) if path.exists() else {}
        late: dict[Path, dict[str, _Line]] = defaultdict(dict)
        for record_id in known.keys() & targets.keys():
            late[targets[record_id]][record_id] = known[record_id]
        for target, lines in late.items():
            self._merge(target, lines, are_newer=False)
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
                return dict(_read(json.loads(text)) for text in texts)
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


def _adds(told: _Line, known: _Line) -> bool:
    """Whether a line can change what is known of a record."""
    # An end that was in the future when it came may be past now.
    return (
        known.usable is not None
        or any(_is_new(version, known) for version in told.versions)
        or {**known.deliveries, **told.deliveries} != known.deliveries
    )


def _is_new(version: _Version, known: _Line) -> bool:
    return version.fetched_at != _NEVER and not any(_is_like(version, other) for other in known.versions)


def _says_the_same(known: _Line, line: _Line) -> bool:
    return _is_like(known.newest, line.newest) and replace(known, newest=line.newest) == line


def _is_like(one: _Version, other: _Version) -> bool:
    return replace(one, fetched_at=other.fetched_at) == other


def _frame(records: Mapping[str, tuple[_Version, dict[str, dict[str, Any]]]]) -> pl.DataFrame:
    rows = [
        (
            record_id,
            datetime.fromisoformat(version.occurred_at),
            datetime.fromisoformat(version.fetched_at),
            version.state,
            json.dumps({**version.body, "deliveries": list(deliveries.values())} if deliveries else version.body),
        )
        for record_id, (version, deliveries) in records.items()
    ]
    return pl.DataFrame(rows, schema=PULLED_SCHEMA, orient="row")


def _read(item: dict[str, Any]) -> tuple[str, _Line]:
    record_id, usable, deliveries = item.pop("record_id"), item.pop("usable", None), item.pop("deliveries", {})
    return record_id, _Line(_Version(**item), None if usable is None else _Version(**usable), deliveries)


def _written(record_id: str, line: _Line) -> str:
    told = {"record_id": record_id, **vars(line.newest)}
    if line.usable is not None:
        told["usable"] = vars(line.usable)
    if line.deliveries:
        told["deliveries"] = {name: line.deliveries[name] for name in sorted(line.deliveries)}
    return json.dumps(told, separators=(",", ":")) + "\n"
