"""Which tellings are of one event, with ids, without them and under several names of an environment; and tellings that
cannot be used.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.test_updates_and_collisions import assert_equal_to_a_rebuild, change, days, deployed, rejected

START, END = "2024-05-06T10:00:00", "2024-05-06T10:30:00"
RESTORED = [("2024-05-06", 0, 1, 1)]
ALIASES = {"production": ["prod", "Prod*"]}


def failures(home: TestHome) -> list[tuple[str, float | None]]:
    """Ids and seconds until restored."""
    query = "SELECT DISTINCT failure_id, time_to_restore_seconds FROM core.failures ORDER BY 1"
    return home.rows(query)  # type: ignore[return-value]


def refusals(home: TestHome) -> list[tuple[str, Any]]:
    """Reasons, and ids in the payloads."""
    rows = home.rows("SELECT reason, payload->>'id' FROM core.rejected_events ORDER BY ALL")
    return rows  # type: ignore[return-value]


@pytest.mark.parametrize("runs_between", [True, False])
@pytest.mark.parametrize("ids", [({}, {"id": "own"}), ({"id": "own"}, {}), ({"id": "own"}, {"id": "own"}), ({}, {})])
def test_a_failure_and_its_end_are_one_whichever_of_them_has_the_id(
    home: TestHome, ids: tuple[dict[str, str], dict[str, str]], runs_between: bool
) -> None:
    home.select_events()
    given = home.fail(["shop", "cart"], START, **ids[0])
    if runs_between:
        home.run()
    home.fail([" cart ", "shop"], START, END, **ids[1])
    home.run()
    assert failures(home) == [("own" if "own" in str(ids) else given, 1800.0)]
    assert days(home) == [("2024-05-06", 0, 2, 2)]
    assert rejected(home) == []
    assert_equal_to_a_rebuild(home)


def test_both_ids_of_a_failure_name_it_from_then_on(home: TestHome) -> None:
    home.select_events()
    given = home.fail(["shop"], START)
    home.fail(["shop"], START, id="own", severity="high")
    home.run()
    with EventStore.at(home.home) as store:
        store.append("failure", {"id": given, "finished_at": END + "Z"})
        store.append("failure", {"id": "own", "name": "outage"})
    home.run()
    assert failures(home) == [("own", 1800.0)]
    assert home.rows("SELECT severity, name FROM core.failures") == [("high", "outage")]
    with EventStore.at(home.home) as store:
        assert store.delete("failure", given)
    home.run()
    assert failures(home) == []
    assert_equal_to_a_rebuild(home)


def test_two_failures_with_ids_of_their_own_are_two_whatever_else_they_share(home: TestHome) -> None:
    home.select_events()
    home.fail(["shop"], START, id="one", received="2024-05-06 10:00:00")
    home.fail(["shop"], START, id="two", received="2024-05-06 10:00:01")
    home.run()
    assert failures(home) == [("one", None)]
    assert rejected(home) == [("failure", "same_second", "shop", "two")]


@pytest.mark.parametrize("later", [{"version": "2"}, {"git": {"commit_sha": "b" * 40}}])
def test_a_deployment_with_an_id_and_another_version_is_another_one(home: TestHome, later: dict[str, Any]) -> None:
    home.select_events()
    given = home.deploy("shop", START, version="1", git={"commit_sha": "a" * 40}, received="2024-05-06 10:00:00")
    home.deploy("shop", START, id="other", received="2024-05-06 10:00:01", **later)
    home.run()
    assert deployed(home) == [given]
    assert rejected(home) == [("deployment", "same_second", "shop", "other")]


@pytest.mark.parametrize("runs_between", [True, False])
@pytest.mark.parametrize(
    ("second", "ids"), [("Production", ({}, {"id": "own"})), (" prod ", ({}, {})), ("production", ({"id": "own"}, {}))]
)
def test_a_failure_and_its_end_are_one_under_two_names_of_one_environment(
    home: TestHome, second: str, ids: tuple[dict[str, str], dict[str, str]], runs_between: bool
) -> None:
    home.settings(environments=ALIASES)
    home.select_events()
    given = home.fail(["shop"], START, env="prod", name="outage", **ids[0])
    if runs_between:
        home.run()
    home.fail(["shop"], START, END, env=second, severity="high", **ids[1])
    home.run()
    assert failures(home) == [("own" if "own" in str(ids) else given, 1800.0)]
    assert home.rows("SELECT env, name, severity FROM core.failures") == [("production", "outage", "high")]
    assert days(home) == RESTORED
    assert rejected(home) == []
    assert_equal_to_a_rebuild(home)


def test_settings_that_make_two_environments_one_later_make_two_failures_one(home: TestHome) -> None:
    home.select_events()
    given = home.fail(["shop"], START, env="prod")
    home.fail(["shop"], START, END, env="Production")
    home.run()
    assert failures(home) == [(given, None)]
    assert [reason for _, reason, *_ in rejected(home)] == ["same_second"]
    before = home.tables()
    home.settings(environments=ALIASES)
    home.run()
    assert failures(home) == [(given, 1800.0)]
    assert rejected(home) == []
    assert_equal_to_a_rebuild(home)
    home.settings()
    home.run()
    assert home.tables() == before


def test_the_newest_telling_wins_field_by_field_across_names_of_one_environment(home: TestHome) -> None:
    home.settings(environments=ALIASES)
    home.select_events()
    home.deploy("shop", START, env="prod", version="1", team="x", received="2024-05-06 10:00:01")
    home.deploy("shop", START, env="Production", version="2", received="2024-05-06 10:00:02")
    home.run()
    assert home.rows("SELECT version, team FROM core.deployments") == [("2", "x")]
    # The same as before, and yet the newest.
    home.deploy("shop", START, env="prod", version="1", received="2024-05-06 10:00:03")
    home.run()
    assert home.rows("SELECT version, team FROM core.deployments") == [("1", "x")]
    assert rejected(home) == []
    assert_equal_to_a_rebuild(home)


def test_a_failure_told_under_two_names_of_an_environment_is_reopened_moved_and_deleted_by_either_id(
    home: TestHome,
) -> None:
    home.settings(environments=ALIASES)
    home.select_events()
    first = home.fail(["shop"], START, env="prod")
    second = home.fail(["shop"], START, END, env="Production")
    home.run()
    change(home, "failure", first, finished_at=None)
    home.run()
    assert failures(home) == [(first, None)]
    change(home, "failure", first, finished_at=END + "Z")
    home.run()
    assert failures(home) == [(first, 1800.0)]
    change(home, "failure", second, started_at="2024-05-06T10:10:00Z")
    home.run()
    assert failures(home) == sorted([(first, 1800.0), (second, 1200.0)])
    change(home, "failure", second, started_at=START + "Z")
    home.run()
    assert failures(home) == [(first, 1800.0)]
    with EventStore.at(home.home) as store:
        assert store.delete("failure", second)
    home.run()
    assert failures(home) == []
    assert_equal_to_a_rebuild(home)


def test_a_deployment_told_again_with_an_end_before_its_start_stays_as_it_was(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", START, id="one", version="1")
    home.run()
    home.deploy(
        "shop", START, id="one", version="2", finished_at="2024-05-06T09:00:00Z", received="2024-05-07 10:00:00"
    )
    home.run()
    assert home.rows("SELECT deployment_id, version FROM core.deployments") == [("one", "1")]
    assert refusals(home) == [("finished_before_started", "one")]
    assert_equal_to_a_rebuild(home)
    home.deploy("shop", START, id="one", version="3", received="2024-05-08 10:00:00")
    home.run()
    assert home.rows("SELECT deployment_id, version FROM core.deployments") == [("one", "3")]
    assert refusals(home) == [("finished_before_started", "one")]
    assert_equal_to_a_rebuild(home)


@pytest.mark.parametrize("runs_between", [True, False])
@pytest.mark.parametrize("bad", ["2032-01-01T00:00:00Z", "2024-05-06T09:59:59Z", "soon", "2024-05-06T11:00:00"])
def test_an_open_failure_told_with_an_end_that_cannot_be_stays_open(
    home: TestHome, bad: str, runs_between: bool
) -> None:
    home.select_events()
    given = home.fail(["shop"], START, name="outage")
    if runs_between:
        home.run()
    told = {"finished_at": bad, "name": "other", "received": "2024-05-06 12:00:00"}
    assert home.fail(["shop"], START, **told) == given  # type: ignore[arg-type]
    # Told again it is no second one.
    home.fail(["shop"], START, **told)  # type: ignore[arg-type]
    home.run()
    assert home.rows("SELECT failure_id, name, finished_at FROM core.failures") == [(given, "outage", None)]
    assert [event_id for _, event_id in refusals(home)] == [given]
    ((payload,),) = home.rows("SELECT payload FROM core.rejected_events")
    assert json.loads(payload)["finished_at"] == bad
    assert_equal_to_a_rebuild(home)
    home.fail(["shop"], START, severity="high", received="2024-05-06 13:00:00")
    home.run()
    assert home.rows("SELECT name, severity, finished_at FROM core.failures") == [("outage", "high", None)]
    home.fail(["shop"], START, END, received="2024-05-06 14:00:00")
    home.run()
    assert failures(home) == [(given, 1800.0)]
    assert len(refusals(home)) == 1
    assert_equal_to_a_rebuild(home)


def test_a_first_telling_that_cannot_be_used_leaves_nothing_to_what_is_told_after_it(home: TestHome) -> None:
    home.select_events()
    home.fail(["shop"], START, id="one", finished_at="2032-01-01T00:00:00Z", severity="high")
    home.run()
    assert failures(home) == []
    assert refusals(home) == [("time_in_future", None)]
    home.fail(["shop"], START, id="one", name="outage", received="2024-05-06 11:00:00")
    home.run()
    assert home.rows("SELECT failure_id, name, severity, finished_at FROM core.failures") == [
        ("one", "outage", None, None)
    ]
    assert refusals(home) == [("time_in_future", "one")]
    assert_equal_to_a_rebuild(home)


def test_the_future_is_judged_by_the_receipt_of_each_telling(home: TestHome) -> None:
    home.select_events()
    now = datetime.now(UTC)

    def told(minutes: float) -> str:
        return (now + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S")

    received = told(0).replace("T", " ")
    home.fail(["shop"], told(-60), id="near", received=received)
    home.fail(["shop"], told(-60), told(5), id="near", received=received)
    home.fail(["cart"], told(-60), id="far", received=received)
    home.fail(["cart"], told(-60), told(6), id="far", received=received)
    home.run()
    assert [(name, seconds is None) for name, seconds in failures(home)] == [("far", True), ("near", False)]
    home.fail(["cart"], told(-60), told(6), id="far", received=told(2).replace("T", " "))
    home.run()
    assert [(name, seconds is None) for name, seconds in failures(home)] == [("far", False), ("near", False)]
    assert refusals(home) == [("time_in_future", "far")]
    assert_equal_to_a_rebuild(home)


def test_a_bad_telling_under_another_name_of_the_environment_costs_nothing(home: TestHome) -> None:
    home.settings(environments=ALIASES)
    home.select_events()
    given = home.fail(["shop"], START, env="prod")
    home.fail(["shop"], START, env="Production", finished_at="2032-01-01T00:00:00Z", received="2024-05-06 11:00:00")
    home.run()
    assert failures(home) == [(given, None)]
    assert [reason for reason, _ in refusals(home)] == ["time_in_future"]
    assert_equal_to_a_rebuild(home)


def test_an_event_moved_to_an_end_before_its_start_stays_until_both_are_told(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", START, id="one")
    change(home, "deployment", "one", started_at="2024-05-07T10:00:00Z")
    home.run()
    assert home.rows("SELECT CAST(day AS VARCHAR) FROM core.deployments") == [("2024-05-06",)]
    assert refusals(home) == [("finished_before_started", "one")]
    change(home, "deployment", "one", started_at="2024-05-07T10:00:00Z", finished_at="2024-05-07T10:00:00Z")
    home.run()
    assert home.rows("SELECT CAST(day AS VARCHAR) FROM core.deployments") == [("2024-05-07",)]
    assert_equal_to_a_rebuild(home)
