"""Events in the words of Datadog's wire."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self, get_args
from uuid import uuid4

from dora_pipeline.identifiers import without_credentials
from dora_pipeline.json_values import json_value
from dora_pipeline.sending.checkout import Commit

# As in `selection`, which would bring Polars and half a second to each sending.
EventType = Literal["deployment", "failure"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Details:
    """What deployments and failures have in common; None or nothing in it: not told."""

    env: str | None = None
    version: str | None = None
    team: str | None = None
    commit: Commit | None = None
    custom_tags: Sequence[str] = ()
    event_id: str | None = None


@dataclass(frozen=True)
class Event:
    """An event to send. Its attributes hold no credentials in URLs."""

    event_type: EventType
    attributes: dict[str, Any]

    @classmethod
    def of(cls, event_type: EventType, attributes: dict[str, Any]) -> Self:
        """The event with those attributes that carry a value, URLs without credentials."""
        told = {name: value for name, value in attributes.items() if value}
        return cls(event_type, json.loads(without_credentials(json.dumps(told))))

    @property
    def body(self) -> dict[str, Any]:
        """The body of the request."""
        return {"data": {"attributes": self.attributes}}

    @property
    def line(self) -> bytes:
        """The event as one line of JSON in ASCII, without a line break."""
        told = {"event_type": self.event_type, "attributes": self.attributes}
        return json.dumps(told, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """The event of a line. Raises ValueError for a line that holds none."""
        told = json_value(line)
        if not isinstance(told, dict) or told.get("event_type") not in get_args(EventType):
            raise ValueError("not an event")
        if not isinstance(told.get("attributes"), dict):
            raise ValueError("an event without attributes")
        return cls(told["event_type"], told["attributes"])


def deployment(service: str, started_at: datetime, finished_at: datetime, details: Details) -> Event:
    """A deployment; with an id of its own unless one is told, so that it stays one event however often it is sent."""
    attributes = {"service": service, **_times(started_at, finished_at), **_attributes(details)}
    return Event.of("deployment", attributes | {"id": details.event_id or uuid4().hex})


def failure(
    services: Sequence[str],
    started_at: datetime,
    finished_at: datetime | None,
    details: Details,
    *,
    name: str | None = None,
    severity: str | None = None,
) -> Event:
    """A failure of services, or of a team alone.

    Without a told id it has none: env, services and `started_at` identify it, so that its end can be told later.
    """
    attributes = {"services": list(services), **_times(started_at, finished_at), "name": name, "severity": severity}
    return Event.of("failure", attributes | _attributes(details) | {"id": details.event_id})


def _attributes(details: Details) -> dict[str, Any]:
    git = details.commit
    return {
        "env": details.env,
        "version": details.version,
        "team": details.team,
        "git": {"repository_url": git.repository_url, "commit_sha": git.commit_sha} if git else None,
        "custom_tags": list(details.custom_tags),
    }


def _times(started_at: datetime, finished_at: datetime | None) -> dict[str, int | None]:
    finish = None if finished_at is None else _nanoseconds(finished_at)
    return {"started_at": _nanoseconds(started_at), "finished_at": finish}


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
