"""Datadog: its incidents, a source, and the way to its lists of deployments and failures, which other sources pull."""

from dora_pipeline.sources.datadog.settings import SECRETS, SOURCE, DatadogIncidentsSettings
from dora_pipeline.sources.source import Reader, Source


def _reader() -> Reader:
    from dora_pipeline.sources.datadog.incident_failures import normalize_incidents
    from dora_pipeline.sources.datadog.incidents import connect

    return Reader(connect, normalize_incidents)


DATADOG_INCIDENTS = Source(
    name=SOURCE,
    event_type="failure",
    settings=DatadogIncidentsSettings,
    lineage="pulled from the Incidents API; time to restore is the time in state `active`",
    kind="datadog",
    secrets=SECRETS,
    reader=_reader,
)

__all__ = ["DATADOG_INCIDENTS"]
