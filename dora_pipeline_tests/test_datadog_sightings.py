import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dora_pipeline.config import Settings
from dora_pipeline.errors import ConfigError, SourceIncomplete, SourceRejected
from dora_pipeline.sources.apm.datadog_sightings import fetch_sightings
from dora_pipeline.sources.apm.export_files import export_files
from dora_pipeline.sources.apm.export_reading import ExportReading, read_export
from dora_pipeline_tests.datadog_incidents import recorded
from dora_pipeline_tests.vendors.datadog import API_KEY, APP_KEY, FakeDatadog
from dora_pipeline_tests.vendors.server import Asked, Reply, refused

METRICS, SERIES, SPANS = "/api/v1/metrics", "/api/v2/query/timeseries", "/api/v2/spans/events/search"
FIRST = datetime(2026, 2, 1, tzinfo=UTC)
# 2026-02-01T00:00:00Z in milliseconds
MIDNIGHT = 1_769_904_000_000


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_API_KEY", API_KEY)
    monkeypatch.setenv("DD_APP_KEY", APP_KEY)


@pytest.fixture
def datadog() -> Iterator[FakeDatadog]:
    with FakeDatadog() as vendor:
        yield vendor


def sightings(vendor: FakeDatadog, days: float = 1, notes: list[str] | None = None) -> list[dict[str, Any]]:
    note = (lambda text: None) if notes is None else notes.append
    return fetch_sightings(Settings(datadog={"api_url": vendor.url}), note, FIRST, FIRST + timedelta(days=days))


def metrics(vendor: FakeDatadog, *names: str) -> None:
    vendor.answer("GET", METRICS, lambda asked: Reply({"from": "0", "metrics": list(names)}))


def series(vendor: FakeDatadog) -> None:
    """One version a day, seen in its first minute."""

    def answer(asked: Asked) -> Reply:
        told = asked.body["data"]["attributes"]
        day = (told["from"] - MIDNIGHT) // 86_400_000
        tags = ["service:shop", "env:prod", f"version:v{day}"]
        attributes = {
            "series": [{"group_tags": tags, "query_index": 0, "unit": None}],
            "times": [told["from"], told["from"] + 60_000],
            "values": [[5, None]],
        }
        return Reply({"data": {"id": "0", "type": "timeseries_response", "attributes": attributes}})

    vendor.answer("POST", SERIES, answer)


def read(documents: list[dict[str, Any]], folder: Path) -> ExportReading:
    (folder / "pulled.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    return read_export(export_files(folder)[0], Settings())


def test_hits_by_service_env_and_version_are_asked_for_a_day_at_a_time(datadog: FakeDatadog) -> None:
    metrics(datadog, "trace.web.request.hits", "trace.web.request.hits.by_http_status", "trace.web.errors", "cpu.hits")
    series(datadog)
    sightings(datadog, days=2.5)
    assert datadog.asked[0].query == {"from": ["1769904000"]}
    told = [asked.body["data"]["attributes"] for asked in datadog.asked[1:]]
    day = 86_400_000
    assert [(each["from"] - MIDNIGHT, each["to"] - MIDNIGHT) for each in told] == [
        (0, day),
        (day, 2 * day),
        (2 * day, 2.5 * day),
    ]
    assert {each["queries"][0]["query"] for each in told} == {
        "sum:trace.web.request.hits{*} by {service,env,version}.as_count()"
    }
    assert {each["interval"] for each in told} == {60_000}


def test_pulled_hits_are_read_as_sightings_of_versions(datadog: FakeDatadog, tmp_path: Path) -> None:
    metrics(datadog, "trace.web.request.hits")
    series(datadog)
    activity = read(sightings(datadog, days=2), tmp_path).activity
    assert activity.select("service", "env", "version", "first_seen_at", "sightings").rows() == [
        ("shop", "prod", "v0", FIRST, 5),
        ("shop", "prod", "v1", FIRST + timedelta(days=1), 5),
    ]


def test_a_recorded_answer_is_given_as_it_came(datadog: FakeDatadog) -> None:
    pairs = recorded("timeseries.json")
    metrics(datadog, "trace.web.request.hits")
    datadog.replay("POST", SERIES, pairs)
    assert sightings(datadog) == [pairs[0]["response"]]


def test_answers_without_any_sighting_are_left_out(datadog: FakeDatadog) -> None:
    metrics(datadog, "trace.web.request.hits")
    nothing = {"data": {"attributes": {"series": [], "times": [], "values": []}}}
    datadog.replay("POST", SERIES, [{"response": nothing, "status": 200}])
    assert sightings(datadog) == []


def test_recorded_pages_of_spans_are_read_where_no_trace_metric_reports(datadog: FakeDatadog, tmp_path: Path) -> None:
    pairs, notes = recorded("span_search_pages.json"), list[str]()
    metrics(datadog, "system.cpu.idle")
    datadog.replay("POST", SPANS, pairs)
    documents = sightings(datadog, notes=notes)
    assert documents == [pair["response"] for pair in pairs[:2]]
    cursors = [asked.body["data"]["attributes"]["page"].get("cursor") for asked in datadog.asked[1:]]
    assert cursors == [None, *(pair["response"]["meta"]["page"]["after"] for pair in pairs[:2])]
    assert "a sample" in notes[0]
    rows = read(documents, tmp_path).activity.select("service", "version", "first_seen_at").rows()
    seen = datetime(2023, 6, 29, 10, 37, 9, 217_000, UTC)
    assert rows == [("python-sample-app-spartancrimson", "1.0.0", seen)]


def test_a_search_of_spans_that_repeats_its_page_is_refused(datadog: FakeDatadog) -> None:
    metrics(datadog)
    datadog.replay("POST", SPANS, recorded("span_search_pages.json")[:1] * 3)
    with pytest.raises(SourceIncomplete, match="repeats a page"):
        sightings(datadog)


def test_a_key_without_the_scopes_says_which_are_needed(datadog: FakeDatadog) -> None:
    datadog.spoil(refused(403, {"errors": ["Forbidden"]}))
    with pytest.raises(SourceRejected, match=r"metrics_read, timeseries_query and apm_read, and check datadog\.site"):
        sightings(datadog)


def test_missing_keys_are_named(datadog: FakeDatadog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DD_API_KEY")
    with pytest.raises(ConfigError, match="apm_deployment_tracking: the environment variable DD_API_KEY is not set"):
        sightings(datadog)
