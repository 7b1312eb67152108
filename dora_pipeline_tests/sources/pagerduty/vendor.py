"""PagerDuty's REST API."""

from datetime import datetime
from typing import Any

from dora_pipeline_tests.vendors.pagerduty import FakePagerDuty, incident, written
from dora_pipeline_tests.vendors.server import FakeVendor

_TOKEN = "u+planted/Token=0815-a8f3c1d97e"


class Account:
    """An account whose pages hold ten incidents."""

    more_than_a_page = 25

    def __init__(self) -> None:
        self.vendor = FakeVendor()
        self.secrets = {"PAGERDUTY_API_TOKEN": _TOKEN}
        self._pagerduty = FakePagerDuty(self.vendor, _TOKEN)
        self._pagerduty.largest_page = 10

    def settings(self) -> dict[str, Any]:
        return {"sources": {"pagerduty": {"api_url": self.vendor.url}}}

    def tell(self, number: int, started: datetime, finished: datetime | None) -> None:
        self._pagerduty.add(incident(number, written(started), finished and written(finished)))
