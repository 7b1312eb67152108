"""Landing: bring everything that the selected sources have told since the last run into schema `landing`."""

from datetime import UTC, datetime, timedelta

import polars as pl

from dora_pipeline.errors import ConfigError, DoraError, SourceBroken, SourceError
from dora_pipeline.identifiers import without_secrets
from dora_pipeline.pipeline.deliveries import lacks_token, land_deliveries
from dora_pipeline.pipeline.events import SENT_SOURCES, land_pulled_events, land_sent_events
from dora_pipeline.pipeline.exports import land_exports
from dora_pipeline.pipeline.pulling import pull_sightings
from dora_pipeline.pipeline.session import Session
from dora_pipeline.selection import SOURCES_OF, EventType
from dora_pipeline.sources.registry import PULL_SOURCES, is_pulled
from dora_pipeline.warehouse import inputs, judgement
from dora_pipeline.warehouse.landing import APM
from dora_pipeline.warehouse.writer import concerns_all

# A previous deployment that is older brings no lead time (the rule of Datadog's change lead time).
LONGEST_GAP = timedelta(days=60)

# Some libraries put whole frames into their messages.
_LONGEST_MESSAGE = 300
_MICROSECOND = timedelta(microseconds=1)


def microseconds(duration: timedelta) -> int:
    """A duration in whole microseconds."""
    return duration // _MICROSECOND


def land(session: Session) -> dict[str, DoraError]:
    """Land every source that was ever selected.

    A source that was selected once stays populated when another takes its place: a switch back loses nothing.
    A source that fails, in whatever way, does not keep the others from landing: its error is noted, and returned by
    the name of the source. Raises only what concerns them all, such as a full disk.
    """
    errors: dict[str, DoraError] = {}
    for event_type, names in SOURCES_OF.items():
        for source in names:
            if session.log.first_selected_at(source) is None:
                continue
            error = _error_of_landing(session, event_type, source)
            if error is not None:
                errors[source] = error
            with session.writer.transaction() as connection:
                inputs.note_reading(connection, source, datetime.now(UTC), None if error is None else str(error))
    quiet_gap = microseconds(session.settings.sources.apm_deployment_tracking.quiet_gap)
    merge_window = microseconds(session.settings.merge_window)
    with session.writer.transaction() as connection:
        judgement.infer_deployments(connection, quiet_gap, merge_window)
        judgement.judge_deployments(connection, merge_window, microseconds(LONGEST_GAP))
    return errors


def _error_of_landing(session: Session, event_type: EventType, source: str) -> DoraError | None:
    try:
        _land_source(session, event_type, source)
    except (SourceError, ConfigError) as error:
        return error
    # A panic inside Polars is no Exception, but is of the same kind.
    except (Exception, pl.exceptions.PanicException) as error:
        if isinstance(error, Exception) and concerns_all(error):
            raise
        broken = SourceBroken(source, _words(error))
        broken.__cause__ = error
        return broken
    return None


def _words(error: BaseException) -> str:
    first = (without_secrets(str(error)).strip().splitlines() or ["no message"])[0]
    told = first if len(first) <= _LONGEST_MESSAGE else f"{first[:_LONGEST_MESSAGE]}…"
    return f"{type(error).__name__}: {told} (not expected; `dora --debug run` shows where)"


def _land_source(session: Session, event_type: EventType, source: str) -> None:
    if source == APM:
        _land_sightings(session)
    if source == SENT_SOURCES[event_type]:
        land_sent_events(session, event_type, source)
    pulled, asks = PULL_SOURCES[source], session.fetches
    if pulled.webhook is not None:
        land_deliveries(session, pulled, pulled.webhook)
        if asks and lacks_token(session, pulled, pulled.webhook):
            asks = False
            session.progress.note(f"{source}: {pulled.webhook.token} is not set; its webhooks alone tell what happens")
    land_pulled_events(session, event_type, pulled, asks=asks)


def _land_sightings(session: Session) -> None:
    home, settings = session.home, session.settings
    path = settings.sources.apm_deployment_tracking.path
    land_exports(session, home.exports(settings), path, home.link_targets(settings))
    folder = home.raw / APM / "sightings"
    try:
        if session.fetches and is_pulled(APM, settings):
            pull_sightings(session, APM, folder)
    finally:
        land_exports(session, folder, folder.relative_to(home.path).as_posix())
