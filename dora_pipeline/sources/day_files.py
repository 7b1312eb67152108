"""The raw layer of pulled sources: `raw/<source>/<day>.jsonl.gz`, the records of a day as they came, ordered by id.

A newer version of a record replaces what was known of it, and moves with its day; what does not come any more stays.
Where the newest version cannot be used, the last one that can is kept beside it, never more than these two: a version
that is usable when it comes drops the others, and which of the two stands is decided anew at each landing.
What webhooks said of a record is kept beside it, by the ids of their deliveries: pulls and deliveries can come in any
order and again, and neither takes anything away from the other.
A day that says the same as before keeps its file untouched. `pulled_until` says up to when there are whole windows,
`pulled_for` since when, and by which settings, they were asked for.
"""

import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.files import write_whole
from dora_pipeline.sources.kept_records import NEVER, Deliveries, KeptRecord, Version, pulled_frame
from dora_pipeline.sources.source import PulledRecord, RecordChange, RecordState
from dora_pipeline.timeline import day_of

_ENDING = ".jsonl.gz"
_PULLED_UNTIL = "pulled_until"
_PULLED_FOR = "pulled_for"


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
        new: dict[Path, dict[str, KeptRecord]] = defaultdict(dict)
        moved: dict[Path, dict[str, Path]] = defaultdict(dict)
        for record in records:
            path = self._path(record.occurred_at)
            version = Version(record.occurred_at.isoformat(), fetched_at.isoformat(), "present", record.body)
            new[path][record.record_id] = KeptRecord(version)
            former = (known_in or {}).get(record.record_id, path)
            if former != path:
                moved[former][record.record_id] = path
        # Into the new file first: a run that is killed in between leaves the record in both, for `settled` to see.
        for path, lines in new.items():
            self._merge(path, lines)
        for path, targets in moved.items():
            self._leave(path, targets)

    def deliver(self, changes: Iterable[RecordChange]) -> None:
        """Keep what webhooks said, beside the records in the files of their days, for `settled` to bring together."""
        new: dict[Path, dict[str, KeptRecord]] = defaultdict(dict)
        for change in changes:
            blank = KeptRecord(Version(change.occurred_at.isoformat(), NEVER, "present", {}))
            line = new[self._path(change.occurred_at)].setdefault(change.record_id, blank)
            line.deliveries[change.delivery_id] = change.body
        for path, lines in new.items():
            self._merge(path, lines, are_newer=False)

    def settled(self) -> dict[str, Path]:
        """The file of each record. Of one in several files, as a killed run leaves it, the newest telling stays.

        So does what webhooks said of it, in whichever file.
        """
        newest: dict[str, tuple[datetime, Path]] = {}
        outdated: dict[Path, set[str]] = defaultdict(set)
        for path in self.paths():
            for record_id, line in self._lines(path).items():
                current = (datetime.fromisoformat(line.newest.fetched_at), path)
                former = newest.get(record_id, current)
                newest[record_id] = max(current, former)
                if former != current:
                    outdated[min(current, former)[1]].add(record_id)
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
        return pulled_frame({name: (line.newest, line.deliveries) for name, line in lines.items()})

    def usable_frame(self, path: Path) -> pl.DataFrame:
        """As `frame`, of those records alone whose newest version could not be used: the last ones that could."""
        lines = self._lines(path)
        return pulled_frame({name: (line.usable, line.deliveries) for name, line in lines.items() if line.usable})

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

    def _merge(self, path: Path, new: Mapping[str, KeptRecord], *, are_newer: bool = True) -> None:
        """Bring lines together with those of a file; `are_newer` says which of the two are."""
        known = self._lines(path) if path.exists() else {}
        changed = {name: line for name, line in new.items() if name not in known}
        again = self._usable_again(new, known) if are_newer else set()
        met = {
            name: line for name, line in new.items() if name in known and (name in again or line.adds_to(known[name]))
        }
        pairs = {name: (line, known[name]) if are_newer else (known[name], line) for name, line in met.items()}
        versions = {name: [*newer.versions, *older.versions] for name, (newer, older) in pairs.items()}
        deliveries = {name: {**known[name].deliveries, **line.deliveries} for name, line in met.items()}
        usable = self._newest_usable(versions, deliveries)
        for name, [newest, *_] in versions.items():
            stands = usable.get(name)
            line = KeptRecord(newest, None if stands is newest else stands, deliveries[name])
            if name in again or not known[name].says_the_same_as(line):
                changed[name] = line
        if changed:
            self._write(path, {**known, **changed})

    def _usable_again(self, new: Mapping[str, KeptRecord], known: Mapping[str, KeptRecord]) -> set[str]:
        """The records that come as they are known, could not be used then, and can be now: an end was in the future."""
        same = {name: known[name] for name in new if name in known and not new[name].adds_to(known[name])}
        refused = self._refused({name: (line.newest, line.deliveries) for name, line in same.items()})
        later = {name: (new[name].newest, known[name].deliveries) for name in refused}
        return refused - self._refused(later)

    def _refused(self, records: Mapping[str, tuple[Version, Deliveries]]) -> set[str]:
        return set(self._unusable(pulled_frame(records))) if records else set()

    def _newest_usable(
        self, versions: Mapping[str, Sequence[Version]], deliveries: Mapping[str, Deliveries]
    ) -> dict[str, Version]:
        """Of each record the first of its versions that can be used; none of a record without one."""
        usable: dict[str, Version] = {}
        while versions:
            rejected = self._refused({name: (each[0], deliveries[name]) for name, each in versions.items()})
            usable |= {name: each[0] for name, each in versions.items() if name not in rejected}
            versions = {name: each[1:] for name, each in versions.items() if name in rejected and each[1:]}
        return usable

    def _leave(self, path: Path, targets: Mapping[str, Path]) -> None:
        """Leave records to other files that hold newer versions of them; what webhooks said goes there, too."""
        known = self._lines(path) if path.exists() else {}
        late: dict[Path, dict[str, KeptRecord]] = defaultdict(dict)
        for record_id in known.keys() & targets.keys():
            late[targets[record_id]][record_id] = known[record_id]
        for target, lines in late.items():
            self._merge(target, lines, are_newer=False)
        if late:
            self._write(path, {name: line for name, line in known.items() if name not in targets})

    def _path(self, moment: datetime) -> Path:
        return self._folder / f"{day_of(moment, self._zone)}{_ENDING}"

    def _write(self, path: Path, lines: Mapping[str, KeptRecord]) -> None:
        text = "".join(lines[name].line(name) for name in sorted(lines))
        write_whole(path, gzip.compress(text.encode(), mtime=0))

    def _lines(self, path: Path) -> dict[str, KeptRecord]:
        try:
            if path.stat().st_size == 0:
                # The checksum of no bytes at all holds.
                raise EOFError("the file is empty")
            with gzip.open(path, "rt", encoding="utf-8") as texts:
                return dict(KeptRecord.read(text) for text in texts)
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
            raise SourceUnavailable(
                self._source, f"{path}: cannot be read ({error}); restore the file from a backup and run again"
            ) from error


def _is_day(name: str) -> bool:
    try:
        return bool(date.fromisoformat(name))
    except ValueError:
        return False
