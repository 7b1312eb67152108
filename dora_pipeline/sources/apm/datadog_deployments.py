"""Ready deployments of APM: those of exports, and those that Datadog inferred and lists, become rows alike."""

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.sources.apm.settings import ID_PREFIX, SOURCE
from dora_pipeline.sources.datadog.dora_events import event_records
from dora_pipeline.sources.event_api.deployments import normalize_deployments
from dora_pipeline.sources.source import Normalized


def listed_deployments(records: pl.DataFrame) -> pl.DataFrame:
    """Deployments of Datadog's list as `event_records`, under the ids of this source."""
    return event_records(records).with_columns(record_id=ID_PREFIX + pl.col("record_id"))


def normalize_apm_deployments(records: pl.DataFrame, settings: Settings) -> Normalized:
    """As deployments of the Event API, which they are in all but that they have no length."""
    return normalize_deployments(records, settings, source=SOURCE, has_length=False)
