"""The sources, in the order in which users see them. To add one: its folder, and a line here."""

from collections.abc import Mapping
from typing import Any

from dora_pipeline.identifiers import EventType
from dora_pipeline.sources.apm import APM_DEPLOYMENT_TRACKING
from dora_pipeline.sources.datadog import DATADOG_INCIDENTS
from dora_pipeline.sources.event_api import DEPLOYMENT_EVENT_API, FAILURE_EVENT_API
from dora_pipeline.sources.pagerduty import PAGERDUTY
from dora_pipeline.sources.source import Source
from dora_pipeline.sources.statuspage import STATUSPAGE

SOURCES: Mapping[str, Source[Any]] = {
    source.name: source
    for source in (
        APM_DEPLOYMENT_TRACKING,
        DEPLOYMENT_EVENT_API,
        DATADOG_INCIDENTS,
        PAGERDUTY,
        STATUSPAGE,
        FAILURE_EVENT_API,
    )
}


def sources_of(event_type: EventType) -> tuple[str, ...]:
    """The names of the sources of deployments or failures."""
    return tuple(source.name for source in SOURCES.values() if source.event_type == event_type)
