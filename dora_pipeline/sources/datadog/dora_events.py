"""Events of Datadog's lists, in the words in which our own intake is told of events; their rules are the same.

Lists may hold `service`, `env` and `team` in arrays. A row has one env and one team: of several, each is a tag
`env:…` or `team:…` and the column is NULL.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import polars as pl

from dora_pipeline.catalog import Catalog
from dora_pipeline.config import Settings
from dora_pipeline.sources.event_api.deployments import normalize_deployments
from dora_pipeline.sources.event_api.failures import normalize_failures
from dora_pipeline.sources.event_rules import Normalized
from dora_pipeline.sources.raw import RECORD_SCHEMA
from dora_pipeline.timeline import InstantError, instant

_APM = "apm_deployment_tracking"
# How programs in Go write a time that is not set.
_UNSET = "0001-01-01T00:00:00Z"
_TIMES = ("started_at", "finished_at", "created_at")


def normalize_pulled_deployments(records: pl.DataFrame, settings: Settings, catalog: Catalog) -> Normalized:
    """Rows of `landing.deployments`, and rejects, from deployments of the list (`pulls.PULLED_SCHEMA`).

    The rules are those of `normalize_deployments`; an event that is gone at the source gives nothing.
    """
    return normalize_deployments(_event_records(records, _attributes), settings)


def normalize_pulled_apm_deployments(records: pl.DataFrame, settings: Settings, catalog: Catalog) -> Normalized:
    """As `normalize_pulled_deployments`, for those that Datadog inferred from APM: they have no length."""
    normalized = normalize_deployments(_event_records(records, _apm_attributes), settings)
    source = pl.lit(_APM)
    return Normalized(
        events=normalized.events.with_columns(source=source, deployment_id="apm:" + pl.col("deployment_id")),
        rejected=normalized.rejected.with_columns(source=source),
    )


def normalize_pulled_failures(records: pl.DataFrame, settings: Settings, catalog: Catalog) -> Normalized:
    """Rows of `landing.failures`, and rejects, from failures of the list; rules and deletions as for deployments."""
    return normalize_failures(_event_records(records, _attributes), settings)


def moment_of(event: Mapping[str, Any], name: str) -> datetime | None:
    """A time of an event in UTC; None where it is missing, unset or cannot be read."""
    attributes = event.get("attributes")
    try:
        return instant(attributes.get(name)) if isinstance(attributes, dict) else None
    except InstantError:
        return None


def _event_records(records: pl.DataFrame, told: Callable[[Mapping[str, Any]], object]) -> pl.DataFrame:
    rows = []
    for record in records.iter_rows(named=True):
        event = json.loads(record["body"])
        # The list tells when it received an event; what says nothing counts as received when it started.
        received_at = moment_of(event, "created_at") or moment_of(event, "started_at") or record["fetched_at"]
        is_deleted = record["state"] == "gone"
        rows.append((record["record_id"], received_at, record["fetched_at"], is_deleted, json.dumps(told(event))))
    return pl.DataFrame(rows, schema=RECORD_SCHEMA, orient="row")


def _attributes(event: Mapping[str, Any]) -> object:
    attributes = event.get("attributes")
    if not isinstance(attributes, dict):
        return attributes
    told = {name: value for name, value in attributes.items() if name not in _TIMES or value != _UNSET}
    for name in ("service", "env", "team"):
        values = told.get(name)
        if isinstance(values, list) and len(values) <= 1:
            told[name] = values[0] if values else None
    tags = told.get("custom_tags") or []
    for name in ("env", "team"):
        values = told.get(name)
        if isinstance(values, list) and isinstance(tags, list):
            told[name], tags = None, [*tags, *(f"{name}:{value}" for value in values)]
    return told | {"custom_tags": tags}


def _apm_attributes(event: Mapping[str, Any]) -> object:
    told = _attributes(event)
    if isinstance(told, dict) and not told.get("finished_at"):
        return told | {"finished_at": told.get("started_at")}
    return told
