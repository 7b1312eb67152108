import logging
from collections.abc import Iterator
from typing import Any

import pytest

from dora_pipeline.config import Settings
from dora_pipeline.errors import ConfigError, SourceIncomplete, SourceRejected, SourceUnavailable
from dora_pipeline.sources.datadog import DATADOG_INCIDENTS
from dora_pipeline.sources.datadog.incidents import IncidentsConnection
from dora_pipeline.sources.http import DatadogKeys, HttpClient
from dora_pipeline.sources.source import Connection, PulledRecord
from dora_pipeline.timeline import OLDEST_INSTANT
from dora_pipeline_tests.datadog_incidents import failure_rows, incident, moment, recorded, spans, states
from dora_pipeline_tests.vendors.clocks import Clock
from dora_pipeline_tests.vendors.datadog import API_KEY, APP_KEY, FakeDatadog
from dora_pipeline_tests.vendors.server import cut, html, redirect, refused, told

SEARCH = "/api/v2/incidents/search"
HOUR = 3600


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_API_KEY", API_KEY)
    monkeypatch.setenv("DD_APP_KEY", APP_KEY)


@pytest.fixture
def datadog() -> Iterator[FakeDatadog]:
    with FakeDatadog() as vendor:
        yield vendor


def connected(vendor: FakeDatadog) -> Connection:
    """A connection as the pipeline makes it."""
    return DATADOG_INCIDENTS.open(Settings(datadog={"api_url": vendor.url}), lambda text: None)


def patient(vendor: FakeDatadog, clock: Clock) -> IncidentsConnection:
    """A connection whose waits take no time."""
    keys = DatadogKeys(API_KEY, APP_KEY)
    secrets = [API_KEY, APP_KEY]
    client = HttpClient(
        "datadog_incidents",
        vendor.url,
        keys,
        secrets=secrets,
        note=lambda text: None,
        sleep=clock.sleep,
        clock=clock,
        maximum_wait_seconds=60,
    )
    return IncidentsConnection(client)


def created(number: int, hours: int, **attributes: Any) -> dict[str, Any]:
    """An incident of that hour, active for a minute."""
    start = hours * HOUR
    time = moment(start).isoformat()
    analytics = states(active=spans((start, start + 60)), resolved=spans((start + 60, None)))
    changes = {"created": time, "declared": time, "detected": time, "field_analytics": analytics} | attributes
    return incident(number, **changes)


def active(number: int, hours: int) -> dict[str, Any]:
    analytics = states(active=spans((hours * HOUR, None)))
    return created(number, hours, state="active", resolved=None, field_analytics=analytics)


def names(records: list[PulledRecord]) -> list[str]:
    return sorted(record.record_id for record in records)


def numbered(*numbers: int) -> list[str]:
    return sorted(f"incident-{number}" for number in numbers)


def test_a_window_holds_what_started_in_it_each_once(datadog: FakeDatadog) -> None:
    datadog.incidents += [created(number, number) for number in range(250)]
    records = connected(datadog).fetch(moment(10 * HOUR), moment(240 * HOUR))
    assert names(records) == numbered(*range(10, 240))
    assert {record.occurred_at for record in records} == {moment(hour * HOUR) for hour in range(10, 240)}


def test_the_bounds_of_a_window_are_its_first_instant_and_not_its_last(datadog: FakeDatadog) -> None:
    datadog.incidents += [created(1, 0), created(2, 1), created(3, 1), created(4, 2)]
    assert names(connected(datadog).fetch(moment(HOUR), moment(2 * HOUR))) == numbered(2, 3)


def test_a_short_page_ends_the_search_though_it_names_a_next_offset(datadog: FakeDatadog) -> None:
    datadog.incidents += [created(1, 0)]
    assert names(connected(datadog).fetch(moment(0), moment(HOUR))) == numbered(1)
    assert datadog.paths() == [SEARCH]


def test_a_page_without_a_next_offset_is_read_whole(datadog: FakeDatadog) -> None:
    pairs = recorded("incident_search.json")
    del pairs[0]["response"]["meta"]
    datadog.replay("GET", SEARCH, pairs)
    assert len(connected(datadog).fetch_open()) == 5


@pytest.mark.parametrize("name", ["incident_search.json", "incident_search_pages.json"])
def test_recorded_answers_of_the_search_are_pulled(datadog: FakeDatadog, name: str) -> None:
    pairs = recorded(name)
    first = [item["data"] for item in pairs[0]["response"]["data"]["attributes"]["incidents"]]
    datadog.replay("GET", SEARCH, pairs)
    records = connected(datadog).fetch_open()
    assert [record.body for record in records] == first


def test_a_search_stops_a_week_before_its_window(datadog: FakeDatadog) -> None:
    datadog.incidents += [created(number, number) for number in range(500)]
    assert names(connected(datadog).fetch(moment(490 * HOUR), moment(500 * HOUR))) == numbered(*range(490, 500))
    # A week is 168 incidents, and two pages are 199.
    assert len(datadog.asked) == 2


def test_windows_of_one_connection_share_the_pages(datadog: FakeDatadog) -> None:
    datadog.incidents += [created(number, number) for number in range(350)]
    connection = connected(datadog)
    told = [names(connection.fetch(moment(hour * HOUR), moment((hour + 50) * HOUR))) for hour in range(0, 350, 50)]
    assert told == [numbered(*range(hour, hour + 50)) for hour in range(0, 350, 50)]
    assert [asked.first("page[offset]") for asked in datadog.asked] == ["0", "99", "198", "297"]


def test_an_imported_incident_belongs_to_the_day_of_its_declaration(datadog: FakeDatadog) -> None:
    analytics = states(active=spans((0, None), (0, None)))
    datadog.incidents += [
        active(1, 0) | {"attributes": active(1, 0)["attributes"] | {"created": moment(900 * HOUR).isoformat()}},
        created(2, 800),
    ]
    datadog.incidents[0]["attributes"]["field_analytics"] = analytics
    records = connected(datadog).fetch(moment(0), moment(HOUR))
    assert [(record.record_id, record.occurred_at) for record in records] == [("incident-1", moment(0))]


def test_an_incident_imported_after_its_day_was_read_comes_with_the_window_of_its_import(datadog: FakeDatadog) -> None:
    datadog.incidents += [created(1, 0, created=moment(900 * HOUR).isoformat()), created(2, 800), created(3, 901)]
    records = connected(datadog).fetch(moment(900 * HOUR), moment(901 * HOUR))
    assert [(record.record_id, record.occurred_at) for record in records] == [("incident-1", moment(0))]


def test_an_incident_that_was_active_days_after_its_creation_is_found(datadog: FakeDatadog) -> None:
    late = created(1, 0, field_analytics=states(active=spans((100 * HOUR, 101 * HOUR))))
    datadog.incidents += [late, *(created(number, number) for number in range(2, 300))]
    assert "incident-1" in names(connected(datadog).fetch(moment(99 * HOUR), moment(110 * HOUR)))


def test_an_incident_without_a_readable_start_is_pulled_with_every_window(datadog: FakeDatadog) -> None:
    unreadable = created(1, 0, field_analytics=states(active={"spans": [{"start": "soon"}]}))
    datadog.incidents += [unreadable]
    records = connected(datadog).fetch(moment(50 * HOUR), moment(51 * HOUR))
    assert [(record.record_id, record.occurred_at) for record in records] == [("incident-1", OLDEST_INSTANT)]


def test_an_incident_created_between_two_pages_costs_nothing(datadog: FakeDatadog) -> None:
    datadog.incidents += [created(number, number) for number in range(250)]
    datadog.after_pages.append(lambda: datadog.incidents.append(created(999, 999)))
    assert names(connected(datadog).fetch(moment(0), moment(250 * HOUR))) == numbered(*range(250))


def test_an_incident_deleted_between_two_pages_costs_no_other(datadog: FakeDatadog) -> None:
    datadog.incidents += [created(number, number) for number in range(250)]
    datadog.after_pages.append(lambda: datadog.incidents.pop())
    assert names(connected(datadog).fetch(moment(0), moment(250 * HOUR))) == numbered(*range(249))


def test_an_open_incident_resolved_between_two_pages_costs_no_other(datadog: FakeDatadog) -> None:
    datadog.incidents += [active(number, number) for number in range(250)]
    datadog.after_pages.append(lambda: datadog.incidents[3]["attributes"].update(state="resolved"))
    assert names(connected(datadog).fetch_open()) == numbered(*(n for n in range(250) if n != 3))


def test_a_search_that_never_holds_still_is_refused(datadog: FakeDatadog) -> None:
    datadog.incidents += [active(number, number) for number in range(250)]
    datadog.after_pages += [lambda: datadog.incidents.pop(0) and None] * 20
    with pytest.raises(SourceIncomplete, match="changed between its pages 5 times"):
        connected(datadog).fetch_open()


def test_a_search_that_repeats_its_page_is_refused(datadog: FakeDatadog) -> None:
    page = {"data": {"attributes": {"incidents": [{"data": created(number, 500 - number)} for number in range(100)]}}}
    datadog.replay("GET", SEARCH, [{"response": page, "status": 200}] * 9)
    with pytest.raises(SourceIncomplete, match="repeats itself at offset 99"):
        connected(datadog).fetch(moment(0), moment(HOUR))


def test_an_unsorted_search_is_read_to_its_end(datadog: FakeDatadog) -> None:
    first = [created(number, number) for number in range(100)]
    second = [first[-1], created(100, 600)]
    pages = [
        {"status": 200, "response": {"data": {"attributes": {"incidents": [{"data": each} for each in page]}}}}
        for page in (first, second)
    ]
    datadog.replay("GET", SEARCH, pages)
    assert names(connected(datadog).fetch(moment(600 * HOUR), moment(601 * HOUR))) == numbered(100)


def test_incidents_of_one_second_all_come(datadog: FakeDatadog) -> None:
    datadog.incidents += [created(number, 5) for number in range(230)]
    assert names(connected(datadog).fetch(moment(5 * HOUR), moment(5 * HOUR + 1))) == numbered(*range(230))


def test_the_open_set_is_active_stable_and_declared(datadog: FakeDatadog) -> None:
    words = ("active", "stable", "declared", "resolved", "completed")
    datadog.incidents += [created(number, 0, state=state) for number, state in enumerate(words)]
    assert names(connected(datadog).fetch_open()) == numbered(0, 1, 2)


def test_all_states_are_in_a_window(datadog: FakeDatadog) -> None:
    words = ("active", "stable", "declared", "resolved", "completed")
    datadog.incidents += [created(number, 0, state=state) for number, state in enumerate(words)]
    assert names(connected(datadog).fetch(moment(0), moment(HOUR))) == numbered(0, 1, 2, 3, 4)


def test_an_incident_resolved_long_after_it_started_gets_its_end_and_no_second_row(datadog: FakeDatadog) -> None:
    datadog.incidents += [active(1, 0), *(created(number, 300 + number) for number in range(2, 200))]
    assert [row["finished_at"] for row in failure_rows(connected(datadog).fetch_open()[0].body)] == [None]
    analytics = states(active=spans((0, 490 * HOUR)), resolved=spans((490 * HOUR, None)))
    datadog.incidents[0]["attributes"].update(state="resolved", field_analytics=analytics)
    one = connected(datadog).fetch_one("incident-1")
    assert isinstance(one, PulledRecord)
    assert one.occurred_at == moment(0)
    assert [row["finished_at"] for row in failure_rows(one.body)] == [moment(490 * HOUR)]
    assert [row["time_to_restore_seconds"] for row in failure_rows(one.body)] == [490.0 * HOUR]


def test_a_single_incident_is_found_among_many_of_its_second(datadog: FakeDatadog) -> None:
    time = moment(0).replace(microsecond=500_000).isoformat()
    datadog.incidents += [created(number, 0, created=time) for number in range(230)]
    ones = [connected(datadog).fetch_one(f"incident-{number}") for number in (0, 229)]
    assert all(isinstance(one, PulledRecord) and one.body["attributes"]["field_analytics"] for one in ones)


def test_an_incident_that_the_search_does_not_know_is_told_without_analytics(datadog: FakeDatadog) -> None:
    datadog.incidents += [created(1, 0, resolved=moment(90).isoformat()), created(2, 1)]
    datadog.unsearchable.add("incident-1")
    one = connected(datadog).fetch_one("incident-1")
    assert isinstance(one, PulledRecord)
    assert failure_rows(one.body)[0]["time_to_restore_seconds"] == 90.0


def test_a_recorded_incident_is_pulled_by_its_id(datadog: FakeDatadog) -> None:
    pairs = recorded("incident.json")
    datadog.replay("GET", "/api/v2/incidents/19c87e47-.*", pairs)
    one = connected(datadog).fetch_one("19c87e47-487a-5ce4-8841-61d23ea414d4")
    assert isinstance(one, PulledRecord)
    assert one.body == pairs[0]["response"]["data"]


def test_a_deleted_incident_is_gone(datadog: FakeDatadog) -> None:
    assert connected(datadog).fetch_one("incident-1") == "gone"


def test_an_incident_that_we_may_not_see_is_out_of_access(datadog: FakeDatadog) -> None:
    datadog.secret_incidents.add("incident-1")
    assert connected(datadog).fetch_one("incident-1") == "no_access"


def test_an_id_with_odd_letters_stays_one_segment_of_the_path(datadog: FakeDatadog) -> None:
    assert connected(datadog).fetch_one("../search?x") == "gone"
    assert datadog.paths() == ["/api/v2/incidents/..%2Fsearch%3Fx"]


@pytest.mark.parametrize("fault", [refused(500), refused(503), refused(408), html, cut])
def test_a_page_that_fails_once_is_asked_for_again(datadog: FakeDatadog, fault: Any) -> None:
    datadog.incidents += [created(number, number) for number in range(250)]
    datadog.spoil(None, None, fault)
    records = patient(datadog, Clock()).fetch(moment(0), moment(250 * HOUR))
    assert names(records) == numbered(*range(250))
    assert len(datadog.asked) == 4


def test_a_page_that_keeps_failing_gives_nothing(datadog: FakeDatadog) -> None:
    datadog.incidents += [created(number, number) for number in range(250)]
    datadog.spoil(None, None, *[refused(500)] * 10)
    with pytest.raises(SourceUnavailable, match="HTTP 500"):
        patient(datadog, Clock()).fetch(moment(0), moment(250 * HOUR))


def test_a_limit_is_waited_for_as_long_as_its_reset_says(datadog: FakeDatadog) -> None:
    clock = Clock()
    datadog.incidents += [created(1, 0)]
    datadog.spoil(refused(429, {"errors": ["Rate limit"]}, X_RateLimit_Reset="40"))
    assert names(patient(datadog, clock).fetch_open()) == []
    assert 40 <= clock.slept[0] < 42


def test_a_limit_that_is_used_up_is_waited_for_before_the_next_page(datadog: FakeDatadog) -> None:
    clock = Clock()
    datadog.incidents += [active(number, number) for number in range(150)]
    datadog.spoil(told(X_RateLimit_Limit="100", X_RateLimit_Remaining="0", X_RateLimit_Reset="25"))
    assert len(patient(datadog, clock).fetch_open()) == 150
    assert clock.slept == [pytest.approx(25, abs=2)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": None},
        {"data": []},
        {"data": {"attributes": {"incidents": None}}},
        {"data": {"attributes": {"incidents": [1]}}},
        {"data": {"attributes": {"incidents": [{"data": {"attributes": {}}}]}}},
        {"errors": "down"},
        [],
    ],
)
def test_an_answer_of_another_shape_is_refused_after_some_attempts(datadog: FakeDatadog, body: object) -> None:
    datadog.replay("GET", SEARCH, [{"response": body, "status": 200}] * 9)
    with pytest.raises(SourceUnavailable, match="an answer that cannot be"):
        patient(datadog, Clock()).fetch_open()


@pytest.mark.parametrize(
    "body", [{"errors": ["bad query"]}, {"errors": [{"detail": "bad query"}]}, {"error": "bad query"}]
)
def test_a_refused_query_fails_at_once_with_the_words_of_datadog(datadog: FakeDatadog, body: object) -> None:
    datadog.spoil(refused(400, body))
    with pytest.raises(SourceRejected, match="bad query"):
        connected(datadog).fetch_open()
    assert len(datadog.asked) == 1


def test_a_key_of_another_site_says_to_check_the_site(
    datadog: FakeDatadog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("DD_API_KEY", "planted-key-of-the-us")
    settings = Settings(datadog={"api_url": datadog.url, "site": "datadoghq.eu"})
    with pytest.raises(SourceRejected, match=r"check datadog.site \(datadoghq.eu\)") as refusal:
        DATADOG_INCIDENTS.open(settings, lambda text: None).fetch_open()
    assert len(datadog.asked) == 1
    assert "planted" not in str(refusal.value) + caplog.text


def test_a_key_without_the_scope_says_which_one_is_needed(
    datadog: FakeDatadog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DD_APP_KEY", "planted-narrow-key")
    with pytest.raises(SourceRejected, match="DD_APP_KEY has the scope incident_read"):
        connected(datadog).fetch_open()


def test_missing_keys_are_named_when_the_source_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DD_API_KEY")
    monkeypatch.setenv("DD_APP_KEY", " ")
    with pytest.raises(ConfigError, match=r"datadog_incidents: .* variables DD_API_KEY and DD_APP_KEY are not set"):
        DATADOG_INCIDENTS.open(Settings(), lambda text: None)


def test_keys_are_not_sent_across_a_redirect(datadog: FakeDatadog) -> None:
    with FakeDatadog() as elsewhere:
        datadog.spoil(redirect(elsewhere.url))
        with pytest.raises(SourceRejected, match="302"):
            connected(datadog).fetch_open()
        assert elsewhere.asked == []


def test_netrc_does_not_take_the_place_of_the_keys(
    datadog: FakeDatadog, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    connected(datadog).fetch_open()
    assert datadog.asked[0].headers["dd-api-key"] == API_KEY
    assert "authorization" not in datadog.asked[0].headers
