"""Events of one source that come by several doors: export files, the intake, and lists that are pulled from Datadog."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dora_pipeline.intake.store.event_store import EventStore
from dora_pipeline_tests.full_homes import rebuilt
from dora_pipeline_tests.homes import DEPLOYMENTS_BY_APM, TestHome, moment
from dora_pipeline_tests.pulled_homes import ago, day
from dora_pipeline_tests.test_pulled_from_datadog import deployed, failed, prepare
from dora_pipeline_tests.test_updates_and_collisions import change, rejected
from dora_pipeline_tests.vendors.datadog import API_KEY, APP_KEY, FakeDatadog
from dora_pipeline_tests.vendors.server import Reply

START = "2024-05-06T10:00:00Z"
API_SOURCES = ("deployment_event_api", "failure_event_api")
NAMED = "SELECT deployment_id, version, team, commit_sha FROM core.deployments ORDER BY ALL"
FAILURES = "SELECT failure_id, name, severity, time_to_restore_seconds FROM core.failures ORDER BY ALL"
COMMIT = "ab" * 20


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_API_KEY", API_KEY)
    monkeypatch.setenv("DD_APP_KEY", APP_KEY)


@pytest.fixture
def datadog() -> Iterator[FakeDatadog]:
    with FakeDatadog(deployments=[], failures=[]) as vendor:
        yield vendor


@pytest.fixture
def exporting(home: TestHome) -> TestHome:
    home.select("deployment", *DEPLOYMENTS_BY_APM)
    return home


def ready(event_id: str | None = None, started_at: str = START, **attributes: Any) -> dict[str, Any]:
    """A ready event of an export, of service shop in prod where attributes say no other."""
    told = {"service": "shop", "env": "prod", "started_at": started_at, **attributes}
    return {"type": "dora_deployment", "attributes": told} | ({} if event_id is None else {"id": event_id})


def drop(home: TestHome, name: str, modified: str, *events: dict[str, Any]) -> None:
    """Write an export of ready events that was changed at a moment."""
    path = home.drop_export(name, [])
    path.write_text(json.dumps({"data": list(events)}), encoding="utf-8")
    at = moment(modified).timestamp()
    os.utime(path, (at, at))


def assert_equal_to_a_rebuild(home: TestHome) -> None:
    tables = home.tables()
    assert rebuilt(home) == tables


def test_of_two_exports_with_one_id_the_one_that_changed_last_wins_field_by_field(exporting: TestHome) -> None:
    # The older and the newer one of each pair, by names that come in either order, with a run between them or not.
    pairs = [("a1", "b1"), ("b2", "a2"), ("a3", "b3"), ("b4", "a4")]

    def drop_newer(number: int) -> None:
        newest = ready(f"d{number}", service=f"s{number}", version="2", git={"commit_sha": COMMIT}, team=" ")
        drop(exporting, f"{pairs[number][1]}.json", "2024-06-02 00:00:00", newest)

    for number in (0, 1):
        drop_newer(number)
    exporting.run()
    for number in (2, 3):
        drop_newer(number)
    for number, (older, _) in enumerate(pairs):
        former = ready(f"d{number}", service=f"s{number}", version="1", team="sales")
        drop(exporting, f"{older}.json", "2024-06-01 00:00:00", former)
    exporting.run()
    assert exporting.rows(NAMED) == [(f"apm:d{number}", "2", "sales", COMMIT) for number in range(4)]
    assert_equal_to_a_rebuild(exporting)
    for _, newer in pairs:
        (exporting.home.path / "exports" / "apm" / f"{newer}.json").unlink()
    exporting.run()
    assert exporting.rows(NAMED) == [(f"apm:d{number}", "1", "sales", None) for number in range(4)]
    assert_equal_to_a_rebuild(exporting)


def test_of_two_exports_that_changed_together_the_last_by_name_wins_and_one_that_is_renamed_takes_its_place(
    exporting: TestHome,
) -> None:
    at = "2024-06-01 00:00:00"
    drop(exporting, "a.json", at, ready("d1", version="1"))
    drop(exporting, "b.json", at, ready("d1", version="2"))
    exporting.run()
    assert exporting.rows(NAMED) == [("apm:d1", "2", None, None)]
    folder = exporting.home.path / "exports" / "apm"
    (folder / "a.json").rename(folder / "c.json")
    exporting.run()
    assert exporting.rows(NAMED) == [("apm:d1", "1", None, None)]
    assert_equal_to_a_rebuild(exporting)


def test_an_older_content_that_is_dropped_again_is_the_newest(exporting: TestHome) -> None:
    drop(exporting, "a.json", "2024-06-01 00:00:00", ready("d1", version="1"))
    drop(exporting, "b.json", "2024-06-02 00:00:00", ready("d1", version="2"))
    exporting.run()
    drop(exporting, "c.json", "2024-06-03 00:00:00", ready("d1", version="1"))
    exporting.run()
    assert exporting.rows(NAMED) == [("apm:d1", "1", None, None)]
    assert_equal_to_a_rebuild(exporting)


def test_a_ready_event_with_an_id_and_one_without_are_one_that_has_the_id(exporting: TestHome) -> None:
    # The first two before a run that the others come after.
    ids = [("d0", None), (None, "d1"), ("d2", None), (None, "d3")]
    first = [ready(name, service=f"s{n}", version="1", team="sales") for n, (name, _) in enumerate(ids)]
    end = {"version": "1", "finished_at": "2024-05-07T01:00:00Z"}
    later = [ready(name, "2024-05-06T10:00:00.700Z", service=f"s{n}", **end) for n, (_, name) in enumerate(ids)]
    drop(exporting, "a.json", "2024-06-01 00:00:00", *first[:2])
    exporting.run()
    drop(exporting, "b.json", "2024-06-01 00:00:00", *first[2:])
    drop(exporting, "c.json", "2024-06-02 00:00:00", *later)
    exporting.run()
    assert exporting.rows(NAMED) == [(f"apm:d{number}", "1", "sales", None) for number in range(4)]
    assert exporting.rows("SELECT DISTINCT CAST(day AS VARCHAR) FROM metrics.daily") == [("2024-05-07",)]
    assert rejected(exporting) == []
    assert_equal_to_a_rebuild(exporting)


def test_a_ready_event_that_stands_on_two_pages_of_one_export_is_one_and_what_comes_later_counts(
    exporting: TestHome,
) -> None:
    pages = [ready("d1", version="1", team="sales"), ready("d2", "2024-05-06T11:00:00Z"), ready("d1", version="2")]
    drop(exporting, "a.json", "2024-06-01 00:00:00", *pages)
    exporting.run()
    assert exporting.rows(NAMED) == [("apm:d1", "2", "sales", None), ("apm:d2", None, None, None)]


def test_ready_events_of_one_second_with_two_versions_are_two_where_only_one_has_an_id(exporting: TestHome) -> None:
    drop(exporting, "a.json", "2024-06-01 00:00:00", ready("d1", version="1"), ready(None, version="2"))
    exporting.run()
    assert exporting.rows(NAMED) == [("apm:d1", "1", None, None)]
    assert [(kind, reason) for kind, reason, *_ in rejected(exporting)] == [("deployment", "same_second")]
    assert_equal_to_a_rebuild(exporting)


def test_an_export_and_a_list_name_one_deployment(home: TestHome, datadog: FakeDatadog) -> None:
    prepare(home, datadog, "apm_deployment_tracking", days=9)
    datadog.answer("GET", "/api/v1/metrics", lambda asked: Reply({"metrics": []}))
    datadog.answer("POST", "/api/v2/spans/events/search", lambda asked: Reply({"data": []}))
    datadog.events["deployments"] = [deployed("d1", 3, version="1", source="apm_deployments")]
    home.run()
    drop(home, "a.json", "2099-01-01 00:00:00", ready(None, ago(3, -1), team="sales"))
    home.run()
    assert home.rows(NAMED) == [("apm:d1", "1", "sales", None)]
    assert rejected(home) == []
    assert_equal_to_a_rebuild(home)


def _failure(event_id: str, days: float, name: str) -> dict[str, Any]:
    """An open failure of a list."""
    told = failed(event_id, days, None)
    return {**told, "attributes": {**told["attributes"], "name": name}}


@pytest.mark.parametrize("is_sent_first", [True, False])
def test_what_is_sent_without_an_id_and_listed_with_one_is_one_event_and_both_ids_name_it(
    home: TestHome, datadog: FakeDatadog, is_sent_first: bool
) -> None:
    prepare(home, datadog, *API_SOURCES)

    def send() -> tuple[str, str]:
        started = {"started_at": ago(3, -1)}
        given = home.deploy("shop", f"{day(3)} 12:00:00", team="sales", version="1", **started)
        return given, home.fail(["shop"], f"{day(3)} 12:00:00", severity="high")

    def listed() -> None:
        datadog.events["deployments"] = [deployed("d1", 3, version="1", git={"commit_sha": COMMIT})]
        datadog.events["failures"] = [_failure("f1", 3, "outage")]

    if is_sent_first:
        sent = send()
        home.run()
        listed()
    else:
        listed()
        home.run()
        sent = send()
    home.run()
    assert home.rows(NAMED) == [("d1", "1", "sales", COMMIT)]
    assert home.rows(FAILURES) == [("f1", "outage", "high", None)]
    assert rejected(home) == []
    assert_equal_to_a_rebuild(home)

    # By the id that the intake made up, then by the list's, to each of the doors.
    change(home, "failure", sent[1], finished_at=ago(3, 30))
    change(home, "deployment", sent[0], team="ops")
    home.run()
    assert home.rows(NAMED) == [("d1", "1", "ops", COMMIT)]
    assert home.rows(FAILURES) == [("f1", "outage", "high", 1800)]
    assert_equal_to_a_rebuild(home)
    with EventStore.at(home.home) as store:
        store.append("failure", {"id": "f1", "finished_at": ago(3, 40)}, received_at=datetime.now(UTC))
    datadog.events["deployments"] = [deployed("d1", 3, version="1", team="web")]
    home.run()
    assert home.rows(NAMED) == [("d1", "1", "web", None)]
    assert home.rows(FAILURES) == [("f1", "outage", "high", 2400)]
    assert rejected(home) == []
    assert_equal_to_a_rebuild(home)


def test_a_deployment_that_is_listed_with_another_version_than_it_was_sent_with_is_another_one(
    home: TestHome, datadog: FakeDatadog
) -> None:
    prepare(home, datadog, *API_SOURCES)
    given = home.deploy("shop", f"{day(3)} 12:00:00", version="1", started_at=ago(3, -1))
    datadog.events["deployments"] = [deployed("d1", 3, version="2")]
    home.run()
    assert sorted([*home.rows("SELECT deployment_id FROM core.deployments"), *_colliding(home)]) == sorted(
        [(given,), ("d1",)]
    )
    assert_equal_to_a_rebuild(home)


def _colliding(home: TestHome) -> list[tuple[Any, ...]]:
    return home.rows("SELECT payload->>'deployment_id' FROM core.rejected_events WHERE reason = 'same_second'")


def test_each_field_is_of_the_door_that_told_it_last(home: TestHome, datadog: FakeDatadog) -> None:
    prepare(home, datadog, *API_SOURCES)
    given = home.deploy("shop", f"{day(3)} 12:00:00", id="d1", version="1", started_at=ago(3, -1))
    datadog.events["deployments"] = [deployed("d1", 3, version="2", team="sales")]
    home.run()
    soon = datetime.now(UTC) + timedelta(hours=1)
    with EventStore.at(home.home) as store:
        store.update("deployment", given, {"team": "ops"}, received_at=soon)
    home.run()
    assert home.rows(NAMED) == [("d1", "2", "ops", None)]
    assert_equal_to_a_rebuild(home)


def test_a_mark_that_was_sent_stays_where_the_list_says_false_of_every_deployment_which_is_no_mark(
    home: TestHome, datadog: FakeDatadog
) -> None:
    prepare(home, datadog, *API_SOURCES)
    home.deploy("shop", f"{day(3)} 12:00:00", id="d1", change_failure=True, started_at=ago(3, -1))
    datadog.events["deployments"] = [
        deployed("d1", 3, version="2", change_failure=False),
        deployed("d2", 2, version="3", change_failure=False),
    ]
    home.run()
    query = "SELECT deployment_id, change_failure FROM core.deployments ORDER BY ALL"
    assert home.rows(query) == [("d1", True), ("d2", None)]
    assert_equal_to_a_rebuild(home)


def test_a_failure_that_is_deleted_here_after_it_was_listed_is_gone_until_the_list_says_something_new(
    home: TestHome, datadog: FakeDatadog
) -> None:
    prepare(home, datadog, *API_SOURCES)
    given = home.fail(["shop"], f"{day(3)} 12:00:00")
    datadog.events["failures"] = [failed("f1", 3, None)]
    home.run()
    with EventStore.at(home.home) as store:
        assert store.delete("failure", given)
    home.run()
    assert home.rows(FAILURES) == []
    assert_equal_to_a_rebuild(home)
    datadog.events["failures"] = [failed("f1", 3, 20)]
    home.run()
    assert home.rows(FAILURES) == [("f1", None, None, 1200)]
    assert_equal_to_a_rebuild(home)


def test_a_record_of_one_door_that_cannot_be_used_takes_nothing_from_what_the_other_told(
    home: TestHome, datadog: FakeDatadog
) -> None:
    prepare(home, datadog, *API_SOURCES)
    home.fail(["shop"], f"{day(3)} 12:00:00", name="outage")
    datadog.events["failures"] = [failed("f1", 3, -30), failed("f2", 2, 30, custom_tags="no list")]
    home.fail(["shop"], f"{day(2)} 12:00:00", id="f2", name="other")
    home.run()
    assert sorted(name for _, name, *_ in home.rows(FAILURES)) == ["other", "outage"]
    assert {seconds for *_, seconds in home.rows(FAILURES)} == {None}
    assert sorted(reason for _, reason, *_ in rejected(home)) == ["field_type", "finished_before_started"]
    assert_equal_to_a_rebuild(home)


def test_names_of_one_environment_make_events_of_two_doors_one_and_other_environments_do_not(
    home: TestHome, datadog: FakeDatadog
) -> None:
    prepare(home, datadog, *API_SOURCES)
    home.settings(
        environments={"production": ["prod", "live"]},
        datadog={"api_url": datadog.url},
        sources={name: {"pull_from_datadog": True} for name in API_SOURCES},
    )
    home.fail(["shop"], f"{day(3)} 12:00:00", env="live", name="outage")
    home.fail(["cart"], f"{day(3)} 12:00:00", env="staging", name="other")
    datadog.events["failures"] = [failed("f1", 3, 30), failed("f2", 3, 30, service=["cart"])]
    home.run()
    rows = [row for row in home.rows(FAILURES) if row[0] == "f1"]
    assert rows == [("f1", "outage", None, 1800)]
    assert len(_collided_failures(home)) == 1
    assert_equal_to_a_rebuild(home)


def _collided_failures(home: TestHome) -> list[tuple[Any, ...]]:
    return home.rows("SELECT service FROM core.rejected_events WHERE reason = 'same_second'")


def test_an_id_that_begins_as_those_of_another_source_is_of_an_event_of_its_own(exporting: TestHome) -> None:
    home = exporting
    home.select("deployment", *DEPLOYMENTS_BY_APM, "deployment_event_api", at=datetime(2021, 1, 1, tzinfo=UTC))
    drop(home, "a.json", "2024-05-07 00:00:00", ready("d1"))
    home.deploy("till", "2024-05-06 10:00:00", id="first")
    home.deploy("till", "2024-05-06 10:00:00.5", id="apm:d1")
    failed = {"id": "failed", "change_failure": True, "remediation": {"id": "apm:d1", "type": "rollforward"}}
    home.deploy("till", "2024-05-06 09:00:00", **failed)
    home.run()
    # That of the intake is rejected for its second, the other one is not.
    assert home.rows("SELECT deployment_id, service FROM core.deployments ORDER BY ALL") == [
        ("apm:d1", "shop"),
        ("failed", "till"),
        ("first", "till"),
    ]
    with EventStore.at(home.home) as store:
        store.delete("deployment", "first", received_at=moment("2024-05-08"))
    home.run()
    assert home.rows("SELECT deployment_id, service FROM core.deployments ORDER BY ALL") == [
        ("apm:d1", "shop"),
        ("deployment_event_api:apm:d1", "till"),
        ("failed", "till"),
    ]
    assert home.rows("SELECT remediation_id, recovery_seconds FROM core.failed_changes") == [
        ("deployment_event_api:apm:d1", 3600.5)
    ]
    assert_equal_to_a_rebuild(home)
