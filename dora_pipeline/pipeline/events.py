"""Landing of events: those sent to the intake, those pulled from vendors, and those of exports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from dora_pipeline.pipeline.identities import Settled, settle
from dora_pipeline.pipeline.pulling import Held, pull
from dora_pipeline.pipeline.segments import fresh_segments, input_of
from dora_pipeline.pipeline.session import Session
from dora_pipeline.sources.day_files import DayFiles
from dora_pipeline.sources.source import EventReading, Normalized, Source
from dora_pipeline.warehouse import inputs, landing, links
from dora_pipeline.warehouse.event_records import has_event_records
from dora_pipeline.warehouse.inputs import Input
from dora_pipeline.warehouse.writer import Writer

_BATCH_OF_DAYS = 60


_LANDS = {"deployment": landing.land_deployments, "failure": landing.land_failures}


def land_sent_events(session: Session, source: Source[Any]) -> None:
    """Bring what the intake received since the last time into segments of the raw layer, and land the new segments."""
    for entry, records in fresh_segments(session, source.event_type, source.name, session.home.raw / source.name):
        change = changed_events(session, source, records)
        with session.writer.transaction() as connection:
            land_change(connection, source, change)
            inputs.note_input(connection, source.name, entry, records.height)


@dataclass(frozen=True)
class ChangedEvents:
    """What records of a source change: what its events become, and what they are made of from now on."""

    settled: Settled
    normalized: Normalized


def changed_events(
    session: Session, source: Source[Any], records: pl.DataFrame, files: Sequence[str] | None = None
) -> ChangedEvents | None:
    """What records change of a source whose events come by several doors; `records` and `files` as for `settle`.

    None where there is nothing, as of exports that hold sightings alone.
    """
    events = source.reader().events
    assert events is not None
    connection, settings = session.writer.connection, session.settings
    if records.is_empty() and not has_event_records(connection, source.name, files or ()):
        return None
    settled = settle(connection, source.event_type, source.name, records, settings, events.normalize, files)
    return ChangedEvents(settled, events.normalize(settled.events, settings))


def land_change(connection: duckdb.DuckDBPyConnection, source: Source[Any], change: ChangedEvents | None) -> None:
    """Land what `changed_events` gave last."""
    if change is None:
        return
    settled, normalized = change.settled, change.normalized
    _LANDS[source.event_type](connection, source.name, settled.ids, normalized.events, normalized.rejected)
    if source.event_type == "deployment":
        links.wait_for_names(connection, settled.ids)
    settled.known.put(settled.records)


def land_segment(
    session: Session, source: Source[Any], entry: Input, records: pl.DataFrame, normalized: Normalized
) -> None:
    """Land what the records of a segment became."""
    where = records.select("input", id="record_id")
    _land(session.writer, source, [(entry, records.height)], where, normalized)


def day_files(session: Session, source: Source[Any]) -> DayFiles:
    """The day files of a source, by a session's settings and catalog."""
    normalize = source.reader().normalize

    def unusable(records: pl.DataFrame) -> pl.Series:
        rejected = normalize(records, session.settings, session.catalog).rejected
        return rejected["record"].str.strip_prefix(source.event_prefix())

    return DayFiles(session.home.raw / source.name, source.name, session.settings.zone, unusable)


def land_pulled_events(session: Session, source: Source[Any], *, asks: bool) -> None:
    """Pull a source into its day files, and land the files that changed; those of whole windows also when it fails.

    `asks` False: nothing is asked of the source; what its files hold serves.
    """
    files = day_files(session, source)
    known_in = files.settled()
    # Which failures are open is known of what has landed.
    _land_day_files(session, source, files)
    # What was pulled once stays, also when pulling is switched off.
    if asks and source.is_to_be_pulled(session.settings):
        open_ids = landing.open_failures(session.writer.connection, source.name)
        open_records = [event_id.removeprefix(source.event_prefix()) for event_id in open_ids]
        held = Held(known_in, [record_id for record_id in open_records if record_id in known_in])
        try:
            pull(session, source, files, held)
        finally:
            _land_day_files(session, source, files)


def _land_day_files(session: Session, source: Source[Any], files: DayFiles) -> None:
    known = inputs.known_inputs(session.writer.connection, source.name, f"{session.home.raw.name}/")
    entries = {path: input_of(session.home, path) for path in files.paths()}
    changed = [path for path, now in entries.items() if known.get(now.name) != now]
    reader = source.reader()
    context = timedelta(days=reader.context_days)
    stale = [path for path in entries if any(abs(_day(path) - _day(other)) <= context for other in changed)]
    for start in range(0, len(stale), _BATCH_OF_DAYS):
        batch = stale[start : start + _BATCH_OF_DAYS]
        near = [path for path in entries if _day(batch[0]) - context <= _day(path) <= _day(batch[-1]) + context]
        frames = {path: files.frame(path) for path in near}
        inputs_of_batch = [(entries[path], frames[path].height) for path in batch]
        if reader.events is not None:
            records = pl.concat(
                _listed(reader.events, files, path, frames[path]).with_columns(input=pl.lit(entries[path].name))
                for path in batch
            )
            change = changed_events(session, source, records, [entries[path].name for path in batch])
            with session.writer.transaction() as connection:
                land_change(connection, source, change)
                inputs.note_inputs(connection, source.name, inputs_of_batch)
        else:
            normalized = _normalized(session, source, files, frames)
            where = pl.concat(
                _event_ids(source, frames[path]["record_id"]).with_columns(input=pl.lit(entries[path].name))
                for path in batch
            )
            _land(session.writer, source, inputs_of_batch, where, normalized)
        session.progress.step(f"read {source.name}", start + len(batch), len(stale))


def _listed(events: EventReading, files: DayFiles, path: Path, newest: pl.DataFrame) -> pl.DataFrame:
    """The records of a file; of one whose newest version was unusable when it came, the last usable one, too."""
    versions = (files.usable_frame(path), newest)
    return pl.concat(
        events.listed(frame).with_columns(sequence=pl.lit(place, dtype=pl.Int64))
        for place, frame in enumerate(versions)
    )


def _normalized(
    session: Session, source: Source[Any], files: DayFiles, frames: Mapping[Path, pl.DataFrame]
) -> Normalized:
    """What the records of some files become; one whose newest version is rejected, what its last usable one does."""
    normalize, records = source.reader().normalize, pl.concat(frames.values())
    newest = normalize(records, session.settings, session.catalog)
    is_rejected = pl.col("record_id").is_in(newest.rejected["record"].implode())
    concerned = [path for path, frame in frames.items() if not frame.filter(is_rejected).is_empty()]
    usable = pl.concat([records.clear(), *map(files.usable_frame, concerned)]).filter(is_rejected)
    if usable.is_empty():
        return newest
    replaced = usable["record_id"].implode()
    others = records.filter(~pl.col("record_id").is_in(replaced))
    standing = normalize(pl.concat([others, usable]), session.settings, session.catalog)
    is_replaced = pl.col("record").is_in(replaced)
    rejected = [newest.rejected.filter(is_replaced), standing.rejected.filter(~is_replaced)]
    return Normalized(standing.events, pl.concat(rejected))


def _event_ids(source: Source[Any], record_ids: pl.Series) -> pl.DataFrame:
    """The ids of records, by which rejects know them, and those of their events."""
    return pl.concat([record_ids, source.event_prefix() + record_ids]).unique().alias("id").to_frame()


def _day(path: Path) -> date:
    return date.fromisoformat(path.name.partition(".")[0])


def _land(
    writer: Writer,
    source: Source[Any],
    entries: Sequence[tuple[Input, int]],
    where: pl.DataFrame,
    normalized: Normalized,
) -> None:
    """Land the rows of inputs, told with their numbers of records.

    `where` says which ids each holds (id, input); rows of other ids are left out.
    """
    named = pl.exclude("input")
    events = normalized.events.select(named).join(where, left_on=f"{source.event_type}_id", right_on="id")
    rejected = normalized.rejected.select(named).join(where, left_on="record", right_on="id")
    with writer.transaction() as connection:
        _LANDS[source.event_type](connection, source.name, where["id"], events, rejected)
        inputs.note_inputs(connection, source.name, entries)
