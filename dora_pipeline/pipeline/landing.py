"""Landing: bring everything that the selected sources have told since the last run into schema `landing`."""

from datetime import UTC, datetime, timedelta

from dora_pipeline.catalog import Catalog
from dora_pipeline.config import Home, Settings
from dora_pipeline.errors import ConfigError, DoraError, SourceError
from dora_pipeline.pipeline.events import land_pulled_events, land_sent_events
from dora_pipeline.pipeline.exports import land_exports
from dora_pipeline.pipeline.progress import Progress
from dora_pipeline.pipeline.pulling import pull_sightings
from dora_pipeline.selection import SOURCES_OF, EventType, SelectionLog
from dora_pipeline.sources.registry import PULL_SOURCES, is_pulled
from dora_pipeline.warehouse import inputs, judgement
from dora_pipeline.warehouse.landing import APM
from dora_pipeline.warehouse.writer import Writer

# A previous deployment that is older brings no lead time (the rule of Datadog's change lead time).
LONGEST_GAP = timedelta(days=60)

_SENT = ("deployment_event_api", "failure_event_api")
_MICROSECOND = timedelta(microseconds=1)


def microseconds(duration: timedelta) -> int:
    """A duration in whole microseconds."""
    return duration // _MICROSECOND


def land(
    writer: Writer,
    home: Home,
    settings: Settings,
    catalog: Catalog,
    log: SelectionLog,
    progress: Progress,
    *,
    fetches: bool,
) -> list[DoraError]:
    """Land every source that was ever selected. `fetches` False reads only what is in the home folder already.

    A source that was selected once stays populated when another takes its place: a switch back loses nothing.
    A source that fails does not keep the others from landing: its error is noted and returned.
    """
    errors: list[DoraError] = []
    for event_type, names in SOURCES_OF.items():
        for source in names:
            selected_at = log.first_selected_at(source)
            if selected_at is None:
                continue
            error: DoraError | None = None
            try:
                _land_source(
                    writer, home, settings, catalog, event_type, source, selected_at, progress, fetches=fetches
                )
            except (SourceError, ConfigError) as raised:
                error = raised
                errors.append(raised)
            with writer.transaction() as connection:
                inputs.note_reading(connection, source, datetime.now(UTC), None if error is None else str(error))
    quiet_gap = microseconds(settings.sources.apm_deployment_tracking.quiet_gap)
    merge_window = microseconds(settings.merge_window)
    with writer.transaction() as connection:
        judgement.infer_deployments(connection, quiet_gap, merge_window)
        judgement.judge_deployments(connection, merge_window, microseconds(LONGEST_GAP))
    return errors


def _land_source(
    writer: Writer,
    home: Home,
    settings: Settings,
    catalog: Catalog,
    event_type: EventType,
    source: str,
    selected_at: datetime,
    progress: Progress,
    *,
    fetches: bool,
) -> None:
    if source == APM:
        folder = home.raw / APM / "sightings"
        if fetches and is_pulled(source, settings):
            pull_sightings(folder, settings, selected_at, progress)
        land_exports(writer, home.exports(settings), settings.sources.apm_deployment_tracking.path, settings, progress)
        land_exports(writer, folder, folder.relative_to(home.path).as_posix(), settings, progress)
    if source in _SENT:
        land_sent_events(writer, home, settings, event_type, source, progress, fetches=fetches)
    # What was pulled once stays, also when pulling is switched off.
    pulls = fetches and is_pulled(source, settings)
    land_pulled_events(
        writer, home, settings, catalog, event_type, PULL_SOURCES[source], selected_at, progress, pulls=pulls
    )
