"""Incidents of PagerDuty as failures."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dora_pipeline.catalog import Catalog, Service
from dora_pipeline.config import Settings
from dora_pipeline.settings import HomeSettings
from dora_pipeline.sources.event_rules import Normalized
from dora_pipeline.sources.pagerduty import PAGERDUTY
from dora_pipeline.sources.raw import PULLED_SCHEMA
from dora_pipeline.tables import LandedFailures, LandedRejects, empty_frame
from dora_pipeline_tests.homes import moment
from dora_pipeline_tests.vendors.pagerduty import incident, merged_into, reference

START, END = "2024-05-06T07:08:09Z", "2024-05-06T08:08:09Z"
FETCHED = "2024-06-01 12:00:00"
RECORDED = Path(__file__).parent / "fixtures" / "pagerduty" / "recorded_incidents.json"


def service(name: str, team: str | None = None, pagerduty: str | None = None) -> Service:
    return Service(name, team, None, None, (), (), (), pagerduty, "services/all.yaml")


def normalized(
    *incidents: Mapping[str, Any],
    services: tuple[Service, ...] = (),
    states: Mapping[str, str] | None = None,
    settings: Settings | None = None,
) -> Normalized:
    rows = [
        (
            told["id"],
            moment("2024-05-06 07:08:09"),
            moment(FETCHED),
            (states or {}).get(told["id"], "present"),
            json.dumps(told),
        )
        for told in incidents
    ]
    frame = pl.DataFrame(rows, schema=PULLED_SCHEMA, orient="row")
    return PAGERDUTY.reader().normalize(frame, settings or Settings(), Catalog({one.name: one for one in services}))


def rows(*incidents: Mapping[str, Any], **given: Any) -> list[dict[str, Any]]:
    result = normalized(*incidents, **given)
    assert result.rejected.to_dicts() == []
    return result.events.to_dicts()


def row(*incidents: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    (only,) = rows(*incidents, **given)
    return only


def reject(told: Mapping[str, Any]) -> dict[str, Any]:
    result = normalized(told)
    assert result.events.to_dicts() == []
    (only,) = result.rejected.to_dicts()
    return only


def test_a_resolved_incident_is_a_failure_with_all_that_pagerduty_tells() -> None:
    told = incident(1, START, END, priority=reference("priority", "P9", "P1"), teams=[reference("team", "T1", "web")])
    assert row(told) == {
        "source": "pagerduty",
        "failure_id": "pagerduty:Q1",
        "service": "shop",
        "env": None,
        "team": "web",
        "name": "Checkout is slow",
        "severity": "P1",
        "version": None,
        "repository_id": None,
        "commit_sha": None,
        "url": "https://acme.pagerduty.com/incidents/Q1",
        "started_at": moment("2024-05-06 07:08:09"),
        "finished_at": moment("2024-05-06 08:08:09"),
        "time_to_restore_seconds": 3600.0,
        "custom_tags": [],
        "received_at": moment("2024-05-06 07:08:09"),
        "restored_day": datetime(2024, 5, 6).date(),
        "day": datetime(2024, 5, 6).date(),
    }


def test_frames_have_the_columns_of_their_tables_also_when_nothing_was_told() -> None:
    nothing = normalized()
    assert nothing.events.schema == empty_frame(LandedFailures).drop("input").schema
    assert nothing.rejected.schema == empty_frame(LandedRejects).drop("input").schema


def test_the_recorded_incidents_are_two_open_failures_and_one_of_six_minutes() -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    told = {one["name"]: one for one in rows(*recorded)}
    assert [one["service"] for one in told.values()] == ["DevService"] * 3
    assert [one["severity"] for one in told.values()] == [None] * 3
    assert (told["Crash reported"]["finished_at"], told["Slow startup"]["finished_at"]) == (None, None)
    spamming = told["Spamming logs"]
    assert spamming["failure_id"] == "pagerduty:Q1OHFWFP3GPXOG"
    assert spamming["started_at"] == moment("2022-11-03 06:45:36")
    assert spamming["finished_at"] == moment("2022-11-03 06:51:44")
    assert spamming["time_to_restore_seconds"] == 368.0
    assert spamming["url"] == "https://keon-test.pagerduty.com/incidents/Q1OHFWFP3GPXOG"


def test_the_log_of_the_recorded_incident_gives_the_same_end() -> None:
    spamming = json.loads(RECORDED.read_text(encoding="utf-8"))[2]
    assert row({**spamming, "last_status_change_at": None})["finished_at"] == moment("2022-11-03 06:51:44")


def test_an_acknowledged_incident_is_not_restored() -> None:
    told = incident(1, START, status="acknowledged", last_status_change_at=END, updated_at=END)
    assert (row(told)["finished_at"], row(told)["time_to_restore_seconds"]) == (None, None)


def test_an_incident_that_was_opened_again_has_no_end_and_then_its_second_one() -> None:
    again = incident(1, START, status="triggered", resolved_at=END, last_status_change_at="2024-05-06T09:00:00Z")
    assert row(again)["finished_at"] is None
    resolved = incident(1, START, "2024-05-07T07:08:09Z")
    assert row(resolved)["time_to_restore_seconds"] == 86_400.0


def test_an_unknown_status_is_open_and_unknown_fields_are_left_alone() -> None:
    assert (
        row(incident(1, START, status="snoozed", last_status_change_at=END, brand_new={"a": [1]}))["finished_at"]
        is None
    )


def test_without_resolved_at_the_last_change_of_a_resolved_incident_is_its_end_and_updated_at_never_is() -> None:
    told = incident(1, START, END, updated_at="2024-05-20T00:00:00Z")
    del told["resolved_at"]
    assert row(told)["finished_at"] == moment("2024-05-06 08:08:09")


def test_a_log_that_ends_with_an_acknowledgement_gives_no_end() -> None:
    log = [
        {"id": "R2", "type": "acknowledge_log_entry", "created_at": "2024-05-06T09:00:00Z"},
        {"id": "R1", "type": "resolve_log_entry", "created_at": END},
        {"id": "R0", "type": "brand_new_log_entry", "created_at": "2024-05-06T10:00:00Z"},
    ]
    told = incident(1, START, status="resolved", last_status_change_at=None, log_entries=log)
    assert reject(told)["reason"] == "finish_missing"
    told["log_entries"] = log[1:]
    assert row(told)["finished_at"] == moment("2024-05-06 08:08:09")


def test_an_incident_that_resolves_in_its_first_second_took_no_time() -> None:
    assert row(incident(1, START, START))["time_to_restore_seconds"] == 0.0


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (incident(1, START, "2024-05-06T07:08:08Z"), "finished_before_started"),
        (incident(1, "2024-05-06T07:08:09"), "time_without_zone"),
        (incident(1, "yesterday"), "time_unreadable"),
        (incident(1, "2024-06-01T12:05:01Z"), "time_in_future"),
        (incident(1, START, title=["no", "text"]), "field_type"),
        (incident(1, START, priority=["P1"]), "field_type"),
        ({**incident(1, START), "created_at": None}, "time_missing"),
        (incident(1, START, service=None), "service_missing"),
    ],
    ids=["order", "naive", "unreadable", "future", "title", "priority", "no_start", "no_service"],
)
def test_an_incident_that_cannot_be_used_is_rejected_as_it_was_told(told: dict[str, Any], reason: str) -> None:
    rejected = reject(told)
    assert rejected["reason"] == reason
    assert rejected["record"] == "Q1"
    assert json.loads(rejected["payload"]) == told
    assert rejected["detected_at"] == moment(FETCHED)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2024-05-06T07:08:09Z", "2024-05-06 07:08:09"),
        ("2024-05-06T07:08:09.000000Z", "2024-05-06 07:08:09"),
        ("2024-05-06T07:08:09.123Z", "2024-05-06 07:08:09.123"),
        ("2024-03-31T03:30:00+02:00", "2024-03-31 01:30:00"),
        ("2023-10-29T02:30:00+01:00", "2023-10-29 01:30:00"),
    ],
)
def test_times_of_every_spelling_are_instants(text: str, read: str) -> None:
    assert row(incident(1, text))["started_at"] == moment(read)


def test_the_day_is_that_of_the_configured_zone() -> None:
    told = row(incident(1, "2024-05-06T23:30:00Z"), settings=Settings(timezone="Europe/Berlin"))
    assert told["day"] == datetime(2024, 5, 7).date()


@pytest.mark.parametrize(
    ("priority", "severity"),
    [
        ({"id": "P1", "type": "priority_reference", "summary": "P2"}, "P2"),
        ({"id": "P1", "type": "priority", "summary": "P2", "name": "P2", "order": 4}, "P2"),
        ({"id": "P1", "type": "priority", "name": "P3"}, "P3"),
        (None, None),
    ],
    ids=["reference", "full", "name_alone", "null"],
)
def test_severity_is_the_priority_and_never_the_urgency(priority: Any, severity: str | None) -> None:
    assert row(incident(1, START, priority=priority))["severity"] == severity


def test_an_incident_without_the_keys_of_newer_answers_is_read() -> None:
    told = incident(1, START, acknowledgements=None)
    for name in ("priority", "resolve_reason", "resolved_at", "updated_at"):
        del told[name]
    assert (row(told)["severity"], row(told)["finished_at"]) == (None, None)


def test_merged_incidents_count_once_from_the_earliest_start() -> None:
    first = incident(1, "2024-05-06T06:00:00Z", "2024-05-06T07:30:00Z", resolve_reason=merged_into(2))
    second = incident(2, START, END, service=reference("service", "PPAY", "payments"))
    third = incident(3, "2024-05-06T07:20:00Z", "2024-05-06T07:25:00Z", resolve_reason=merged_into(1))
    told = row(first, second, third)
    assert (told["failure_id"], told["service"]) == ("pagerduty:Q2", "payments")
    assert told["started_at"] == moment("2024-05-06 06:00:00")
    assert told["time_to_restore_seconds"] == 2 * 3600 + 489


def test_an_incident_merged_into_one_that_is_not_there_is_rejected() -> None:
    assert reject(incident(1, START, END, resolve_reason=merged_into(2)))["reason"] == "merge_target_missing"


def test_a_merged_incident_that_was_opened_again_counts_for_itself() -> None:
    again = incident(1, START, resolve_reason=merged_into(2))
    assert [one["failure_id"] for one in rows(again, incident(2, START))] == ["pagerduty:Q1", "pagerduty:Q2"]


def test_a_resolve_reason_of_free_text_is_no_merge() -> None:
    assert row(incident(1, START, END, resolve_reason="Test alert, please disregard"))["failure_id"] == "pagerduty:Q1"


def test_incidents_that_name_each_other_as_merged_count_once() -> None:
    one = incident(1, START, END, resolve_reason=merged_into(2))
    other = incident(2, "2024-05-06T07:00:00Z", END, resolve_reason=merged_into(1))
    assert row(one, other)["started_at"] == moment("2024-05-06 07:00:00")


def test_an_incident_that_is_gone_ended_when_that_was_found_and_has_no_time_to_restore() -> None:
    told = row(incident(1, START), states={"Q1": "gone"})
    assert (told["finished_at"], told["time_to_restore_seconds"]) == (moment(FETCHED), None)
    assert told["custom_tags"] == ["record:gone"]


def test_an_incident_that_is_gone_keeps_the_end_that_it_had() -> None:
    told = row(incident(1, START, END), states={"Q1": "gone"})
    assert (told["finished_at"], told["time_to_restore_seconds"]) == (moment("2024-05-06 08:08:09"), 3600)


def test_an_incident_out_of_reach_stays_as_it_was_seen() -> None:
    told = row(incident(1, START), states={"Q1": "no_access"})
    assert (told["finished_at"], told["custom_tags"]) == (None, ["record:no_access"])


def test_an_incident_that_moved_out_of_the_configured_services_or_teams_is_left_out() -> None:
    def with_pagerduty(**told: Any) -> Settings:
        return HomeSettings.model_validate({"sources": {"pagerduty": told}})

    moved = incident(1, START, service=reference("service", "POTHER", "other"), teams=[reference("team", "T1", "web")])
    assert rows(moved, settings=with_pagerduty(service_ids=["PSHOP"])) == []
    assert rows(moved, settings=with_pagerduty(team_ids=["T2"])) == []
    assert len(rows(moved, settings=with_pagerduty(service_ids=["POTHER"], team_ids=["T1", "T2"]))) == 1


def test_a_page_that_is_no_web_address_is_no_url() -> None:
    assert row(incident(1, START, html_url="javascript:alert(1)"))["url"] is None


def impact(told: Mapping[str, Any], *services: Service) -> list[tuple[str | None, str | None, str | None]]:
    return [(one["service"], one["team"], one["env"]) for one in rows(told, services=services)]


def monitored(tags: object, **told: Any) -> dict[str, Any]:
    channel = {"type": "api", "cef_details": {"client": "Datadog", "details": {"tags": tags, "monitor_state": "Alert"}}}
    entry = {"id": "R1", "type": "trigger_log_entry", "channel": channel}
    return incident(1, START, first_trigger_log_entry=entry, **told)


def test_tags_of_the_datadog_monitor_name_services_team_and_env() -> None:
    told = monitored("env:prod, service:cart,service:checkout,team:web,host:a:1,monitor")
    assert impact(told) == [("cart", "web", "prod"), ("checkout", "web", "prod")]


def test_env_and_team_of_the_monitor_count_only_where_there_is_one() -> None:
    assert impact(monitored(["env:prod", "env:eu", "service:cart", "team:a", "team:b"])) == [("cart", None, None)]


def test_the_team_of_a_monitored_service_comes_from_the_catalog() -> None:
    assert impact(monitored("service:cart"), service("cart", "web")) == [("cart", "web", None)]


def test_what_the_monitor_leaves_open_is_looked_for_in_the_next_steps() -> None:
    assert impact(monitored("env:prod"), service("shop", "web")) == [("shop", "web", "prod")]


def test_the_environment_of_a_monitor_goes_through_the_aliases() -> None:
    settings = Settings.model_validate({"environments": {"production": ["prod*"]}})
    assert row(monitored("env:prod-eu"), settings=settings)["env"] == "production"


def test_an_incident_without_an_environment_has_that_of_the_settings() -> None:
    settings = HomeSettings.model_validate({"sources": {"pagerduty": {"env": "prod"}}})
    assert row(incident(1, START, END), settings=settings)["env"] == "prod"
    assert row(monitored("env:qa"), settings=settings)["env"] == "qa"


def test_tags_of_another_client_are_not_believed() -> None:
    told = monitored("service:cart")
    told["first_trigger_log_entry"]["channel"]["cef_details"]["client"] = "Nagios"
    assert impact(told) == [("shop", None, None)]


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.pagerduty.com/service-directory/PSHOP",
        "https://acme.pagerduty.com/services/PSHOP",
        "https://ACME.pagerduty.com/services/PSHOP/?tab=settings",
    ],
)
def test_the_service_with_the_url_gives_service_and_team(url: str) -> None:
    assert impact(incident(1, START), service("store-front", "web", url), service("shop", "other")) == [
        ("store-front", "web", None)
    ]


def test_the_url_of_another_account_is_another_service() -> None:
    url = "https://other.pagerduty.com/service-directory/PSHOP"
    assert impact(incident(1, START), service("store-front", "web", url)) == [("shop", None, None)]


def test_several_services_with_the_url_give_their_team() -> None:
    url = "https://acme.pagerduty.com/service-directory/PSHOP"
    assert impact(incident(1, START), service("a", "web", url), service("b", "web", url)) == [(None, "web", None)]


def test_several_services_with_the_url_and_several_teams_leave_it_to_the_names() -> None:
    url = "https://acme.pagerduty.com/service-directory/PSHOP"
    services = service("a", "web", url), service("shop", "pay", url)
    assert impact(incident(1, START), *services) == [("shop", "pay", None)]


def test_a_deleted_service_is_still_known_by_its_id() -> None:
    told = incident(1, START, service={"id": "PSHOP", "type": "service_reference", "summary": "old", "html_url": None})
    url = "https://acme.pagerduty.com/service-directory/PSHOP"
    assert impact(told, service("store-front", "web", url)) == [("store-front", "web", None)]


def test_the_team_of_pagerduty_that_the_catalog_knows_gives_the_team() -> None:
    told = incident(1, START, teams=[reference("team", "T1", "web")])
    assert impact(told, service("a", "web")) == [(None, "web", None)]


def test_a_service_of_pagerduty_that_has_the_name_of_a_team_gives_the_team() -> None:
    assert impact(incident(1, START), service("a", "shop")) == [(None, "shop", None)]


def test_all_else_keeps_the_service_and_the_team_of_pagerduty() -> None:
    told = incident(1, START, teams=[reference("team", "T1", "web")])
    assert impact(told, service("a", "b")) == [("shop", "web", None)]


def test_a_full_service_is_named_by_its_name() -> None:
    told = incident(1, START, service={"id": "PSHOP", "type": "service", "name": " shop ", "summary": "Shop (old)"})
    assert impact(told) == [("shop", None, None)]


def test_half_an_emoji_in_a_title_costs_nothing_else() -> None:
    assert row(incident(1, START, title="cut \ud83d"))["name"] == "cut ?"
