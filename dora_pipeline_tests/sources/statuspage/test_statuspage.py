"""Incidents of public status pages: what of them is a failure of which service, and what a page does not show."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from dora_pipeline.catalog import Catalog
from dora_pipeline.errors import ConfigError, SourceRejected, SourceUnavailable
from dora_pipeline.settings import HomeSettings, read_settings
from dora_pipeline.sources.raw import PULLED_SCHEMA
from dora_pipeline.sources.statuspage import STATUSPAGE
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.pulled_homes import NOON, contents
from dora_pipeline_tests.sources.statuspage.vendor import FakeStatuspage, component, incident, written
from dora_pipeline_tests.vendors.server import FakeVendor, Reply, refused

PAGE = "https://status.acme.example"
HOUR = timedelta(hours=1)
START = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


# What of an incident is a failure


def normalized(
    *incidents: dict[str, Any], state: str = "present", fetched: datetime = START + 48 * HOUR, **section: Any
) -> tuple[list[dict[str, Any]], list[tuple[str, str | None]]]:
    """The failures of incidents of a page, and of the rejects reason and service."""
    bodies = [json.dumps({**one, "page_url": PAGE}) for one in incidents]
    rows = [(f"page1/i{number}", START, fetched, state, body) for number, body in enumerate(bodies, start=1)]
    settings = HomeSettings.model_validate(
        {"environments": {"production": ["prod"]}, "sources": {"statuspage": {"pages": [PAGE], **section}}}
    )
    records = pl.DataFrame(rows, schema=PULLED_SCHEMA, orient="row")
    result = STATUSPAGE.reader().normalize(records, settings, Catalog({}))
    return result.events.to_dicts(), result.rejected.select("reason", "service").rows()


def failure(one: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The only failure of an incident."""
    rows, rejected = normalized(one, **options)
    assert rejected == []
    assert len(rows) == 1
    return rows[0]


def reason(one: dict[str, Any], **options: Any) -> str:
    """Why an incident is rejected."""
    rows, rejected = normalized(one, **options)
    assert rows == []
    [(word, _)] = rejected
    return word


def test_an_incident_is_a_failure_of_its_component() -> None:
    row = failure(incident(1, START, START + HOUR), env="prod")
    assert row == {
        "source": "statuspage",
        "failure_id": "statuspage:page1/i1",
        "service": "Shop",
        "env": "production",
        "team": None,
        "name": "Orders are slow",
        "severity": "major",
        "version": None,
        "repository_id": None,
        "commit_sha": None,
        "url": "https://stspg.io/i1",
        "started_at": START,
        "finished_at": START + HOUR,
        "time_to_restore_seconds": 3600.0,
        "custom_tags": ["page:status.acme.example"],
        "received_at": START,
        "restored_day": START.date(),
        "day": START.date(),
    }


def test_components_are_services_by_name_or_id_or_as_the_settings_say_and_each_counts_once() -> None:
    parts = [component("Shop"), component("API"), component("Cart", id="abc"), component("Website"), component("Docs")]
    rows, rejected = normalized(
        incident(1, START, components=parts), components={"API": "api", "abc": "api", "Docs": None}
    )
    assert rejected == []
    assert [row["service"] for row in rows] == ["Shop", "api", "Website"]


def test_a_group_of_components_is_no_service() -> None:
    row = failure(incident(1, START, components=[component("Europe", group=True), component("Shop")]))
    assert row["service"] == "Shop"


def test_an_incident_of_components_that_are_none_of_ours_is_no_failure() -> None:
    assert normalized(incident(1, START), components={"Shop": None}) == ([], [])


def test_an_incident_without_a_component_is_that_of_the_service_of_the_settings_else_rejected() -> None:
    nothing = incident(1, START, components=[])
    assert reason(nothing) == "service_missing"
    assert failure(nothing, service="shop")["service"] == "shop"


def test_of_an_older_page_the_components_are_those_of_the_updates() -> None:
    updates = [
        {
            "status": "identified",
            "affected_components": [{"code": "c1", "name": "API"}, {"code": "c2", "name": "Shop"}],
        },
        {"status": "investigating", "affected_components": None},
    ]
    one = incident(1, START, incident_updates=updates)
    del one["components"], one["started_at"]
    rows, rejected = normalized(one, components={"c1": "api"})
    assert rejected == []
    assert [(row["service"], row["started_at"]) for row in rows] == [("api", START), ("Shop", START)]


def test_an_incident_that_was_dated_back_began_then() -> None:
    row = failure(incident(1, START, created_at=written(START + 30 * HOUR)))
    assert (row["started_at"], row["received_at"]) == (START, START + 30 * HOUR)


def test_times_may_have_an_offset() -> None:
    row = failure(incident(1, START, started_at="2024-05-06T01:08:09.000-06:00"))
    assert row["started_at"] == START


@pytest.mark.parametrize(
    ("impact", "least", "is_failure"),
    [
        ("none", "minor", False),
        ("minor", "minor", True),
        ("minor", "major", False),
        ("critical", "major", True),
        ("none", "none", True),
        ("maintenance", "none", False),
        ("of a new kind", "critical", True),
    ],
)
def test_an_incident_of_less_impact_than_is_wanted_is_no_failure(impact: str, least: str, is_failure: bool) -> None:
    rows, rejected = normalized(incident(1, START, impact=impact), least_impact=least)
    assert rejected == []
    assert [row["severity"] for row in rows] == ([impact] if is_failure else [])


@pytest.mark.parametrize("status", ["investigating", "identified", "monitoring", "of a new kind"])
def test_an_incident_is_open_until_it_is_resolved(status: str) -> None:
    # One that was opened again may keep the time at which it was resolved before.
    row = failure(incident(1, START, status=status, resolved_at=written(START + HOUR)))
    assert (row["finished_at"], row["time_to_restore_seconds"]) == (None, None)


def test_a_post_mortem_leaves_an_incident_over() -> None:
    row = failure(incident(1, START, START + HOUR, status="postmortem"))
    assert row["finished_at"] == START + HOUR


def test_an_incident_that_is_resolved_without_a_time_ended_with_the_last_update_that_says_so() -> None:
    updates = [
        {"status": "postmortem", "display_at": written(START + 9 * HOUR)},
        {"status": "resolved", "display_at": written(START + 2 * HOUR), "created_at": written(START + 5 * HOUR)},
        {"status": "resolved", "created_at": written(START + HOUR)},
        {"status": "monitoring", "display_at": written(START)},
    ]
    one = incident(1, START, status="postmortem", resolved_at=None, incident_updates=updates)
    assert failure(one)["finished_at"] == START + 2 * HOUR


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"status": "resolved"}, "finish_missing", id="resolved, nobody knows when"),
        pytest.param({"started_at": None, "created_at": None}, "time_missing", id="no start"),
        pytest.param({"started_at": "yesterday"}, "time_unreadable", id="no time"),
        pytest.param({"started_at": "2024-05-06T07:08:09"}, "time_without_zone", id="no zone"),
        pytest.param({"started_at": "2024-06-01T00:00:00Z"}, "time_in_future", id="later than it was fetched"),
        pytest.param(
            {"status": "resolved", "resolved_at": "2024-05-06T07:00:00Z"}, "finished_before_started", id="backwards"
        ),
        pytest.param({"components": ["Shop"]}, "field_type", id="components of another type"),
        pytest.param({"name": 7}, "field_type", id="a name of another type"),
    ],
)
def test_what_cannot_be_used_is_rejected_with_its_reason(changes: dict[str, Any], expected: str) -> None:
    assert reason({**incident(1, START), **changes}) == expected


def test_an_open_incident_that_its_page_does_not_show_any_more_ended_when_that_was_noticed() -> None:
    noticed = START + 5 * HOUR
    row = failure(incident(1, START), state="gone", fetched=noticed)
    assert (row["finished_at"], row["time_to_restore_seconds"]) == (noticed, None)
    assert row["custom_tags"] == ["page:status.acme.example", "record:gone"]


# Settings


@pytest.mark.parametrize(
    "page",
    [
        "status.acme.example",
        "ftp://status.acme.example",
        "https://",
        "https://a:hunter2@acme.example",
        "https://a/?t=hunter2",
    ],
)
def test_what_is_no_address_of_a_page_is_a_mistake_that_is_told_without_it(home: TestHome, page: str) -> None:
    home.settings(sources={"statuspage": {"pages": ["https://a.example", page], "least_impact": "severe", "page": 1}})
    with pytest.raises(ConfigError) as caught:
        read_settings(home.home)
    message = str(caught.value)
    assert "3 mistakes:" in message
    assert "sources.statuspage.pages: number 2 is not the address of a page" in message
    assert "sources.statuspage.least_impact: " in message
    assert "sources.statuspage.page: unknown key" in message
    assert "hunter2" not in message


def test_a_selected_source_without_pages_says_what_to_set(home: TestHome) -> None:
    home.select("failure", "statuspage", at=NOON - timedelta(days=5))
    with pytest.raises(ConfigError, match=r"statuspage: no page is named; set sources\.statuspage\.pages"):
        home.run()


# The whole way


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    with FakeVendor() as vendor:
        yield vendor


@pytest.fixture
def page(vendor: FakeVendor, home: TestHome) -> FakeStatuspage:
    """A page that the home reads since a hundred days ago."""
    home.settings(sources={"statuspage": {"pages": [vendor.url + "/"]}})
    home.select("failure", "statuspage", at=NOON - timedelta(days=100))
    return FakeStatuspage(vendor)


FAILURES = "SELECT failure_id, started_at, finished_at FROM core.failures ORDER BY started_at"


def ago(days: float) -> datetime:
    return NOON - timedelta(days=days)


def test_what_falls_out_of_the_newest_fifty_stays(home: TestHome, page: FakeStatuspage) -> None:
    page.add(*(incident(number, ago(90 - number), ago(90 - number) + HOUR) for number in range(40)))
    home.run()
    assert home.rows("SELECT COUNT(*) FROM core.failures") == [(40,)]
    assert not any("newest incidents" in note for note in home.notes.notes)
    page.add(*(incident(number, ago(6 - number / 20), ago(6 - number / 20) + HOUR) for number in range(40, 88)))
    home.run()
    assert home.rows("SELECT COUNT(*) FROM core.failures") == [(88,)]


def test_a_page_that_does_not_show_all_that_is_asked_for_says_so_once_a_run(
    home: TestHome, page: FakeStatuspage, vendor: FakeVendor
) -> None:
    page.add(*(incident(number, ago(90 - number), ago(90 - number) + HOUR) for number in range(60)))
    home.run()
    assert home.rows("SELECT COUNT(*) FROM core.failures") == [(50,)]
    [note] = [note for note in home.notes.notes if "newest incidents" in note]
    assert f"{vendor.url} shows its 50 newest incidents, the oldest created at {ago(80):%Y-%m-%d}" in note
    assert f"{ago(100):%Y-%m-%d}" in note


def test_an_open_incident_older_than_the_newest_fifty_is_read_and_ends_when_it_is_resolved(
    home: TestHome, page: FakeStatuspage
) -> None:
    page.add(incident(0, ago(95)), *(incident(number, ago(90 - number), ago(90 - number)) for number in range(1, 60)))
    home.run()
    assert home.rows(FAILURES)[0] == ("statuspage:page1/i0", ago(95), None)
    before = datetime.now(UTC)
    # It is resolved, and among those that are not shown.
    page.add(incident(0, ago(95), ago(1)))
    home.run()
    [(finished_at, seconds)] = home.rows(
        "SELECT finished_at, time_to_restore_seconds FROM core.failures WHERE failure_id = 'statuspage:page1/i0'"
    )
    assert finished_at >= before
    assert seconds is None


def test_an_edit_of_an_old_incident_is_read(home: TestHome, page: FakeStatuspage) -> None:
    page.add(incident(1, ago(60), ago(59)), incident(2, ago(50), ago(49)))
    home.run()
    page.add(incident(1, ago(61), ago(58), updated_at=written(ago(0.1)), status="postmortem"))
    home.run()
    assert home.rows(FAILURES) == [
        ("statuspage:page1/i1", ago(61), ago(58)),
        ("statuspage:page1/i2", ago(50), ago(49)),
    ]


def test_two_addresses_of_one_page_are_one_and_incidents_of_two_pages_are_two(
    home: TestHome, vendor: FakeVendor, page: FakeStatuspage
) -> None:
    with FakeVendor() as other:
        second = FakeStatuspage(other, "page2")
        also = vendor.url.replace("127.0.0.1", "localhost")
        home.settings(sources={"statuspage": {"pages": [vendor.url, also, other.url]}})
        page.add(incident(1, ago(5), ago(4)))
        second.add(incident(1, ago(3), ago(2), components=[component("Mail")]))
        home.run()
        assert home.run().days == []
    assert home.rows(FAILURES) == [
        ("statuspage:page1/i1", ago(5), ago(4)),
        ("statuspage:page2/i1", ago(3), ago(2)),
    ]


def test_a_change_of_the_settings_is_seen_in_what_was_read_before(home: TestHome, page: FakeStatuspage) -> None:
    page.add(incident(1, ago(5), ago(4)), incident(2, ago(3), ago(2), impact="none"))
    home.run()
    assert home.rows("SELECT service, env FROM core.failures ORDER BY started_at") == [("Shop", None)]
    settings = read_settings(home.home)
    url = STATUSPAGE.section(settings).pages[0]
    section = {"pages": [url], "components": {"Shop": "shop"}, "env": "prod", "least_impact": "none"}
    home.settings(sources={"statuspage": section})
    home.run()
    assert home.rows("SELECT service, env FROM core.failures ORDER BY started_at") == [("shop", "prod")] * 2


def test_what_was_read_of_a_page_stays_when_the_page_is_not_named_any_more(
    home: TestHome, page: FakeStatuspage
) -> None:
    page.add(incident(1, ago(5), ago(4)), incident(2, ago(3)))
    home.run()
    rows = home.rows(FAILURES)
    assert len(rows) == 2
    with FakeVendor() as other:
        FakeStatuspage(other, "page2")
        home.settings(sources={"statuspage": {"pages": [other.url]}})
        home.run()
    assert home.rows(FAILURES) == rows


def test_a_page_of_something_else_is_named_and_nothing_is_lost(
    home: TestHome, vendor: FakeVendor, page: FakeStatuspage
) -> None:
    page.add(incident(1, ago(5), ago(4)))
    home.run()
    tables = home.tables()
    vendor.spoil(refused(404, {}))
    with pytest.raises(
        SourceRejected, match=r"statuspage: GET .*HTTP 404.*only public pages.*sources\.statuspage\.pages"
    ):
        home.run()
    assert home.tables() == tables


def test_an_answer_without_incidents_is_no_answer(
    home: TestHome, vendor: FakeVendor, page: FakeStatuspage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dora_pipeline.sources.http.client.time.sleep", lambda seconds: None)
    vendor.spoil(*[lambda asked, reply: Reply({"page": {"name": "Acme"}, "incidents": []})] * 6)
    with pytest.raises(SourceUnavailable, match="an answer that cannot be: no `page` with an id"):
        home.run()


def test_no_key_is_sent_not_even_one_of_netrc(
    home: TestHome, vendor: FakeVendor, page: FakeStatuspage, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    page.add(incident(1, ago(5), ago(4)))
    home.run()
    assert all("authorization" not in asked.headers for asked in vendor.asked)
    assert all(b"hunter2" not in content for _, content in contents(home.home.path))
