"""Records of pulled sources that come again and cannot be used: what came well before stays, the reject is shown."""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from dora_pipeline.pipeline.runs import run
from dora_pipeline.sources.registry import sources_of
from dora_pipeline.sources.source import EventType
from dora_pipeline_tests.datadog_incidents import incident as datadog_incident
from dora_pipeline_tests.full_homes import rebuilt
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.pulled_homes import NOON, TOKEN, ago, stamps
from dora_pipeline_tests.vendors.datadog import API_KEY, APP_KEY, FakeDatadog
from dora_pipeline_tests.vendors.pagerduty import FakePagerDuty, incident
from dora_pipeline_tests.vendors.server import FakeVendor, Reply

DAYS = 3
# What versions of the one record of a source say of its end; those that can be used are `first` and `last`.
ENDS = {
    "last": ago(DAYS, 30),
    "backwards": ago(DAYS + 1),
    "in the future": "2032-05-06T07:08:09Z",
    "unreadable": "soon",
}
REASONS = {
    "backwards": "finished_before_started",
    "in the future": "time_in_future",
    "unreadable": "time_unreadable",
    "mistyped": "field_type",
}
# Incidents are failures also where they name no service.
REASONS_OF_EVENTS = REASONS | {"without a service": "service_missing"}
REASONS_OF = {
    "datadog_incidents": REASONS,
    "pagerduty": REASONS,
    "failure_event_api": REASONS_OF_EVENTS,
    "deployment_event_api": REASONS_OF_EVENTS,
    "apm_deployment_tracking": REASONS_OF_EVENTS,
}
DEPLOYMENTS = sources_of("deployment")


class Vendors:
    """Datadog and PagerDuty, with one record for each source."""

    def __init__(self, datadog: FakeDatadog, other: FakeVendor) -> None:
        self.datadog = datadog
        self.pagerduty = FakePagerDuty(other, TOKEN)
        self.settings = {
            "datadog": {"api_url": datadog.url},
            "sources": {"pagerduty": {"api_url": other.url}}
            | {name: {"pull_from_datadog": True} for name in (*DEPLOYMENTS, "failure_event_api")},
        }

    def show(self, source: str, version: str) -> None:
        """Put a version of the record of a source in the place of what is there."""
        tells: Mapping[str, Callable[[str], None]] = {
            "datadog_incidents": self._show_incident,
            "pagerduty": self._show_page,
            "failure_event_api": self._show_failure,
            "deployment_event_api": lambda version: self._show_deployment("d1", version),
            "apm_deployment_tracking": lambda version: self._show_deployment("d2", version, source="apm_deployments"),
        }
        tells[source](version)

    def _show_incident(self, version: str) -> None:
        began, ended = ago(DAYS), ENDS.get(version)
        end = "soon" if ended == "soon" else ended and datetime.fromisoformat(ended).timestamp()
        told: dict[str, Any] = dict.fromkeys(("created", "modified", "declared", "detected"), began)
        told |= {"resolved": ended, "state": "resolved" if ended else "active"}
        active = {"spans": [{"start": datetime.fromisoformat(began).timestamp(), "end": end}]}
        told["field_analytics"] = {"state": {"active": active}}
        if version == "mistyped":
            told["title"] = 7
        self.datadog.incidents = [datadog_incident(1, **told)]

    def _show_page(self, version: str) -> None:
        told = {"title": 7} if version == "mistyped" else {}
        self.pagerduty.add(incident(1, ago(DAYS), ENDS.get(version), **told))

    def _show_failure(self, version: str) -> None:
        told: dict[str, Any] = {"service": ["shop"], "env": ["prod"], "started_at": ago(DAYS)}
        told |= {"finished_at": ENDS.get(version)}
        told |= {"mistyped": {"name": 7}, "without a service": {"service": []}}.get(version, {})
        self.datadog.events["failures"] = [{"id": "f1", "type": "dora_failure", "attributes": told}]

    def _show_deployment(self, name: str, version: str, **more: str) -> None:
        told: dict[str, Any] = {"service": name, "env": "prod", "version": "1", "started_at": ago(DAYS, -1), **more}
        told |= {"finished_at": ENDS.get(version, ago(DAYS))}
        told |= {"mistyped": {"version": 7}, "without a service": {"service": " "}}.get(version, {})
        others = [event for event in self.datadog.events["deployments"] if event["id"] != name]
        self.datadog.events["deployments"] = [*others, {"id": name, "type": "dora_deployment", "attributes": told}]


@pytest.fixture
def vendors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendors]:
    monkeypatch.setenv("DD_API_KEY", API_KEY)
    monkeypatch.setenv("DD_APP_KEY", APP_KEY)
    monkeypatch.setenv("PAGERDUTY_API_TOKEN", TOKEN)
    with FakeDatadog(deployments=[], failures=[]) as datadog, FakeVendor() as other:
        # No trace metric and no span tells of a version.
        datadog.answer("GET", "/api/v1/metrics", lambda asked: Reply({"metrics": []}))
        datadog.answer("POST", "/api/v2/spans/events/search", lambda asked: Reply({"data": []}))
        yield Vendors(datadog, other)


def prepare(home: TestHome, vendors: Vendors, *sources: str) -> None:
    home.settings(**vendors.settings)
    event_types: tuple[EventType, ...] = ("deployment", "failure")
    for event_type in event_types:
        if selected := [name for name in sources_of(event_type) if name in sources]:
            home.select(event_type, *selected, at=NOON - timedelta(days=DAYS + 2))


def ends(home: TestHome) -> dict[str, datetime | None]:
    """When the event of each source ended, of those that have one."""
    query = "SELECT source, finished_at FROM core.deployments UNION ALL SELECT source, finished_at FROM core.failures"
    rows = home.rows(query)
    assert len(rows) == len(dict(rows))
    return dict(rows)


def rejects(home: TestHome) -> dict[str, str]:
    """The reason of the reject of each source, of those that have one."""
    rows = home.rows("SELECT source, reason FROM core.rejected_events")
    assert len(rows) == len(dict(rows))
    return dict(rows)


def end(source: str, version: str) -> datetime | None:
    """The end that a usable version tells."""
    text = ENDS.get(version, ago(DAYS) if source in DEPLOYMENTS else None)
    return None if text is None else datetime.fromisoformat(text)


@pytest.mark.parametrize("version", REASONS_OF_EVENTS)
def test_a_record_that_comes_again_and_cannot_be_used_stays_as_it_was_until_it_comes_well(
    home: TestHome, vendors: Vendors, version: str
) -> None:
    rejected = {source: reasons[version] for source, reasons in REASONS_OF.items() if version in reasons}
    prepare(home, vendors, *rejected)
    for source in rejected:
        vendors.show(source, "first")
    home.run()
    for source in rejected:
        vendors.show(source, version)
    home.run()
    assert ends(home) == {source: end(source, "first") for source in rejected}
    assert rejects(home) == rejected
    tables, files = home.tables(), stamps(home)
    assert rebuilt(home) == tables
    home.run()
    assert (home.tables(), stamps(home)) == (tables, files)

    for source in rejected:
        vendors.show(source, "last")
    home.run()
    assert ends(home) == {source: end(source, "last") for source in rejected}
    assert rejects(home) == {}
    tables = home.tables()
    assert rebuilt(home) == tables


@pytest.mark.parametrize(
    ("source", "is_ended"), [("datadog_incidents", True), ("pagerduty", True), ("failure_event_api", None)]
)
def test_a_record_that_is_gone_after_a_version_that_cannot_be_used_ends_as_any_other(
    home: TestHome, vendors: Vendors, source: str, is_ended: bool | None
) -> None:
    prepare(home, vendors, source)
    for version in ("first", "backwards"):
        vendors.show(source, version)
        home.run()
    vendors.datadog.incidents, vendors.datadog.events["failures"] = [], []
    vendors.pagerduty.incidents.clear()
    # Deleted events of a list are no failures; incidents ended when they were missed.
    expected = [] if is_ended is None else [(source, is_ended)]
    for _ in range(2):
        home.run()
        assert home.rows("SELECT source, finished_at > $1 FROM core.failures", NOON) == expected
    tables = home.tables()
    assert rebuilt(home) == tables


def test_a_record_that_came_before_its_end_is_usable_when_it_comes_again_after_it(
    home: TestHome, vendors: Vendors
) -> None:
    prepare(home, vendors, *REASONS_OF)
    for source in REASONS_OF:
        vendors.show(source, "last")
    home.run()
    tables = home.tables()
    for path in home.home.raw.rglob("*.jsonl.gz"):
        record = json.loads(gzip.decompress(path.read_bytes()))
        record["fetched_at"] = ago(DAYS)
        path.write_bytes(gzip.compress(json.dumps(record).encode()))
    run(home.home, rebuild=True, accepts_shrink=True)
    assert ends(home) == {}
    assert rejects(home) == dict.fromkeys(REASONS_OF, "time_in_future")
    home.run()
    assert home.tables() == tables
    files = stamps(home)
    assert rebuilt(home) == tables
    home.run()
    assert stamps(home) == files


@pytest.mark.parametrize("seed", range(2))
def test_after_any_versions_the_last_usable_one_stands_and_the_newest_is_rejected_where_it_cannot_be_used(
    home: TestHome, vendors: Vendors, seed: int
) -> None:
    random = Random(seed)
    prepare(home, vendors, *REASONS_OF)
    usable: dict[str, datetime | None] = {}
    for _ in range(6):
        rejected = {}
        for source, reasons in REASONS_OF.items():
            version = random.choice(["first", "last", *reasons])
            vendors.show(source, version)
            if version in reasons:
                rejected[source] = reasons[version]
            else:
                usable[source] = end(source, version)
        home.run()
        assert ends(home) == usable
        assert rejects(home) == rejected
    tables = home.tables()
    assert rebuilt(home) == tables
