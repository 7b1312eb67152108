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


def began_at(number: int) -> str:
    """When the event of a number began: apart, since two of a service may not share a second."""
    return ago(DAYS, -number)


class Vendors:
    """Datadog and PagerDuty, with the records of each source by number."""

    def __init__(self, datadog: FakeDatadog, other: FakeVendor) -> None:
        self.datadog = datadog
        self.pagerduty = FakePagerDuty(other, TOKEN)
        self.settings = {
            "datadog": {"api_url": datadog.url},
            "sources": {"pagerduty": {"api_url": other.url}}
            | {name: {"pull_from_datadog": True} for name in (*DEPLOYMENTS, "failure_event_api")},
        }

    def show(self, source: str, version: str, number: int = 1) -> None:
        """Put a version of a record of a source in the place of what is there of it."""
        tells: Mapping[str, Callable[[str, int], None]] = {
            "datadog_incidents": self._show_incident,
            "pagerduty": self._show_page,
            "failure_event_api": self._show_failure,
            "deployment_event_api": lambda version, number: self._show_deployment(f"d{number}", version, number),
            "apm_deployment_tracking": lambda version, number: self._show_deployment(
                f"a{number}", version, number, source="apm_deployments"
            ),
        }
        tells[source](version, number)

    def _show_incident(self, version: str, number: int) -> None:
        began, ended = began_at(number), ENDS.get(version)
        end = "soon" if ended == "soon" else ended and datetime.fromisoformat(ended).timestamp()
        told: dict[str, Any] = dict.fromkeys(("created", "modified", "declared", "detected"), began)
        told |= {"resolved": ended, "state": "resolved" if ended else "active"}
        active = {"spans": [{"start": datetime.fromisoformat(began).timestamp(), "end": end}]}
        told["field_analytics"] = {"state": {"active": active}}
        if version == "mistyped":
            told["title"] = 7
        shown = datadog_incident(number, **told)
        others = [incident for incident in self.datadog.incidents if incident["id"] != shown["id"]]
        self.datadog.incidents = [*others, shown]

    def _show_page(self, version: str, number: int) -> None:
        told = {"title": 7} if version == "mistyped" else {}
        self.pagerduty.add(incident(number, began_at(number), ENDS.get(version), **told))

    def _show_failure(self, version: str, number: int) -> None:
        told: dict[str, Any] = {"service": ["shop"], "env": ["prod"], "started_at": began_at(number)}
        told |= {"finished_at": ENDS.get(version)}
        told |= {"mistyped": {"name": 7}, "without a service": {"service": []}}.get(version, {})
        others = [event for event in self.datadog.events["failures"] if event["id"] != f"f{number}"]
        shown = {"id": f"f{number}", "type": "dora_failure", "attributes": told}
        self.datadog.events["failures"] = [*others, shown]

    def _show_deployment(self, name: str, version: str, number: int, **more: str) -> None:
        told: dict[str, Any] = {"service": name, "env": "prod", "version": "1", "started_at": began_at(number), **more}
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


def ends(home: TestHome) -> dict[tuple[str, datetime], datetime | None]:
    """When each event ended, by source and when it began."""
    columns = "SELECT source, started_at, finished_at FROM"
    rows = home.rows(f"{columns} core.deployments UNION ALL {columns} core.failures")
    found = {(source, started): finished for source, started, finished in rows}
    assert len(rows) == len(found)
    return found


def event(source: str, number: int = 1) -> tuple[str, datetime]:
    """The key of an event in `ends`."""
    return source, datetime.fromisoformat(began_at(number))


def rejects(home: TestHome) -> list[tuple[Any, ...]]:
    """Source and reason of each reject."""
    return home.rows("SELECT source, reason FROM core.rejected_events ORDER BY ALL")


def end(source: str, version: str) -> datetime | None:
    """The end that a usable version tells."""
    text = ENDS.get(version, ago(DAYS) if source in DEPLOYMENTS else None)
    return None if text is None else datetime.fromisoformat(text)


def test_records_that_come_again_and_cannot_be_used_stay_as_they_were_until_they_come_well(
    home: TestHome, vendors: Vendors
) -> None:
    # Each source has a record for each fault.
    bad = {
        (source, number): version
        for source, reasons in REASONS_OF.items()
        for number, version in enumerate(reasons, start=1)
    }
    expected = sorted((source, REASONS_OF[source][version]) for (source, _), version in bad.items())
    prepare(home, vendors, *REASONS_OF)
    for source, number in bad:
        vendors.show(source, "first", number)
    home.run()
    for (source, number), version in bad.items():
        vendors.show(source, version, number)
    home.run()
    assert ends(home) == {event(*key): end(key[0], "first") for key in bad}
    assert rejects(home) == expected
    tables, files = home.tables(), stamps(home)
    assert rebuilt(home) == tables
    home.run()
    assert (home.tables(), stamps(home)) == (tables, files)

    for source, number in bad:
        vendors.show(source, "last", number)
    home.run()
    assert ends(home) == {event(*key): end(key[0], "last") for key in bad}
    assert rejects(home) == []
    tables = home.tables()
    assert rebuilt(home) == tables


def test_a_record_that_is_gone_after_a_version_that_cannot_be_used_ends_as_any_other(
    home: TestHome, vendors: Vendors
) -> None:
    sources = ("datadog_incidents", "failure_event_api", "pagerduty")
    prepare(home, vendors, *sources)
    for version in ("first", "backwards"):
        for source in sources:
            vendors.show(source, version)
        home.run()
    vendors.datadog.incidents, vendors.datadog.events["failures"] = [], []
    vendors.pagerduty.incidents.clear()
    # Deleted events of a list are no failures; incidents ended when they were missed.
    expected = [("datadog_incidents", True), ("pagerduty", True)]
    for _ in range(2):
        home.run()
        assert home.rows("SELECT source, finished_at > $1 FROM core.failures ORDER BY 1", NOON) == expected
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
    assert rejects(home) == sorted((source, "time_in_future") for source in REASONS_OF)
    home.run()
    assert home.tables() == tables
    files = stamps(home)
    assert rebuilt(home) == tables
    home.run()
    assert stamps(home) == files


def test_after_any_versions_the_last_usable_one_stands_and_the_newest_is_rejected_where_it_cannot_be_used(
    home: TestHome, vendors: Vendors
) -> None:
    random = Random(1)
    prepare(home, vendors, *REASONS_OF)
    usable: dict[tuple[str, datetime], datetime | None] = {}
    for _ in range(6):
        rejected = []
        for source, reasons in REASONS_OF.items():
            for number in range(1, 5):
                version = random.choice(["first", "last", *reasons])
                vendors.show(source, version, number)
                if version in reasons:
                    rejected.append((source, reasons[version]))
                else:
                    usable[event(source, number)] = end(source, version)
        home.run()
        assert ends(home) == usable
        assert rejects(home) == sorted(rejected)
    tables = home.tables()
    assert rebuilt(home) == tables
