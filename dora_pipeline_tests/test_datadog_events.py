import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from dora_pipeline.catalog import Catalog
from dora_pipeline.config import Settings
from dora_pipeline.sources.apm import APM_DEPLOYMENT_TRACKING
from dora_pipeline.sources.event_api import DEPLOYMENT_EVENT_API, FAILURE_EVENT_API
from dora_pipeline.sources.event_rules import Normalized
from dora_pipeline.sources.raw import PULLED_SCHEMA
from dora_pipeline.sources.source import Source
from dora_pipeline_tests.datadog_incidents import FETCHED, moment, recorded

SHA = "66adc9350f2cc9b250b69abddab733dd55e1a588"


def event(kind: str = "dora_deployment", **attributes: Any) -> dict[str, Any]:
    times = {"started_at": "2026-02-01T10:00:00Z", "finished_at": "2026-02-01T10:05:00Z"}
    return {"id": "event-1", "type": kind, "attributes": {"service": "shop", **times, **attributes}}


def failure(**attributes: Any) -> dict[str, Any]:
    return event("dora_failure", **{"service": ["shop"], **attributes})


def normalized(source: Source[Any], *events: Mapping[str, Any], state: str = "present") -> Normalized:
    rows = [(each["id"], FETCHED, FETCHED, state, json.dumps(each)) for each in events]
    return source.reader().normalize(pl.DataFrame(rows, schema=PULLED_SCHEMA, orient="row"), Settings(), Catalog({}))


def rows(source: Source[Any], *events: Mapping[str, Any], state: str = "present") -> list[dict[str, Any]]:
    told = normalized(source, *events, state=state)
    assert told.rejected.rows() == []
    return told.events.to_dicts()


def reject(source: Source[Any], told: Mapping[str, Any]) -> dict[str, Any]:
    found = normalized(source, told)
    assert found.events.rows() == []
    assert found.rejected.height == 1
    return found.rejected.row(0, named=True)


def test_a_deployment_of_the_list_becomes_a_row_of_its_source() -> None:
    told = event(
        env="prod",
        team="web",
        version="v1",
        git={"commit_sha": SHA, "repository_id": "github.com/organization/example"},
        custom_tags=["language:java"],
        created_at="2026-02-01T10:06:00Z",
        source="api",
        change_failure=False,
    )
    assert rows(DEPLOYMENT_EVENT_API, told) == [
        {
            "source": "deployment_event_api",
            "deployment_id": "event-1",
            "service": "shop",
            "env": "prod",
            "version": "v1",
            "team": "web",
            "repository_id": "github.com/organization/example",
            "commit_sha": SHA,
            "started_at": moment(0),
            "finished_at": moment(300),
            "custom_tags": ["language:java"],
            "change_failure": None,
            "remediation_id": None,
            "remediation_type": None,
            "received_at": moment(360),
            "day": date(2026, 2, 1),
        }
    ]


def test_a_deployment_inferred_from_apm_has_an_id_and_a_source_of_its_own() -> None:
    row = rows(APM_DEPLOYMENT_TRACKING, event(finished_at=None))[0]
    assert (row["source"], row["deployment_id"]) == ("apm_deployment_tracking", "apm:event-1")
    assert (row["started_at"], row["finished_at"]) == (moment(0), moment(0))


def test_an_unfinished_deployment_of_the_event_api_is_a_reject() -> None:
    told = reject(DEPLOYMENT_EVENT_API, event(finished_at=None))
    assert (told["reason"], told["source"], told["record"]) == ("finish_missing", "deployment_event_api", "event-1")


def test_a_reject_of_apm_names_its_own_source() -> None:
    told = reject(APM_DEPLOYMENT_TRACKING, event(service=None))
    assert (told["reason"], told["source"]) == ("service_missing", "apm_deployment_tracking")


def test_a_failure_with_arrays_becomes_a_row_per_service() -> None:
    told = failure(service=["shop", "cart"], env=["prod"], team=["web"], severity="High", name="down")
    found = rows(FAILURE_EVENT_API, told)
    assert [(row["failure_id"], row["service"], row["env"], row["team"]) for row in found] == [
        ("event-1", "shop", "prod", "web"),
        ("event-1", "cart", "prod", "web"),
    ]
    assert [(row["source"], row["time_to_restore_seconds"]) for row in found] == [("failure_event_api", 300.0)] * 2


def test_a_failure_with_scalars_becomes_the_same_row() -> None:
    arrays = failure(env=["prod"], team=["web"])
    scalars = event("dora_failure", services=["shop"], env="prod", team="web")
    del scalars["attributes"]["service"]
    assert rows(FAILURE_EVENT_API, arrays) == rows(FAILURE_EVENT_API, scalars)


def test_a_deployment_with_arrays_of_one_becomes_a_row() -> None:
    row = rows(DEPLOYMENT_EVENT_API, event(service=["shop"], env=["prod"], team=["web"]))[0]
    assert (row["service"], row["env"], row["team"]) == ("shop", "prod", "web")


def test_empty_arrays_are_nothing() -> None:
    row = rows(DEPLOYMENT_EVENT_API, event(env=[], team=[]))[0]
    assert (row["env"], row["team"], row["custom_tags"]) == (None, None, [])


def test_of_several_environments_and_teams_each_is_a_tag() -> None:
    row = rows(FAILURE_EVENT_API, failure(env=["prod", "eu"], team=["web", "core"], custom_tags=["a:1"]))[0]
    assert (row["env"], row["team"]) == (None, None)
    assert row["custom_tags"] == ["a:1", "env:prod", "env:eu", "team:web", "team:core"]


def test_a_deployment_of_several_services_is_a_reject() -> None:
    assert reject(DEPLOYMENT_EVENT_API, event(service=["shop", "cart"]))["reason"] == "field_type"


def test_a_failure_without_an_end_is_open() -> None:
    row = rows(FAILURE_EVENT_API, failure(finished_at=None))[0]
    assert (row["finished_at"], row["time_to_restore_seconds"]) == (None, None)


def test_a_time_that_go_left_unset_is_missing() -> None:
    row = rows(FAILURE_EVENT_API, failure(finished_at="0001-01-01T00:00:00Z"))[0]
    assert row["finished_at"] is None


@pytest.mark.parametrize(
    "value",
    ["2026-02-01T10:00:00Z", "2026-02-01T12:00:00+02:00", 1_769_940_000, 1_769_940_000_000, 1_769_940_000_000_000_000],
)
def test_times_are_rfc_3339_or_numbers_of_any_unit(value: object) -> None:
    assert rows(DEPLOYMENT_EVENT_API, event(started_at=value))[0]["started_at"] == moment(0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"started_at": "2026-02-01T10:00:00"}, "time_without_zone"),
        ({"started_at": None}, "time_missing"),
        ({"finished_at": "2026-02-01T09:00:00Z"}, "finished_before_started"),
        ({"finished_at": "2026-03-01T00:06:00Z"}, "time_in_future"),
        ({"git": "main"}, "field_type"),
        ({"custom_tags": {"a": "1"}}, "field_type"),
    ],
)
@pytest.mark.parametrize("source", [DEPLOYMENT_EVENT_API, APM_DEPLOYMENT_TRACKING, FAILURE_EVENT_API])
def test_an_event_that_cannot_be_used_is_a_reject_with_its_reason(
    source: Source[Any], change: dict[str, Any], reason: str
) -> None:
    assert reject(source, event(**change))["reason"] == reason


def test_an_event_without_attributes_is_a_reject() -> None:
    told = reject(FAILURE_EVENT_API, {"id": "event-1", "type": "dora_failure"})
    assert (told["reason"], told["detected_at"]) == ("unreadable", FETCHED)


@pytest.mark.parametrize("source", [DEPLOYMENT_EVENT_API, APM_DEPLOYMENT_TRACKING, FAILURE_EVENT_API])
def test_an_event_that_is_gone_gives_nothing(source: Source[Any]) -> None:
    assert rows(source, event(), state="gone") == []


def test_a_recorded_deployment_becomes_a_row() -> None:
    row = rows(DEPLOYMENT_EVENT_API, *recorded("deployment_list.json")[0]["response"]["data"])[0]
    assert (row["deployment_id"], row["service"], row["version"]) == ("abc-123", "shopist", "v1.12.07")
    assert row["started_at"] == datetime(2023, 8, 31, 14, 26, 14, tzinfo=UTC)
    assert row["finished_at"] == datetime(2023, 8, 31, 14, 26, 24, tzinfo=UTC)
