"""Incidents as failures: put into the words of the Failure Event API, and judged by its rules."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from dora_pipeline.catalog import Catalog
from dora_pipeline.config import Settings
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.sources.event_attributes import Attributes
from dora_pipeline.sources.event_rules import (
    normalized_failures,
    order_reasons,
    read_records,
    reason,
    seconds_to_restore,
    shape_reasons,
    start_reasons,
)
from dora_pipeline.sources.pagerduty.impact import Impacts
from dora_pipeline.sources.pagerduty.merges import Merges
from dora_pipeline.sources.pagerduty.settings import SOURCE, PagerDutySettings
from dora_pipeline.sources.pagerduty.times import end_of, is_resolved
from dora_pipeline.sources.pagerduty.webhook import with_deliveries
from dora_pipeline.sources.source import Normalized
from dora_pipeline.timeline import InstantError, instant

_TRANSLATED = {
    "attributes": pl.String(),
    "url": pl.String(),
    "is_deleted": pl.Boolean(),
    "is_orphan": pl.Boolean(),
    "is_over": pl.Boolean(),
}


def normalize(records: pl.DataFrame, settings: Settings, catalog: Catalog) -> Normalized:
    """Rows of `landing.failures`, one per incident and impacted service, and rejects, from PULLED_SCHEMA records.

    An incident that was merged into another gives no row; the other one starts when the first of them did. That holds
    for incidents of one frame: one whose target is not in it is rejected as `merge_target_missing`. One that is gone
    while it was open ended when that was noticed, without a time to restore, and has the tag `record:gone`; one out of
    reach stays as it was last seen, tagged `record:no_access`. Incidents outside the configured services and teams are
    left out. Severity is the priority, as PagerDuty's urgency only says whom it wakes. The environment is that of the
    Datadog monitor that raised it, else that of the webhook (`dd_env`).
    """
    records = with_deliveries(records).with_columns(received_at="occurred_at")
    judged = read_records(
        pl.concat([records, _translated(records, settings, catalog)], how="horizontal"), settings, _fields
    )
    is_only_gone = (pl.col("state") == "gone") & pl.col("is_over").not_()
    judged = judged.with_columns(
        finished_at=pl.when(is_only_gone).then("fetched_at").otherwise("finished_at"),
        custom_tags=pl.when(pl.col("state") == "present")
        .then("custom_tags")
        .otherwise(pl.concat_list("custom_tags", pl.format("record:{}", "state"))),
    )
    has_no_end = pl.col("is_over") & pl.col("finished_at").is_null() & pl.col("finished_trouble").is_null()
    judged = judged.with_columns(
        reason=pl.coalesce(
            *shape_reasons(),
            reason("merge_target_missing", pl.col("is_orphan")),
            reason("service_missing", (pl.col("services").list.len() == 0) & pl.col("team").is_null()),
            *start_reasons(),
            pl.col("finished_trouble"),
            reason("finish_missing", has_no_end),
            *order_reasons(),
        )
    )
    judged = judged.with_columns(time_to_restore_seconds=pl.when(is_only_gone.not_()).then(seconds_to_restore()))
    return normalized_failures(
        judged,
        settings,
        source=SOURCE,
        failure_id=pl.format(SOURCE + ":{}", "record_id"),
        as_refused=judged.with_columns(attributes="body", received_at="changed_at"),
    )


def _translated(records: pl.DataFrame, settings: Settings, catalog: Catalog) -> pl.DataFrame:
    """For each record the columns of _TRANSLATED; `attributes` are those of a failure event."""
    names = records["record_id"].to_list()
    incidents = dict(zip(names, map(json.loads, records["body"]), strict=True))
    merges = Merges(incidents, _starts(incidents))
    impacts = Impacts(catalog)
    wanted = settings.section(SOURCE, PagerDutySettings)
    rows = [
        (
            json.dumps(_attributes(incidents[name], impacts, merges.earliest_start(name))),
            _url(incidents[name]),
            merges.is_counted_elsewhere(name) or not _is_wanted(incidents[name], wanted),
            merges.is_orphan(name),
            is_resolved(incidents[name]),
        )
        for name in names
    ]
    return pl.DataFrame(rows, schema=_TRANSLATED, orient="row")


def _attributes(incident: Mapping[str, Any], impacts: Impacts, start: datetime | None) -> dict[str, object]:
    impact = impacts.of(incident)
    priority = incident.get("priority")
    return {
        "services": impact.services,
        "team": impact.team,
        "env": impact.env or incident.get("dd_env"),
        "name": incident.get("title") or incident.get("summary"),
        # A reference has a summary only, a full priority both.
        "severity": priority.get("summary") or priority.get("name") if isinstance(priority, dict) else priority,
        "started_at": start.isoformat() if start else incident.get("created_at"),
        "finished_at": end_of(incident),
    }


def _fields(attributes: Attributes) -> dict[str, object]:
    return {
        "services": attributes.texts("services"),
        "env": attributes.text("env"),
        "team": attributes.text("team"),
        "name": attributes.text("name"),
        "severity": attributes.text("severity"),
        "custom_tags": [],
        **attributes.time("started_at", "started"),
        **attributes.time("finished_at", "finished"),
    }


def _starts(incidents: Mapping[str, Mapping[str, Any]]) -> dict[str, datetime]:
    starts = {}
    for name, incident in incidents.items():
        try:
            starts[name] = instant(incident.get("created_at"))
        except InstantError:
            continue
    return starts


def _url(incident: Mapping[str, Any]) -> str | None:
    url = incident.get("html_url")
    return without_credentials(url) if isinstance(url, str) and url.startswith(("https://", "http://")) else None


def _is_wanted(incident: Mapping[str, Any], wanted: PagerDutySettings) -> bool:
    service, teams = incident.get("service"), incident.get("teams")
    service_id = service.get("id") if isinstance(service, dict) else None
    team_ids = {team.get("id") for team in teams if isinstance(team, dict)} if isinstance(teams, list) else set()
    return (not wanted.service_ids or service_id in wanted.service_ids) and (
        not wanted.team_ids or not team_ids.isdisjoint(wanted.team_ids)
    )
