"""The sources that are pulled. To add one: a module that declares it, and a line here."""

from collections.abc import Mapping

from dora_pipeline.config import Settings
from dora_pipeline.sources.datadog.dora_lists import APM_DEPLOYMENTS, DEPLOYMENT_EVENTS, FAILURE_EVENTS
from dora_pipeline.sources.datadog.incidents import DATADOG_INCIDENTS
from dora_pipeline.sources.pagerduty import PAGERDUTY
from dora_pipeline.sources.source import PullSource

PULL_SOURCES: Mapping[str, PullSource] = {
    source.name: source for source in (APM_DEPLOYMENTS, DEPLOYMENT_EVENTS, DATADOG_INCIDENTS, PAGERDUTY, FAILURE_EVENTS)
}


def is_pulled(source: str, settings: Settings) -> bool:
    """Whether to pull a source: always one that has no other way, the others where `pull_from_datadog` says so."""
    sources = settings.sources
    choices = {
        APM_DEPLOYMENTS.name: sources.apm_deployment_tracking.pull_from_datadog,
        DEPLOYMENT_EVENTS.name: sources.deployment_event_api.pull_from_datadog,
        FAILURE_EVENTS.name: sources.failure_event_api.pull_from_datadog,
    }
    return choices.get(source, True)
