"""Deployments that Datadog inferred from APM, pulled from its list."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from dora_pipeline.catalog import Catalog
from dora_pipeline.config import Settings
from dora_pipeline.sources.apm.settings import ID_PREFIX, SOURCE
from dora_pipeline.sources.datadog.dora_events import event_attributes, event_records
from dora_pipeline.sources.event_api.deployments import normalize_deployments
from dora_pipeline.sources.source import Normalized


def normalize_listed(records: pl.DataFrame, settings: Settings, catalog: Catalog) -> Normalized:
    """As deployments of the Event API, which they are in all but that they have no length."""
    normalized = normalize_deployments(event_records(records, _attributes), settings)
    source = pl.lit(SOURCE)
    return Normalized(
        events=normalized.events.with_columns(source=source, deployment_id=ID_PREFIX + pl.col("deployment_id")),
        rejected=normalized.rejected.with_columns(source=source),
    )


def _attributes(event: Mapping[str, Any]) -> object:
    fields = event_attributes(event)
    if isinstance(fields, dict) and not fields.get("finished_at"):
        return fields | {"finished_at": fields.get("started_at")}
    return fields
