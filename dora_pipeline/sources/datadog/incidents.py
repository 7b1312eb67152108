"""Datadog Incidents, pulled: the search, which alone knows how long an incident was in each state."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import quote

from dora_pipeline.config import Settings
from dora_pipeline.sources.datadog.api import datadog_client
from dora_pipeline.sources.datadog.incident_times import start_of_incident
from dora_pipeline.sources.datadog.searches import Incident, IncidentSearch, created_at, incident_problem
from dora_pipeline.sources.datadog.settings import SOURCE
from dora_pipeline.sources.event_rules import Unusable
from dora_pipeline.sources.http import HttpClient, NotFound, Refused
from dora_pipeline.sources.source import Note, PulledRecord
from dora_pipeline.timeline import OLDEST_INSTANT

# `declared` and `completed` are states that an organisation may switch on.
_ALL = "state:(active OR stable OR resolved OR completed OR declared)"
_OPEN = "state:(active OR stable OR declared)"

# An incident may be created before it becomes active, so that it occurs later than it was created.
_LONGEST_LEAD = timedelta(days=7)


class IncidentsConnection:
    """Incidents over an open client. Those read once from the newest on are not asked for again.

    The search cannot filter by time, so a fetch reads from the newest incident back to a week before its window: what
    it costs depends on the age of the window alone, and windows of one connection share it. Incidents occur at their
    start; those whose start cannot be read are in every fetch, at the oldest instant there is.
    """

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._newest_first = IncidentSearch(SOURCE, client, _ALL, "-created")

    def fetch(self, first: datetime, last: datetime) -> list[PulledRecord]:
        """Every incident that started at `first` or later and before `last` (UTC), each once.

        Also every one that was created then, whenever it started: an imported incident is created long afterwards.
        """
        records = []
        for incident in self._newest_first.back_to(first - _LONGEST_LEAD):
            record = _record(incident)
            moments = (record.occurred_at, created_at(incident) or OLDEST_INSTANT)
            if record.occurred_at == OLDEST_INSTANT or any(first <= moment < last for moment in moments):
                records.append(record)
        return records

    def fetch_open(self) -> list[PulledRecord]:
        """Every incident that is active, stable or declared now."""
        # From the oldest on, new incidents come at the end, where they push nothing aside.
        return [_record(incident) for incident in IncidentSearch(SOURCE, self._client, _OPEN, "created").whole()]

    def fetch_one(self, record_id: str) -> PulledRecord | Literal["gone", "no_access"]:
        """An incident as it is now, as the search shows it where the search knows it."""
        try:
            answer = self._client.get(f"/api/v2/incidents/{quote(record_id, safe='')}", check=incident_problem)
        except NotFound:
            return "gone"
        except Refused as refusal:
            if refusal.status == 403:
                return "no_access"
            raise
        incident: Incident = answer["data"]
        created = created_at(incident)
        # The search cuts times to seconds.
        found = self._newest_first.back_to(created.replace(microsecond=0)) if created else []
        return _record(next((other for other in found if other["id"] == incident["id"]), incident))

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()


def _record(incident: Incident) -> PulledRecord:
    return PulledRecord(incident["id"], _occurred_at(incident), dict(incident))


def _occurred_at(incident: Incident) -> datetime:
    attributes = incident.get("attributes")
    try:
        started_at = start_of_incident(attributes) if isinstance(attributes, dict) else None
    except Unusable:
        started_at = None
    return started_at or OLDEST_INSTANT


def connect(settings: Settings, keys: Sequence[str], note: Note) -> IncidentsConnection:
    """A connection to the incidents of the organisation that the keys belong to."""
    return IncidentsConnection(datadog_client(SOURCE, "incident_read", settings, keys, note))
