"""Events in the words of Datadog's wire."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, get_args
from uuid import uuid4

from dora_pipeline.identifiers import EventType, without_credentials
from dora_pipeline.json_values import json_value
from dora_pipeline.sending.checkout import LocatedCommit
from dora_pipeline.timeline import epoch_microseconds


@dataclass(frozen=True)
class CommonFields:
    """What deployments and failures have in common; None or nothing in it: not known."""

    env: str | None = None
    version: str | None = None
    team: str | None = None
    commit: LocatedCommit | None = None
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
        kept = {name: value for name, value in attributes.items() if value}
        return cls(event_type, json.loads(without_credentials(json.dumps(kept))))

    @property
    def services(self) -> list[str]:
        """The services that it is about; none for a failure of a team."""
        deployed = self.attributes.get("service")
        return [deployed] if deployed else list(self.attributes.get("services", []))

    @property
    def env(self) -> str | None:
        """The environment that it names."""
        return self.attributes.get("env")

    @property
    def body(self) -> dict[str, Any]:
        """The body of the request."""
        return {"data": {"attributes": self.attributes}}

    @property
    def line(self) -> bytes:
        """The event as one line of JSON in ASCII, without a line break."""
        fields = {"event_type": self.event_type, "attributes": self.attributes}
        return json.dumps(fields, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """The event of a line. Raises ValueError for a line that holds none."""
        fields = json_value(line)
        if not isinstance(fields, dict) or fields.get("event_type") not in get_args(EventType):
            raise ValueError("not an event")
        if not isinstance(fields.get("attributes"), dict):
            raise ValueError("an event without attributes")
        return cls(fields["event_type"], fields["attributes"])


def deployment(service: str, started_at: datetime, finished_at: datetime, details: CommonFields) -> Event:
    """A deployment; with an id of its own unless one is given, so that it stays one event however often it is sent."""
    attributes = {"service": service, **_times(started_at, finished_at), **_attributes(details)}
    return Event.of("deployment", attributes | {"id": details.event_id or uuid4().hex})


def failure(
    services: Sequence[str],
    started_at: datetime,
    finished_at: datetime | None,
    details: CommonFields,
    *,
    name: str | None = None,
    severity: str | None = None,
) -> Event:
    """A failure of services, or of a team alone.

    Without a given id it has none: env, services and `started_at` identify it, so that its end can be sent later.
    """
    attributes = {"services": list(services), **_times(started_at, finished_at), "name": name, "severity": severity}
    return Event.of("failure", attributes | _attributes(details) | {"id": details.event_id})


def _attributes(details: CommonFields) -> dict[str, Any]:
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
    return epoch_microseconds(moment) * 1000
