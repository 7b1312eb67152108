"""Landing: bring everything that the selected sources have told since the last run into schema `landing`."""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.errors import (
    ConfigError,
    DoraError,
    SourceBroken,
    SourceError,
    SourceIncomplete,
    SourceUnavailable,
    forbidden_file,
)
from dora_pipeline.identifiers import without_secrets
from dora_pipeline.pipeline.deliveries import land_deliveries, missing_secrets
from dora_pipeline.pipeline.events import day_files, land_pulled_events, land_sent_events
from dora_pipeline.pipeline.pulling import pull_sightings
from dora_pipeline.pipeline.segments import input_of
from dora_pipeline.pipeline.session import Session
from dora_pipeline.sources.apm.settings import apm_settings, export_folder, link_targets
from dora_pipeline.sources.manifest import Manifest
from dora_pipeline.sources.raw import segment_at
from dora_pipeline.sources.registry import SOURCES
from dora_pipeline.sources.source import Source
from dora_pipeline.timeline import microseconds
from dora_pipeline.warehouse import inputs, judgement, links
from dora_pipeline.warehouse.landing import APM
from dora_pipeline.warehouse.shrinkage import unlanded_files
from dora_pipeline.warehouse.writer import Writer, concerns_all

# A previous deployment that is older brings no lead time (the rule of Datadog's change lead time).
LONGEST_GAP = timedelta(days=60)

# Some libraries put whole frames into their messages.
_LONGEST_MESSAGE = 300


def land(session: Session) -> dict[str, DoraError]:
    """Land every source that was ever selected.

    A source that was selected once stays populated when another takes its place: a switch back loses nothing.
    A source that fails, in whatever way, does not keep the others from landing: its error is noted, and returned by
    the name of the source. Raises only what concerns them all, such as a full disk.
    """
    errors: dict[str, DoraError] = {}
    for name, source in SOURCES.items():
        if session.log.first_selected_at(name) is None:
            continue
        error = _error_of_landing(session, source)
        if error is not None:
            errors[name] = error
        with session.writer.transaction() as connection:
            inputs.note_reading(connection, name, datetime.now(UTC), None if error is None else str(error))
    return errors


def judge(writer: Writer, settings: Settings) -> None:
    """Infer deployments from the sightings that have landed, and judge all deployments that are new or changed."""
    quiet_gap = microseconds(apm_settings(settings).quiet_gap)
    merge_window = microseconds(settings.merge_window)
    with writer.transaction() as connection:
        judgement.infer_deployments(connection, writer.engine, quiet_gap, merge_window)
        judgement.judge_deployments(connection, writer.engine, merge_window, microseconds(LONGEST_GAP))
        judgement.judge_failures(connection, writer.engine)


def link(writer: Writer, settings: Settings) -> None:
    """Link the failures that are new, or that anything changed for, to the deployments that most likely caused them."""
    with writer.transaction() as connection:
        links.link_failures(
            connection, writer.engine, microseconds(settings.link_window), microseconds(settings.link_slack)
        )


def _error_of_landing(session: Session, source: Source[Any]) -> DoraError | None:
    try:
        _land_source(session, source)
    except (SourceError, ConfigError) as error:
        return error
    # A panic inside Polars is no Exception, but is of the same kind.
    except (Exception, pl.exceptions.PanicException) as error:
        if isinstance(error, Exception) and concerns_all(error):
            raise
        broken = SourceBroken(source.name, _words(error))
        broken.__cause__ = error
        return broken
    return None


def _words(error: BaseException) -> str:
    if forbidden := forbidden_file(error):
        return forbidden
    first = (without_secrets(str(error)).strip().splitlines() or ["no message"])[0]
    said = first if len(first) <= _LONGEST_MESSAGE else f"{first[:_LONGEST_MESSAGE]}…"
    return f"{type(error).__name__}: {said} (not expected; `dora --debug run` shows where)"


def _land_source(session: Session, declared: Source[Any]) -> None:
    source, manifest = declared.name, Manifest(session.home.raw)
    missing = _missing_files(session, source, manifest)
    if missing and session.accepts_shrink and not session.fetches:
        _go_on_without(session, declared, missing)
        missing = []
    try:
        # What stands in their place could not be told from what was there.
        _land_what_is_there(session, declared, is_whole=all(map(segment_at, missing)))
    finally:
        manifest.add_present(source)
    for path in missing:
        if path.exists():
            session.progress.note(f"{source}: {path} was missing, and was read again from the intake's store")
    missing = [path for path in missing if not path.exists()]
    if missing:
        raise _incomplete(source, missing)


def _incomplete(source: str, missing: Sequence[Path]) -> SourceIncomplete:
    return SourceIncomplete(
        source,
        f"{_named(missing)}; restore from a backup and run again, or, if that cannot be, "
        "go on without it by `dora run --rebuild --accept-shrink`; the next run then asks for what the intake's "
        "store, or the source, still holds",
    )


def _go_on_without(session: Session, source: Source[Any], missing: Sequence[Path]) -> None:
    Manifest(session.home.raw).give_up(source.name, missing)
    day_files(session, source).pull_from_the_beginning()
    session.progress.note(f"{source.name}: goes on without {_named(missing)}")


def lost_files(session: Session) -> list[SourceIncomplete]:
    """What is missing from the raw layer by what people see, an error for each source, where all has landed anew.

    So it is noticed where the manifest is gone, too. A run that accepts losses goes on without. A segment whose records
    have all landed by others, as of a store that was read again, is not missed.
    """
    with session.writer.published() as is_there:
        found = unlanded_files(session.writer) if is_there else []
    missing: dict[str, list[Path]] = defaultdict(list)
    for source, name, records in found:
        path = session.home.path / name
        is_missed = records or not segment_at(path)
        if is_missed and not path.exists() and path not in Manifest(session.home.raw).lost(source):
            missing[source].append(path)
    if session.accepts_shrink:
        for source, paths in missing.items():
            _go_on_without(session, SOURCES[source], paths)
        return []
    return [_incomplete(source, paths) for source, paths in missing.items()]


def _missing_files(session: Session, source: str, manifest: Manifest) -> list[Path]:
    """The files of the raw layer that are known, by the manifest or by having landed, and are not there."""
    # Of exports, which are none of it, there may be very many.
    names = inputs.known_inputs(session.writer.connection, source, f"{session.home.raw.name}/")
    landed = [path for path in map(session.home.path.joinpath, names) if not path.exists()]
    return sorted({*manifest.missing(source), *landed} - {*manifest.lost(source)})


def _named(missing: Sequence[Path]) -> str:
    more = f", and so are {len(missing) - 1:,} more files" if missing[1:] else ""
    return f"{missing[0]} was read before and is missing{more}"


def _land_what_is_there(session: Session, source: Source[Any], *, is_whole: bool) -> None:
    if source.name == APM:
        _land_sightings(session, is_whole=is_whole)
    events = source.reader().events
    if events is not None and events.is_sent:
        land_sent_events(session, source)
    asks = session.fetches and is_whole
    if source.reader().webhook_changes is not None and is_whole:
        land_deliveries(session, source)
        if asks and (missing := missing_secrets(session, source)):
            asks = False
            session.progress.note(
                f"{source.name}: {' and '.join(missing)} is not set; its webhooks alone tell what happens"
            )
    land_pulled_events(session, source, asks=asks)


def _land_sightings(session: Session, *, is_whole: bool) -> None:
    # Only exports are read with PyArrow, which takes long to import.
    from dora_pipeline.pipeline.exports import land_exports

    home, settings = session.home, session.settings
    section = apm_settings(settings)
    # A source that is not selected any more, or is pulled, may well have none.
    expects_some = APM in session.log.selected("deployment") and not section.pull_from_datadog
    targets = link_targets(home, settings)
    land_exports(session, export_folder(home, settings), section.path, targets, expects_some=expects_some)
    if not is_whole:
        # Of an export that is not there any more, nothing would stay.
        return
    folder = home.raw / APM / "sightings"
    try:
        if session.fetches and section.pull_from_datadog:
            pull_sightings(session, APM, folder)
    finally:
        _check_sightings(session, folder)
        land_exports(session, folder, folder.relative_to(home.path).as_posix())


def _check_sightings(session: Session, folder: Path) -> None:
    """Of an export that cannot be read nothing is known, and it is rejected; of these all was known."""
    known = inputs.known_inputs(session.writer.connection, APM, f"{session.home.raw.name}/")
    for path in sorted(folder.glob("*.json")):
        entry = input_of(session.home, path)
        if known.get(entry.name) != entry:
            try:
                json.loads(path.read_bytes())
            except (OSError, ValueError) as error:
                raise SourceUnavailable(
                    APM, f"{path}: cannot be read ({error}); restore the file from a backup and run again"
                ) from error
