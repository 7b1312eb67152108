"""Datadog's API: incidents with their search, lists of deployments and failures, metrics and spans."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from dora_pipeline_tests.vendors.server import Asked, FakeVendor, Reply

API_KEY = "planted-api-key-4711"
APP_KEY = "planted-app-key-4712"

_MOST_INCIDENTS, _MOST_EVENTS = 100, 1000
_LIST_PATH = r"/api/v2/dora/(deployments|failures)"
_INCIDENT_TIMES = ("created", "modified", "detected", "declared", "resolved")


class FakeDatadog(FakeVendor):
    """Datadog as it is recorded. `incidents` are in the order of their creation, `events` by the name of their list.

    `after_pages` are called one after each page of the search, to change what is there. The search knows neither test
    incidents nor those of `unsearchable`, and cuts times to seconds; only it tells `field_analytics`.
    """

    def __init__(self, *incidents: dict[str, Any], **events: Sequence[dict[str, Any]]) -> None:
        super().__init__()
        self.incidents = list(incidents)
        self.events: dict[str, list[dict[str, Any]]] = {name: list(told) for name, told in events.items()}
        self.after_pages: list[Callable[[], None]] = []
        self.unsearchable: set[str] = set()
        self.secret_incidents: set[str] = set()
        self._signed("GET", "/api/v2/incidents/search", self._search)
        self._signed("GET", "/api/v2/incidents/(?!search)([^/]+)", self._incident)
        self._signed("POST", _LIST_PATH, self._list)
        self._signed("GET", _LIST_PATH + "/([^/]+)", self._event)

    def replay(self, method: str, pattern: str, pairs: Sequence[Mapping[str, Any]]) -> None:
        """Answer requests whose path is all of the pattern with recorded answers, one after the other."""
        left = list(pairs)

        def recorded(asked: Asked) -> Reply:
            pair = left.pop(0)
            return Reply(pair["response"], pair["status"])

        self.answer(method, pattern, recorded)

    def answer(self, method: str, pattern: str, answer: Callable[[Asked], Reply]) -> None:
        """Answer requests whose path is all of the pattern in this way, whatever else is there."""
        self._signed(method, pattern, answer)
        self._routes.insert(0, self._routes.pop())

    def paths(self) -> list[str]:
        """The paths asked for, in order."""
        return [asked.path for asked in self.asked]

    def _signed(self, method: str, pattern: str, answer: Callable[[Asked], Reply]) -> None:
        def signed(asked: Asked) -> Reply:
            if asked.headers.get("dd-api-key") != API_KEY:
                return Reply({"errors": ["Unauthorized"]}, 401)
            if asked.headers.get("dd-application-key") != APP_KEY:
                return Reply({"errors": ["Forbidden"]}, 403)
            return answer(asked)

        self.route(method, pattern, signed)

    def _search(self, asked: Asked) -> Reply:
        query, sort = asked.first("query"), asked.first("sort", "created")
        match = re.fullmatch(r"state:\(([a-z]+(?: OR [a-z]+)*)\)", query or "")
        if match is None or sort not in ("created", "-created"):
            return _bad_request("invalid query")
        states = match[1].split(" OR ")
        size, offset = int(asked.first("page[size]", "10") or 0), int(asked.first("page[offset]", "0") or 0)
        if not 0 < size <= _MOST_INCIDENTS or offset < 0:
            return _bad_request("invalid page")
        found = [told for told in self.incidents if self._is_searchable(told) and told["attributes"]["state"] in states]
        found.sort(key=lambda told: str(told["attributes"]["created"]), reverse=sort == "-created")
        page = [{"data": _cut_to_seconds(told)} for told in found[offset : offset + size]]
        body = {
            "data": {
                "type": "incidents_search_results",
                "attributes": {"facets": {}, "incidents": page, "total": len(found)},
            },
            # The last page has a next one, too.
            "meta": {"pagination": {"offset": offset, "size": size, "next_offset": offset + size}},
        }
        if self.after_pages:
            self.after_pages.pop(0)()
        return Reply(body)

    def _is_searchable(self, told: Mapping[str, Any]) -> bool:
        return not told["attributes"]["is_test"] and told["id"] not in self.unsearchable

    def _incident(self, asked: Asked) -> Reply:
        assert asked.match is not None
        if asked.match[1] in self.secret_incidents:
            return Reply({"errors": ["Forbidden"]}, 403)
        for told in self.incidents:
            if told["id"] == asked.match[1]:
                return Reply({"data": {**told, "attributes": {**told["attributes"], "field_analytics": None}}})
        return Reply({"errors": [{"status": "404", "title": "Not Found", "detail": "incident not found"}]}, 404)

    def _list(self, asked: Asked) -> Reply:
        assert asked.match is not None
        name, data = asked.match[1], asked.body.get("data", {})
        wanted = f"dora_{name}_list_request"
        if data.get("type", "") != wanted:
            return _bad_request(f'got type "{data.get("type", "")}" expected one of "{wanted}"')
        attributes = data.get("attributes", {})
        if not all(isinstance(attributes.get(bound, ""), str) for bound in ("from", "to")):
            return _bad_request('error decoding attribute "from": invalid type number')
        limit = attributes.get("limit", 10)
        if not 0 < limit <= _MOST_EVENTS or attributes.get("sort", "-started_at") != "-started_at":
            return _bad_request("invalid limit or sort")
        first, last = (datetime.fromisoformat(attributes[bound]) for bound in ("from", "to"))
        found = [
            told
            for told in self.events.get(name, [])
            if first <= started_at(told) <= last and _is_wanted(told, attributes.get("query"))
        ]
        return Reply({"data": sorted(found, key=started_at, reverse=True)[:limit]})

    def _event(self, asked: Asked) -> Reply:
        assert asked.match is not None
        for told in self.events.get(asked.match[1], []):
            if told["id"] == asked.match[2]:
                return Reply({"data": told})
        return Reply({"errors": [{"status": "404", "title": "Not Found"}]}, 404)


def started_at(event: Mapping[str, Any]) -> datetime:
    """The instant at which an event of a list stands."""
    return datetime.fromisoformat(event["attributes"]["started_at"])


def _is_wanted(event: Mapping[str, Any], query: str | None) -> bool:
    if not query:
        return True
    match = re.fullmatch(r"(-?)source:(\w+)", query)
    assert match is not None
    return (event["attributes"].get("source") == match[2]) != bool(match[1])


def _cut_to_seconds(told: Mapping[str, Any]) -> dict[str, Any]:
    times = {
        name: re.sub(r"\.\d+", "", value)
        for name in _INCIDENT_TIMES
        if isinstance(value := told["attributes"].get(name), str)
    }
    return {**told, "attributes": {**told["attributes"], **times}}


def _bad_request(detail: str) -> Reply:
    return Reply({"errors": [{"status": "400", "title": "Bad Request", "detail": detail}]}, 400)
