"""Landing of APM exports: files that were added, changed or removed since they were read last."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from dora_pipeline.config import SELECTION_LOG, Settings
from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.files import printable
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.pipeline.events import ChangedEvents, changed_events, land_change
from dora_pipeline.pipeline.session import Session
from dora_pipeline.sources.apm import APM_DEPLOYMENT_TRACKING
from dora_pipeline.sources.apm.export_files import ENDINGS, ExportFile, KnownFile, copies, listing
from dora_pipeline.sources.apm.export_reading import ExportReading, read_export
from dora_pipeline.sources.raw import SENT_SCHEMA
from dora_pipeline.tables import LandedRejects, LandedVersionActivity, empty_frame
from dora_pipeline.timeline import day_of
from dora_pipeline.warehouse import inputs, landing
from dora_pipeline.warehouse.inputs import Input
from dora_pipeline.warehouse.landing import APM

# No file has this size, so that an input with it counts as changed.
_TO_BE_READ_AGAIN = -1
# Small files land together, since that costs as much as to read a hundred of them.
_MOST_TOGETHER = 250
_MANY_ROWS = 100_000
_NO_FOLDER = "there is no such folder"
_A_FILE = "it is a file; exports lie in a folder of this name"
_NO_EXPORTS = "it holds no export"
_NO_EVENTS = pl.DataFrame(schema={**SENT_SCHEMA, "input": pl.String})


def land_exports(
    session: Session, folder: Path, name: str, link_targets: Sequence[Path] = (), *, expects_some: bool = False
) -> None:
    """Land the exports of a folder, known as `name`; with `expects_some` it is said where there are none.

    A file that cannot be read, or that is damaged, is rejected, and what it told when it was whole stays.

    Links among them may lead to `link_targets`, too. What lies there and is not read is noted. Deployments are inferred
    from the exports afterwards, by `infer_deployments`.
    """
    writer, progress = session.writer, session.progress
    found = listing(folder, link_targets)
    files = found.files
    left_out = [(f"{name}/{file.name}", file.reason) for file in found.left_out]
    if expects_some and not files and not left_out:
        left_out = [(f"{name}/", _why_there_are_none(folder))]
        progress.note(
            f"{printable(str(folder))}: {left_out[0][1]}; deployments of {APM} are read from there, as the setting "
            f"sources.{APM}.path says"
        )
    elif expects_some:
        reason = f"it lies beside {name}, from which exports are read; move it there, or away"
        left_out += [(printable(other), reason) for other in _misplaced(session.home.path, folder)]
    with writer.transaction() as connection:
        inputs.note_left_out(connection, APM, left_out, is_raw=name.startswith("raw/"))
    known = inputs.known_inputs(writer.connection, APM, f"{name}/")
    originals = [Input(f"{name}/{file.name}", file.size, file.modified_us) for file in files]
    if known == {one.name: one for one in originals}:
        # As mostly: nothing has changed, and none is the copy of another.
        return
    same = copies(files, _known_files(known.values(), f"{name}/"))
    named = {
        f"{name}/{file.name}": (file, f"{name}/{same[file.name]}" if file.name in same else None) for file in files
    }
    present = {path: Input(path, file.size, file.modified_us, content_of) for path, (file, content_of) in named.items()}
    gone = [path for path in known if path not in present]
    changed = [path for path, now in present.items() if known.get(path) != now]
    total = len(changed) + len(gone)
    for done, path in enumerate(gone):
        progress.step("read APM exports", done, total)
        nothing = changed_events(session, APM_DEPLOYMENT_TRACKING, _NO_EVENTS, [path])
        with writer.transaction() as connection:
            _land_nothing(connection, path, nothing)
            inputs.forget_input(connection, APM, path)
    waiting: list[_Read] = []
    for done, path in enumerate(changed, start=len(gone)):
        progress.step("read APM exports", done, total)
        waiting += _read(session, named[path][0], present[path])
        if len(waiting) == _MOST_TOGETHER or sum(one.reading.activity.height for one in waiting) > _MANY_ROWS:
            _land(session, waiting)
            waiting = []
    if waiting:
        _land(session, waiting)
    if total:
        progress.step("read APM exports", total, total)


def _why_there_are_none(folder: Path) -> str:
    """With what looks as if it was meant for the folder and lies beside it."""
    if not folder.is_dir():
        return _A_FILE if folder.exists() else _NO_FOLDER
    beside = _exports_in(folder.parent)
    if not beside:
        return _NO_EXPORTS
    return f"{_NO_EXPORTS}; beside it lies {printable(beside[0])}" + (
        f" and {len(beside) - 1:,} more" if beside[1:] else ""
    )


def _misplaced(home: Path, folder: Path) -> list[str]:
    """What looks as if it was meant for a folder in the home, and lies in one of those that this one is in."""
    above = [parent for parent in folder.parents if parent.is_relative_to(home)]
    return [(parent.relative_to(home) / name).as_posix() for parent in above for name in _exports_in(parent)]


def _exports_in(folder: Path) -> list[str]:
    """The names of the files of a folder that end as exports do."""
    found: list[str] = []
    with suppress(OSError):
        found = sorted(path.name for path in folder.iterdir() if path.name.endswith(ENDINGS) and path.is_file())
    return [name for name in found if name != SELECTION_LOG]


def _known_files(known: Iterable[Input], folder: str) -> dict[str, KnownFile]:
    """The inputs of a folder, by their names below it."""
    return {
        one.name.removeprefix(folder): KnownFile(
            one.size, one.modified_us, one.content_of and one.content_of.removeprefix(folder)
        )
        for one in known
    }


@dataclass(frozen=True)
class _Read:
    entry: Input
    reading: ExportReading


def _read(session: Session, file: ExportFile, entry: Input) -> list[_Read]:
    """What is to be landed of a file; nothing where that is done already, since nothing of it counts now."""
    writer, settings, progress = session.writer, session.settings, session.progress
    if entry.content_of is not None:
        named, original = printable(entry.name), printable(entry.content_of)
        progress.note(f"{named} has the same content as {original}; it is counted once")
        nothing = changed_events(session, APM_DEPLOYMENT_TRACKING, _NO_EVENTS, [entry.name])
        with writer.transaction() as connection:
            _land_nothing(connection, entry.name, nothing)
            inputs.note_input(connection, APM, entry, 0)
        return []
    try:
        reading = read_export(file, settings)
    except SourceUnavailable as error:
        progress.note(str(error))
        rejected = _unreadable(file, settings, error)
        _reject(session, entry._replace(size=_TO_BE_READ_AGAIN), rejected, 0)
        return []
    if not reading.is_complete:
        # It is still being written: what is there counts, and the next run reads it again.
        progress.note(f"{printable(entry.name)} changed while it was read; the next run reads it again")
        entry = entry._replace(size=_TO_BE_READ_AGAIN)
    if reading.is_damaged:
        _reject(session, entry, reading.rejected, reading.records)
        return []
    # What is pulled of a quiet time holds none; a check names tables without the columns of a record.
    is_empty = not reading.records and reading.rejected.is_empty()
    if reading.is_complete and is_empty and not entry.name.startswith("raw/"):
        progress.note(f"{printable(entry.name)} holds no record")
    return [_Read(entry, reading)]


def _reject(session: Session, entry: Input, rejected: pl.DataFrame, records: int) -> None:
    with session.writer.transaction() as connection:
        landing.reject_inputs(connection, [entry.name], rejected.with_columns(input=pl.lit(entry.name)))
        inputs.note_input(connection, APM, entry, records)


def _land(session: Session, read: Sequence[_Read]) -> None:
    def together(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
        return pl.concat(
            frame.with_columns(input=pl.lit(one.entry.name)) for one, frame in zip(read, frames, strict=True)
        )

    names = [one.entry.name for one in read]
    deployments = together(one.reading.deployments for one in read)
    change = changed_events(session, APM_DEPLOYMENT_TRACKING, deployments, names)
    with session.writer.transaction() as connection:
        landing.land_sightings(
            connection,
            names,
            together(one.reading.activity for one in read),
            together(one.reading.rejected for one in read),
        )
        land_change(connection, APM_DEPLOYMENT_TRACKING, change)
        inputs.note_inputs(connection, APM, [(one.entry, one.reading.records) for one in read])


def _land_nothing(connection: duckdb.DuckDBPyConnection, name: str, nothing: ChangedEvents | None) -> None:
    landing.land_sightings(connection, [name], empty_frame(LandedVersionActivity), empty_frame(LandedRejects))
    land_change(connection, APM_DEPLOYMENT_TRACKING, nothing)


def _unreadable(file: ExportFile, settings: Settings, error: SourceUnavailable) -> pl.DataFrame:
    payload = pl.Series([{"error": without_credentials(str(error))}]).struct.json_encode()
    row = {
        "source": APM,
        "record": "file",
        "event_type": "deployment",
        "reason": "file_unreadable",
        "payload": payload[0],
        "records": 1,
        "detected_at": file.modified_at,
        "day": day_of(file.modified_at, settings.zone),
    }
    return pl.DataFrame([row], schema=empty_frame(LandedRejects).drop("input").schema)
