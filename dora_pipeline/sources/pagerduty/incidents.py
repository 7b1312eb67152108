"""Incidents as PagerDuty's REST API v2 shows them.

`since` and `until` filter on `created_at`, so what changes later is found by `fetch_open` and `fetch_one`. Whether the
ends of a window belong to it is not documented: windows overlap by a second, and ids are counted once.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote

from dora_pipeline.config import Settings
from dora_pipeline.errors import SourceIncomplete
from dora_pipeline.sources.http import HttpClient, NotFound, PagerDutyToken, Refused
from dora_pipeline.sources.http.client import Parameters
from dora_pipeline.sources.pagerduty.pages import MOST_ROWS, TooManyRows, pages
from dora_pipeline.sources.pagerduty.settings import SOURCE, TOKEN, PagerDutySettings
from dora_pipeline.sources.pagerduty.times import lacks_end, occurred_at
from dora_pipeline.sources.source import Note, PulledRecord
from dora_pipeline.timeline import OLDEST_INSTANT

_LONGEST_WINDOW = timedelta(days=90)
_SHORTEST_WINDOW = timedelta(seconds=2)
_SECOND = timedelta(seconds=1)
_READINGS = 4
_LOST_ACCESS = 2018
# `include[]` costs no request; the entry tells the tags of the Datadog monitor that raised the incident.
_DETAILS: Parameters = {"time_zone": "UTC", "include[]": ["first_trigger_log_entries"]}
_ADVICE = {
    401: f"check {TOKEN}, and that sources.pagerduty.api_url is that of the account's region "
    "(https://api.eu.pagerduty.com in the EU)",
    402: "the plan of the account lacks an ability; take out sources.pagerduty.team_ids",
    403: f"the key in {TOKEN} may not read this; use one that may read the incidents of all services and teams",
}


def connect(settings: Settings, keys: Sequence[str], note: Note) -> "Incidents":
    """A connection to the account of PAGERDUTY_API_TOKEN."""
    (token,) = keys
    section = settings.section(SOURCE, PagerDutySettings)
    client = HttpClient(
        SOURCE,
        section.api_url,
        PagerDutyToken(token),
        secrets=[token],
        note=note,
        headers={"Accept": "application/vnd.pagerduty+json;version=2"},
        advice=_ADVICE,
    )
    return Incidents(client, service_ids=section.service_ids, team_ids=section.team_ids)


class Incidents:
    """The incidents of some services and teams; of all where there are no ids."""

    def __init__(self, client: HttpClient, *, service_ids: Sequence[str], team_ids: Sequence[str]) -> None:
        self._client = client
        ids = {"service_ids[]": service_ids, "team_ids[]": team_ids}
        self._filters: Parameters = {**_DETAILS, **{name: values for name, values in ids.items() if values}}

    def fetch(self, first: datetime, last: datetime) -> list[PulledRecord]:
        """The incidents that were created at `first` or later and before `last`, each once.

        Raises SourceIncomplete where two seconds hold more incidents than the API shows, or pages contradict each
        other.
        """
        found: dict[str, PulledRecord] = {}
        while first < last:
            end = min(first + _LONGEST_WINDOW, last)
            found |= self._created(first, end)
            first = end
        return list(found.values())

    def fetch_open(self) -> list[PulledRecord]:
        """The incidents that are triggered or acknowledged now, read until two readings agree.

        Raises SourceIncomplete where they never do, and where more are open than the API shows.
        """
        open_now = {"date_range": "all", "statuses[]": ["triggered", "acknowledged"], "sort_by": "incident_number:asc"}
        try:
            found = self._read(open_now, is_closed=False)
        except TooManyRows:
            raise _too_many("are open") from None
        return [self._record(incident) for incident in found.values()]

    def fetch_one(self, record_id: str) -> PulledRecord | Literal["gone", "no_access"]:
        """The incident as it is now; `gone` for a 404, `no_access` where PagerDuty says that the access was lost."""
        try:
            answer = self._client.get(f"/incidents/{quote(record_id, '')}", _DETAILS, check=_incident_trouble)
        except NotFound:
            return "gone"
        except Refused as refusal:
            if refusal.status == 403 and refusal.code == _LOST_ACCESS:
                return "no_access"
            raise
        return self._record(answer["incident"])

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _created(self, first: datetime, end: datetime) -> dict[str, PulledRecord]:
        """The incidents of a window by id; a window with too many is read in halves."""
        # Seconds as PagerDuty counts them, and one more in case that `since` is not part of the window.
        since, until = first.replace(microsecond=0) - _SECOND, end + _SECOND if end.microsecond else end
        window = {"since": _written(since), "until": _written(until), "sort_by": "created_at:asc"}
        try:
            found = self._read(window, is_closed=True)
        except TooManyRows:
            if end - first <= _SHORTEST_WINDOW:
                raise _too_many(f"were created between {_written(since)} and {_written(until)}") from None
            middle = (first + (end - first) / 2).replace(microsecond=0)
            return self._created(first, middle) | self._created(middle, end)
        moments = ((incident, occurred_at(incident)) for incident in found.values())
        return {
            incident["id"]: self._record(incident)
            for incident, at in moments
            if first <= at < end or at == OLDEST_INSTANT
        }

    def _read(self, params: Parameters, *, is_closed: bool) -> dict[str, dict[str, Any]]:
        """The incidents of a query by id. Raises TooManyRows.

        A row that leaves the query moves those behind it to an earlier page, past what is still to be read. So several
        pages are whole where a second reading agrees, or where nothing can enter (`is_closed`) and the total is there.
        """
        before: set[str] | None = None
        for _ in range(_READINGS):
            read = list(pages(self._client, SOURCE, "/incidents", "incidents", {**self._filters, **params}))
            found = {incident["id"]: incident for page in read for incident in page.rows}
            total = read[0].total
            is_counted = is_closed and total is not None and len(found) >= total
            if len(read) == 1 or is_counted or found.keys() == before:
                return found
            before = set(found)
        raise SourceIncomplete(SOURCE, f"the incidents changed in each of {_READINGS} readings; run again later")

    def _record(self, incident: dict[str, Any]) -> PulledRecord:
        if lacks_end(incident):
            incident = {**incident, "log_entries": self._log(incident["id"])}
        return PulledRecord(incident["id"], occurred_at(incident), incident)

    def _log(self, record_id: str) -> list[dict[str, Any]]:
        path = f"/incidents/{quote(record_id, '')}/log_entries"
        overview = {"is_overview": "true", "time_zone": "UTC"}
        try:
            return [entry for page in pages(self._client, SOURCE, path, "log_entries", overview) for entry in page.rows]
        except (NotFound, TooManyRows):
            return []


def _too_many(what: str) -> SourceIncomplete:
    return SourceIncomplete(
        SOURCE,
        f"more than {MOST_ROWS} incidents {what}, which is all that PagerDuty shows; set sources.pagerduty.service_ids",
    )


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _incident_trouble(answer: Any) -> str | None:
    incident = answer.get("incident") if isinstance(answer, Mapping) else None
    return None if isinstance(incident, dict) and isinstance(incident.get("id"), str) else "no incident with an id"
