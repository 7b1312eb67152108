"""What has changed outside since the published warehouse was made: looks that are cheap enough for every few seconds.

They compare what lies there with what has landed, and keep nothing. A change is known by its state: text that stays the
same as long as the same waits to be read. What does not belong here: reading what has changed, which a run does.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from dora_pipeline.config import Home, Settings
from dora_pipeline.errors import ConfigError
from dora_pipeline.files import regular_file
from dora_pipeline.intake.store import EventStore
from dora_pipeline.intake.store.database import named_store
from dora_pipeline.intake.store.event import StoredType
from dora_pipeline.pipeline.segments import first_unread
from dora_pipeline.selection import read_selection_log
from dora_pipeline.sources.apm.export_files import export_files
from dora_pipeline.sources.apm.settings import apm_settings, export_folder, link_targets
from dora_pipeline.sources.raw import Segment, segment_at
from dora_pipeline.sources.registry import SOURCES
from dora_pipeline.timeline import Window
from dora_pipeline.warehouse.inputs import Input, known_inputs
from dora_pipeline.warehouse.landing import APM
from dora_pipeline.warehouse.reader import open_reader
from dora_pipeline.warehouse.staleness import waiting_days

# A file that changed this recently may still be written to.
_SETTLING = timedelta(seconds=5)
# Starting another run costs about as much as loading this many more days.
_CHEAP_GAP = 30
_FEW = 4
# What the intake receives for each source.
_RECEIVED: Mapping[str, StoredType] = {
    **{
        source.name: source.event_type
        for source in SOURCES.values()
        if (events := source.reader().events) is not None and events.is_sent
    },
    **{source.name: "delivery" for source in SOURCES.values() if source.reader().webhook_changes is not None},
}


@dataclass(frozen=True)
class Change:
    """Something that waits to be read: its state, and what it is in words."""

    state: str
    description: str


def unread_events(home: Home) -> Change | None:
    """Events and deliveries of selected sources that were sent and have not landed.

    The state is that of the first one, so it stays while more are sent. Raises ConfigError and SourceUnavailable.
    """
    log = read_selection_log(home)
    sources = {source: kind for source, kind in _RECEIVED.items() if log.first_selected_at(source) is not None}
    if not sources or not (named_store() or home.intake.exists()):
        return None
    landed: dict[str, list[Segment]] = {source: [] for source in sources}
    if home.warehouse.exists():
        with open_reader(home) as connection:
            names = {source: known_inputs(connection, source) for source in sources}
        landed = {
            source: [segment for name in known if (segment := segment_at(home.path / name))]
            for source, known in names.items()
        }
    with EventStore.at(home) as store:
        first = {
            source: sequence
            for source, kind in sources.items()
            if (sequence := first_unread(store, kind, source, landed[source])) is not None
        }
    if not first:
        return None
    return Change(" ".join(f"{source}:{sequence}" for source, sequence in first.items()), f"events of {_and(first)}")


def unread_exports(home: Home, settings: Settings, now: datetime) -> Change | None:
    """Exports that were added, changed or removed, but for those that changed in the last seconds before `now` (UTC).

    Raises ConfigError and SourceUnavailable.
    """
    if read_selection_log(home).first_selected_at(APM) is None:
        return None
    name = apm_settings(settings).path
    there = export_files(export_folder(home, settings), link_targets(home, settings))
    files = {f"{name}/{file.name}": file for file in there}
    known: Mapping[str, Input] = {}
    if home.warehouse.exists():
        with open_reader(home) as connection:
            known = known_inputs(connection, APM, f"{name}/")
    lines = [
        f"{path} {file.size} {file.modified_at.isoformat()}"
        for path, file in files.items()
        if (path not in known or (known[path].size, known[path].modified_us) != (file.size, file.modified_us))
        and not timedelta(0) <= now - file.modified_at < _SETTLING
    ]
    gone = [path for path in known if path not in files]
    if not lines and not gone:
        return None
    return Change(_digest([*lines, *gone]), f"{len(lines)} new or changed exports, {len(gone)} removed")


def rules_of(home: Home) -> Change:
    """Settings, selections and service definitions, as they are now. Raises ConfigError for a file that hides."""
    paths = [home.settings_file, home.selection_log, *sorted(home.services.rglob("*.y*ml"))]
    lines = [f"{path.relative_to(home.path)} {_digest_of_file(path)}" for path in paths]
    return Change(_digest(lines), "settings, selections or service definitions")


def days_to_load(home: Home) -> dict[date, str]:
    """The days that no longer match what has landed, in order, each with a state that changes when it changes again.

    Raises WarehouseError where the published warehouse cannot be read.
    """
    if not home.warehouse.exists():
        return {}
    with open_reader(home) as connection:
        return waiting_days(connection)


def ranges(days: Iterable[date], longest: int) -> list[Window]:
    """The days as few ranges of at most `longest` days.

    A few ranges are exact. More of them are joined over gaps that cost less than a run, so that a run also loads days
    that did not ask for it, which changes nothing.
    """
    exact = _joined(sorted(set(days)), 1)
    joined = exact if len(exact) <= _FEW else _joined(sorted(set(days)), _CHEAP_GAP + 1)
    return [part for window in joined for part in _parts(window, longest)]


def _joined(days: Sequence[date], step: int) -> list[Window]:
    windows: list[Window] = []
    for day in days:
        if windows and day - windows[-1].last <= timedelta(days=step):
            windows[-1] = Window(windows[-1].first, day)
        else:
            windows.append(Window(day, day))
    return windows


def _parts(window: Window, longest: int) -> Iterator[Window]:
    first = window.first
    while first <= window.last:
        last = min(window.last, first + timedelta(days=longest - 1))
        yield Window(first, last)
        first = last + timedelta(days=1)


def _digest(lines: Iterable[str]) -> str:
    # Names of files may hold bytes that are no UTF-8.
    return sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _digest_of_file(path: Path) -> str:
    try:
        with regular_file(path) as file:
            return sha256(file.read()).hexdigest()
    except FileNotFoundError:
        return "none"
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check the file's owner and mode") from error


def _and(names: Iterable[str]) -> str:
    return " and ".join(names)
