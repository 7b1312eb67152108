"""Landing: bring everything that the selected sources have told since the last run into schema `landing`."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from dora_pipeline.config import Home, Settings
from dora_pipeline.errors import ConfigError, DoraError, SourceError, SourceUnavailable
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.progress import Progress
from dora_pipeline.selection import SOURCES_OF, EventType, SelectionLog
from dora_pipeline.sources.apm.files import ExportFile, copies, export_files
from dora_pipeline.sources.apm.reader import read_export
from dora_pipeline.sources.events import Normalized, normalize_deployments, normalize_failures
from dora_pipeline.sources.raw import RawRecord, Segment, read_segment, segments, write_segment
from dora_pipeline.tables import LandedDeployments, LandedRejects, LandedVersionActivity, empty_frame
from dora_pipeline.timeline import day_of
from dora_pipeline.warehouse import landing
from dora_pipeline.warehouse.landing import APM, Input
from dora_pipeline.warehouse.writer import Writer

_MICROSECOND = timedelta(microseconds=1)
_BATCH = 50_000
_EVENT_SOURCES: dict[str, Callable[[pl.DataFrame, Settings], Normalized]] = {
    "deployment_event_api": normalize_deployments,
    "failure_event_api": normalize_failures,
}


def microseconds(duration: timedelta) -> int:
    """A duration in whole microseconds."""
    return duration // _MICROSECOND


def land(
    writer: Writer, home: Home, settings: Settings, log: SelectionLog, progress: Progress, *, fetches: bool
) -> list[DoraError]:
    """Land every source that was ever selected. `fetches` False reads only what is in the home folder already.

    A source that was selected once stays populated when another takes its place: a switch back loses nothing.
    A source that fails does not keep the others from landing: its error is noted and returned.
    """
    errors: list[DoraError] = []
    for event_type, names in SOURCES_OF.items():
        for source in names:
            if log.first_selected_at(source) is None:
                continue
            error: DoraError | None = None
            try:
                _land_source(writer, home, settings, event_type, source, progress, fetches=fetches)
            except (SourceError, ConfigError) as raised:
                error = raised
                errors.append(raised)
            with writer.transaction() as connection:
                landing.note_reading(connection, source, datetime.now(UTC), None if error is None else str(error))
    return errors


def _land_source(
    writer: Writer,
    home: Home,
    settings: Settings,
    event_type: EventType,
    source: str,
    progress: Progress,
    *,
    fetches: bool,
) -> None:
    if source == APM:
        _land_exports(writer, home, settings, progress)
    elif source in _EVENT_SOURCES:
        folder = home.raw / source
        if fetches:
            _fetch_events(home, event_type, folder)
        _land_segments(writer, settings, event_type, source, folder, progress)
    else:
        raise ConfigError(
            f"{source}: this version cannot pull it yet; select another with `dora select {event_type}s SOURCE`"
        )


def _land_exports(writer: Writer, home: Home, settings: Settings, progress: Progress) -> None:
    files = export_files(home.exports(settings))
    same = copies(files)
    told = {file.name: Input(file.name, file.size, file.modified_at, same.get(file.name)) for file in files}
    known = landing.known_inputs(writer.connection, APM)
    changed = [file for file in files if known.get(file.name) != told[file.name]]
    gone = [name for name in known if name not in told]
    total = len(changed) + len(gone)
    for done, name in enumerate(gone):
        progress.step("read APM exports", done, total)
        with writer.transaction() as connection:
            _land_nothing(writer, name)
            landing.forget_input(connection, APM, name)
    for done, file in enumerate(changed, start=len(gone)):
        progress.step("read APM exports", done, total)
        _land_export(writer, settings, file, told[file.name], progress)
    if total:
        progress.step("read APM exports", total, total)
    apm = settings.sources.apm_deployment_tracking
    with writer.transaction() as connection:
        landing.infer_deployments(connection, microseconds(apm.quiet_gap), microseconds(settings.merge_window))


def _land_export(writer: Writer, settings: Settings, file: ExportFile, told: Input, progress: Progress) -> None:
    if told.content_of is not None:
        progress.note(f"{file.name} has the same content as {told.content_of}; it is counted once")
        with writer.transaction() as connection:
            _land_nothing(writer, file.name)
            landing.note_input(connection, APM, told, 0)
        return
    try:
        reading = read_export(file, settings)
    except SourceUnavailable as error:
        progress.note(str(error))
        with writer.transaction() as connection:
            landing.reject_input(connection, file.name, _unreadable(file, settings, error))
            landing.forget_input(connection, APM, file.name)
        return
    with writer.transaction() as connection:
        landing.land_export(connection, file.name, reading.activity, reading.deployments, reading.rejected)
        if reading.is_complete:
            landing.note_input(connection, APM, told, reading.records)
        else:
            # It is still being written: what is there counts, and the next run reads it again.
            progress.note(f"{file.name} changed while it was read; the next run reads it again")
            landing.forget_input(connection, APM, file.name)


def _land_nothing(writer: Writer, name: str) -> None:
    landing.land_export(
        writer.connection,
        name,
        empty_frame(LandedVersionActivity).drop("input"),
        empty_frame(LandedDeployments).drop("input"),
        empty_frame(LandedRejects).drop("input"),
    )


def _unreadable(file: ExportFile, settings: Settings, error: SourceUnavailable) -> pl.DataFrame:
    payload = pl.Series([{"error": without_credentials(str(error))}]).struct.json_encode()
    return pl.DataFrame(
        {
            "source": APM,
            "record": "file",
            "event_type": "deployment",
            "reason": "file_unreadable",
            "payload": payload,
            "detected_at": file.modified_at,
            "day": day_of(file.modified_at, settings.zone),
        },
        schema_overrides={"detected_at": pl.Datetime("us", "UTC")},
    ).with_columns(service=pl.lit(None, pl.String), occurred_at=pl.lit(None, pl.Datetime("us", "UTC")))


def _fetch_events(home: Home, event_type: EventType, folder: Path) -> None:
    known = segments(folder)
    last = known[-1].last if known else 0
    with EventStore.at(home) as store:
        while told := store.changed_since(event_type, last, _BATCH):
            records = [
                RawRecord(e.sequence, e.event_id, e.received_at, e.changed_at, e.is_deleted, e.attributes) for e in told
            ]
            last = write_segment(folder, records).last


def _land_segments(
    writer: Writer, settings: Settings, event_type: EventType, source: str, folder: Path, progress: Progress
) -> None:
    known = landing.known_inputs(writer.connection, source)
    fresh = [segment for segment in segments(folder) if _input_name(source, segment) not in known]
    lands = landing.land_deployments if event_type == "deployment" else landing.land_failures
    for done, segment in enumerate(fresh, start=1):
        records = read_segment(source, segment)
        normalized = _EVENT_SOURCES[source](records, settings)
        name = _input_name(source, segment)
        stat = segment.path.stat()
        modified_at = datetime.fromtimestamp(stat.st_mtime, UTC)
        with writer.transaction() as connection:
            lands(connection, source, name, records["record_id"], normalized.events, normalized.rejected)
            landing.note_input(connection, source, Input(name, stat.st_size, modified_at), records.height)
        progress.step(f"read {source}", done, len(fresh))


def _input_name(source: str, segment: Segment) -> str:
    return f"raw/{source}/{segment.path.name}"
