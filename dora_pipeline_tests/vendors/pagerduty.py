"""PagerDuty's REST API v2 as it behaves: live offsets, the cap at 10,000 rows, windows on `created_at` alone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from dora_pipeline_tests.vendors.server import Asked, FakeVendor, Reply


def written(moment: datetime) -> str:
    """As PagerDuty writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def incident(number: int, created: str, resolved: str | None = None, **told: Any) -> dict[str, Any]:
    """Incident `Q<number>`, open where it was not resolved; times as `2024-05-06T07:08:09Z`."""
    status = "resolved" if resolved else "triggered"
    return {
        "id": f"Q{number}",
        "type": "incident",
        "summary": f"[#{number}] Checkout is slow",
        "title": "Checkout is slow",
        "html_url": f"https://acme.pagerduty.com/incidents/Q{number}",
        "incident_number": number,
        "created_at": created,
        "updated_at": resolved or created,
        "status": status,
        "service": reference("service", "PSHOP", "shop"),
        "last_status_change_at": resolved or created,
        "resolved_at": resolved,
        "teams": [],
        "acknowledgements": [],
        "priority": None,
        "resolve_reason": None,
        "urgency": "high",
        **told,
    }


def reference(kind: str, name: str, summary: str) -> dict[str, Any]:
    """A reference as it stands in an incident."""
    page = "service-directory" if kind == "service" else f"{kind}s"
    return {
        "id": name,
        "type": f"{kind}_reference",
        "summary": summary,
        "html_url": f"https://acme.pagerduty.com/{page}/{name}",
    }


def merged_into(number: int) -> dict[str, Any]:
    """The `resolve_reason` of a merged incident."""
    return {"type": "merge_resolve_reason", "incident": reference("incident", f"Q{number}", f"[#{number}]")}


class FakePagerDuty:
    """An account. `after_page` is called with the number of list pages sent so far, after each."""

    def __init__(self, vendor: FakeVendor, token: str) -> None:
        self.incidents: dict[str, dict[str, Any]] = {}
        self.log_entries: dict[str, list[dict[str, Any]]] = {}
        self.lost_access: set[str] = set()
        self.after_page: Callable[[int], None] = lambda number: None
        self.largest_page = 100
        self.cap = 10_000
        self.tells_totals = True
        self._token = token
        self._pages = 0
        vendor.route("GET", "/incidents", self._list)
        vendor.route("GET", "/incidents/(?P<id>[^/]+)", self._one)
        vendor.route("GET", "/incidents/(?P<id>[^/]+)/log_entries", self._log)

    def add(self, *incidents: dict[str, Any]) -> None:
        """Add incidents, or put them in the place of those with their ids."""
        self.incidents.update({incident["id"]: incident for incident in incidents})

    def restart_pages(self, after_page: Callable[[int], None]) -> None:
        """Count pages from the first again, and call this after each."""
        self.after_page, self._pages = after_page, 0

    def _list(self, asked: Asked) -> Reply:
        if refusal := self._refusal(asked):
            return refusal
        rows = list(self.incidents.values())
        if asked.first("date_range") != "all":
            since, until = (datetime.fromisoformat(str(asked.first(name))) for name in ("since", "until"))
            if since.tzinfo is None or until.tzinfo is None or asked.first("time_zone") != "UTC":
                return _error(400, 2004, "the account's own time zone would be used")
            if until - since > timedelta(days=180):
                return _error(400, 2005, "Invalid Query Date Range")
            rows = [row for row in rows if since <= _second(row["created_at"]) <= until]
        for name, values in asked.query.items():
            if name == "statuses[]":
                rows = [row for row in rows if row["status"] in values]
            if name == "service_ids[]":
                rows = [row for row in rows if row["service"]["id"] in values]
            if name == "team_ids[]":
                rows = [row for row in rows if {team["id"] for team in row["teams"]} & set(values)]
        order = {"created_at:asc": "created_at", "incident_number:asc": "incident_number"}[str(asked.first("sort_by"))]
        rows.sort(key=lambda row: (row[order], row["incident_number"]))
        reply = self._page(asked, "incidents", rows)
        self._pages += 1
        self.after_page(self._pages)
        return reply

    def _one(self, asked: Asked) -> Reply:
        if refusal := self._refusal(asked):
            return refusal
        name = str(asked.match and asked.match["id"])
        if name in self.lost_access:
            return _error(403, 2018, "You may have lost access to this incident if it has been resolved")
        if name not in self.incidents:
            return _error(404, 2100, "Not Found")
        return Reply({"incident": self.incidents[name]})

    def _log(self, asked: Asked) -> Reply:
        return self._page(asked, "log_entries", self.log_entries[str(asked.match and asked.match["id"])])

    def _refusal(self, asked: Asked) -> Reply | None:
        if asked.headers.get("authorization") != f"Token token={self._token}":
            return _error(401, 2006, "Authentication failed")
        if asked.headers.get("accept") != "application/vnd.pagerduty+json;version=2":
            return _error(400, 2001, "the token's age would decide the version")
        return None

    def _page(self, asked: Asked, key: str, rows: list[dict[str, Any]]) -> Reply:
        offset = int(asked.first("offset", "0") or 0)
        limit = int(asked.first("limit", "25") or 25)
        if offset + limit > self.cap:
            return _error(
                400, 2002, "Arguments Caused Error", f"Offset+limit exceeds maximum allowed value of {self.cap}."
            )
        end = offset + min(limit, self.largest_page)
        total = len(rows) if asked.first("total") == "true" and self.tells_totals else None
        return Reply({key: rows[offset:end], "limit": limit, "offset": offset, "total": total, "more": end < len(rows)})


@cache
def _second(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(microsecond=0, tzinfo=UTC)


def _error(status: int, code: int, message: str, *errors: str) -> Reply:
    return Reply({"error": {"message": message, "code": code, "errors": list(errors)}}, status)
