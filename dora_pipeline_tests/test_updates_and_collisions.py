"""Events told again, changed, deleted, resolved late, and two in one second."""

import gzip
import json
from datetime import date

from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests.homes import TestHome, moment


def deployed(home: TestHome) -> list[str]:
    return [row[0] for row in home.rows("SELECT deployment_id FROM core.deployments ORDER BY deployment_id")]


def rejected(home: TestHome) -> list[tuple[str, str, str, str]]:
    """Event type, reason, service and id of the payload."""
    rows = home.rows("SELECT event_type, reason, service, payload FROM core.rejected_events")
    ids = [json.loads(payload) for *_, payload in rows]
    told = [body.get("deployment_id") or body.get("failure_id") or body.get("id") for body in ids]
    return sorted((*row[:3], event_id) for row, event_id in zip(rows, told, strict=True))


def change(home: TestHome, event_type: str, event_id: str, **changes: object) -> None:
    with EventStore.at(home.home) as store:
        assert store.update(event_type, event_id, changes) is not None  # type: ignore[arg-type]


def days(home: TestHome) -> list[tuple[str, int, int, int]]:
    """Day, deployments, failures and restores of metrics.daily."""
    query = (
        "SELECT CAST(day AS VARCHAR), SUM(deployments), SUM(failures), SUM(restores) FROM metrics.daily GROUP BY day"
    )
    return sorted(home.rows(query))  # type: ignore[arg-type]


def assert_equal_to_a_rebuild(home: TestHome) -> None:
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before


def test_of_two_deployments_in_one_second_the_one_received_first_stays(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T10:00:00.100000", id="a-second", version="2", received="2024-05-06 11:00:01")
    home.deploy("shop", "2024-05-06T10:00:00.900000", id="z-first", version="1", received="2024-05-06 11:00:00")
    home.deploy("shop", "2024-05-06T10:00:01", id="later", version="3")
    home.run()
    assert deployed(home) == ["later", "z-first"]
    assert rejected(home) == [("deployment", "same_second", "shop", "a-second")]
    ((source, occurred_at, day, payload),) = home.rows(
        "SELECT source, occurred_at, CAST(day AS VARCHAR), payload FROM core.rejected_events"
    )
    assert (source, day) == ("deployment_event_api", "2024-05-06")
    assert occurred_at == moment("2024-05-06 10:00:00.100000")
    assert json.loads(payload)["version"] == "2"
    assert json.loads(payload)["env"] == "prod"
    assert days(home) == [("2024-05-06", 2, 0, 0)]


def test_a_second_deployment_in_another_environment_is_in_the_same_second_too(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T10:00:00", id="first", received="2024-05-06 11:00:00")
    home.deploy("shop", "2024-05-06T10:00:00", id="second", env="staging", received="2024-05-06 12:00:00")
    home.run()
    assert deployed(home) == ["first"]
    assert rejected(home) == [("deployment", "same_second", "shop", "second")]


def test_deployments_of_other_services_may_share_a_second(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T10:00:00", id="one")
    home.deploy("Shop", "2024-05-06T10:00:00", id="two")
    home.deploy("cart", "2024-05-06T10:00:00", id="three")
    home.run()
    assert deployed(home) == ["one", "three", "two"]
    assert rejected(home) == []


def test_the_second_of_the_start_decides_even_when_the_ends_are_days_apart(home: TestHome) -> None:
    home.select_events()
    start = "2024-05-06T10:00:00Z"
    home.deploy("shop", "2024-05-08T10:00:00", id="long", started_at=start, received="2024-05-08 10:00:00")
    home.run()
    home.deploy("shop", "2024-05-06T10:00:30", id="short", started_at=start, received="2024-05-09 10:00:00")
    home.run()
    assert deployed(home) == ["long"]
    assert home.rows("SELECT CAST(day AS VARCHAR) FROM core.rejected_events") == [("2024-05-06",)]
    assert days(home) == [("2024-05-08", 1, 0, 0)]
    change(home, "deployment", "long", started_at="2024-05-06T10:00:01Z")
    home.run()
    assert deployed(home) == ["long", "short"]
    assert rejected(home) == []
    assert days(home) == [("2024-05-06", 1, 0, 0), ("2024-05-08", 1, 0, 0)]
    assert_equal_to_a_rebuild(home)


def test_moving_the_first_one_brings_the_second_one_back(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T10:00:00", id="first", received="2024-05-06 11:00:00")
    home.deploy("shop", "2024-05-06T10:00:00", id="second", env="staging", received="2024-05-06 12:00:00")
    home.run()
    change(home, "deployment", "first", started_at="2024-05-03T10:00:00Z", finished_at="2024-05-03T10:00:00Z")
    home.run()
    assert deployed(home) == ["first", "second"]
    assert rejected(home) == []
    assert days(home) == [("2024-05-03", 1, 0, 0), ("2024-05-06", 1, 0, 0)]
    assert_equal_to_a_rebuild(home)


def test_deleting_the_first_one_brings_the_second_one_back(home: TestHome) -> None:
    home.select_events()
    home.fail(["shop"], "2024-05-06T10:00:00", id="first", received="2024-05-06 11:00:00")
    home.fail(["shop"], "2024-05-06T10:00:00", id="second", name="other", received="2024-05-06 12:00:00")
    home.run()
    assert rejected(home) == [("failure", "same_second", "shop", "second")]
    with EventStore.at(home.home) as store:
        assert store.delete("failure", "first")
    home.run()
    assert home.rows("SELECT failure_id FROM core.failures") == [("second",)]
    assert rejected(home) == []
    assert_equal_to_a_rebuild(home)


def test_a_telling_that_cannot_be_used_takes_no_second(home: TestHome) -> None:
    home.select_events()
    at, before = "2024-05-06T10:00:00", "2024-05-06T09:00:00"
    home.fail(["shop"], at, before, id="first", received="2024-05-06 11:00:00")
    home.fail(["shop"], at, id="second", received="2024-05-06 12:00:00")
    home.fail(["shop"], at, id="first", received="2024-05-06 13:00:00")
    home.run()
    assert home.rows("SELECT failure_id FROM core.failures") == [("second",)]
    assert rejected(home) == [
        ("failure", "finished_before_started", "shop", "first"),
        ("failure", "same_second", "shop", "first"),
    ]
    assert_equal_to_a_rebuild(home)


def test_an_event_before_the_first_selection_takes_no_second(home: TestHome) -> None:
    home.select_events(at=moment("2024-05-06 10:01:00"))
    start = "2024-05-06T10:00:00Z"
    home.deploy("shop", "2024-05-06T10:00:30", id="before", started_at=start, received="2024-05-06 11:00:00")
    home.deploy("shop", "2024-05-06T10:01:00", id="after", started_at=start, received="2024-05-06 12:00:00")
    home.run()
    assert deployed(home) == ["after"]
    assert rejected(home) == []


def test_a_failure_collides_only_for_the_services_that_both_impact(home: TestHome) -> None:
    home.select_events()
    home.fail(["cart", "shop"], "2024-05-06T10:00:00", id="first", received="2024-05-06 11:00:00")
    home.fail(["shop", "web"], "2024-05-06T10:00:00.500000", id="second", received="2024-05-06 12:00:00")
    home.run()
    assert home.rows("SELECT failure_id, service FROM core.failures ORDER BY ALL") == [
        ("first", "cart"),
        ("first", "shop"),
        ("second", "web"),
    ]
    assert rejected(home) == [("failure", "same_second", "shop", "second")]
    judged = home.rows("SELECT failure_id, service FROM landing.judged_failures WHERE is_rejected")
    assert sorted(judged) == sorted((event_id, service) for _, _, service, event_id in rejected(home))


def test_failures_that_name_no_service_may_share_a_second(home: TestHome) -> None:
    home.select_events()
    home.fail([], "2024-05-06T10:00:00", id="one", team="x")
    home.fail([], "2024-05-06T10:00:00.5", id="two", team="x")
    home.fail([], "2024-05-06T10:00:00", "2024-05-06T11:00:00", id="three", team="x", env="staging")
    home.fail([], "2024-05-06T10:00:00", id="four", team="y")
    home.fail(["shop"], "2024-05-06T10:00:00", id="five", team="x")
    home.run()
    assert home.rows("SELECT failure_id, service, team FROM core.failures ORDER BY ALL") == [
        ("five", "shop", "x"),
        ("four", None, "y"),
        ("one", None, "x"),
        ("three", None, "x"),
        ("two", None, "x"),
    ]
    assert days(home) == [("2024-05-06", 0, 5, 1)]
    assert rejected(home) == []
    assert_equal_to_a_rebuild(home)


def test_incidents_without_service_and_team_may_share_a_second(home: TestHome) -> None:
    home.select("failure", "datadog_incidents")
    lines = "".join(
        json.dumps(
            {
                "record_id": name,
                "occurred_at": "2024-05-06T10:00:00+00:00",
                "fetched_at": "2024-05-07T00:00:00+00:00",
                "state": "present",
                "body": {"id": name, "attributes": {"created": "2024-05-06T10:00:00Z", "title": name}},
            }
        )
        + "\n"
        for name in ("one", "two")
    )
    folder = home.home.raw / "datadog_incidents"
    folder.mkdir(parents=True)
    (folder / "2024-05-06.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    home.run(rebuild=True)
    assert home.rows("SELECT name, service, team FROM core.failures ORDER BY 1") == [
        ("one", None, None),
        ("two", None, None),
    ]
    assert rejected(home) == []


def test_a_deployment_and_a_failure_may_share_a_second(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T10:00:00", id="one")
    home.fail(["shop"], "2024-05-06T10:00:00", id="one")
    home.run()
    assert days(home) == [("2024-05-06", 1, 1, 0)]
    assert rejected(home) == []


def test_a_deployment_told_again_without_an_id_is_an_update(home: TestHome) -> None:
    home.select_events()
    first = home.deploy("shop", "2024-05-06T10:00:00", version="1", team="x")
    home.run()
    again = home.deploy("shop", "2024-05-06T10:00:00", version="2", received="2024-05-07 10:00:00")
    home.run()
    assert first == again
    assert home.rows("SELECT version, team FROM core.deployments") == [("2", "x")]
    assert rejected(home) == []


def test_a_deployment_that_moves_to_another_day_leaves_nothing_on_the_old_one(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T10:00:00", id="moving", version="1")
    home.run()
    change(home, "deployment", "moving", started_at="2024-05-20T10:00:00Z", finished_at="2024-05-20T11:00:00Z")
    report = home.run()
    assert [str(day) for day in report.days] == ["2024-05-06", "2024-05-20"]
    assert home.rows("SELECT deployment_id, CAST(day AS VARCHAR) FROM core.deployments") == [("moving", "2024-05-20")]
    assert days(home) == [("2024-05-20", 1, 0, 0)]
    assert_equal_to_a_rebuild(home)


def test_a_failure_that_moves_to_another_day_leaves_nothing_on_the_old_ones(home: TestHome) -> None:
    home.select_events()
    home.fail(["shop"], "2024-05-06T10:00:00", "2024-05-08T10:00:00", id="moving")
    home.run()
    assert days(home) == [("2024-05-06", 0, 1, 0), ("2024-05-08", 0, 0, 1)]
    change(home, "failure", "moving", started_at="2024-05-20T10:00:00Z", finished_at="2024-05-22T10:00:00Z")
    home.run()
    assert days(home) == [("2024-05-20", 0, 1, 0), ("2024-05-22", 0, 0, 1)]
    assert_equal_to_a_rebuild(home)


def test_a_failure_that_impacts_another_service_now_leaves_the_old_one(home: TestHome) -> None:
    home.select_events()
    home.fail(["shop"], "2024-05-06T10:00:00", "2024-05-07T10:00:00", id="one")
    home.run()
    change(home, "failure", "one", services=["cart", "web"])
    home.run()
    assert home.rows("SELECT DISTINCT service FROM core.failures ORDER BY ALL") == [("cart",), ("web",)]
    assert home.rows("SELECT DISTINCT service FROM metrics.daily ORDER BY ALL") == [("cart",), ("web",)]
    assert_equal_to_a_rebuild(home)


def test_a_failure_resolved_three_weeks_later_counts_its_restore_on_that_day(home: TestHome) -> None:
    home.select_events()
    home.fail(["shop"], "2024-05-06T10:00:00", id="long")
    home.deploy("shop", "2024-05-06T09:00:00")
    home.run()
    assert days(home) == [("2024-05-06", 1, 1, 0)]
    assert home.rows("SELECT finished_at, time_to_restore_seconds FROM core.failures") == [(None, None)]
    change(home, "failure", "long", finished_at="2024-05-27T10:00:00Z")
    home.run()
    assert days(home) == [("2024-05-06", 1, 1, 0), ("2024-05-27", 0, 0, 1)]
    assert home.rows("SELECT time_to_restore_p50_seconds FROM metrics.daily WHERE restores > 0") == [(21 * 86_400.0,)]
    assert_equal_to_a_rebuild(home)


def test_a_reopened_failure_has_no_restore_until_it_is_resolved_again(home: TestHome) -> None:
    home.select_events()
    home.fail(["shop"], "2024-05-06T10:00:00", "2024-05-08T10:00:00", id="one")
    home.run()
    change(home, "failure", "one", finished_at=None)
    home.run()
    assert days(home) == [("2024-05-06", 0, 1, 0)]
    assert home.rows("SELECT finished_at, restored_day FROM core.failures") == [(None, None)]
    assert_equal_to_a_rebuild(home)
    change(home, "failure", "one", finished_at="2024-05-10T10:00:00Z")
    home.run()
    assert days(home) == [("2024-05-06", 0, 1, 0), ("2024-05-10", 0, 0, 1)]


def test_telling_a_failure_again_without_its_end_does_not_reopen_it(home: TestHome) -> None:
    home.select_events()
    home.fail(["shop"], "2024-05-06T10:00:00", "2024-05-08T10:00:00", id="one")
    home.run()
    home.fail(["shop"], "2024-05-06T10:00:00", id="one", finished_at=None, name="told again")
    home.run()
    assert days(home) == [("2024-05-06", 0, 1, 0), ("2024-05-08", 0, 0, 1)]
    assert home.rows("SELECT name FROM core.failures") == [("told again",)]


def test_a_deleted_event_is_gone_from_every_table(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T10:00:00", id="one")
    home.fail(["shop", "cart"], "2024-05-06T10:00:00", "2024-05-08T10:00:00", id="two")
    home.run()
    with EventStore.at(home.home) as store:
        assert store.delete("deployment", "one")
        assert store.delete("failure", "two")
    home.run()
    tables = home.tables()
    for table in ("core.deployments", "core.failures", "core.rejected_events", "metrics.daily"):
        assert tables[table] == []
    assert_equal_to_a_rebuild(home)


def test_telling_the_same_again_changes_nothing(home: TestHome) -> None:
    home.select_events()

    def tell() -> None:
        home.deploy("shop", "2024-05-06T10:00:00", id="one", version="1")
        home.deploy("cart", "2024-05-06T10:00:00", version="1")
        home.deploy("cart", "2024-05-06T10:00:00", id="same second", version="2")
        home.fail(["shop", "cart"], "2024-05-06T10:00:00", "2024-05-08T10:00:00", severity="high")
        home.deploy("", "2024-05-06T10:00:00")

    tell()
    home.run()
    before = home.tables()
    assert len(before["core.rejected_events"]) == 2
    tell()
    report = home.run()
    assert report.days == []
    assert not any(report.rows.values())
    assert home.tables() == before


def test_a_failure_of_several_services_counts_once_in_totals_and_once_for_each_service(home: TestHome) -> None:
    home.select_events()
    home.fail(["shop", "cart", "web"], "2024-05-06T10:00:00", "2024-05-06T10:10:00", id="one", team="x")
    home.fail(["shop"], "2024-05-06T12:00:00", "2024-05-06T12:30:00", id="two")
    home.deploy("shop", "2024-05-06T09:00:00")
    home.run()
    assert home.rows(
        "SELECT service, failures, restores, change_failure_rate "
        "FROM metrics.summary('month', '2024-05-01', '2024-05-31') ORDER BY 1"
    ) == [("cart", 1, 1, None), ("shop", 2, 2, 2.0), ("web", 1, 1, None)]
    for dimension, name, expected in (
        ("all", None, [(2, 2, 1200.0)]),
        ("env", "env", [(2, 2, 1200.0)]),
        ("team", "team", [(1, 1, 600.0), (1, 1, 1800.0)]),
    ):
        found = home.rows(
            "SELECT failures, restores, time_to_restore_p50_seconds "
            f"FROM metrics.summary_by('{dimension}', 'month', '2024-05-01', '2024-05-31') ORDER BY 3"
        )
        assert found == expected, name


def test_a_deployment_that_is_marked_as_failed_later_shows_it_and_what_mended_it(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06T10:00:00", id="broken", version="1")
    home.deploy("shop", "2024-05-07T10:00:00", id="mended", version="2")
    home.run()
    query = """
        SELECT deployment_id, change_failure, remediation_id, remediation_type
        FROM core.deployments ORDER BY deployment_id
    """
    assert home.rows(query) == [("broken", None, None, None), ("mended", None, None, None)]
    change(home, "deployment", "broken", change_failure=True, remediation={"id": "mended", "type": "rollforward"})
    assert home.run().days == [date(2024, 5, 6)]
    assert home.rows(query) == [("broken", True, "mended", "rollforward"), ("mended", None, None, None)]
    assert_equal_to_a_rebuild(home)
