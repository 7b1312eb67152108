"""Webhooks of PagerDuty the whole way: from the event store into the tables, and beside what is pulled."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from dora_pipeline.errors import ConfigError
from dora_pipeline.pipeline.sources import source_states
from dora_pipeline_tests.deliveries import DAYS, RESOLVED, TRIGGERED, deliver, message
from dora_pipeline_tests.full_homes import rebuilt
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.pulled_homes import NOON, TOKEN, Account, ago, day, day_files, happened, stamps
from dora_pipeline_tests.vendors.pagerduty import FakePagerDuty, merged_into, reference
from dora_pipeline_tests.vendors.server import FakeVendor

FAILURES = "SELECT failure_id, service, env, severity, started_at, finished_at FROM core.failures ORDER BY ALL"
REJECTS = "SELECT source, reason, payload FROM core.rejected_events ORDER BY reason"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("PAGERDUTY_API_TOKEN", TOKEN)
    with FakeVendor() as vendor:
        yield Account(vendor, FakePagerDuty(vendor, TOKEN))


@pytest.fixture
def alone(home: TestHome, monkeypatch: pytest.MonkeyPatch) -> TestHome:
    """A home without a token."""
    monkeypatch.delenv("PAGERDUTY_API_TOKEN", raising=False)
    home.select("failure", "pagerduty", at=NOON - timedelta(days=60))
    return home


def failure(
    ended: float | None,
    number: int = 1,
    *,
    service: str = "shop",
    env: str | None = None,
    severity: str | None = None,
    began: float = 0,
) -> tuple[Any, ...]:
    """A row of FAILURES; times in minutes after the incident began."""
    begin = NOON - timedelta(days=DAYS)
    end = None if ended is None else begin + timedelta(minutes=ended)
    return f"pagerduty:Q{number}", service, env, severity, begin + timedelta(minutes=began), end


ACKNOWLEDGED = message("incident.acknowledged", 5)
REOPENED = message("incident.reopened", 40)
LATER = {"service": reference("service", "PAPI", "api"), "created_at": ago(DAYS, 10)}
OTHER_TRIGGERED = message("incident.triggered", 10, 2, **LATER)
PRIORITY = {"priority": reference("priority", "P9", "P1")}


def test_a_failure_begins_goes_on_and_ends_as_deliveries_come(alone: TestHome) -> None:
    for told, ended in ((TRIGGERED, None), (ACKNOWLEDGED, None), (RESOLVED, 30)):
        deliver(alone, told)
        alone.run()
        assert alone.rows(FAILURES) == [failure(ended)]
    assert alone.rows("SELECT name, url, time_to_restore_seconds FROM core.failures") == [
        ("Checkout is slow", "https://acme.pagerduty.com/incidents/Q1", 1800.0)
    ]
    assert alone.run().days == []
    tables = alone.tables()
    assert rebuilt(alone) == tables


def test_the_order_of_arrival_makes_no_difference(alone: TestHome) -> None:
    kinds = (("incident.triggered", 0), ("incident.acknowledged", 5), ("incident.resolved", 30))
    expected = []
    for number, order in enumerate(permutations(kinds), start=1):
        # Incidents of one service may not begin in the same second.
        service = {"service": reference("service", f"P{number}", f"shop{number}")}
        deliver(alone, *(message(kind, minutes, number, **service) for kind, minutes in order))
        expected.append(failure(30, number, service=f"shop{number}"))
    alone.run()
    assert alone.rows(FAILURES) == expected


def test_a_resolve_that_comes_before_the_trigger_ends_the_failure(alone: TestHome) -> None:
    deliver(alone, RESOLVED)
    alone.run()
    assert alone.rows(FAILURES) == [failure(30)]
    deliver(alone, TRIGGERED)
    assert alone.run().days == []
    assert alone.rows(FAILURES) == [failure(30)]


def test_a_delivery_that_comes_again_changes_nothing(alone: TestHome) -> None:
    deliver(alone, TRIGGERED, RESOLVED)
    alone.run()
    files = stamps(alone)
    deliver(alone, TRIGGERED, RESOLVED)
    assert alone.run().days == []
    assert stamps(alone) == files


def test_an_event_that_two_webhooks_deliver_is_one(alone: TestHome) -> None:
    deliver(alone, TRIGGERED, RESOLVED)
    deliver(alone, RESOLVED, event_id="of-another-subscription")
    alone.run()
    assert alone.rows(FAILURES) == [failure(30)]


def test_an_incident_that_is_opened_again_has_no_end_and_then_its_second_one(alone: TestHome) -> None:
    deliver(alone, TRIGGERED, RESOLVED)
    alone.run()
    deliver(alone, REOPENED)
    alone.run()
    assert alone.rows(FAILURES) == [failure(None)]
    deliver(alone, message("incident.resolved", 60))
    alone.run()
    assert alone.rows(FAILURES) == [failure(60)]


def test_an_older_resolve_that_comes_late_does_not_end_what_was_opened_again(alone: TestHome) -> None:
    deliver(alone, TRIGGERED, REOPENED)
    alone.run()
    deliver(alone, RESOLVED)
    alone.run()
    assert alone.rows(FAILURES) == [failure(None)]


def test_an_end_before_it_was_opened_again_is_not_its_end(alone: TestHome) -> None:
    deliver(alone, TRIGGERED, RESOLVED, REOPENED, message("incident.priority_updated", 90, status="resolved"))
    alone.run()
    assert alone.rows(FAILURES) == []
    assert [reason for _, reason, _ in alone.rows(REJECTS)] == ["finish_missing"]


def test_what_an_event_did_counts_and_not_the_status_when_it_was_sent(alone: TestHome) -> None:
    deliver(alone, message("incident.triggered", 0, status="resolved"))
    alone.run()
    assert alone.rows(FAILURES) == [failure(None)]


def test_a_change_after_the_resolve_leaves_the_end(alone: TestHome) -> None:
    deliver(alone, TRIGGERED, RESOLVED, message("incident.priority_updated", 90, status="resolved", **PRIORITY))
    alone.run()
    assert alone.rows(FAILURES) == [failure(30, severity="P1")]


def test_a_priority_that_is_taken_away_is_gone(alone: TestHome) -> None:
    deliver(alone, TRIGGERED, message("incident.priority_updated", 1, **PRIORITY))
    alone.run()
    assert alone.rows(FAILURES) == [failure(None, severity="P1")]
    deliver(alone, message("incident.priority_updated", 2))
    alone.run()
    assert alone.rows(FAILURES) == [failure(None)]


def test_of_events_at_the_same_instant_the_one_received_last_stays(alone: TestHome) -> None:
    first, last = message("incident.priority_updated", 1), message("incident.priority_updated", 1, **PRIORITY)
    deliver(alone, last, event_id="z")
    deliver(alone, first, event_id="a")
    alone.run()
    assert alone.rows(FAILURES) == [failure(None)]


def test_a_resolved_incident_whose_resolve_was_not_delivered_waits_for_it(alone: TestHome) -> None:
    deliver(alone, TRIGGERED, message("incident.priority_updated", 90, status="resolved", **PRIORITY))
    alone.run()
    assert alone.rows(FAILURES) == []
    assert [reason for _, reason, _ in alone.rows(REJECTS)] == ["finish_missing"]
    deliver(alone, RESOLVED)
    alone.run()
    assert alone.rows(FAILURES) == [failure(30, severity="P1")]
    assert alone.rows(REJECTS) == []


def test_merged_incidents_count_once_from_the_earliest_start(alone: TestHome) -> None:
    deliver(alone, TRIGGERED, OTHER_TRIGGERED, message("incident.resolved", 20, resolve_reason=merged_into(2)))
    alone.run()
    assert alone.rows(FAILURES) == [failure(None, 2, service="api")]
    deliver(alone, message("incident.resolved", 50, 2, **LATER))
    alone.run()
    assert alone.rows(FAILURES) == [failure(50, 2, service="api")]


def test_an_incident_that_moves_to_another_service_is_one_failure_of_that(alone: TestHome) -> None:
    deliver(alone, TRIGGERED)
    alone.run()
    deliver(alone, message("incident.service_updated", 3, service=reference("service", "PAPI", "api")))
    alone.run()
    assert alone.rows(FAILURES) == [failure(None, service="api")]


def test_the_header_names_the_environment_through_the_aliases(alone: TestHome) -> None:
    alone.settings(environments={"production": ["prod*"]})
    deliver(alone, TRIGGERED, env="prod-eu")
    # Another subscription that has no such header.
    deliver(alone, RESOLVED)
    alone.run()
    assert alone.rows(FAILURES) == [failure(30, env="production")]


def test_the_steps_of_the_catalog_hold_for_deliveries(alone: TestHome) -> None:
    alone.home.services.mkdir()
    (alone.home.services / "checkout.yaml").write_text(
        "schema-version: v2.2\ndd-service: checkout\nteam: sales\n"
        "integrations: {pagerduty: {service-url: 'https://acme.pagerduty.com/service-directory/PSHOP'}}\n"
    )
    deliver(alone, TRIGGERED, message("incident.triggered", 0, 2, service=None, teams=[reference("team", "T", "web")]))
    alone.run()
    assert alone.rows("SELECT failure_id, service, team FROM core.failures ORDER BY failure_id") == [
        ("pagerduty:Q1", "checkout", "sales"),
        ("pagerduty:Q2", None, "web"),
    ]


def test_incidents_of_services_that_are_not_wanted_are_left_out(alone: TestHome) -> None:
    alone.settings(sources={"pagerduty": {"service_ids": ["PAPI"]}})
    deliver(alone, TRIGGERED, message("incident.triggered", 0, 2, service=reference("service", "PAPI", "api")))
    alone.run()
    assert alone.rows(FAILURES) == [failure(None, 2, service="api")]


def test_events_of_other_things_are_left_out(alone: TestHome) -> None:
    note = message("incident.annotated", 2, type="incident_note", incident=reference("incident", "Q1", "Slow"))
    deliver(alone, note, message("incident.brand_new", 3), message("service.updated", 4))
    alone.run()
    assert (alone.rows(FAILURES), alone.rows(REJECTS)) == ([], [])


def test_a_delivery_that_cannot_be_used_is_rejected_as_it_came(alone: TestHome) -> None:
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    faults: list[tuple[dict[str, Any], str]] = [
        ({"data": None}, "incident_missing"),
        ({"data": {"type": "incident"}}, "incident_missing"),
        ({"data": {"id": 7}}, "incident_missing"),
        ({"occurred_at": None}, "time_missing"),
        ({"occurred_at": "yesterday"}, "time_unreadable"),
        ({"occurred_at": "2024-05-06T07:08:09"}, "time_without_zone"),
        ({"occurred_at": tomorrow}, "time_in_future"),
    ]
    deliver(alone, TRIGGERED, env="prod")
    expected = {}
    for number, (event, reason) in enumerate(faults):
        told = {"event": {**RESOLVED["event"], "id": f"bad{number}", **event}}
        deliver(alone, told, env="prod")
        expected[f"bad{number}"] = ("pagerduty", reason, {"env": "prod", **told})
    alone.run()
    assert alone.rows(FAILURES) == [failure(None, env="prod")]
    rejects = [(source, reason, json.loads(payload)) for source, reason, payload in alone.rows(REJECTS)]
    assert len(rejects) == len(faults)
    assert {reject[2]["event"]["id"]: reject for reject in rejects} == expected
    tables = alone.tables()
    assert rebuilt(alone) == tables


def test_an_incident_without_a_start_is_rejected(alone: TestHome) -> None:
    deliver(alone, message("incident.triggered", 0, created_at=None))
    alone.run()
    assert [reason for _, reason, _ in alone.rows(REJECTS)] == ["time_missing"]


def test_without_a_token_webhooks_alone_make_the_source(alone: TestHome) -> None:
    deliver(alone, TRIGGERED)
    alone.run()
    told = [note for note in alone.notes.notes if "PAGERDUTY_API_TOKEN" in note]
    assert told == ["pagerduty: PAGERDUTY_API_TOKEN is not set; its webhooks alone tell what happens"]
    [state] = [state for state in source_states(alone.home) if state.source == "pagerduty"]
    assert (state.error, state.rows) == (None, 1)


def test_without_a_token_and_without_deliveries_the_source_fails(alone: TestHome) -> None:
    with pytest.raises(ConfigError, match="pagerduty: the environment variable PAGERDUTY_API_TOKEN is not set"):
        alone.run()


def test_deliveries_before_the_first_selection_are_not_in_core(alone: TestHome) -> None:
    early = {"created_at": ago(70)}
    deliver(alone, message("incident.triggered", 0, 2, **early), TRIGGERED)
    alone.run()
    assert alone.rows(FAILURES) == [failure(None)]


def test_a_delivery_ends_what_was_pulled(home: TestHome, account: Account) -> None:
    account.prepare(home, 60)
    tags = {"channel": {"client": "Datadog", "details": {"tags": "service:cart,service:checkout,env:prod"}}}
    account.add(happened(1, DAYS, None, first_trigger_log_entry=tags))
    home.run()
    expected = [failure(None, service=name, env="prod") for name in ("cart", "checkout")]
    assert home.rows(FAILURES) == expected
    # PagerDuty's webhook knows nothing of the monitor, and its own environment gives way to the monitor's.
    deliver(home, RESOLVED, env="staging")
    account.pagerduty.incidents.clear()
    account.add(happened(1, DAYS, None, first_trigger_log_entry=tags))
    home.run()
    assert home.rows(FAILURES) == [failure(30, service=name, env="prod") for name in ("cart", "checkout")]
    assert day_files(home) == {f"{day(DAYS)}": ["Q1"]}
    tables = home.tables()
    assert rebuilt(home) == tables


def test_a_pull_that_is_newer_than_a_delivery_stays(home: TestHome, account: Account) -> None:
    account.prepare(home, 60)
    account.add(happened(1, DAYS, 30, priority=reference("priority", "P2", "P2"), updated_at=ago(DAYS, 50)))
    home.run()
    deliver(home, TRIGGERED, message("incident.priority_updated", 49, status="acknowledged", **PRIORITY), REOPENED)
    home.run()
    assert home.rows(FAILURES) == [failure(30, severity="P2")]


def test_a_delivery_that_is_newer_than_a_pull_stays_when_the_pull_comes_later(home: TestHome, account: Account) -> None:
    account.prepare(home, 60)
    deliver(home, TRIGGERED, RESOLVED, message("incident.reopened", 51), env="prod")
    # The vendor's list is behind what its webhooks have told.
    account.add(happened(1, DAYS, 30, updated_at=ago(DAYS, 50)))
    home.run()
    assert home.rows(FAILURES) == [failure(None, env="prod")]
    account.add(happened(1, DAYS, 55))
    home.run()
    assert home.rows(FAILURES) == [failure(55, env="prod")]
    tables = home.tables()
    assert rebuilt(home) == tables


@pytest.mark.parametrize(("seconds", "ended"), [(0.999, 50), (1.0, None)], ids=["same_second", "next_second"])
def test_at_equal_times_the_pull_has_seen_what_was_delivered(
    home: TestHome, account: Account, seconds: float, ended: float | None
) -> None:
    account.prepare(home, 60)
    account.add(happened(1, DAYS, 50))
    deliver(home, message("incident.reopened", 50 + seconds / 60))
    home.run()
    assert home.rows(FAILURES) == [failure(ended)]


def test_a_late_resolve_gives_the_end_that_a_newer_pull_lacks(home: TestHome, account: Account) -> None:
    account.prepare(home, 60)
    account.add(happened(1, DAYS, 30, resolved_at=None, last_status_change_at=None, updated_at=ago(DAYS, 90)))
    account.pagerduty.log_entries["Q1"] = []
    home.run()
    assert [reason for _, reason, _ in home.rows(REJECTS)] == ["finish_missing"]
    deliver(home, RESOLVED)
    home.run()
    assert (home.rows(FAILURES), home.rows(REJECTS)) == ([failure(30)], [])


def test_a_status_change_that_was_pulled_is_no_end_after_a_delivery(home: TestHome, account: Account) -> None:
    account.prepare(home, 60)
    told = {"status": "acknowledged", "last_status_change_at": ago(DAYS, 5), "updated_at": ago(DAYS, 5)}
    account.add(happened(1, DAYS, None, **told))
    deliver(home, message("incident.priority_updated", 90, status="resolved"))
    home.run()
    assert [reason for _, reason, _ in home.rows(REJECTS)] == ["finish_missing"]


def test_an_answer_that_does_not_tell_its_last_change_is_as_new_as_its_reading(
    home: TestHome, account: Account
) -> None:
    account.prepare(home, 60)
    told = happened(1, DAYS, 30)
    del told["updated_at"]
    account.add(told)
    deliver(home, REOPENED)
    home.run()
    assert home.rows(FAILURES) == [failure(30)]


def test_what_is_open_by_deliveries_is_asked_for_by_itself(home: TestHome, account: Account) -> None:
    account.prepare(home, 60)
    home.settings(sources={"pagerduty": {"api_url": account.vendor.url}}, reread="1h")
    home.run()
    # Resolved without a webhook, and in no list that is read; the other one is not there any more.
    account.add(happened(1, DAYS, 30))
    deliver(home, TRIGGERED, OTHER_TRIGGERED)
    account.asked()
    before = datetime.now(UTC)
    home.run()
    asked = [request.path for request in account.asked()]
    assert asked == ["/incidents", "/incidents", "/incidents/Q1", "/incidents/Q2"]
    [first, (*_, found_at)] = home.rows(FAILURES)
    assert first == failure(30)
    assert before <= found_at <= datetime.now(UTC)
    tables = home.tables()
    assert rebuilt(home) == tables


def test_a_change_of_the_zone_leaves_one_record_of_each_incident(home: TestHome, account: Account) -> None:
    account.prepare(home, 60)
    late, later = {"created_at": ago(DAYS, 700)}, {"created_at": ago(DAYS, 702)}
    account.add(happened(1, DAYS, None, **late))
    deliver(home, message("incident.acknowledged", 701, **late), message("incident.triggered", 702, 2, **later))
    home.run()
    home.settings(timezone="Asia/Tokyo", sources={"pagerduty": {"api_url": account.vendor.url}})
    resolves = message("incident.resolved", 705, **late), message("incident.resolved", 706, 2, **later)
    deliver(home, *resolves)
    home.run()
    assert sorted(name for names in day_files(home).values() for name in names) == ["Q1", "Q2"]
    assert home.rows(FAILURES) == [failure(705, began=700), failure(706, 2, began=702)]
    tables = home.tables()
    assert rebuilt(home) == tables


@pytest.mark.parametrize("kept", ["segments", "day files"])
def test_a_run_that_was_killed_while_it_brought_deliveries_in_is_gone_on_with(alone: TestHome, kept: str) -> None:
    deliver(alone, TRIGGERED, OTHER_TRIGGERED)
    alone.run()
    deliver(alone, RESOLVED, message("incident.acknowledged", 15, 2, **LATER))
    undisturbed = TestHome(Path(shutil.copytree(alone.home.path, alone.home.path.with_name("undisturbed"))))
    undisturbed.run()
    # What a run that is killed then leaves: segments, later the day files too, and the warehouse as it was.
    for path in (undisturbed.home.raw / "pagerduty").rglob("*.gz"):
        if path.parent.name == "deliveries" or kept == "day files":
            shutil.copyfile(path, alone.home.raw / path.relative_to(undisturbed.home.raw))
    alone.run()
    assert alone.rows(FAILURES) == [failure(30), failure(None, 2, service="api", began=10)]
    assert alone.tables() == undisturbed.tables()


def test_a_rebuild_asks_neither_the_store_nor_the_network(home: TestHome, account: Account) -> None:
    account.prepare(home, 60)
    account.add(happened(2, 10))
    deliver(home, TRIGGERED, RESOLVED, env="prod")
    home.run()
    tables = home.tables()
    shutil.rmtree(home.home.intake)
    account.asked()
    assert rebuilt(home) == tables
    assert account.asked() == []
    assert not home.home.intake.exists()


def test_deliveries_whose_segment_was_not_brought_in_yet_are_there_after_a_rebuild(alone: TestHome) -> None:
    deliver(alone, TRIGGERED)
    alone.run()
    deliver(alone, RESOLVED)
    elsewhere = TestHome(Path(shutil.copytree(alone.home.path, alone.home.path.with_name("elsewhere"))))
    elsewhere.run()
    for path in (elsewhere.home.raw / "pagerduty" / "deliveries").iterdir():
        shutil.copyfile(path, alone.home.raw / "pagerduty" / "deliveries" / path.name)
    alone.run(rebuild=True)
    assert alone.rows(FAILURES) == [failure(30)]


def test_many_orders_and_groups_of_deliveries_and_pulls_end_in_the_same_tables(
    home: TestHome, account: Account
) -> None:
    told = [
        TRIGGERED,
        RESOLVED,
        REOPENED,
        message("incident.priority_updated", 45, **PRIORITY),
        message("incident.resolved", 60, **PRIORITY),
    ]
    pulled = happened(1, DAYS, None, status="acknowledged", updated_at=ago(DAYS, 42))
    for number, order in enumerate(([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1])):
        each = account.prepare(TestHome(home.home.path / str(number)), 60)
        account.pagerduty.incidents.clear()
        for place, which in enumerate(order):
            deliver(each, told[which])
            if place == 2 * number:
                account.add(pulled)
            each.run()
        assert each.rows(FAILURES) == [failure(60, severity="P1")]


def test_an_incident_from_the_ends_of_time_is_rejected_and_keeps_no_other(alone: TestHome) -> None:
    times = ("0001-01-01T00:00:00", "9999-12-31T23:59:59", " 2024-05-06t07:08:09 ", "2024-05-06")
    for zone in ("America/New_York", "Asia/Tokyo"):
        alone.settings(timezone=zone)
        for number, created_at in enumerate(times, start=3):
            deliver(alone, message("incident.triggered", 0, number, created_at=created_at))
        deliver(alone, OTHER_TRIGGERED)
        alone.run()
        assert [row[0] for row in alone.rows(FAILURES)] == ["pagerduty:Q2"]
        assert alone.rows("SELECT reason FROM core.rejected_events") == [("time_without_zone",)] * len(times)
