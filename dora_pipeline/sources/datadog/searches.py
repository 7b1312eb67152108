"""The search of incidents, page by page: nothing left out while incidents come and go between two pages.

The wire has offsets only. Each page begins with the last incident of the page before: where that one is not there any
more, incidents moved up and one may have been passed over, so the search starts again. A page that is not full is the
last one; `next_offset` stands on the last page as well and says nothing. The search has no documented filter by time.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from dora_pipeline.errors import SourceIncomplete
from dora_pipeline.sources.datadog.api import items_problem
from dora_pipeline.sources.datadog.incident_times import incident_moment
from dora_pipeline.sources.event_rules import Unusable
from dora_pipeline.sources.http import HttpClient

PAGE_SIZE = 100

_MOST_STARTS = 5
_PLACE = ("data", "attributes", "incidents")

Incident = Mapping[str, Any]


class _Shifted(Exception):
    pass


class IncidentSearch:
    """The incidents that a query finds, in the order of their creation; what was read once is not read again."""

    def __init__(self, source: str, client: HttpClient, query: str, sort: Literal["created", "-created"]) -> None:
        self._source, self._client = source, client
        self._query, self._sort = query, sort
        self._found: dict[str, Incident] = {}
        self._forget()

    def whole(self) -> Sequence[Incident]:
        """All that the query finds. Raises SourceIncomplete where pages repeat or never hold still."""
        return self._read(None)

    def back_to(self, moment: datetime) -> Sequence[Incident]:
        """Of a search from the newest on: at least what was created at `moment` (UTC) or later; raises as `whole`."""
        return self._read(moment)

    def _read(self, moment: datetime | None) -> Sequence[Incident]:
        for _ in range(_MOST_STARTS):
            try:
                while not self._reaches(moment):
                    self._read_page()
                return list(self._found.values())
            except _Shifted:
                self._forget()
        raise SourceIncomplete(
            self._source,
            f"the search {self._query!r} changed between its pages {_MOST_STARTS} times; nothing was taken from it; "
            "run again when fewer incidents change",
        )

    def _forget(self) -> None:
        self._found.clear()
        self._offset = 0
        self._last: str | None = None
        self._oldest: datetime | None = None
        self._is_sorted, self._is_whole = True, False

    def _reaches(self, moment: datetime | None) -> bool:
        is_past = moment is not None and self._oldest is not None and self._oldest < moment
        return self._is_whole or (is_past and self._is_sorted)

    def _read_page(self) -> None:
        offset = self._offset if self._last is None else self._offset - 1
        page = [item["data"] for item in self._page(offset)]
        ids = [incident["id"] for incident in page]
        if self._last is not None and self._last not in ids:
            raise _Shifted
        if len(page) >= PAGE_SIZE and self._found.keys() >= set(ids):
            raise SourceIncomplete(
                self._source, f"the search {self._query!r} repeats itself at offset {offset}; nothing was taken from it"
            )
        self._found.update(zip(ids, page, strict=True))
        self._offset, self._last = offset + len(page), ids[-1] if ids else None
        self._is_whole = len(page) < PAGE_SIZE
        self._note_order(page)

    def _page(self, offset: int) -> Sequence[Any]:
        params: dict[str, str | int | Sequence[str]] = {
            "query": self._query,
            "sort": self._sort,
            "page[size]": PAGE_SIZE,
            "page[offset]": offset,
        }
        answer = self._client.get("/api/v2/incidents/search", params, check=_problem)
        incidents: Sequence[Any] = answer["data"]["attributes"]["incidents"]
        return incidents

    def _note_order(self, page: Sequence[Incident]) -> None:
        for incident in page:
            created = created_at(incident)
            if created is None or (self._oldest is not None and created > self._oldest):
                self._is_sorted = False
            self._oldest = created or self._oldest


def created_at(incident: Incident) -> datetime | None:
    """When an incident was created, in UTC; None where that cannot be read."""
    attributes = incident.get("attributes")
    try:
        return incident_moment(attributes, "created") if isinstance(attributes, dict) else None
    except Unusable:
        return None


def _problem(answer: Any) -> str | None:
    if wrong := items_problem(answer, *_PLACE):
        return wrong
    return incident_problem(*answer["data"]["attributes"]["incidents"])


def incident_problem(*answers: Any) -> str | None:
    """What is wrong with answers that should each have an incident with an id under `data`."""
    for answer in answers:
        incident = answer.get("data") if isinstance(answer, Mapping) else None
        if not isinstance(incident, Mapping) or not isinstance(incident.get("id"), str) or not incident["id"]:
            return "an incident without an id"
    return None
