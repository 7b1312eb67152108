"""PagerDuty pulled from a server on loopback that behaves like its REST API."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dora_pipeline.config import Settings
from dora_pipeline.errors import ConfigError, SourceIncomplete, SourceRejected, SourceUnavailable
from dora_pipeline.settings import HomeSettings
from dora_pipeline.sources.http import HttpClient, PagerDutyToken
from dora_pipeline.sources.pagerduty import PAGERDUTY
from dora_pipeline.sources.pagerduty.incidents import Incidents
from dora_pipeline.sources.source import PulledRecord
from dora_pipeline_tests.vendors.clocks import Clock
from dora_pipeline_tests.vendors.pagerduty import FakePagerDuty, incident, reference, written
from dora_pipeline_tests.vendors.server import Asked, FakeVendor, Fault, Reply, cut, html, refused

TOKEN = "u+planted/Token=0815"
MAY = datetime(2024, 5, 1, tzinfo=UTC)
JUNE = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    with FakeVendor() as vendor:
        yield vendor


@pytest.fixture
def account(vendor: FakeVendor) -> FakePagerDuty:
    return FakePagerDuty(vendor, TOKEN)


@pytest.fixture
def connect(vendor: FakeVendor) -> Iterator[Callable[..., Incidents]]:
    connections: list[Incidents] = []

    def make(service_ids: tuple[str, ...] = (), team_ids: tuple[str, ...] = (), **options: Any) -> Incidents:
        clock = Clock()
        client = HttpClient(
            "pagerduty",
            vendor.url,
            PagerDutyToken(TOKEN),
            secrets=[TOKEN],
            note=lambda message: None,
            headers={"Accept": "application/vnd.pagerduty+json;version=2"},
            sleep=clock.sleep,
            clock=clock,
            **options,
        )
        connections.append(Incidents(client, service_ids=service_ids, team_ids=team_ids))
        return connections[-1]

    yield make
    for connection in connections:
        connection.close()


def ids(records: list[PulledRecord]) -> list[str]:
    return [record.record_id for record in records]


def many(
    count: int, first: datetime = MAY, step: timedelta = timedelta(seconds=60), **told: Any
) -> list[dict[str, Any]]:
    return [incident(number, written(first + number * step), **told) for number in range(count)]


def names(count: int) -> list[str]:
    return [f"Q{number}" for number in range(count)]


def test_a_window_is_read_page_by_page_and_each_incident_comes_once(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    account.add(*many(250))
    records = connect().fetch(MAY, JUNE)
    assert ids(records) == names(250)
    assert records[1] == PulledRecord("Q1", MAY + timedelta(minutes=1), account.incidents["Q1"])
    assert [asked.first("offset") for asked in vendor.asked] == ["0", "100", "200"]


def test_times_are_asked_for_in_utc_whatever_the_account_s_zone(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    connect().fetch(MAY, JUNE)
    query = vendor.asked[0].query
    assert query["time_zone"] == ["UTC"]
    assert (query["since"], query["until"]) == (["2024-04-30T23:59:59Z"], ["2024-06-01T00:00:00Z"])
    assert query["sort_by"] == ["created_at:asc"]
    assert query["total"] == ["true"]
    assert "statuses[]" not in query


def test_only_configured_services_and_teams_are_asked_for(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    account.add(incident(1, "2024-05-06T07:08:09Z"), incident(2, "2024-05-06T07:08:09Z", teams=[{"id": "T1"}]))
    assert ids(connect(service_ids=("PSHOP", "POTHER"), team_ids=("T1",)).fetch(MAY, JUNE)) == ["Q2"]
    assert vendor.asked[0].query["service_ids[]"] == ["PSHOP", "POTHER"]


def test_a_page_is_advanced_by_what_came(account: FakePagerDuty, connect: Callable[..., Incidents]) -> None:
    account.add(*many(70))
    account.largest_page = 30
    assert ids(connect().fetch(MAY, JUNE)) == names(70)


def test_more_than_ten_thousand_in_a_window_are_read_in_halves(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    account.add(*many(10_050))
    records = connect().fetch(MAY, MAY + timedelta(days=8))
    assert ids(records) == names(10_050)
    # One request says that there are too many; the halves of 5,760 and 4,290 incidents need 58 and 43 pages.
    assert len(vendor.asked) == 1 + 58 + 43


def test_the_refusal_at_the_cap_halves_the_window_where_no_total_is_told(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    account.add(*many(350))
    account.tells_totals = False
    account.cap = 300
    assert ids(connect().fetch(MAY, MAY + timedelta(hours=6))) == names(350)
    # Three pages and the refusal; without a total a second reading confirms each half, of 181 and 171 incidents.
    assert len(vendor.asked) == 4 + 2 * (2 + 2)


def test_more_than_ten_thousand_in_a_second_fail_loudly(
    account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    account.add(*many(10_001, datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), timedelta(0)))
    with pytest.raises(SourceIncomplete, match="more than 10000 incidents were created between 2024-05-06T07:08:0"):
        connect().fetch(MAY, JUNE)


def test_a_gap_of_more_than_six_months_is_asked_for_in_windows(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    account.add(incident(1, "2023-01-01T00:00:00Z"), incident(2, "2024-05-06T07:08:09Z"))
    assert ids(connect().fetch(datetime(2023, 1, 1, tzinfo=UTC), JUNE)) == ["Q1", "Q2"]
    assert len(vendor.asked) == 6


def test_a_window_that_lies_in_the_future_or_is_empty_asks_nothing_that_can_be_wrong(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    assert connect().fetch(JUNE, MAY) == []
    assert connect().fetch(MAY, MAY) == []
    assert vendor.asked == []


@pytest.mark.parametrize("boundary", [MAY, MAY + timedelta(days=90)], ids=["of_the_pull", "between_windows"])
def test_equal_times_at_a_boundary_second_come_once(
    account: FakePagerDuty, connect: Callable[..., Incidents], boundary: datetime
) -> None:
    account.add(*many(3, boundary, timedelta(0)))
    before = connect().fetch(MAY - timedelta(days=1), MAY)
    after = connect().fetch(MAY, MAY + timedelta(days=120))
    assert ids(before) == []
    assert ids(after) == ["Q0", "Q1", "Q2"]


def test_a_row_that_leaves_the_filter_between_pages_loses_no_other(
    account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    account.add(*many(250))

    def move_away(page: int) -> None:
        if page == 1:
            account.incidents["Q5"]["service"] = reference("service", "POTHER", "other")

    account.after_page = move_away
    records = connect(service_ids=("PSHOP",)).fetch(MAY, JUNE)
    assert ids(records) == [name for name in names(250) if name != "Q5"]


def test_rows_that_come_twice_count_once(account: FakePagerDuty, connect: Callable[..., Incidents]) -> None:
    account.add(*many(250))

    def push_behind(page: int) -> None:
        if page == 1:
            account.add(incident(1000, written(MAY)))

    account.after_page = push_behind
    assert ids(connect().fetch(MAY, JUNE)) == names(250)


def test_rows_that_keep_leaving_fail_the_reading(account: FakePagerDuty, connect: Callable[..., Incidents]) -> None:
    account.add(*many(250))
    account.after_page = lambda page: account.add(
        incident(page, written(MAY), service=reference("service", "POTHER", "other"))
    )
    with pytest.raises(SourceIncomplete, match="changed in each of 4 readings"):
        connect(service_ids=("PSHOP",)).fetch(MAY, JUNE)


def test_more_with_an_empty_page_is_refused(vendor: FakeVendor, connect: Callable[..., Incidents]) -> None:
    vendor.route("GET", "/incidents", lambda asked: Reply({"incidents": [], "more": True, "total": None}))
    with pytest.raises(SourceIncomplete, match="the page at 0 is empty and says that more follow"):
        connect().fetch(MAY, JUNE)


def test_pages_that_repeat_are_refused(vendor: FakeVendor, connect: Callable[..., Incidents]) -> None:
    page = {"incidents": many(100), "more": True, "total": None}
    vendor.route("GET", "/incidents", lambda asked: Reply(page))
    with pytest.raises(SourceIncomplete, match="the page at 100 repeats earlier ones"):
        connect().fetch(MAY, JUNE)
    assert len(vendor.asked) == 2


def test_rows_of_any_age_that_are_open_are_one_request_where_they_fit_in_a_page(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    account.add(
        incident(1, "2019-01-01T00:00:00Z"),
        incident(2, "2024-05-06T07:08:09Z", status="acknowledged"),
        incident(3, "2024-05-06T07:08:09Z", "2024-05-06T08:00:00Z"),
    )
    records = connect().fetch_open()
    assert ids(records) == ["Q1", "Q2"]
    assert records[0].occurred_at == datetime(2019, 1, 1, tzinfo=UTC)
    assert len(vendor.asked) == 1


def test_the_open_incidents_are_read_again_until_two_readings_agree(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    account.add(*many(150))

    def resolve(page: int) -> None:
        if page == 1:
            account.incidents["Q7"]["status"] = "resolved"

    account.after_page = resolve
    assert ids(connect().fetch_open()) == [name for name in names(150) if name != "Q7"]
    assert len(vendor.asked) == 3 * 2


def test_open_incidents_that_never_rest_fail_the_reading(
    account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    account.add(*many(150))
    account.after_page = lambda page: account.add(incident(1000 + page, "2024-05-06T07:08:09Z"))
    with pytest.raises(SourceIncomplete, match="changed in each of 4 readings"):
        connect().fetch_open()


def test_more_open_incidents_than_are_shown_fail_the_reading(
    account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    account.add(*many(10_001))
    with pytest.raises(SourceIncomplete, match="more than 10000 incidents are open"):
        connect().fetch_open()


def test_one_incident_is_told_as_it_is_now(account: FakePagerDuty, connect: Callable[..., Incidents]) -> None:
    account.add(incident(1, "2024-05-06T07:08:09Z", "2024-05-27T07:08:09Z"))
    record = connect().fetch_one("Q1")
    assert isinstance(record, PulledRecord)
    assert record.body["resolved_at"] == "2024-05-27T07:08:09Z"


def test_an_incident_that_was_deleted_is_gone(account: FakePagerDuty, connect: Callable[..., Incidents]) -> None:
    assert connect().fetch_one("Q1") == "gone"


def test_an_incident_out_of_reach_is_no_access(account: FakePagerDuty, connect: Callable[..., Incidents]) -> None:
    account.lost_access.add("Q1")
    assert connect().fetch_one("Q1") == "no_access"


def test_a_403_that_does_not_speak_of_the_incident_fails_and_names_the_key(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    vendor.spoil(refused(403, {"error": {"message": "Access Denied", "code": 2010}}))
    with pytest.raises(SourceRejected, match="HTTP 403: Access Denied"):
        connect().fetch_one("Q1")


def test_an_id_with_a_slash_stays_one_part_of_the_path(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    connect().fetch_one("../services?x")
    assert vendor.asked[0].path == "/incidents/..%2Fservices%3Fx"


def test_the_log_is_asked_for_only_where_a_resolved_incident_has_no_end(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    timeless = {"status": "resolved", "resolved_at": None, "last_status_change_at": None}
    log = [{"id": "R1", "type": "resolve_log_entry", "created_at": "2024-05-06T08:00:00Z"}]
    account.add(
        incident(1, "2024-05-06T07:08:09Z", "2024-05-06T08:00:00Z"),
        incident(2, "2024-05-06T07:08:09Z"),
        incident(3, "2024-05-06T07:08:09Z", **timeless),
    )
    account.log_entries["Q3"] = log
    records = connect().fetch(MAY, JUNE)
    assert [asked.path for asked in vendor.asked] == ["/incidents", "/incidents/Q3/log_entries"]
    assert [record.body.get("log_entries") for record in records] == [None, None, log]


def test_a_creation_that_cannot_be_read_still_comes_and_has_a_day_of_its_own(
    vendor: FakeVendor, connect: Callable[..., Incidents]
) -> None:
    rows = [incident(1, "yesterday"), incident(2, "2024-05-06T07:08:09"), incident(3, "2024-05-06T09:08:09+02:00")]
    vendor.route("GET", "/incidents", lambda asked: Reply({"incidents": rows, "more": False, "total": 3}))
    records = connect().fetch(MAY, JUNE)
    moment = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert [record.occurred_at for record in records] == [datetime(2000, 1, 1, tzinfo=UTC), moment, moment]


@pytest.mark.parametrize("fault", [refused(500), cut, html, refused(429, ratelimit_reset="20")])
def test_a_fault_on_the_third_page_is_overcome(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents], fault: Fault
) -> None:
    account.add(*many(250))
    vendor.spoil(None, None, fault)
    assert ids(connect().fetch(MAY, JUNE)) == names(250)
    assert len(vendor.asked) == 4


def test_a_third_page_that_never_comes_gives_nothing_and_the_next_run_gives_all(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    account.add(*many(250))
    vendor.spoil(None, None, *[refused(500)] * 6)
    with pytest.raises(SourceUnavailable, match="/incidents: HTTP 500: no reason given, tried 6 times"):
        connect().fetch(MAY, JUNE)
    assert ids(connect().fetch(MAY, JUNE)) == names(250)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"incidents": None, "more": False},
        {"incidents": []},
        {"incidents": [{"id": None}], "more": False},
        {"incidents": ["Q1"], "more": False},
    ],
    ids=["list", "null", "no_more", "no_id", "text"],
)
def test_an_envelope_that_cannot_be_is_asked_for_again(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents], answer: Any
) -> None:
    account.add(*many(1))
    vendor.spoil(refused(200, answer))
    assert ids(connect().fetch(MAY, JUNE)) == ["Q0"]


def settings(**pagerduty: Any) -> Settings:
    return HomeSettings.model_validate({"sources": {"pagerduty": pagerduty}})


def test_a_key_of_the_other_region_is_refused_with_a_word_on_regions(
    vendor: FakeVendor, account: FakePagerDuty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGERDUTY_API_TOKEN", "a-key-of-the-us")
    connection = PAGERDUTY.open(settings(api_url=vendor.url), print)
    with pytest.raises(SourceRejected, match=r"HTTP 401: Authentication failed; check PAGERDUTY_API_TOKEN.*region"):
        connection.fetch(MAY, JUNE)
    connection.close()
    assert len(vendor.asked) == 1


def test_a_plan_without_teams_is_told_what_to_take_out(
    vendor: FakeVendor, account: FakePagerDuty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGERDUTY_API_TOKEN", TOKEN)
    vendor.spoil(refused(402, {"error": {"message": "Account does not have the abilities", "code": 2012}}))
    connection = PAGERDUTY.open(settings(api_url=vendor.url, team_ids=["T1"]), print)
    with pytest.raises(SourceRejected, match=r"abilities; .*take out sources\.pagerduty\.team_ids"):
        connection.fetch(MAY, JUNE)
    connection.close()


def test_a_missing_token_is_named_when_the_source_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAGERDUTY_API_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="pagerduty: the environment variable PAGERDUTY_API_TOKEN is not set"):
        PAGERDUTY.open(settings(), print)


def test_the_token_of_the_environment_is_in_no_log_note_or_record(
    vendor: FakeVendor, account: FakePagerDuty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("PAGERDUTY_API_TOKEN", TOKEN)
    account.add(*many(120))
    notes: list[str] = []
    connection = PAGERDUTY.open(settings(api_url=vendor.url), notes.append)
    records = connection.fetch(MAY, JUNE)
    connection.close()
    assert len(records) == 120
    assert "/incidents" in caplog.text
    assert "planted" not in caplog.text + repr(notes) + repr(records)


def test_an_open_incident_is_asked_for_with_its_first_log_entry(
    vendor: FakeVendor, account: FakePagerDuty, connect: Callable[..., Incidents]
) -> None:
    account.add(incident(1, "2024-05-06T07:08:09Z"))
    connection = connect()
    connection.fetch_open()
    connection.fetch_one("Q1")
    seen: list[Asked] = vendor.asked
    assert [asked.query["include[]"] for asked in seen] == [["first_trigger_log_entries"]] * 2
