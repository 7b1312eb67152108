"""Datadog's answers as exports: spans, metric queries and DORA deployments, in the shapes of its recorded answers."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from dora_pipeline.config import Settings
from dora_pipeline.sources.apm.deployments import normalize_apm_deployments
from dora_pipeline.sources.apm.export_reading import ExportReading
from dora_pipeline_tests.apm_exports import MODIFIED_AT, RECORDS, SHA, jsonl, reading, reasons, written

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
MS = 1772359200000
SPANS = {
    "data": [
        {
            "type": "spans",
            "id": "AAAAAWgN8Xwgr1vKDQAAAABBV2dOOFh3ZzZobm1mWXJFYTR0OA",
            "attributes": {
                "service": "shop",
                "env": "prod",
                "start_timestamp": "2026-03-01T10:00:00.000Z",
                "end_timestamp": "2026-03-01T10:00:00.472Z",
                "custom": {
                    "version": "1.0",
                    "duration": 3402932,
                    "git": {"commit": {"sha": SHA}, "repository_url": "git@github.com:Org/Shop.git"},
                    "team": "web",
                },
                "tags": ["env:other", "version:0.9", "compute"],
            },
        },
        {
            "type": "span",
            "attributes": {
                "service": "cart",
                "start_timestamp": "2026-03-01T10:00:00.000Z",
                "custom": {},
                "tags": ["env:prod", "version:2:1", f"git.commit.sha:{SHA}", "foo:bar", "compute"],
            },
        },
        {
            "type": "spans",
            "attributes": {"service": "bare", "env": "prod", "start_timestamp": "2026-03-01T10:00:00Z", "tags": []},
        },
    ],
    "links": {"next": "https://api.example/v2/spans/events?page[cursor]=abc"},
    "meta": {"elapsed": 5, "page": {"after": "abc"}, "status": "done"},
}
V1 = {
    "from_date": MS,
    "group_by": ["env", "service", "version"],
    "query": "sum:trace.http.request.hits{*} by {env,version,service}.as_count()",
    "res_type": "time_series",
    "series": [
        {
            "aggr": "sum",
            "scope": "env:prod,service:shop,version:1.2",
            "pointlist": [[MS, 0.0], [MS + 60_000, 4.0], [MS + 120_000, None], [MS + 180_000, 3.0]],
        },
        {
            "scope": "ignored:scope",
            "tag_set": ["env:prod", "service:cart", "version:N/A"],
            "pointlist": [[MS, 1.0]],
        },
    ],
    "status": "ok",
}
V2 = {
    "data": {
        "id": "0",
        "type": "timeseries_response",
        "attributes": {
            "series": [
                {"group_tags": ["env:prod", "service:shop", "version:1.2"], "query_index": 0, "unit": None},
                {"group_tags": ["env:prod", "service:cart", "version:7"], "query_index": 0, "unit": None},
            ],
            "times": [MS, MS + 60_000, MS + 180_000],
            "values": [[None, 4, 3], [0, None, 0]],
        },
    }
}
DEPLOYMENTS = {
    "data": [
        {
            "id": "z_RwVLi7v4Y",
            "type": "dora_deployment",
            "attributes": {
                "service": "shopist",
                "env": "production",
                "version": "v1.12.07",
                "team": "backend",
                "started_at": "2026-03-01T10:00:00Z",
                "finished_at": "2026-03-01T10:00:10Z",
                "git": {"commit_sha": SHA.upper(), "repository_id": "github.com/organization/example"},
                "custom_tags": ["language:java", "department:engineering"],
                "source": "apm_deployments",
                "number_of_commits": 3,
                "change_failure": True,
                "remediation": {"id": "X9RMqDwK-4c", "type": "rollback"},
                "deployment_type": "standard",
            },
        },
        {
            "id": "eG42zNIkVjM",
            "type": "dora_deployment",
            "attributes": {
                "service": "cart",
                "started_at": MS,
                "custom_tags": None,
                "git": {"commit_sha": "main", "repository_url": "https://u:p@github.com/Org/Cart.git"},
            },
        },
    ]
}


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_pages_of_spans_are_sightings_at_their_start(tmp_path: Path, name: str) -> None:
    found = reading(written(tmp_path / name, json.dumps(SPANS).encode()))
    assert found.activity.rows() == [
        ("cart", "prod", "2:1", AT, AT, SHA, None, None, 1, date(2026, 3, 1)),
        ("shop", "prod", "1.0", AT, AT, SHA, "github.com/org/shop", "web", 1, date(2026, 3, 1)),
    ]
    assert found.rejected.select("reason", "service").rows() == [("version_missing", "bare")]
    assert found.records == 3


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_points_of_a_v1_metric_query_above_zero_are_sightings(tmp_path: Path, name: str) -> None:
    found = reading(written(tmp_path / name, json.dumps(V1).encode()))
    first, last = datetime(2026, 3, 1, 10, 1, tzinfo=UTC), datetime(2026, 3, 1, 10, 3, tzinfo=UTC)
    assert found.activity.rows() == [
        ("shop", "prod", "1.2", first, last, None, None, None, 7, date(2026, 3, 1)),
    ]
    assert found.rejected.select("reason", "service").rows() == [("version_missing", "cart")]


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_points_of_a_v2_timeseries_above_zero_are_sightings(tmp_path: Path, name: str) -> None:
    found = reading(written(tmp_path / name, json.dumps(V2).encode()))
    first, last = datetime(2026, 3, 1, 10, 1, tzinfo=UTC), datetime(2026, 3, 1, 10, 3, tzinfo=UTC)
    assert found.activity.rows() == [
        ("shop", "prod", "1.2", first, last, None, None, None, 7, date(2026, 3, 1)),
    ]
    assert found.rejected.height == 0


def services(found: ExportReading) -> list[str]:
    return sorted(json.loads(text)["service"] for text in found.deployments["attributes"])


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_dora_deployments_are_ready_events(tmp_path: Path, name: str) -> None:
    found = reading(written(tmp_path / name, json.dumps(DEPLOYMENTS).encode()))
    source, end, day = "apm_deployment_tracking", datetime(2026, 3, 1, 10, 0, 10, tzinfo=UTC), date(2026, 3, 1)
    cart = ("cart", None, None, None, "github.com/org/cart", None)
    shop = ("shopist", "prod", "v1.12.07", "backend", "github.com/organization/example", SHA)
    tags = ["language:java", "department:engineering"]
    settings = Settings(environments={"prod": ("production",)})
    assert normalize_apm_deployments(found.deployments, settings).events.sort("deployment_id").rows() == [
        (source, "apm:eG42zNIkVjM", *cart, AT, AT, [], None, None, None, AT, day),
        (source, "apm:z_RwVLi7v4Y", *shop, AT, end, tags, True, "X9RMqDwK-4c", "rollback", AT, day),
    ]
    assert (found.activity.height, found.rejected.height, found.records) == (0, 0, 2)


def test_answers_of_all_shapes_and_sightings_may_stand_in_one_file(tmp_path: Path) -> None:
    lines = jsonl(*RECORDS, SPANS, V1, V2, DEPLOYMENTS, {"data": []}, {"series": []})
    document = json.dumps([*RECORDS, SPANS, V1, V2, DEPLOYMENTS, {"data": []}, {"series": []}]).encode()
    for name, content in {"x.jsonl": lines, "y.json": document}.items():
        found = reading(written(tmp_path / name, content))
        told = found.activity.select("service", "version", "sightings").rows()
        assert told == [("cart", "2:1", 1), ("cart", "v7", 1), ("shop", "1.0", 6), ("shop", "1.2", 14)]
        assert services(found) == ["cart", "shopist"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"service": None}, "service_missing"),
        ({"service": ["shop"]}, "field_type"),
        ({"env": ["prod"]}, "field_type"),
        ({"custom_tags": "a:b"}, "field_type"),
        ({"started_at": None}, "time_missing"),
        ({"started_at": "soon"}, "time_unreadable"),
        ({"started_at": "2026-03-01T10:00:00"}, "time_without_zone"),
        ({"finished_at": "2026-03-01T09:00:00Z"}, "finished_before_started"),
        ({"finished_at": "2026-07-01T09:00:00Z"}, "time_in_future"),
    ],
)
def test_a_deployment_that_cannot_be_used_is_rejected_with_its_place(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    first, second = DEPLOYMENTS["data"]
    bad = {**first, "attributes": {**first["attributes"], **change}}  # type: ignore[dict-item]
    found = reading(written(tmp_path / "x.json", json.dumps({"data": [second, bad]}).encode()))
    assert services(found) == ["cart"]
    assert found.rejected.select("record", "reason").rows() == [("item 2", reason)]
    payload = json.loads(found.rejected["payload"][0])
    assert payload == {"file": "x.json", "item": 2, "record": bad}
    assert found.rejected["detected_at"].to_list() == [MODIFIED_AT]


def test_a_deployment_without_an_id_is_known_by_service_environment_and_second(tmp_path: Path) -> None:
    item = {"type": "dora_deployment", "attributes": {"service": "shop", "env": "prod", "started_at": MS + 250}}
    found = reading(written(tmp_path / "x.json", json.dumps({"data": [item]}).encode()))
    assert found.deployments["record_id"].to_list() == ["apm:shop/prod/2026-03-01T10:00:00+00:00"]


@pytest.mark.parametrize(
    "document",
    [
        {"errors": [{"detail": "got type", "status": "400", "title": "Bad Request"}]},
        {"data": [{"type": "dora_failure", "id": "1", "attributes": {"services": ["shop"]}}]},
        {"data": {"attributes": {"series": [{"group_tags": []}], "times": [MS], "values": []}}},
        {"series": [{"scope": "*", "pointlist": [[MS]]}]},
    ],
)
def test_answers_of_other_shapes_are_rejected(tmp_path: Path, document: object) -> None:
    assert reasons(reading(written(tmp_path / "x.json", json.dumps(document).encode()))) == ["shape_unknown"]
