"""Failures of the Failure Event API."""

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.identifiers import version_of
from dora_pipeline.sources.event_attributes import Attributes
from dora_pipeline.sources.event_rules import (
    normalized_failures,
    order_reasons,
    read_records,
    reason,
    seconds_to_restore,
    shape_reasons,
    start_reasons,
    with_their_ids,
)
from dora_pipeline.sources.source import Normalized

SOURCE = "failure_event_api"


def normalize_failures(records: pl.DataFrame, settings: Settings) -> Normalized:
    """Rows of `landing.failures`, one per failure and impacted service, and rejects, from records of the API.

    `records` is as for deployments. A failure of a team only has one row without a service. A deleted record
    gives neither row nor reject; each other one gives rows or one reject.
    """
    events = read_records(records, settings, _fields, "failure")
    events = events.with_columns(
        reason=pl.coalesce(
            *shape_reasons(),
            reason("service_missing", (pl.col("services").list.len() == 0) & pl.col("team").is_null()),
            *start_reasons(),
            pl.col("finished_trouble"),
            *order_reasons(),
            "refusal",
        )
    )
    events = events.with_columns(url=pl.lit(None, dtype=pl.String), time_to_restore_seconds=seconds_to_restore())
    return normalized_failures(
        events, settings, source=SOURCE, failure_id=pl.col("record_id"), as_refused=with_their_ids(events)
    )


def _fields(attributes: Attributes) -> dict[str, object]:
    git = attributes.section("git")
    return {
        # Answers of Datadog's list calls name the services `service`, and hold env and team in lists.
        "services": attributes.texts("services") or attributes.texts("service"),
        "env": attributes.only_text("env"),
        "team": attributes.only_text("team"),
        "version": version_of(attributes.text("version")),
        "name": attributes.text("name"),
        "severity": attributes.text("severity"),
        "repository_url": git.text("repository_url") or git.text("repository_id"),
        "commit_sha": git.text("commit_sha"),
        "custom_tags": attributes.tags("custom_tags"),
        **attributes.time("started_at", "started"),
        **attributes.time("finished_at", "finished"),
    }
