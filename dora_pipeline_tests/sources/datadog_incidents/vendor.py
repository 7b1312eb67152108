"""Datadog's incidents."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dora_pipeline_tests.datadog_incidents import incident
from dora_pipeline_tests.vendors.datadog import API_KEY, APP_KEY, FakeDatadog


class Account:
    """An organisation with incidents, in the order of their creation."""

    secrets: Mapping[str, str] = {"DD_API_KEY": API_KEY, "DD_APP_KEY": APP_KEY}
    more_than_a_page = 210

    def __init__(self) -> None:
        self.vendor = FakeDatadog()

    def settings(self) -> dict[str, Any]:
        return {"datadog": {"api_url": self.vendor.url}}

    def tell(self, number: int, started: datetime, finished: datetime | None) -> None:
        ended = finished and finished.timestamp()
        times: dict[str, Any] = dict.fromkeys(("created", "modified", "declared", "detected"), started.isoformat())
        active = {"spans": [{"start": started.timestamp(), "end": ended}]}
        new = incident(
            number,
            state="resolved" if finished else "active",
            resolved=finished and finished.isoformat(),
            field_analytics={"state": {"active": active}},
            **times,
        )
        others = [one for one in self.vendor.incidents if one["id"] != new["id"]]
        self.vendor.incidents = sorted([*others, new], key=lambda one: str(one["attributes"]["created"]))
