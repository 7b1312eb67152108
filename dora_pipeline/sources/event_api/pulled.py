"""Events of the Deployment and Failure Event API that were sent to Datadog, pulled from its lists."""

import polars as pl

from dora_pipeline.catalog import Catalog
from dora_pipeline.config import Settings
from dora_pipeline.sources.datadog.dora_events import event_records
from dora_pipeline.sources.event_api.deployments import normalize_deployments
from dora_pipeline.sources.event_api.failures import normalize_failures
from dora_pipeline.sources.source import Normalized


def normalize_pulled_deployments(records: pl.DataFrame, settings: Settings, catalog: Catalog) -> Normalized:
    """Rows of `landing.deployments`, and rejects, from deployments of the list (`source.PULLED_SCHEMA`).

    The rules are those of `normalize_deployments`; an event that is gone at the source gives nothing.
    """
    return normalize_deployments(event_records(records), settings)


def normalize_pulled_failures(records: pl.DataFrame, settings: Settings, catalog: Catalog) -> Normalized:
    """Rows of `landing.failures`, and rejects, from failures of the list; rules and deletions as for deployments."""
    return normalize_failures(event_records(records), settings)
