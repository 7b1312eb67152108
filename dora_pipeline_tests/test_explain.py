"""`dora explain` and `metrics.explain`: every figure's events, and those left out, with the reason."""

import csv
import io
from datetime import date, datetime
from typing import Any

import pytest

from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests.command import call
from dora_pipeline_tests.homes import DEPLOYMENTS_BY_EVENT, FAILURES_BY_EVENT, LONG_AGO, TestHome, moment

WEEK = "metrics.explain('2024-05-06', '2024-05-12', 'shop', 'prod')"
# Figures of metrics.daily that are numbers of events.
NUMBERS = (
    "deployments",
    "lead_time_commits",
    "failures",
    "restores",
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home with events that count, and some that are left out for every reason that needs no repository."""
    home = TestHome(tmp_path_factory.mktemp("told") / "home")
    home.select("deployment", "deployment_event_api", "apm_deployment_tracking", at=moment("2024-05-06 00:00:00"))
    home.select("failure", "failure_event_api", at=moment("2024-05-06 00:00:00"))
    home.deploy("shop", "2024-05-05 23:00:00", version="0", id="early")
    home.deploy("shop", "2024-05-06 10:00:00", version="1", id="first")
    home.deploy("shop", "2024-05-07 10:00:00", version="2", id="second")
    home.deploy("shop", "2024-05-07 10:00:00", version="3", id="collides", received="2024-05-08 00:00:00")
    home.deploy("shop", "2024-05-07 12:00:00", version="2", id="elsewhere", env="staging")
    home.deploy("shop", "2024-05-07 12:00:00", id="collides too", env="staging", received="2024-05-08 00:00:00")
    home.deploy("shop", "2024-05-07 09:00:00", started_at="2024-05-07T09:30:00Z", id="backwards", env=None, team="web")
    unusable = {"service": "shop", "env": " prod ", "team": "web", "started_at": "soon"}
    home.drop_export("two.jsonl", [{"type": "dora_deployment", "id": "soon", "attributes": unusable}])
    home.drop_export(
        "one.jsonl",
        [{"timestamp": "2024-05-06T10:02:00Z", "service": "shop", "env": "prod", "version": "1"}],
    )
    home.fail(["shop"], "2024-05-07 11:00:00", "2024-05-07 12:30:00", id="restored", name="Checkout is slow")
    home.fail(["shop", "cart"], "2024-05-08 11:00:00", id="open")
    home.run()
    return home


def explained(home: TestHome, figure: str, call: str = WEEK) -> list[tuple[Any, ...]]:
    """The event ids, and the reasons of those that are left out, of a figure."""
    return home.rows(f"SELECT event_id, reason FROM {call} WHERE figure = $1", figure)


def test_the_events_of_each_figure_are_those_that_daily_counts(told: TestHome) -> None:
    for figure in NUMBERS:
        ((expected,),) = told.rows(f"SELECT SUM({figure}) FROM metrics.daily WHERE service = 'shop' AND env = 'prod'")
        ((found,),) = told.rows(f"SELECT COUNT(*) FROM {WEEK} WHERE figure = $1 AND is_counted", figure)
        assert found == expected, figure


def test_what_is_left_out_of_deployments_has_its_reason(told: TestHome) -> None:
    found = explained(told, "deployments")
    assert found[0] == ("first", None)
    assert ("second", None) in found
    (duplicate,) = (name for name, reason in found if reason == "duplicate")
    assert duplicate.startswith("apm:")
    rejected = ["rejected: finished_before_started, no_env", "rejected: same_second"]
    assert [reason for name, reason in found if name is None] == rejected
    assert len(found) == 5
    in_staging = explained(told, "deployments", WEEK.replace("prod", "staging"))
    assert sorted(in_staging, key=str) == [("elsewhere", None), *((None, reason) for reason in rejected)]
    assert explained(told, "deployments", "metrics.explain('2024-05-05', '2024-05-05', 'shop', 'prod')") == [
        ("early", "before_first_selection")
    ]


def test_what_was_rejected_bears_the_env_and_team_that_its_record_names(told: TestHome) -> None:
    assert told.rows("SELECT reason, service, env, team FROM core.rejected_events ORDER BY ALL") == [
        ("finished_before_started", "shop", None, "web"),
        ("same_second", "shop", "prod", None),
        ("same_second", "shop", "staging", None),
        ("time_unreadable", "shop", "prod", "web"),
    ]


def test_each_deployment_says_why_it_has_no_lead_time(told: TestHome) -> None:
    reasons = dict(explained(told, "lead_time_deployments"))
    assert reasons["first"] == reasons["second"] == "no_commit"


def test_failures_and_restores_are_apart_and_an_open_failure_is_not_restored(told: TestHome) -> None:
    assert explained(told, "failures") == [("restored", None), ("open", None)]
    assert explained(told, "restores") == [("restored", None), ("open", "not_restored")]
    rows = told.rows(f"SELECT occurred_at, seconds, details FROM {WEEK} WHERE figure = 'restores' AND is_counted")
    assert rows == [
        (datetime.fromisoformat("2024-05-07 12:30:00+00:00"), 5400.0, "Checkout is slow, linked to second by latest")
    ]


def test_without_an_env_every_env_is_explained(told: TestHome) -> None:
    everywhere = explained(told, "deployments", "metrics.explain('2024-05-07', '2024-05-07', 'shop', NULL)")
    assert {name for name, _ in everywhere} == {"second", "elsewhere", None}


def test_the_command_counts_and_shows_the_events(told: TestHome) -> None:
    shown = call(told.home.path, "explain", "2024-05-06..2024-05-12", "shop", "prod")
    assert shown.code == 0
    assert "duplicate: 1, rejected:" in shown.out
    assert "rejected: same_second: 1" in shown.out
    empty = call(told.home.path, "explain", "2024-05-20", "shop", "prod")
    said = (
        "shop in prod has no event on 2024-05-20, none left out either; its deployments and failures are of 2024-05-06 "
    )
    assert (empty.code, empty.out) == (0, f"{said}to 2024-05-08\n")
    answer = call(told.home.path, "explain", "2024-05-07", "shop", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert {row["event_id"] for row in rows if row["figure"] == "failures"} == {"restored"}
    told.settings(timezone="Asia/Tokyo")
    answer = call(told.home.path, "explain", "2024-05-07", "shop", "prod", "--format", "csv", "--zone")
    told.settings()
    assert "2024-05-07 20:00:00+09" in answer.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("2024-05-07", "shp"), 1, "'shp' is no service that an event names; there is shop"),
        (("2024-05-07", "shop", "production"), 1, "'production' is no environment of shop that an event names; there"),
        (("7 May", "shop"), 2, "'7 May' is not a day; write it as 2024-05-06"),
        (("2024-05-07..2024-05-06", "shop"), 2, "2024-05-06 is before 2024-05-07"),
    ],
)
def test_what_cannot_be_explained_is_said(told: TestHome, arguments: tuple[str, ...], code: int, words: str) -> None:
    answer = call(told.home.path, "explain", *arguments)
    assert answer.code == code
    assert words in answer.err


def test_sources_that_are_not_selected_any_more_are_left_out(home: TestHome) -> None:
    home.select_events()
    # It is marked as failed, and as mended by a deployment of the other source.
    home.deploy("shop", "2024-05-06 10:00:00", version="1", id="one")
    with EventStore.at(home.home) as store:
        mark = {"change_failure": True, "remediation": {"id": "two", "type": "rollforward"}}
        store.update("deployment", "one", mark, received_at=moment("2024-05-08 00:00:00"))
    ready = {
        "service": "shop",
        "env": "prod",
        "started_at": "2024-05-06T11:00:00Z",
        "finished_at": "2024-05-06T11:00:00Z",
    }
    home.drop_export("ready.jsonl", [{"type": "dora_deployment", "id": "two", "attributes": ready | {"version": "2"}}])
    home.run()
    home.select("deployment", "apm_deployment_tracking", at=LONG_AGO.replace(year=LONG_AGO.year + 1))
    home.run()
    assert explained(home, "deployments") == [("one", "not_selected"), ("apm:two", None)]
    assert explained(home, "rework_deployments") == [("apm:two", "not_selected")]
    assert home.rows("SELECT SUM(deployments), SUM(rework_deployments) FROM metrics.daily") == [(1, 0)]


def test_a_remediation_that_was_there_before_what_it_is_said_to_have_mended_is_no_rework(home: TestHome) -> None:
    home.select_events()
    for number, name in enumerate(("one", "two", "three", "four"), start=1):
        home.deploy("shop", f"2024-05-0{5 + number} 10:00:00", version=name, id=name)
    with EventStore.at(home.home) as store:
        for failed, remediation in {"two": "one", "three": "four"}.items():
            mark = {"change_failure": True, "remediation": {"id": remediation, "type": "rollback"}}
            store.update("deployment", failed, mark, received_at=moment("2024-05-10 00:00:00"))
    home.run()
    assert explained(home, "failed_changes") == [("two", None), ("three", None)]
    assert explained(home, "recoveries") == [("two", "remediation_before"), ("three", None)]
    assert explained(home, "rework_deployments") == [("one", "remediation_before"), ("four", None)]
    figures = "failed_changes, recoveries, recovery_p50_seconds, rework_deployments, rework_rate"
    assert home.rows(f"SELECT {figures} FROM metrics.summary('week', '2024-05-06', '2024-05-12')") == [
        (2, 1, 86_400.0, 1, 0.25)
    ]


def test_a_linked_deployment_of_a_day_before_failures_were_known_is_left_out_as_its_day_says(home: TestHome) -> None:
    home.select("deployment", *DEPLOYMENTS_BY_EVENT)
    home.select("failure", *FAILURES_BY_EVENT, at=moment("2024-05-07 00:00:00"))
    home.deploy("shop", "2024-05-06 10:00:00", id="before")
    home.deploy("till", "2024-05-07 10:00:00", id="after")
    for service in ("shop", "till"):
        home.fail([service], "2024-05-07 12:00:00", id=service)
    home.run()
    assert explained(home, "linked_failures") == [("before", "failures_not_known")]
    assert explained(home, "linked_failures", "metrics.explain('2024-05-06', '2024-05-12', 'till', 'prod')") == [
        ("after", None)
    ]
    days = "SELECT day, linked_failures FROM metrics.daily WHERE deployments > 0 ORDER BY day"
    assert home.rows(days) == [(date(2024, 5, 6), None), (date(2024, 5, 7), 1)]
    assert home.rows(
        "SELECT linked_failures FROM metrics.summary('week', '2024-05-06', '2024-05-12') ORDER BY ALL"
    ) == [(1,), (1,)]
    assert call(home.home.path, "check").code == 0
