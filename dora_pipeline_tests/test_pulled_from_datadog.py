"""Datadog's whole way, over HTTP and the raw layer into the tables: incidents, lists of deployments and of failures."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dora_pipeline.errors import ConfigError, SourceError, SourceRejected
from dora_pipeline.identifiers import EventType
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.runs import run
from dora_pipeline.pipeline.sources import source_states
from dora_pipeline.sources.registry import SOURCES, sources_of
from dora_pipeline_tests.datadog_incidents import incident
from dora_pipeline_tests.full_homes import rebuilt
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.pulled_homes import NOON, ago, contents, day, day_files, stamps
from dora_pipeline_tests.vendors.datadog import API_KEY, APP_KEY, FakeDatadog
from dora_pipeline_tests.vendors.server import Asked, Reply, echo

ALL = ("deployment_event_api", "apm_deployment_tracking", "datadog_incidents", "failure_event_api")
PULLED = {"pull_from_datadog": True}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_API_KEY", API_KEY)
    monkeypatch.setenv("DD_APP_KEY", APP_KEY)


@pytest.fixture
def datadog() -> Iterator[FakeDatadog]:
    vendor = FakeDatadog(deployments=[], failures=[])
    with vendor:
        # No trace metric and no span tells of a version.
        vendor.answer("GET", "/api/v1/metrics", lambda asked: Reply({"metrics": []}))
        vendor.answer("POST", "/api/v2/spans/events/search", lambda asked: Reply({"data": []}))
        yield vendor


def prepare(home: TestHome, datadog: FakeDatadog, *sources: str, days: float = 40) -> None:
    """Let a home pull sources from Datadog, what happened since some days ago."""
    lists = dict.fromkeys((*sources_of("deployment"), "failure_event_api"), PULLED)
    home.settings(datadog={"api_url": datadog.url}, sources=lists)
    event_types: list[EventType] = ["deployment", "failure"]
    for event_type in event_types:
        if selected := [name for name in sources if SOURCES[name].event_type == event_type]:
            home.select(event_type, *selected, at=NOON - timedelta(days=days))


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def happened(number: int, days: float, minutes: float | None = 10, **attributes: Any) -> dict[str, Any]:
    """Incident `incident-<number>`, active from some days ago for some minutes; until now where they are None."""
    began, ended = ago(days), None if minutes is None else ago(days, minutes)
    times = dict.fromkeys(("created", "modified", "declared", "detected"), began)
    active = {"spans": [{"start": seconds(began), "end": ended and seconds(ended)}]}
    state = "active" if ended is None else "resolved"
    told = {"resolved": ended, "state": state, "field_analytics": {"state": {"active": active}}, **times}
    return incident(number, **(told | attributes))


def deployed(name: str, days: float, **attributes: Any) -> dict[str, Any]:
    """A deployment of some days ago, that took a minute."""
    told = {"service": "shop", "env": "prod", "started_at": ago(days, -1), "finished_at": ago(days), **attributes}
    return {"id": name, "type": "dora_deployment", "attributes": told}


def failed(name: str, days: float, minutes: float | None = 30, **attributes: Any) -> dict[str, Any]:
    """A failure of some days ago."""
    ended = {} if minutes is None else {"finished_at": ago(days, minutes)}
    told = {"service": ["shop"], "env": ["prod"], "started_at": ago(days), **ended, **attributes}
    return {"id": name, "type": "dora_failure", "attributes": told}


def test_incidents_and_all_three_lists_become_events(home: TestHome, datadog: FakeDatadog) -> None:
    prepare(home, datadog, *ALL, days=9)
    datadog.incidents = [happened(1, 8), happened(2, 3, None)]
    datadog.events["deployments"] = [
        deployed("d1", 7, version="1"),
        deployed("d2", 6, source="apm_deployments", service="api", version="7"),
    ]
    datadog.events["failures"] = [failed("f1", 5)]
    assert home.run().days == [day(8), day(7), day(6), day(5), day(3)]
    assert home.rows(
        "SELECT deployment_id, source, service, finished_at::VARCHAR FROM core.deployments ORDER BY day"
    ) == [
        ("d1", "deployment_event_api", "shop", f"{day(7)} 12:00:00+00"),
        ("apm:d2", "apm_deployment_tracking", "api", f"{day(6)} 12:00:00+00"),
    ]
    assert home.rows("SELECT failure_id, source, time_to_restore_seconds FROM core.failures ORDER BY day") == [
        ("datadog_incidents:incident-1", "datadog_incidents", 600),
        ("f1", "failure_event_api", 1800),
        ("datadog_incidents:incident-2", "datadog_incidents", None),
    ]
    tables = home.tables()
    before = stamps(home)
    assert home.run().days == []
    assert stamps(home) == before
    assert rebuilt(home) == tables


def test_missing_keys_are_named_and_every_other_source_is_loaded(
    home: TestHome, datadog: FakeDatadog, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(home, datadog, *ALL, days=9)
    home.drop_export("a.jsonl", [{"timestamp": ago(3), "service": "web", "env": "prod", "version": "1"}])
    home.fail(["api"], f"{day(2)} 10:00:00")
    monkeypatch.delenv("DD_APP_KEY")
    with pytest.raises(ConfigError, match="DD_APP_KEY is not set"):
        home.run()
    assert home.rows("SELECT service FROM core.deployments") == [("web",)]
    assert home.rows("SELECT service FROM core.failures") == [("api",)]
    errors = {state.source: state.error for state in source_states(home.home)}
    assert errors["pagerduty"] is None
    assert [("DD_APP_KEY is not set" in str(errors[name])) for name in ALL] == [True] * 4
    assert datadog.asked == []


def test_lists_are_read_again_for_the_last_week_only(home: TestHome, datadog: FakeDatadog) -> None:
    prepare(home, datadog, "deployment_event_api", "failure_event_api", days=70)
    datadog.events["failures"] = [failed(f"f{number}", number) for number in range(0, 70, 3)]
    home.run()
    datadog.asked.clear()
    home.run()
    asked = [request.body["data"]["attributes"] for request in datadog.asked]
    assert len(asked) == 2
    for attributes in asked:
        span = datetime.fromisoformat(attributes["to"]) - datetime.fromisoformat(attributes["from"])
        assert timedelta(days=7) <= span < timedelta(days=8, seconds=60)


def test_a_failure_of_a_list_that_is_resolved_three_weeks_later_or_deleted_ends_right(
    home: TestHome, datadog: FakeDatadog
) -> None:
    prepare(home, datadog, "failure_event_api", days=60)
    datadog.events["failures"] = [failed("f1", 30, None), failed("f2", 25, None), failed("f3", 20)]
    home.run()
    datadog.events["failures"] = [failed("f1", 30, 60), failed("f3", 20)]
    assert home.run().days == [day(30), day(25)]
    assert home.rows("SELECT failure_id, time_to_restore_seconds FROM core.failures ORDER BY day") == [
        ("f1", 3600),
        ("f3", 1800),
    ]
    tables = home.tables()
    assert rebuilt(home) == tables


def test_an_incident_that_is_resolved_re_opened_moved_or_archived_late_ends_right(
    home: TestHome, datadog: FakeDatadog
) -> None:
    prepare(home, datadog, "datadog_incidents", days=60)
    datadog.incidents = [
        happened(1, 30, None),
        happened(2, 25),
        happened(3, 20, None),
        happened(4, 15),
        happened(5, 10),
    ]
    home.run()
    moved = {"services": {"type": "autocomplete", "value": ["api"]}}
    datadog.incidents = [
        happened(1, 30, 20 * 24 * 60),
        happened(2, 25, None),
        happened(3, 20, None, fields=moved),
        happened(4, 15),
        happened(5, 10),
    ]
    assert home.run().days == [day(30), day(25), day(20)]
    assert home.rows("SELECT failure_id, service, finished_at IS NULL FROM core.failures ORDER BY day") == [
        ("datadog_incidents:incident-1", "shop", False),
        ("datadog_incidents:incident-2", "shop", True),
        ("datadog_incidents:incident-3", "api", True),
        ("datadog_incidents:incident-4", "shop", False),
        ("datadog_incidents:incident-5", "shop", False),
    ]
    tables = home.tables()
    assert rebuilt(home) == tables


def test_an_incident_that_comes_back_on_another_day_after_it_was_archived_is_in_one_day_file(
    home: TestHome, datadog: FakeDatadog
) -> None:
    prepare(home, datadog, "datadog_incidents", days=60)
    datadog.incidents = [happened(1, 5), happened(2, 5)]
    home.run()
    datadog.incidents = [happened(1, 5, archived=ago(1)), happened(2, 5)]
    assert home.run().days == [day(5)]
    datadog.incidents = [happened(1, 4), happened(2, 5)]
    home.run()
    datadog.incidents = [happened(1, 4), happened(2, 5, 20)]
    home.run()
    assert day_files(home, "datadog_incidents") == {f"{day(5)}": ["incident-2"], f"{day(4)}": ["incident-1"]}
    assert home.rows("SELECT failure_id, day FROM core.failures ORDER BY day") == [
        ("datadog_incidents:incident-2", day(5)),
        ("datadog_incidents:incident-1", day(4)),
    ]
    tables = home.tables()
    assert rebuilt(home) == tables


def test_a_deployment_that_is_sent_to_us_and_listed_counts_once(home: TestHome, datadog: FakeDatadog) -> None:
    prepare(home, datadog, "deployment_event_api", "failure_event_api")
    finished = f"{day(3)} 12:00:00"
    home.deploy("shop", finished, id="d1", version="1")
    home.fail(["shop"], finished, id="f1")
    datadog.events["deployments"] = [deployed("d1", 3, version="1"), deployed("d2", 2, version="2")]
    datadog.events["failures"] = [failed("f1", 3, None)]
    for _ in range(2):
        home.run()
        assert home.rows("SELECT deployment_id, version FROM core.deployments ORDER BY day") == [
            ("d1", "1"),
            ("d2", "2"),
        ]
        assert home.rows("SELECT failure_id FROM core.failures") == [("f1",)]
    tables = home.tables()
    assert rebuilt(home) == tables


def test_what_is_sent_after_it_was_listed_ends_as_in_a_rebuild(home: TestHome, datadog: FakeDatadog) -> None:
    prepare(home, datadog, "deployment_event_api", "failure_event_api")
    datadog.events["deployments"] = [deployed("d1", 3, version="1"), deployed("d2", 3, version="2", service="api")]
    datadog.events["failures"] = [failed("f1", 3, None)]
    home.run()
    home.deploy("shop", f"{day(3)} 12:00:00", id="d1", version="1", team="sales")
    home.deploy("api", f"{day(3)} 12:00:00", id="d2", version="2")
    home.fail(["shop"], f"{day(3)} 12:00:00", f"{day(3)} 13:00:00", id="f1")
    home.run()
    with EventStore.at(home.home) as store:
        store.delete("deployment", "d2", received_at=NOON)
    home.run()
    assert home.rows("SELECT deployment_id FROM core.deployments ORDER BY deployment_id") == [("d1",), ("d2",)]
    tables = home.tables()
    assert rebuilt(home) == tables


def test_the_keys_are_in_no_file_no_message_and_no_log(
    home: TestHome, datadog: FakeDatadog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    prepare(home, datadog, "datadog_incidents", "deployment_event_api")
    datadog.incidents = [happened(1, 35), happened(2, 3, None)]
    datadog.events["deployments"] = [deployed("d1", 30, version="1")]
    datadog.spoil(echo(400))
    with pytest.raises(SourceRejected, match="bad request") as raised:
        home.run()
    datadog.answer("GET", "/api/v2/incidents/search", lambda asked: Reply({"errors": [json.dumps(asked.headers)]}, 400))
    with pytest.raises(SourceRejected, match="incidents") as raised_later:
        home.run()
    assert {request.headers["dd-api-key"] for request in datadog.asked} == {API_KEY}
    texts = [str(raised.value), str(raised_later.value), caplog.text, *home.notes.notes]
    assert not [text for text in texts if API_KEY in text or APP_KEY in text]
    assert not _files_with(home.home.path, API_KEY, APP_KEY)


def tell_versions(datadog: FakeDatadog, versions: Mapping[str, str]) -> None:
    """Trace metrics tell of one service, at the beginning of each day, the version of that day."""
    datadog.answer("GET", "/api/v1/metrics", lambda asked: Reply({"metrics": ["trace.web.request.hits"]}))

    def answer(asked: Asked) -> Reply:
        beginning = asked.body["data"]["attributes"]["from"]
        version = versions.get(datetime.fromtimestamp(beginning / 1000, UTC).date().isoformat())
        tags = ["service:shop", "env:prod", f"version:{version}"]
        series = [{"group_tags": tags, "query_index": 0, "unit": None}] if version else []
        attributes = {"series": series, "times": [beginning], "values": [[7]] if version else []}
        return Reply({"data": {"id": "0", "type": "timeseries_response", "attributes": attributes}})

    datadog.answer("POST", "/api/v2/query/timeseries", answer)


def _files_with(folder: Path, *secrets: str) -> list[Path]:
    return [path for path, content in contents(folder) if any(secret.encode() in content for secret in secrets)]


def test_hits_of_trace_metrics_become_deployments_and_the_last_days_are_asked_for_again(
    home: TestHome, datadog: FakeDatadog
) -> None:
    versions = {day(2).isoformat(): "1", day(1).isoformat(): "2", day(0).isoformat(): "2"}
    tell_versions(datadog, versions)
    prepare(home, datadog, "apm_deployment_tracking", days=3)
    home.run()
    expected = [("shop", "1", day(2)), ("shop", "2", day(1))]
    deployments = "SELECT service, version, day FROM core.deployments ORDER BY day"
    assert home.rows(deployments) == expected
    assert home.rows("SELECT SUM(sightings) FROM core.apm_version_activity") == [(21,)]

    versions[(day(0) + timedelta(days=1)).isoformat()] = "3"
    datadog.asked.clear()
    home.run()
    asked = [one for one in datadog.asked if one.path == "/api/v2/query/timeseries"]
    assert len(asked) == 2
    expected = [*expected, ("shop", "3", day(0) + timedelta(days=1))]
    assert home.rows(deployments) == expected

    versions[day(4).isoformat()] = "0"
    log = home.home.selection_log.read_text()
    home.home.selection_log.write_text(log.replace(f"{day(3)}", f"{day(5)}"))
    home.run()
    assert home.rows(deployments) == [("shop", "0", day(4)), *expected]
    assert home.tables() == rebuilt(home)


def test_a_changed_time_zone_neither_loses_nor_doubles_sightings_between_days(
    home: TestHome, datadog: FakeDatadog
) -> None:
    seen = {NOON - timedelta(days=2): "1", NOON - timedelta(hours=16): "2", NOON - timedelta(hours=10): "3"}
    datadog.answer("GET", "/api/v1/metrics", lambda asked: Reply({"metrics": ["trace.web.request.hits"]}))

    def answer(asked: Asked) -> Reply:
        told = asked.body["data"]["attributes"]
        found = {at: seen[at] for at in seen if told["from"] <= at.timestamp() * 1000 < told["to"]}
        series = [{"group_tags": ["service:shop", "env:prod", f"version:{version}"]} for version in found.values()]
        values = [[7 if one == at else None for one in found] for at in found]
        attributes = {"series": series, "times": [at.timestamp() * 1000 for at in found], "values": values}
        return Reply({"data": {"id": "0", "type": "timeseries_response", "attributes": attributes}})

    datadog.answer("POST", "/api/v2/query/timeseries", answer)
    prepare(home, datadog, "apm_deployment_tracking", days=3)
    settings = home.home.settings_file.read_text()
    figures = "SELECT version, MIN(first_seen_at), SUM(sightings) FROM core.apm_version_activity GROUP BY ALL"
    for zone in ("UTC", "America/New_York", "Asia/Tokyo", "America/New_York"):
        home.home.settings_file.write_text(f"{settings}timezone: {zone}\n")
        home.run()
        assert sorted(home.rows(figures)) == [(version, at, 7) for at, version in seen.items()], zone


@pytest.mark.parametrize("content", [None, b"", b'[{"data": ['], ids=["missing", "empty", "cut"])
def test_a_day_of_sightings_that_is_missing_or_cut_is_an_error_and_is_asked_for_again_when_it_was_given_up(
    home: TestHome, datadog: FakeDatadog, content: bytes | None
) -> None:
    tell_versions(datadog, {day(5).isoformat(): "1", day(4).isoformat(): "2", day(0).isoformat(): "3"})
    prepare(home, datadog, "apm_deployment_tracking", days=5)
    home.run()
    before = home.tables()
    path = home.home.raw / "apm_deployment_tracking" / "sightings" / f"{day(4)}.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for rebuild in (False, True):
        with pytest.raises(SourceError, match=re.escape(str(path))):
            home.run(rebuild=rebuild)
        assert home.tables() == before
    path.unlink(missing_ok=True)
    run(home.home, rebuild=True, accepts_shrink=True)
    assert home.rows("SELECT version FROM core.deployments ORDER BY day") == [("3",)]
    home.run()
    assert home.tables() == before
