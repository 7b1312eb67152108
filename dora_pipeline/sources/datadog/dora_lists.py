"""Datadog's lists of deployments and failures, pulled: they have no cursor, so a slice of time is asked for at a time.

A list gives at most 1,000 events, newest first by `started_at`. A full one is followed by another up to the oldest
second that came; where that leads nowhere, or the events did not come in order, the slice is cut in halves. Bounds are
inclusive, so events may come twice and count once by their id.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote

from dora_pipeline.config import Settings
from dora_pipeline.errors import SourceIncomplete
from dora_pipeline.sources.datadog.api import datadog_client, items_problem, wire_time
from dora_pipeline.sources.datadog.dora_events import wire_moment
from dora_pipeline.sources.http import HttpClient, NotFound
from dora_pipeline.sources.source import Connection, Note, PulledRecord
from dora_pipeline.timeline import OLDEST_INSTANT

MOST_EVENTS = 1000

_SECOND = timedelta(seconds=1)
# The last instant of a second: the wire has milliseconds.
_REST_OF_SECOND = timedelta(milliseconds=999)
# Lists are cut by the start of an event, days by the end of a deployment.
_LONGEST_DEPLOYMENT = timedelta(days=1)

Event = Mapping[str, Any]
_Connect = Callable[[Settings, Sequence[str], Note], Connection]


@dataclass(frozen=True)
class EventList:
    """A list of Datadog's: `name` in its path, `query` in the words of its search, the times at which events count.

    `lead` is how long an event may start before it counts.
    """

    source: str
    name: Literal["deployments", "failures"]
    query: str | None
    counts_at: tuple[str, ...]
    lead: timedelta


class EventListConnection:
    """A list over an open client. Events without a readable time are in every fetch, at the oldest instant there is."""

    def __init__(self, client: HttpClient, events: EventList) -> None:
        self._client = client
        self._list = events

    def fetch(self, first: datetime, last: datetime) -> list[PulledRecord]:
        """Every event that counts at `first` or later and before `last` (UTC), each once.

        A deployment that took longer than a day, or ended before it began, belongs to the window of its start: no other
        is sure to hold it. Raises SourceIncomplete for a second with more events than a list gives.
        """
        records = []
        for event in self._events(first - self._list.lead, last):
            record = self._record(event)
            counts_at, started_at = record.occurred_at, wire_moment(event, "started_at")
            if started_at is not None and not started_at <= counts_at <= started_at + self._list.lead:
                counts_at = started_at
            if first <= counts_at < last or record.occurred_at == OLDEST_INSTANT:
                records.append(record)
        return records

    def fetch_open(self) -> list[PulledRecord]:
        """None: the list cannot be asked for what has not ended."""
        return []

    def fetch_one(self, record_id: str) -> PulledRecord | Literal["gone", "no_access"]:
        """An event as it is now."""
        path = f"/api/v2/dora/{self._list.name}/{quote(record_id, safe='')}"
        try:
            answer = self._client.get(path, check=_event_problem)
        except NotFound:
            return "gone"
        return self._record(answer["data"])

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def _events(self, first: datetime, last: datetime) -> list[Event]:
        found: dict[str, Event] = {}
        slices = [(_second(first), _second(last) + _REST_OF_SECOND)]
        while slices:
            start, end = slices.pop()
            events = self._listed(start, end)
            for event in events:
                found.setdefault(event["id"], event)
            if len(events) >= MOST_EVENTS:
                slices += self._rest(start, end, events)
        return list(found.values())

    def _rest(self, start: datetime, end: datetime, events: Sequence[Event]) -> list[tuple[datetime, datetime]]:
        """What is still to be asked for of a slice that came full."""
        starts = [wire_moment(event, "started_at") for event in events]
        known = [moment for moment in starts if moment is not None]
        if len(known) == len(starts) and known == sorted(known, reverse=True) and start <= known[-1] <= end:
            reached = _second(known[-1]) + _REST_OF_SECOND
            if reached < end:
                return [(start, reached)]
        seconds = (_second(end) - start) // _SECOND + 1
        if seconds <= 1:
            raise SourceIncomplete(
                self._list.source,
                f"Datadog lists {MOST_EVENTS} {self._list.name} for the one second {start:%Y-%m-%dT%H:%M:%SZ} and no "
                "more; nothing was taken from the list. Delete repeated events there, or load only the days around it",
            )
        middle = start + seconds // 2 * _SECOND
        return [(start, middle - _SECOND + _REST_OF_SECOND), (middle, end)]

    def _listed(self, start: datetime, end: datetime) -> Sequence[Event]:
        attributes: dict[str, object] = {
            "from": wire_time(start),
            "to": wire_time(end),
            "limit": MOST_EVENTS,
            "sort": "-started_at",
        }
        if self._list.query:
            attributes["query"] = self._list.query
        # The server refuses lists without a type.
        body = {"data": {"type": f"dora_{self._list.name}_list_request", "attributes": attributes}}
        answer = self._client.post(f"/api/v2/dora/{self._list.name}", body, check=_list_problem)
        events: Sequence[Event] = answer["data"]
        return events

    def _record(self, event: Event) -> PulledRecord:
        moments = (wire_moment(event, name) for name in self._list.counts_at)
        occurred_at = next((moment for moment in moments if moment is not None), OLDEST_INSTANT)
        return PulledRecord(event["id"], occurred_at, dict(event))


def _second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _list_problem(answer: Any) -> str | None:
    if wrong := items_problem(answer, "data"):
        return wrong
    return next((wrong for event in answer["data"] if (wrong := _event_problem({"data": event}))), None)


def _event_problem(answer: Any) -> str | None:
    event = answer.get("data") if isinstance(answer, Mapping) else None
    is_named = isinstance(event, Mapping) and isinstance(event.get("id"), str) and event["id"]
    return None if is_named else "an event without an id"


def list_of_deployments(source: str, query: str) -> _Connect:
    """What connects a source to the deployments that a query finds; they count at their end."""
    return _connecting(EventList(source, "deployments", query, ("finished_at", "started_at"), _LONGEST_DEPLOYMENT))


def list_of_failures(source: str) -> _Connect:
    """What connects a source to all failures; they count at their start."""
    return _connecting(EventList(source, "failures", None, ("started_at",), timedelta(0)))


def _connecting(events: EventList) -> _Connect:
    def connect(settings: Settings, keys: Sequence[str], note: Note) -> Connection:
        return EventListConnection(datadog_client(events.source, "dora_metrics_read", settings, keys, note), events)

    return connect
