from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dora_pipeline.config import Settings
from dora_pipeline.errors import ConfigError, SourceIncomplete, SourceRejected
from dora_pipeline.sources.apm import APM_DEPLOYMENT_TRACKING
from dora_pipeline.sources.datadog.api import api_url
from dora_pipeline.sources.event_api import DEPLOYMENT_EVENT_API, FAILURE_EVENT_API
from dora_pipeline.sources.source import Connection, PulledRecord, Source
from dora_pipeline.timeline import OLDEST_INSTANT
from dora_pipeline_tests.datadog_incidents import moment, recorded
from dora_pipeline_tests.vendors.datadog import API_KEY, APP_KEY, FakeDatadog
from dora_pipeline_tests.vendors.server import Asked, Reply, refused

DEPLOYMENTS, FAILURES = "/api/v2/dora/deployments", "/api/v2/dora/failures"
SOURCES = [DEPLOYMENT_EVENT_API, FAILURE_EVENT_API, APM_DEPLOYMENT_TRACKING]
DAY = 86_400


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_API_KEY", API_KEY)
    monkeypatch.setenv("DD_APP_KEY", APP_KEY)


@pytest.fixture
def datadog() -> Iterator[FakeDatadog]:
    with FakeDatadog() as vendor:
        yield vendor


def connected(source: Source[Any], vendor: FakeDatadog) -> Connection:
    return source.open(Settings(datadog={"api_url": vendor.url}), lambda text: None)


def wire(seconds: float) -> str:
    return (moment(0) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def deployment(number: int, started: float, seconds: float = 60, **attributes: Any) -> dict[str, Any]:
    told = {"service": "shop", "started_at": wire(started), "finished_at": wire(started + seconds), **attributes}
    return {"id": f"event-{number}", "type": "dora_deployment", "attributes": told}


def failure(number: int, started: float, **attributes: Any) -> dict[str, Any]:
    told = {"service": ["shop"], "started_at": wire(started), **attributes}
    return {"id": f"event-{number}", "type": "dora_failure", "attributes": told}


def names(records: list[PulledRecord]) -> list[str]:
    return sorted(record.record_id for record in records)


def numbered(*numbers: int) -> list[str]:
    return sorted(f"event-{number}" for number in numbers)


def seconds(told: Mapping[str, Any]) -> float:
    return (datetime.fromisoformat(told["attributes"]["started_at"]) - moment(0)).total_seconds()


def slices(vendor: FakeDatadog) -> list[tuple[str, str]]:
    told = [asked.body["data"]["attributes"] for asked in vendor.asked]
    return [(attributes["from"], attributes["to"]) for attributes in told]


@pytest.mark.parametrize(
    ("source", "path", "kind", "query"),
    [
        (DEPLOYMENT_EVENT_API, DEPLOYMENTS, "dora_deployments_list_request", "-source:apm_deployments"),
        (APM_DEPLOYMENT_TRACKING, DEPLOYMENTS, "dora_deployments_list_request", "source:apm_deployments"),
        (FAILURE_EVENT_API, FAILURES, "dora_failures_list_request", None),
    ],
)
def test_a_list_is_asked_for_with_its_type_and_its_source(
    datadog: FakeDatadog, source: Source[Any], path: str, kind: str, query: str | None
) -> None:
    connected(source, datadog).fetch(moment(0), moment(60))
    data = datadog.asked[0].body["data"]
    assert datadog.paths() == [path]
    assert (data["type"], data["attributes"].get("query")) == (kind, query)
    assert (data["attributes"]["limit"], data["attributes"]["sort"]) == (1000, "-started_at")


def test_deployments_of_apm_and_of_the_event_api_are_told_apart(datadog: FakeDatadog) -> None:
    datadog.events["deployments"] = [
        deployment(1, 0, source="apm_deployments"),
        deployment(2, 0, source="api"),
        deployment(3, 0),
    ]
    assert names(connected(APM_DEPLOYMENT_TRACKING, datadog).fetch(moment(0), moment(600))) == numbered(1)
    assert names(connected(DEPLOYMENT_EVENT_API, datadog).fetch(moment(0), moment(600))) == numbered(2, 3)


def test_recorded_lists_are_pulled(datadog: FakeDatadog) -> None:
    pairs = recorded("deployment_list.json")
    datadog.replay("POST", DEPLOYMENTS, pairs)
    datadog.replay("POST", FAILURES, recorded("failure_list_empty.json"))
    day = datetime(2023, 8, 31, tzinfo=UTC)
    records = connected(DEPLOYMENT_EVENT_API, datadog).fetch(day, day + timedelta(days=1))
    assert [record.body for record in records] == pairs[0]["response"]["data"]
    assert records[0].occurred_at == datetime(2023, 8, 31, 14, 26, 24, tzinfo=UTC)
    assert connected(FAILURE_EVENT_API, datadog).fetch(day, day + timedelta(days=1)) == []


def test_a_recorded_refusal_fails_with_the_words_of_datadog(datadog: FakeDatadog) -> None:
    datadog.replay("POST", DEPLOYMENTS, recorded("deployment_list_refused.json"))
    with pytest.raises(SourceRejected, match='got type "" expected one of "dora_deployments_list_request"'):
        connected(DEPLOYMENT_EVENT_API, datadog).fetch(moment(0), moment(60))


def test_a_deployment_belongs_to_the_window_in_which_it_finished(datadog: FakeDatadog) -> None:
    datadog.events["deployments"] = [
        deployment(1, -120, seconds=60),
        deployment(2, -60, seconds=60),
        deployment(3, DAY - 60, seconds=59),
        deployment(4, DAY - 60, seconds=60),
    ]
    records = connected(DEPLOYMENT_EVENT_API, datadog).fetch(moment(0), moment(DAY))
    assert [(record.record_id, record.occurred_at) for record in records] == [
        ("event-3", moment(DAY - 1)),
        ("event-2", moment(0)),
    ]


def test_a_deployment_with_an_end_that_is_in_no_window_near_belongs_to_that_of_its_start(datadog: FakeDatadog) -> None:
    datadog.events["deployments"] = [
        deployment(1, 60, seconds=-DAY),
        deployment(2, 120, seconds=2 * DAY),
        deployment(3, 180, seconds=3000 * DAY),
        deployment(4, -60, seconds=2 * DAY),
    ]
    records = connected(DEPLOYMENT_EVENT_API, datadog).fetch(moment(0), moment(DAY))
    assert sorted((record.record_id, record.occurred_at) for record in records) == [
        ("event-1", moment(60 - DAY)),
        ("event-2", moment(120 + 2 * DAY)),
        ("event-3", moment(180 + 3000 * DAY)),
    ]


def test_a_failure_belongs_to_the_window_in_which_it_started(datadog: FakeDatadog) -> None:
    datadog.events["failures"] = [
        failure(1, -1, finished_at=wire(60)),
        failure(2, 0),
        failure(3, DAY - 0.001),
        failure(4, DAY),
    ]
    records = connected(FAILURE_EVENT_API, datadog).fetch(moment(0), moment(DAY))
    assert names(records) == numbered(2, 3)


def test_more_events_than_a_list_holds_all_come_once(datadog: FakeDatadog) -> None:
    datadog.events["failures"] = [failure(number, number * 30) for number in range(2500)]
    records = connected(FAILURE_EVENT_API, datadog).fetch(moment(0), moment(DAY))
    assert [record.record_id for record in records] == [f"event-{number}" for number in reversed(range(2500))]
    # Each full list is followed by one up to the oldest second that came.
    assert slices(datadog) == [
        ("2026-02-01T10:00:00.000Z", "2026-02-02T10:00:00.999Z"),
        ("2026-02-01T10:00:00.000Z", "2026-02-01T22:30:00.999Z"),
        ("2026-02-01T10:00:00.000Z", "2026-02-01T14:10:30.999Z"),
    ]


def test_events_within_one_second_are_not_cut_at_its_beginning(datadog: FakeDatadog) -> None:
    datadog.events["failures"] = [failure(number, number * 0.25) for number in range(2500)]
    assert names(connected(FAILURE_EVENT_API, datadog).fetch(moment(0), moment(DAY))) == numbered(*range(2500))


def test_a_second_that_fills_a_list_among_others_is_cut_out(datadog: FakeDatadog) -> None:
    crowded = [failure(number, 500) for number in range(999)]
    around = [failure(1000 + number, 490 + number * 0.5) for number in range(60)]
    datadog.events["failures"] = crowded + [told for told in around if not 499.9 < seconds(told) < 501]
    records = connected(FAILURE_EVENT_API, datadog).fetch(moment(0), moment(DAY))
    assert names(records) == sorted(told["id"] for told in datadog.events["failures"])


def test_a_second_with_more_events_than_a_list_holds_is_named(datadog: FakeDatadog) -> None:
    datadog.events["failures"] = [failure(number, 500) for number in range(1001)]
    with pytest.raises(SourceIncomplete, match="one second 2026-02-01T10:08:20Z"):
        connected(FAILURE_EVENT_API, datadog).fetch(moment(0), moment(DAY))


def test_a_list_that_is_not_sorted_is_cut_in_halves(datadog: FakeDatadog) -> None:
    events = [failure(number, number * 0.5) for number in range(1300)]

    def unsorted_list(asked: Asked) -> Reply:
        told = asked.body["data"]["attributes"]
        first, last = (datetime.fromisoformat(told[bound]) for bound in ("from", "to"))
        found = [each for each in events if first <= moment(0) + timedelta(seconds=seconds(each)) <= last]
        return Reply({"data": found if len(found) < 1000 else found[:500] + found[-500:]})

    datadog.answer("POST", FAILURES, unsorted_list)
    assert names(connected(FAILURE_EVENT_API, datadog).fetch(moment(0), moment(700))) == numbered(*range(1300))


def test_an_event_without_a_readable_time_is_pulled_with_every_window(datadog: FakeDatadog) -> None:
    odd = {"id": "event-1", "type": "dora_failure", "attributes": {"service": ["shop"], "started_at": "soon"}}
    datadog.replay("POST", FAILURES, [{"response": {"data": [odd]}, "status": 200}])
    records = connected(FAILURE_EVENT_API, datadog).fetch(moment(0), moment(60))
    assert [(record.record_id, record.occurred_at) for record in records] == [("event-1", OLDEST_INSTANT)]


def test_times_in_nanoseconds_are_understood(datadog: FakeDatadog) -> None:
    odd = {"id": "event-1", "attributes": {"service": "shop", "started_at": 1_769_940_000_000_000_000}}
    datadog.replay("POST", FAILURES, [{"response": {"data": [odd]}, "status": 200}])
    assert connected(FAILURE_EVENT_API, datadog).fetch(moment(0), moment(60))[0].occurred_at == moment(0)


def test_an_open_failure_is_read_again_by_its_id(datadog: FakeDatadog) -> None:
    datadog.events["failures"] = [failure(1, 0)]
    connection = connected(FAILURE_EVENT_API, datadog)
    assert connection.fetch_open() == []
    datadog.events["failures"][0]["attributes"]["finished_at"] = wire(30 * DAY)
    one = connection.fetch_one("event-1")
    assert isinstance(one, PulledRecord)
    assert (one.occurred_at, one.body["attributes"]["finished_at"]) == (moment(0), wire(30 * DAY))


@pytest.mark.parametrize("source", SOURCES)
def test_a_deleted_event_is_gone(datadog: FakeDatadog, source: Source[Any]) -> None:
    assert connected(source, datadog).fetch_one("event/1") == "gone"
    assert datadog.paths()[0].endswith("/event%2F1")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("status", [401, 403])
def test_a_key_of_another_site_says_to_check_the_site(datadog: FakeDatadog, source: Source[Any], status: int) -> None:
    datadog.spoil(refused(status, {"errors": ["Forbidden"]}))
    with pytest.raises(SourceRejected, match=r"check datadog\.site \(datadoghq\.com\)") as refusal:
        connected(source, datadog).fetch(moment(0), moment(60))
    assert refusal.value.source == source.name
    assert ("dora_metrics_read" in str(refusal.value)) == (status == 403)


@pytest.mark.parametrize("source", SOURCES)
def test_missing_keys_are_named_when_the_source_is_used(source: Source[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DD_APP_KEY")
    with pytest.raises(ConfigError, match=f"{source.name}: the environment variable DD_APP_KEY is not set"):
        source.open(Settings(), lambda text: None)


@pytest.mark.parametrize(
    ("datadog_settings", "url"),
    [
        ({}, "https://api.datadoghq.com"),
        ({"site": "ap1.datadoghq.com"}, "https://api.ap1.datadoghq.com"),
        ({"site": "datadoghq.eu", "api_url": "https://proxy.example.com/dd"}, "https://proxy.example.com/dd"),
    ],
)
def test_the_address_is_that_of_the_site_unless_one_is_given(datadog_settings: dict[str, str], url: str) -> None:
    assert api_url(Settings(datadog=datadog_settings)) == url
