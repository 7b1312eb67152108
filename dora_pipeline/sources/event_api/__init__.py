"""The Deployment and Failure Event API: events that are sent to our own intake, or pulled from Datadog's lists."""

from dora_pipeline.config import FailureSection
from dora_pipeline.sources.datadog.settings import SECRETS, AlsoOnDatadog
from dora_pipeline.sources.source import EventReading, Reader, Source, reader_of_events


class FailureEventSettings(AlsoOnDatadog, FailureSection):
    """`sources.failure_event_api`."""


def _deployments() -> Reader:
    from dora_pipeline.sources.datadog.dora_events import event_records
    from dora_pipeline.sources.datadog.dora_lists import list_of_deployments
    from dora_pipeline.sources.event_api.deployments import normalize_deployments

    connect = list_of_deployments(DEPLOYMENT_EVENT_API.name, "-source:apm_deployments")
    return reader_of_events(connect, EventReading(event_records, normalize_deployments, is_sent=True))


def _failures() -> Reader:
    from dora_pipeline.sources.datadog.dora_events import event_records
    from dora_pipeline.sources.datadog.dora_lists import list_of_failures
    from dora_pipeline.sources.event_api.failures import normalize_failures

    connect = list_of_failures(FAILURE_EVENT_API.name)
    return reader_of_events(connect, EventReading(event_records, normalize_failures, is_sent=True))


DEPLOYMENT_EVENT_API = Source(
    name="deployment_event_api",
    event_type="deployment",
    settings=AlsoOnDatadog,
    lineage="sent to the intake, or pulled from Datadog",
    kind="api",
    secrets=SECRETS,
    reader=_deployments,
    is_pulled=lambda section: section.pull_from_datadog,
    id_prefix="",
)

FAILURE_EVENT_API = Source(
    name="failure_event_api",
    event_type="failure",
    settings=FailureEventSettings,
    lineage="sent to the intake, or pulled from Datadog",
    kind="api",
    secrets=SECRETS,
    reader=_failures,
    is_pulled=lambda section: section.pull_from_datadog,
    id_prefix="",
)

__all__ = ["DEPLOYMENT_EVENT_API", "FAILURE_EVENT_API"]
