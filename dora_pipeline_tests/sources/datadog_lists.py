"""Accounts of the three sources that are in Datadog's lists of deployments and failures."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dora_pipeline_tests.vendors.datadog import API_KEY, APP_KEY, FakeDatadog
from dora_pipeline_tests.vendors.server import Reply


class ListAccount:
    """An organisation with a list; `attributes` are those that every event of the source has."""

    secrets: Mapping[str, str] = {"DD_API_KEY": API_KEY, "DD_APP_KEY": APP_KEY}
    more_than_a_page = 1010

    def __init__(self, name: str, lists: str, /, **attributes: Any) -> None:
        self.vendor = FakeDatadog(**{lists: []})
        # No trace metric and no span tells of a version.
        self.vendor.answer("GET", "/api/v1/metrics", lambda asked: Reply({"metrics": []}))
        self.vendor.answer("POST", "/api/v2/spans/events/search", lambda asked: Reply({"data": []}))
        self._source, self._list, self._attributes = name, lists, attributes
        self._events: dict[int, dict[str, Any]] = {}

    def settings(self) -> dict[str, Any]:
        return {"datadog": {"api_url": self.vendor.url}, "sources": {self._source: {"pull_from_datadog": True}}}

    def tell(self, number: int, started: datetime, finished: datetime | None) -> None:
        times = {"started_at": started.isoformat(), "finished_at": finished and finished.isoformat()}
        attributes = {**times, **self._attributes}
        self._events[number] = {
            "id": f"event-{number}",
            "type": f"dora_{self._list.removesuffix('s')}",
            "attributes": attributes,
        }
        self.vendor.events[self._list] = list(self._events.values())
