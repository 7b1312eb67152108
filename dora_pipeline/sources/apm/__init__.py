"""Deployments that APM sees: sightings of versions in exports or pulled from Datadog, and ready events of either."""

from dora_pipeline.sources.apm.settings import ID_PREFIX, SOURCE, ApmSettings
from dora_pipeline.sources.datadog.settings import SECRETS
from dora_pipeline.sources.source import EventReading, Reader, Source, reader_of_events


def _reader() -> Reader:
    """How Datadog's list of ready events is read; sightings land in a way of their own (`pipeline/exports.py`)."""
    from dora_pipeline.sources.apm.deployments import listed_deployments, normalize_apm_deployments
    from dora_pipeline.sources.datadog.dora_lists import list_of_deployments

    events = EventReading(listed_deployments, normalize_apm_deployments, is_sent=False)
    return reader_of_events(list_of_deployments(SOURCE, "source:apm_deployments"), events)


APM_DEPLOYMENT_TRACKING = Source(
    name=SOURCE,
    event_type="deployment",
    settings=ApmSettings,
    lineage="exports in `exports/apm/`, or pulled from Datadog",
    kind="json",
    secrets=SECRETS,
    reader=_reader,
    is_pulled=lambda section: section.pull_from_datadog,
    id_prefix=ID_PREFIX,
)

__all__ = ["APM_DEPLOYMENT_TRACKING"]
