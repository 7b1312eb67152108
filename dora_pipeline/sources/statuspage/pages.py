"""Incidents as the public pages of Atlassian's Statuspage show them; no key is needed.

A page shows its 50 newest incidents, without paging, and those that are not resolved, however old. Maintenance is
elsewhere. One incident alone cannot be asked for.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from requests import PreparedRequest
from requests.auth import AuthBase

from dora_pipeline.config import Settings
from dora_pipeline.errors import ConfigError
from dora_pipeline.sources.http import HttpClient
from dora_pipeline.sources.source import Note, PulledRecord
from dora_pipeline.sources.statuspage.settings import SOURCE, StatuspageSettings
from dora_pipeline.sources.statuspage.times import Incident, began_at, readable_moment
from dora_pipeline.timeline import OLDEST_INSTANT

MOST_INCIDENTS = 50

_NEWEST, _OPEN = "/api/v2/incidents.json", "/api/v2/incidents/unresolved.json"
_ADVICE = dict.fromkeys(
    (401, 403, 404), "only public pages can be read; check sources.statuspage.pages, or read the page of its own host"
)


class _NoKey(AuthBase):
    """Nothing is signed; without it `.netrc` would be asked."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        return request


def connect(settings: Settings, keys: Sequence[str], note: Note) -> "StatusPages":
    """A connection to the configured pages. Raises ConfigError where none is named."""
    pages = settings.section(SOURCE, StatuspageSettings).pages
    if not pages:
        raise ConfigError(f"{SOURCE}: no page is named; set sources.statuspage.pages in dora.yaml")
    clients = {page: HttpClient(SOURCE, page, _NoKey(), secrets=(), note=note, advice=_ADVICE) for page in pages}
    return StatusPages(clients, note)


class StatusPages:
    """The incidents of some pages, over a client each; the newest are read once and serve every window.

    A record is an incident, with `page_url`: the address by which the settings name its page.
    """

    def __init__(self, clients: Mapping[str, HttpClient], note: Note) -> None:
        self._clients = clients
        self._note = note
        self._seen: dict[str, PulledRecord] = {}
        self._newest: dict[str, list[PulledRecord]] = {}
        self._noted: set[str] = set()
        self._page_ids: set[str] = set()

    def fetch(self, first: datetime, last: datetime) -> list[PulledRecord]:
        """The incidents among the newest that began, were created or were edited at `first` or later, before `last`.

        A page that does not show all of that time, for its oldest incident is later than `first`, is noted.
        """
        found = {}
        for page in self._clients:
            newest = self._newest_of(page)
            self._note_what_is_not_shown(page, newest, first)
            for record in newest:
                moments = [readable_moment(record.body, name) for name in ("created_at", "updated_at")]
                is_wanted = any(moment and first <= moment < last for moment in (record.occurred_at, *moments))
                if is_wanted or record.occurred_at == OLDEST_INSTANT:
                    found[record.record_id] = record
        return list(found.values())

    def fetch_open(self) -> list[PulledRecord]:
        """The incidents that are not resolved now."""
        found = {record.record_id: record for page in self._clients for record in self._read(page, _OPEN)}
        return list(found.values())

    def fetch_one(self, record_id: str) -> PulledRecord | Literal["gone", "no_access"]:
        """The incident as its page showed it.

        `gone` where it is neither open there nor among the newest, `no_access` where its page is none of these.
        """
        for page in self._clients:
            self._newest_of(page)
        is_ours = record_id.rpartition("/")[0] in self._page_ids
        return self._seen.get(record_id, "gone" if is_ours else "no_access")

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    def _note_what_is_not_shown(self, page: str, newest: Sequence[PulledRecord], first: datetime) -> None:
        shown = [moment for record in newest if (moment := readable_moment(record.body, "created_at"))]
        if len(newest) < MOST_INCIDENTS or page in self._noted or not shown or min(shown) <= first:
            return
        self._noted.add(page)
        self._note(
            f"{SOURCE}: {page} shows its {len(newest)} newest incidents, the oldest created at {min(shown):%Y-%m-%d}, "
            f"and was asked for those since {first:%Y-%m-%d}; what lies between is known only where it was pulled then"
        )

    def _newest_of(self, page: str) -> list[PulledRecord]:
        if page not in self._newest:
            self._newest[page] = self._read(page, _NEWEST)
        return self._newest[page]

    def _read(self, page: str, path: str) -> list[PulledRecord]:
        answer = self._clients[page].get(path, check=_problem)
        page_id = answer["page"]["id"]
        self._page_ids.add(page_id)
        records = [_record(f"{page_id}/{incident['id']}", incident, page) for incident in answer["incidents"]]
        self._seen.update({record.record_id: record for record in records})
        return records


def _record(record_id: str, incident: Incident, page: str) -> PulledRecord:
    return PulledRecord(record_id, began_at(incident), {**incident, "page_url": page})


def _problem(answer: Any) -> str | None:
    page, incidents = (answer.get(name) if isinstance(answer, Mapping) else None for name in ("page", "incidents"))
    if not isinstance(page, Mapping) or not isinstance(page.get("id"), str) or not isinstance(incidents, list):
        return "no `page` with an id and list of `incidents`; is it the page of a Statuspage?"
    if not all(isinstance(one, Mapping) and isinstance(one.get("id"), str) and one["id"] for one in incidents):
        return "incidents without ids"
    return None
