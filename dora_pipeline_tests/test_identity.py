"""Which tellings are of one event, with ids, without them and under several names of an environment; and tellings that
cannot be used.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.test_updates_and_collisions import assert_equal_to_a_rebuild, change, days, deployed, rejected

START, END = "2024-05-06T10:00:00", "2024-05-06T10:30:00"
ALIASES = {"production": ["prod", "Prod*"]}


def failures(home: TestHome) -> list[tuple[str, float | None]]:
    """Ids and seconds until restored."""
    query = "SELECT DISTINCT failure_id, time_to_restore_seconds FROM core.failures ORDER BY 1"
    return home.rows(query)  # type: ignore[return-value]


def refusals(home: TestHome) -> list[tuple[str, Any]]:
    """Reasons, and ids in the payloads."""
    rows = home.rows("SELECT reason, payload->>'id' FROM core.rejected_events ORDER BY ALL")
    return rows  # type: ignore[return-value]


def test_a_failure_and_its_end_are_one_whichever_of_them_has_the_id(home: TestHome) -> None:
    home.select_events()
    # Which of the two has an id, and whether a run lies between them; each pair has services of its own.
    pairs = [(first, second, between) for first in (0, 1) for second in (0, 1) for between in (True, False)]
    expected = {}

    def begin(number: int, *, has_id: bool) -> None:
        given = home.fail([f"shop{number}", f"cart{number}"], START, **({"id": f"own{number}"} if has_id else {}))
        expected[number] = f"own{number}" if any(pairs[number][:2]) else given

    for number, (first, _, between) in enumerate(pairs):
        if between:
            begin(number, has_id=bool(first))
    home.run()
    for number, (first, second, between) in enumerate(pairs):
        if not between:
            begin(number, has_id=bool(first))
        own = {"id": f"own{number}"} if second else {}
        home.fail([f" cart{number} ", f"shop{number}"], START, END, **own)
    home.run()
    assert failures(home) == sorted((name, 1800.0) for name in expected.values())
    assert days(home) == [("2024-05-06", 0, 16, 16)]
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


def test_a_deployment_with_an_id_and_another_version_or_commit_is_another_one(home: TestHome) -> None:
    home.select_events()
    given = []
    for service, later in (("shop", {"version": "2"}), ("cart", {"git": {"commit_sha": "b" * 40}})):
        first = {"version": "1", "git": {"commit_sha": "a" * 40}}
        given.append(home.deploy(service, START, received="2024-05-06 10:00:00", **first))
        home.deploy(service, START, id=f"other {service}", received="2024-05-06 10:00:01", **later)
    home.run()
    assert deployed(home) == sorted(given)
    assert rejected(home) == [
        ("deployment", "same_second", "cart", "other cart"),
        ("deployment", "same_second", "shop", "other shop"),
    ]


def test_a_failure_and_its_end_are_one_under_two_names_of_one_environment(home: TestHome) -> None:
    home.settings(environments=ALIASES)
    home.select_events()
    own = {"id": "own1"}, {"id": "own2"}, {"id": "own3"}, {"id": "own4"}
    home.fail(["one"], START, env="prod", name="outage")
    given = [home.fail(["two"], START, env="prod", name="outage")]
    home.fail(["three"], START, env="prod", name="outage", **own[1])
    home.run()
    home.fail(["one"], START, END, env="Production", severity="high", **own[0])
    home.fail(["two"], START, END, env=" prod ", severity="high")
    home.fail(["three"], START, END, env="production", severity="high")
    # The same without a run between them.
    home.fail(["four"], START, env="prod", name="outage")
    home.fail(["four"], START, END, env="Production", severity="high", **own[2])
    given.append(home.fail(["five"], START, env="prod", name="outage"))
    home.fail(["five"], START, END, env=" prod ", severity="high")
    home.fail(["six"], START, env="prod", name="outage", **own[3])
    home.fail(["six"], START, END, env="production", severity="high")
    home.run()
    assert failures(home) == sorted((name, 1800.0) for name in (*given, "own1", "own2", "own3", "own4"))
    assert home.rows("SELECT DISTINCT env, name, severity FROM core.failures") == [("production", "outage", "high")]
    assert days(home) == [("2024-05-06", 0, 6, 6)]
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


def test_an_open_failure_told_with_an_end_that_cannot_be_stays_open(home: TestHome) -> None:
    home.select_events()
    bad = dict(enumerate(("2032-01-01T00:00:00Z", "2024-05-06T09:59:59Z", "soon", "2024-05-06T11:00:00")))
    ends = {f"{when}{number}": end for when in ("before the run", "after it") for number, end in bad.items()}
    given = {service: home.fail([service], START, name="outage") for service in ends if service.startswith("before")}
    home.run()
    given |= {service: home.fail([service], START, name="outage") for service in ends if service not in given}
    for service, end in ends.items():
        told = {"finished_at": end, "name": "other", "received": "2024-05-06 12:00:00"}
        assert home.fail([service], START, **told) == given[service]
        # Told again it is no second one.
        home.fail([service], START, **told)
    home.run()
    ids = sorted(given.values())
    query = "SELECT failure_id, name, severity, finished_at FROM core.failures ORDER BY 1"
    assert home.rows(query) == [(name, "outage", None, None) for name in ids]
    assert sorted(event_id for _, event_id in refusals(home)) == ids
    payloads = [json.loads(payload) for (payload,) in home.rows("SELECT payload FROM core.rejected_events")]
    assert {payload["id"]: payload["finished_at"] for payload in payloads} == {given[name]: ends[name] for name in ends}
    assert_equal_to_a_rebuild(home)
    for service in ends:
        home.fail([service], START, severity="high", received="2024-05-06 13:00:00")
    home.run()
    assert home.rows(query) == [(name, "outage", "high", None) for name in ids]
    for service in ends:
        home.fail([service], START, END, received="2024-05-06 14:00:00")
    home.run()
    assert failures(home) == [(name, 1800.0) for name in ids]
    assert len(refusals(home)) == len(ends)
    assert_equal_to_a_rebuild(home)


def test_a_first_telling_that_cannot_be_used_leaves_nothing_to_what_is_told_after_it(home: TestHome) -> None:
    home.select_events()
    home.fail(["shop"], START, id="one", finished_at="2032-01-01T00:00:00Z", severity="high")
    home.run()
    assert failures(home) == []
    assert refusals(home) == [("time_in_future", "one")]
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
