"""Webhooks of PagerDuty as it sends them, and their way into a home."""

import json
from datetime import timedelta
from typing import Any

from dora_pipeline.intake.store import EventStore
from dora_pipeline.intake.web.webhooks import delivery
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.pulled_homes import NOON, ago
from dora_pipeline_tests.vendors.pagerduty import reference

# The incidents began so many days before NOON.
DAYS = 3


def message(kind: str, minutes: float, number: int = 1, **data: Any) -> dict[str, Any]:
    """The body of a delivery: what happened so many minutes after an incident began, as PagerDuty writes it."""
    moment = NOON - timedelta(days=DAYS) + timedelta(minutes=minutes)
    status = {"incident.resolved": "resolved", "incident.acknowledged": "acknowledged"}.get(kind, "triggered")
    return {
        "event": {
            "id": f"01{kind}-{number}-{minutes}",
            "event_type": kind,
            "resource_type": "incident",
            "occurred_at": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z",
            "agent": reference("user", "PUSER", "Ada"),
            "client": None,
            "data": {
                "id": f"Q{number}",
                "type": "incident",
                "self": f"https://api.pagerduty.com/incidents/Q{number}",
                "html_url": f"https://acme.pagerduty.com/incidents/Q{number}",
                "number": number,
                "status": status,
                "incident_key": None,
                "created_at": ago(DAYS),
                "title": "Checkout is slow",
                "service": reference("service", "PSHOP", "shop"),
                "assignees": [],
                "escalation_policy": reference("escalation_policy", "PESC", "Default"),
                "teams": [],
                "priority": None,
                "urgency": "high",
                "conference_bridge": None,
                "resolve_reason": None,
                **data,
            },
        }
    }


def deliver(home: TestHome, *messages: dict[str, Any], env: str = "", event_id: str = "") -> None:
    """Receive deliveries as the intake does; `event_id` takes the place of the ids that they have."""
    with EventStore.at(home.home) as store:
        for body in messages:
            event = body["event"] | ({"id": event_id} if event_id else {})
            told = delivery(json.dumps({"event": event}).encode(), {"dd_env": env}, [])
            assert told is not None
            store.append("delivery", told.attributes, event_id=told.delivery_id)


TRIGGERED = message("incident.triggered", 0)
RESOLVED = message("incident.resolved", 30)
