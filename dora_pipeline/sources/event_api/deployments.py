"""Deployments of the Deployment Event API."""

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.identifiers import version_of
from dora_pipeline.sources.event_attributes import Attributes
from dora_pipeline.sources.event_rules import (
    day,
    landed,
    latest_moment,
    order_reasons,
    read_records,
    reason,
    rejected,
    shape_reasons,
    start_reasons,
    with_their_ids,
)
from dora_pipeline.sources.source import Normalized
from dora_pipeline.tables import LandedDeployments

SOURCE = "deployment_event_api"


def normalize_deployments(
    records: pl.DataFrame, settings: Settings, *, source: str = SOURCE, has_length: bool = True
) -> Normalized:
    """Rows of `landing.deployments`, and rejects, from records of the API.

    `records` has record_id, received_at (of the first message), changed_at (of the newest), is_deleted, attributes
    (JSON in the words of Datadog's wire), and may have `refusal`: why a record was refused before. A deleted record
    gives neither row nor reject; each other one gives exactly one. Those that have no length end as they start, where
    they do not say when. A reject is of the day of its end; one whose end cannot be, before its start or in the future,
    of that of its start, else of its receipt.
    """
    events = read_records(records, settings, _fields, "deployment")
    is_unfinished = pl.col("finished_at").is_null() & pl.col("finished_trouble").is_null()
    if not has_length:
        ends = pl.when(is_unfinished).then("started_at").otherwise("finished_at")
        events = events.with_columns(finished_at=ends)
    events = events.with_columns(
        reason=pl.coalesce(
            *shape_reasons(),
            reason("service_missing", pl.col("services").list.len() == 0),
            *start_reasons(),
            reason("finish_missing", is_unfinished),
            pl.col("finished_trouble"),
            *order_reasons(),
            "refusal",
        )
    )
    rows = events.filter(pl.col("reason").is_null()).with_columns(
        source=pl.lit(source),
        deployment_id=pl.col("record_id"),
        service=pl.col("services").list.first(),
        day=day(pl.col("finished_at"), settings),
    )
    is_later = {name: pl.col(name) > latest_moment() for name in ("started_at", "finished_at")}
    ends_wrongly = is_later["finished_at"] | (pl.col("finished_at") < pl.col("started_at"))
    begins_at = pl.when(~is_later["started_at"]).then("started_at")
    counts_at = pl.when(ends_wrongly).then(begins_at).otherwise(pl.coalesce("finished_at", "started_at"))
    return Normalized(
        events=landed(rows, LandedDeployments),
        rejected=rejected(
            with_their_ids(events), settings, event_type="deployment", source=source, occurred_at=counts_at
        ),
    )


def _fields(attributes: Attributes) -> dict[str, object]:
    service = attributes.text("service")
    git, remediation = attributes.section("git"), attributes.section("remediation")
    return {
        "services": [service] if service else [],
        "env": attributes.text("env"),
        "team": attributes.text("team"),
        "version": version_of(attributes.text("version")),
        "repository_url": git.text("repository_url") or git.text("repository_id"),
        "commit_sha": git.text("commit_sha"),
        "custom_tags": attributes.tags("custom_tags"),
        "change_failure": attributes.flag("change_failure"),
        "remediation_id": remediation.text("id"),
        "remediation_type": remediation.text("type"),
        **attributes.time("started_at", "started"),
        **attributes.time("finished_at", "finished"),
    }
