"""Incidents as PagerDuty's v3 webhooks tell them, in the words of its REST API, and how they meet what was pulled.

All that is known of an incident is put in the order in which it happened, and the newest report wins. So it makes no
difference in which order, how late and how often deliveries and answers come.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.sources.event_rules import Unusable, rejected
from dora_pipeline.sources.pagerduty.settings import SOURCE
from dora_pipeline.sources.pagerduty.times import end_of, is_resolved, occurred_at
from dora_pipeline.sources.source import RecordChange, RecordChanges
from dora_pipeline.timeline import FUTURE_TOLERANCE, InstantError, instant

_RESOLVED = "incident.resolved"
# The events that hold a whole incident, with the status after those that change it. The status in the incident itself
# can be that of the moment of sending. All other events are of notes, responders or services.
_STATUSES = {
    "incident.triggered": "triggered",
    "incident.acknowledged": "acknowledged",
    "incident.unacknowledged": "triggered",
    _RESOLVED: "resolved",
    "incident.reopened": "triggered",
    "incident.priority_updated": None,
    "incident.service_updated": None,
    "incident.incident_type.changed": None,
    "incident.reassigned": None,
    "incident.escalated": None,
    "incident.delegated": None,
}
# What of an incident makes a failure.
_FIELDS = ("id", "html_url", "created_at", "title", "status", "service", "teams", "priority", "resolve_reason")


def changes(records: pl.DataFrame, settings: Settings) -> RecordChanges:
    """What deliveries say of incidents, from RECORD_SCHEMA records whose attributes are `env` and `event`.

    Events of anything else are left out. One without an incident, or without a time at which it can have happened, is
    rejected.
    """
    found: list[RecordChange] = []
    reasons: list[str | None] = []
    envs: list[str | None] = []
    for record_id, received_at, text in records.select("record_id", "received_at", "attributes").iter_rows():
        reason, attributes = None, json.loads(text)
        try:
            found += _changes(record_id, received_at, attributes)
        except Unusable as unusable:
            reason = unusable.reason
        reasons.append(reason)
        envs.append(settings.environment(attributes.get("env")))
    judged = records.with_columns(
        reason=pl.Series(reasons, dtype=pl.String),
        services=pl.lit([], dtype=pl.List(pl.String)),
        env=pl.Series(envs, dtype=pl.String),
        team=pl.lit(None, dtype=pl.String),
    )
    nowhen = pl.lit(None, pl.Datetime("us", "UTC"))
    return RecordChanges(found, rejected(judged, settings, event_type="failure", source=SOURCE, occurred_at=nowhen))


def _changes(delivery_id: str, received_at: datetime, attributes: Mapping[str, Any]) -> list[RecordChange]:
    """The change that a delivery tells; none for an event of something else."""
    event = attributes.get("event")
    if not isinstance(event, dict):
        raise Unusable("unreadable")
    kind = str(event.get("event_type"))
    if kind not in _STATUSES:
        return []
    data = event.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("id"), str) or not data["id"]:
        raise Unusable("incident_missing")
    try:
        happened_at = instant(event.get("occurred_at"))
    except InstantError as error:
        raise Unusable("time_missing" if event.get("occurred_at") is None else error.reason) from None
    if happened_at > received_at + FUTURE_TOLERANCE:
        raise Unusable("time_in_future")
    incident = {name: data[name] for name in _FIELDS if name in data}
    incident |= {
        name: value for name, value in (("status", _STATUSES[kind]), ("dd_env", attributes.get("env"))) if value
    }
    report = {
        "event_type": kind,
        "occurred_at": happened_at.isoformat(),
        "received_at": received_at.isoformat(),
        "incident": incident,
    }
    return [RecordChange(delivery_id, data["id"], occurred_at(data), report)]


@dataclass(frozen=True)
class _Report:
    """What is known of an incident as it was at a moment; `end` where it says when the incident was over."""

    moment: datetime
    is_pulled: bool
    known_at: datetime
    incident: Mapping[str, Any]
    end: object

    @property
    def order(self) -> tuple[datetime, bool, datetime, datetime]:
        # The REST API writes whole seconds, so a pull has seen what happened within its second.
        return self.moment.replace(microsecond=0), self.is_pulled, self.moment, self.known_at


def with_deliveries(records: pl.DataFrame) -> pl.DataFrame:
    """PULLED_SCHEMA records, their bodies after all that is known of them, and `changed_at`: the last report."""
    bodies, moments = [], []
    for fetched_at, text in records.select("fetched_at", "body").iter_rows():
        incident = json.loads(text) if '"deliveries"' in text else {}
        deliveries = incident.pop("deliveries", [])
        if deliveries:
            text = json.dumps(_folded(incident, fetched_at, deliveries))
        bodies.append(text)
        moments.append(max([fetched_at, *(datetime.fromisoformat(report["received_at"]) for report in deliveries)]))
    return records.with_columns(
        body=pl.Series(bodies, dtype=pl.String), changed_at=pl.Series(moments, dtype=pl.Datetime("us", "UTC"))
    )


def _folded(pulled: Mapping[str, Any], fetched_at: datetime, deliveries: list[dict[str, Any]]) -> dict[str, Any]:
    """The incident after all reports; `pulled` is empty for one that was never pulled."""
    reports = [_delivered(report) for report in deliveries]
    if pulled:
        reports.append(_Report(_changed_at(pulled, fetched_at), True, fetched_at, pulled, end_of(pulled)))
    incident: dict[str, Any] = {}
    end: object = None
    for report in sorted(reports, key=lambda report: report.order):
        incident |= report.incident
        end = (report.end or end) if is_resolved(incident) else None
    # What a pull said of the end can be older than the last delivery.
    return {**incident, "resolved_at": end, "last_status_change_at": end, "log_entries": []}


def _delivered(report: Mapping[str, Any]) -> _Report:
    happened_at, received_at = (datetime.fromisoformat(report[name]) for name in ("occurred_at", "received_at"))
    end = report["occurred_at"] if report["event_type"] == _RESOLVED else None
    return _Report(happened_at, False, received_at, report["incident"], end)


def _changed_at(pulled: Mapping[str, Any], fetched_at: datetime) -> datetime:
    """When an incident became as it was pulled, by the vendor's clock; answers of before 2023 do not tell it."""
    try:
        return instant(pulled.get("updated_at"))
    except InstantError:
        return fetched_at
