"""A public page of Atlassian's Statuspage: the newest 50 incidents and those that are not resolved, no key."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dora_pipeline_tests.vendors.server import Asked, FakeVendor, Reply

_MOST = 50
_OVER = ("resolved", "postmortem")


def written(moment: datetime) -> str:
    """As pages write times."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def component(name: str, **fields: Any) -> dict[str, Any]:
    """A component as it stands in an incident."""
    return {
        "id": f"c-{name.lower()}",
        "name": name,
        "status": "operational",
        "group": False,
        "group_id": None,
        **fields,
    }


def incident(number: int, started: datetime, finished: datetime | None = None, **fields: Any) -> dict[str, Any]:
    """Incident `i<number>` of the component `Shop`, open where it has not finished."""
    began, ended = written(started), None if finished is None else written(finished)
    return {
        "id": f"i{number}",
        "name": "Orders are slow",
        "status": "resolved" if ended else "investigating",
        "created_at": began,
        "updated_at": ended or began,
        "monitoring_at": None,
        "resolved_at": ended,
        "impact": "major",
        "shortlink": f"https://stspg.io/i{number}",
        "started_at": began,
        "page_id": "page1",
        "incident_updates": [],
        "components": [component("Shop")],
        **fields,
    }


class FakeStatuspage:
    """A page behind a server."""

    def __init__(self, vendor: FakeVendor, page_id: str = "page1") -> None:
        self.incidents: dict[str, dict[str, Any]] = {}
        self._page_id = page_id
        vendor.route("GET", "/api/v2/incidents.json", self._newest)
        vendor.route("GET", "/api/v2/incidents/unresolved.json", self._open)

    def add(self, *incidents: dict[str, Any]) -> None:
        """Add incidents, or put them in the place of those with their ids."""
        self.incidents.update({incident["id"]: incident for incident in incidents})

    def _newest(self, asked: Asked) -> Reply:
        return self._page(sorted(self.incidents.values(), key=lambda one: str(one["created_at"]), reverse=True)[:_MOST])

    def _open(self, asked: Asked) -> Reply:
        return self._page([one for one in self.incidents.values() if one["status"] not in _OVER])

    def _page(self, incidents: Sequence[Mapping[str, Any]]) -> Reply:
        page = {"id": self._page_id, "name": "Acme", "url": "https://status.acme.example", "time_zone": "Etc/UTC"}
        return Reply({"page": page, "incidents": incidents})


class Account:
    """A page with incidents."""

    secrets: Mapping[str, str] = {}
    # There is one page, and no other.
    more_than_a_page = _MOST

    def __init__(self) -> None:
        self.vendor = FakeVendor()
        self._page = FakeStatuspage(self.vendor)

    def settings(self) -> dict[str, Any]:
        return {"sources": {"statuspage": {"pages": [self.vendor.url], "env": "prod"}}}

    def tell(self, number: int, started: datetime, finished: datetime | None) -> None:
        self._page.add(incident(number, started, finished))
