"""Loads that shrink a day: refused until somebody confirms, and never where the loss is no loss of what was told."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from dora_pipeline.errors import SourceIncomplete
from dora_pipeline.intake.store import EventStore
from dora_pipeline.warehouse.publication import working_file
from dora_pipeline_tests.command import call
from dora_pipeline_tests.dagster_runs import days_run, job_run, range_tags, statuses
from dora_pipeline_tests.homes import DEPLOYMENTS_BY_APM, LONG_AGO, TestHome
from dora_pipeline_tests.pulled_homes import TOKEN, Account, day, happened
from dora_pipeline_tests.vendors.pagerduty import FakePagerDuty, merged_into
from dora_pipeline_tests.vendors.server import FakeVendor

FAILURES_A_DAY = 24
SERVICE = "apiVersion: v3\nkind: service\nmetadata:\n  name: shop\n"


def sightings(day: str, services: int, second: int = 0, **more: Any) -> list[dict[str, Any]]:
    """The first sighting of a version by each of so many services, at noon."""
    return [
        {"timestamp": f"{day}T12:00:{second:02}Z", "service": f"s{number}", "env": "prod", "version": day, **more}
        for number in range(services)
    ]


def days(home: TestHome, table: str = "core.deployments") -> list[tuple[str, int]]:
    """The rows of a table by day."""
    return [(str(day), rows) for day, rows in home.rows(f"SELECT day, COUNT(*) FROM {table} GROUP BY day ORDER BY day")]


def refusal(home: TestHome) -> str:
    """What a run is refused with."""
    with pytest.raises(SourceIncomplete) as refused:
        home.run()
    return str(refused.value)


@pytest.fixture(scope="module")
def of_two_days(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home with an export of two days: 40 deployments on 6 May, 40 on 7 May. Copy it."""
    home = TestHome(tmp_path_factory.mktemp("two days") / "home")
    home.select("deployment", *DEPLOYMENTS_BY_APM)
    home.drop_export("one.jsonl", [*sightings("2024-05-06", 40), *sightings("2024-05-07", 40)])
    home.run()
    assert days(home) == [("2024-05-06", 40), ("2024-05-07", 40)]
    return home


@pytest.fixture
def exporting(of_two_days: TestHome, tmp_path: Path) -> TestHome:
    """A copy of that home."""
    return TestHome(Path(shutil.copytree(of_two_days.home.path, tmp_path / "home")))


@pytest.fixture(scope="module")
def of_three_regions(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home with 30 deployments on each of three days in each of three environments. Copy it."""
    home = TestHome(tmp_path_factory.mktemp("three regions") / "home")
    home.select("deployment", "deployment_event_api", *DEPLOYMENTS_BY_APM)
    told: list[dict[str, Any]] = []
    for second, region in enumerate(("eu", "us", "as")):
        for date, version in (("2024-05-06", "a"), ("2024-05-07", "b"), ("2024-05-08", "a")):
            told += [{**one, "version": version} for one in sightings(date, 30, second, env=f"prod-{region}")]
    home.drop_export("one.jsonl", told)
    home.run()
    assert [rows for _, rows in days(home)] == [90, 90, 90]
    return home


def test_a_day_that_loses_more_than_half_stays_and_the_other_days_are_loaded(exporting: TestHome) -> None:
    exporting.drop_export("one.jsonl", [*sightings("2024-05-06", 3), *sightings("2024-05-07", 41)])
    assert refusal(exporting) == (
        "apm_deployment_tracking: core.deployments: not loaded: 2024-05-06 (40 rows before, 3 now); more is lost than "
        "shrink_share (0.5) allows, so what was there stays. Bring back what the source told and run again, or, if the "
        "loss is meant, run `dora run --accept-shrink` (in Dagster: the run tag dora/accept_shrink: true)"
    )
    assert days(exporting) == [("2024-05-06", 40), ("2024-05-07", 41)]
    assert exporting.rows("SELECT SUM(deployments) FROM metrics.daily") == [(81,)]
    assert exporting.rows("SELECT stale_days FROM metrics.freshness WHERE table_name = 'core.deployments'") == [(1,)]


def test_the_refusal_is_repeated_until_it_is_accepted_and_a_rebuild_gives_the_same(exporting: TestHome) -> None:
    exporting.drop_export("one.jsonl", sightings("2024-05-06", 3))
    assert "2024-05-06 (40 rows before, 3 now), 2024-05-07 (40 rows before, 0 now)" in refusal(exporting)
    assert "2024-05-06 (40 rows before, 3 now)" in refusal(exporting)
    answer = call(exporting.home.path, "run")
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert "--accept-shrink" in line
    assert call(exporting.home.path, "run", "--accept-shrink").code == 0
    assert days(exporting) == [("2024-05-06", 3)]
    accepted = exporting.tables()
    exporting.run(rebuild=True)
    assert exporting.tables() == accepted


def test_what_is_brought_back_ends_the_refusal(exporting: TestHome) -> None:
    path = exporting.home.path / "exports" / "apm" / "one.jsonl"
    before, content = exporting.tables(), path.read_bytes()
    path.unlink()
    assert "2024-05-07 (40 rows before, 0 now)" in refusal(exporting)
    path.write_bytes(content)
    assert exporting.run().stale == []
    assert exporting.tables() == before


def test_days_that_are_asked_for_are_refused_too(exporting: TestHome) -> None:
    exporting.drop_export("one.jsonl", sightings("2024-05-07", 40))
    with pytest.raises(SourceIncomplete, match="2024-05-06"):
        exporting.run("2024-05-06", "2024-05-07")
    assert days(exporting) == [("2024-05-06", 40), ("2024-05-07", 40)]


@pytest.mark.parametrize(
    ("before", "after", "is_refused"), [(40, 20, False), (40, 19, True), (20, 9, True), (19, 0, False), (20, 10, False)]
)
def test_half_may_go_and_all_of_a_small_day(home: TestHome, before: int, after: int, is_refused: bool) -> None:
    home.select("deployment", *DEPLOYMENTS_BY_APM)
    home.drop_export("one.jsonl", sightings("2024-05-06", before))
    home.run()
    home.drop_export("one.jsonl", sightings("2024-05-06", after))
    if is_refused:
        assert "2024-05-06" in refusal(home)
    else:
        home.run()
    kept = before if is_refused else after
    assert home.rows("SELECT COUNT(*) FROM core.deployments") == [(kept,)]


def test_the_share_is_a_setting_and_one_switches_the_guard_off(exporting: TestHome) -> None:
    exporting.drop_export("one.jsonl", [*sightings("2024-05-06", 30), *sightings("2024-05-07", 40)])
    exporting.settings(shrink_share=0.1)
    assert "2024-05-06 (40 rows before, 30 now)" in refusal(exporting)
    exporting.settings(shrink_share=1.0)
    exporting.drop_export("one.jsonl", [])
    exporting.run()
    assert days(exporting) == []


def test_a_renamed_export_loses_nothing(exporting: TestHome) -> None:
    path = exporting.home.path / "exports" / "apm" / "one.jsonl"
    path.rename(path.with_name("another.jsonl"))
    assert exporting.run().stale == []


def test_earlier_exports_that_move_first_sightings_to_their_day_are_no_loss(exporting: TestHome) -> None:
    earlier = sightings("2024-05-05", 40)
    exporting.drop_export("earlier.jsonl", [{**told, "version": "2024-05-06"} for told in earlier])
    exporting.run()
    assert days(exporting) == [("2024-05-05", 40), ("2024-05-07", 40)]


@pytest.mark.parametrize(
    "settings",
    [
        {"timezone": "Asia/Tokyo"},
        {"timezone": "America/Los_Angeles"},
        {"environments": {"production": ["prod", "prod-*"]}},
        {"sources": {"apm_deployment_tracking": {"quiet_gap": "2d"}}},
        {"merge_window": "12h"},
    ],
    ids=["zone east", "zone west", "environments", "quiet_gap", "merge_window"],
)
def test_settings_that_make_everything_judged_anew_are_no_loss(
    of_three_regions: TestHome, tmp_path: Path, settings: dict[str, Any]
) -> None:
    home = TestHome(Path(shutil.copytree(of_three_regions.home.path, tmp_path / "home")))
    home.settings(**settings)
    home.run()
    changed = home.tables()
    home.run(rebuild=True)
    assert home.tables() == changed


def test_deselecting_is_no_loss(exporting: TestHome) -> None:
    exporting.select("deployment", "deployment_event_api", at=LONG_AGO + timedelta(days=1))
    exporting.run()
    assert exporting.rows("SELECT COUNT(*) FROM metrics.daily") == [(0,)]


def test_events_that_are_deleted_one_by_one_are_meant(home: TestHome) -> None:
    home.select_events()
    ids = [home.deploy(f"s{number}", "2024-05-06 10:00:00") for number in range(40)]
    failures = [home.fail([f"s{number}"], "2024-05-06 11:00:00") for number in range(40)]
    home.run()
    with EventStore.at(home.home) as store:
        for kind, told in (("deployment", ids), ("failure", failures)):
            for event_id in told[:39]:
                assert store.delete(kind, event_id)
    home.run()
    assert days(home) == [("2024-05-06", 1)]
    assert days(home, "core.failures") == [("2024-05-06", 1)]


def test_duplicates_that_merge_are_no_loss(exporting: TestHome) -> None:
    exporting.select("deployment", "deployment_event_api", *DEPLOYMENTS_BY_APM, at=LONG_AGO + timedelta(days=1))
    for number in range(40):
        exporting.deploy(f"s{number}", "2024-05-06 12:01:00", version="2024-05-06")
    exporting.run()
    assert exporting.rows("SELECT SUM(deployments) FROM metrics.daily WHERE day = '2024-05-06'") == [(40,)]


# Failures


def failures() -> list[dict[str, Any]]:
    """24 failures of one day, a minute apart."""
    return [happened(number, 3 - number / 24 / 60) for number in range(FAILURES_A_DAY)]


def merged_failures() -> list[dict[str, Any]]:
    """The same, all merged into the first."""
    return [
        happened(number, 3 - number / 24 / 60, resolve_reason=merged_into(0)) for number in range(1, FAILURES_A_DAY)
    ]


@pytest.fixture
def account() -> Iterator[Account]:
    with FakeVendor() as vendor:
        yield Account(vendor, FakePagerDuty(vendor, TOKEN))


@pytest.fixture
def pulling(home: TestHome, account: Account, monkeypatch: pytest.MonkeyPatch) -> TestHome:
    """A home that has pulled 24 failures of one day and one of the day after."""
    monkeypatch.setenv("PAGERDUTY_API_TOKEN", TOKEN)
    account.prepare(home, days=5)
    account.add(*failures())
    account.add(happened(99, days=2))
    home.run()
    assert days(home, "core.failures") == [(str(day(3)), FAILURES_A_DAY), (str(day(2)), 1)]
    return home


def test_failures_that_come_again_as_merged_into_one_are_not_taken_away(pulling: TestHome, account: Account) -> None:
    account.add(*merged_failures())
    message = refusal(pulling)
    assert message.startswith(f"pagerduty: core.failures: not loaded: {day(3)} (24 rows before, 1 now)")
    assert days(pulling, "core.failures") == [(str(day(3)), FAILURES_A_DAY), (str(day(2)), 1)]
    assert pulling.rows("SELECT SUM(failures) FROM metrics.daily") == [(FAILURES_A_DAY + 1,)]


def test_days_that_two_tables_refuse_are_failed_in_what_follows_from_both(
    pulling: TestHome, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_HOME", str(pulling.home.path))
    asked = [str(day(number)) for number in (4, 3, 2, 1)]
    pulling.select("deployment", *DEPLOYMENTS_BY_APM, at=datetime.now(UTC) - timedelta(days=30))
    pulling.drop_export("one.jsonl", [*sightings(asked[2], 40), *sightings(asked[3], 40)])
    pulling.run()
    pulling.drop_export("one.jsonl", [*sightings(asked[2], 3), *sightings(asked[3], 41)])
    account.add(*merged_failures())
    expected = {
        "core/failures": ("MATERIALIZED", "FAILED", "MATERIALIZED", "MATERIALIZED"),
        "core/deployments": ("MATERIALIZED", "MATERIALIZED", "FAILED", "MATERIALIZED"),
        "core/rejected_events": ("MATERIALIZED", "FAILED", "FAILED", "MATERIALIZED"),
        "metrics/daily": ("MATERIALIZED", "FAILED", "FAILED", "MATERIALIZED"),
    }
    with dg.DagsterInstance.ephemeral() as instance:
        assert not days_run(pulling, instance, asked[0], asked[-1]).success
        for asset, told in expected.items():
            assert statuses(pulling, instance, asset, asked) == dict(zip(asked, told, strict=True))
    assert days(pulling) == [(asked[2], 40), (asked[3], 41)]
    assert pulling.rows(f"SELECT SUM(deployments) FROM metrics.daily WHERE day = '{asked[3]}'") == [(41,)]


def test_deployments_that_cannot_be_loaded_are_failed_in_what_follows_though_failures_were_refused(
    pulling: TestHome, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_HOME", str(pulling.home.path))
    asked = [str(day(number)) for number in (3, 2, 1)]
    pulling.select("deployment", *DEPLOYMENTS_BY_APM, at=datetime.now(UTC) - timedelta(days=30))
    pulling.run()
    pulling.drop_export("one.jsonl", sightings(asked[1], 7))
    account.add(*merged_failures())
    with duckdb.connect(str(working_file(pulling.home))) as connection:
        connection.execute("ALTER TABLE core.deployments RENAME COLUMN version TO edition")
    with dg.DagsterInstance.ephemeral() as instance:
        assert not days_run(pulling, instance, asked[0], asked[-1]).success
        assert statuses(pulling, instance, "core/failures", asked)[asked[1]] == "MATERIALIZED"
        assert statuses(pulling, instance, "core/deployments", asked)[asked[1]] == "FAILED"
        assert statuses(pulling, instance, "metrics/daily", asked)[asked[1]] == "FAILED"


def test_failures_that_a_setting_leaves_out_are_meant(pulling: TestHome, account: Account) -> None:
    pulling.settings(sources={"pagerduty": {"api_url": account.vendor.url, "service_ids": ["PNONE"]}})
    pulling.run()
    assert days(pulling, "core.failures") == []


def test_a_loss_after_one_that_was_meant_is_refused_again(pulling: TestHome, account: Account) -> None:
    pulling.settings(timezone="UTC", sources={"pagerduty": {"api_url": account.vendor.url, "team_ids": []}})
    (pulling.home.services).mkdir()
    (pulling.home.services / "one.yaml").write_text(
        "apiVersion: v3\nkind: service\nmetadata: {name: shop, owner: sales}\n"
    )
    pulling.run()
    account.add(*merged_failures())
    assert "24 rows before, 1 now" in refusal(pulling)


def test_a_refused_load_is_accepted_by_the_tag_of_a_run(exporting: TestHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DORA_HOME", str(exporting.home.path))
    exporting.drop_export("one.jsonl", [*sightings("2024-05-06", 3), *sightings("2024-05-07", 40)])
    tags = range_tags("2024-05-06", "2024-05-07")
    with dg.DagsterInstance.ephemeral() as instance:
        assert not job_run(exporting, instance, "load_days", tags).success
        assert days(exporting) == [("2024-05-06", 40), ("2024-05-07", 40)]
        assert job_run(exporting, instance, "load_days", {**tags, "dora/accept_shrink": "true"}).success
    assert days(exporting) == [("2024-05-06", 3), ("2024-05-07", 40)]


def test_dagster_calls_only_the_refused_day_failed(exporting: TestHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DORA_HOME", str(exporting.home.path))
    exporting.select("failure", "failure_event_api")
    exporting.drop_export("one.jsonl", [*sightings("2024-05-06", 3), *sightings("2024-05-07", 41)])
    exporting.fail(["s1"], "2024-05-06 10:00:00", "2024-05-06 11:00:00")
    with dg.DagsterInstance.ephemeral() as instance:
        asked = ["2024-05-06", "2024-05-07", "2024-05-08"]
        assert not days_run(exporting, instance, asked[0], asked[-1]).success
        for asset in ("core/deployments", "core/deployment_commits", "core/rejected_events", "metrics/daily"):
            expected = dict(zip(asked, ("FAILED", "MATERIALIZED", "MATERIALIZED"), strict=True))
            assert statuses(exporting, instance, asset, asked) == expected
        for asset in ("core/apm_version_activity", "core/failures"):
            assert statuses(exporting, instance, asset, asked) == dict.fromkeys(asked, "MATERIALIZED")
    assert days(exporting) == [("2024-05-06", 40), ("2024-05-07", 41)]
    counted = "SELECT day, SUM(deployments), SUM(failures) FROM metrics.daily GROUP BY day ORDER BY day"
    assert [row[1:] for row in exporting.rows(counted)] == [(40, 1), (41, 0)]
    assert exporting.rows("SELECT DISTINCT stale_days FROM metrics.freshness WHERE stale_days > 0") == [(1,)]


def test_sightings_before_the_selection_do_not_switch_the_guard_off(
    home: TestHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    home.select("deployment", *DEPLOYMENTS_BY_APM, at=datetime(2024, 5, 6, tzinfo=UTC))
    early = sightings("2024-05-01", 30)
    home.drop_export("one.jsonl", [*early, *sightings("2024-05-06", 40)])
    with dg.DagsterInstance.ephemeral() as instance:
        assert job_run(home, instance, "load_days", range_tags("2024-05-06", "2024-05-06")).success
        home.home.services.mkdir()
        (home.home.services / "shop.yaml").write_text(SERVICE)
        assert job_run(home, instance, "load_days", range_tags("2024-05-06", "2024-05-06")).success
        assert home.rows("SELECT SUM(stale_days) FROM metrics.freshness") == [(0,)]
        home.drop_export("one.jsonl", [*early, *sightings("2024-05-06", 3)])
        assert not job_run(home, instance, "load_days", range_tags("2024-05-06", "2024-05-06")).success
    assert days(home) == [("2024-05-06", 40)]
