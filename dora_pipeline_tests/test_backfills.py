"""Backfills: few runs, whole days only, and a status of each day that is true."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster import DagsterInstance

from dora_pipeline.definitions import definitions
from dora_pipeline.warehouse.publication import working_file
from dora_pipeline_tests.dagster_runs import (
    days_run,
    existing_instance,
    instance_with_files,
    job_run,
    range_tags,
    statuses,
)
from dora_pipeline_tests.full_homes import copied, fill
from dora_pipeline_tests.homes import TestHome

DAYS = [f"2024-03-{day:02}" for day in range(1, 13)]
EVENTS = ("core/apm_version_activity", "core/deployments", "core/failures")
FOLLOWING = (
    "core/deployment_commits",
    "core/failure_links",
    "core/failed_changes",
    "core/rejected_events",
    "metrics/daily",
)


@dataclass(frozen=True)
class Loaded:
    """A home with something of everything in the first days of March 2024, and what Dagster knows of it."""

    home: TestHome
    instance: Path


@pytest.fixture(scope="module")
def first_days(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Four days are loaded by a run of Dagster; to load them anew for each test would take most of its time."""
    folder = tmp_path_factory.mktemp("loaded")
    home = TestHome(folder / "home")
    fill(home)
    with pytest.MonkeyPatch.context() as patch, instance_with_files(folder / "dagster") as instance:
        patch.setenv("DORA_HOME", str(home.home.path))
        assert days_run(home, instance, DAYS[0], DAYS[3]).success
    return Loaded(home, folder / "dagster")


@pytest.fixture
def home(first_days: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestHome:
    """A copy of it, to which DORA_HOME points."""
    home = copied(first_days.home, tmp_path / "home")
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    return home


@pytest.fixture
def instance(first_days: Loaded, tmp_path: Path) -> Iterator[DagsterInstance]:
    """An instance of Dagster that knows of the run."""
    shutil.copytree(first_days.instance, tmp_path / "dagster")
    with existing_instance(tmp_path / "dagster") as made:
        yield made


def tables(home: TestHome) -> dict[str, list[str]]:
    """Every row but those that tell when and by which run they were published."""
    found = home.tables()
    del found["metrics.freshness"]
    return found


def loaded_assets(home: TestHome, instance: DagsterInstance, assets: tuple[str, ...], first: str, last: str) -> bool:
    """Load a range of days of some assets only, as a run that ended before the others."""
    selection = dg.AssetSelection.assets(*(asset.split("/") for asset in assets))
    job = definitions(home.home).resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey(asset.split("/")) for asset in assets]
    assert selection.resolve(definitions(home.home).resolve_asset_graph()) == set(keys)
    result = job.execute_in_process(
        instance=instance, tags=range_tags(first, last), asset_selection=keys, raise_on_error=False
    )
    return result.success


def test_ten_years_are_twenty_runs_and_each_takes_whole_days(home: TestHome) -> None:
    graph = definitions(home.home).resolve_asset_graph()
    for asset in (*EVENTS, *FOLLOWING):
        policy = graph.get(dg.AssetKey(asset.split("/"))).backfill_policy
        assert policy is not None
        assert policy.max_partitions_per_run == 183


def test_a_range_in_parts_of_any_order_gives_the_tables_of_a_rebuild(home: TestHome, instance: DagsterInstance) -> None:
    for first, last in ((DAYS[7], DAYS[11]), (DAYS[4], DAYS[6])):
        assert days_run(home, instance, first, last).success
    by_days = tables(home)
    home.run(rebuild=True)
    assert by_days == tables(home)
    for asset in (*EVENTS, *FOLLOWING):
        assert statuses(home, instance, asset, DAYS) == dict.fromkeys(DAYS, "MATERIALIZED")


def test_a_run_that_ends_between_two_assets_publishes_nothing_and_the_next_one_mends_it(
    home: TestHome, instance: DagsterInstance
) -> None:
    before = tables(home)
    assert loaded_assets(home, instance, ("core/deployments",), DAYS[4], DAYS[7])
    assert tables(home) == before
    # Any run makes it whole, though it loads other days.
    assert days_run(home, instance, DAYS[11]).success
    for day in DAYS[4:8]:
        counted = home.rows(
            "SELECT COUNT(*) FROM core.deployments WHERE is_selected AND duplicate_of IS NULL AND day = ?", day
        )
        told = home.rows("SELECT COALESCE(SUM(deployments), 0) FROM metrics.daily WHERE day = ?", day)
        assert counted == told != [(0,)]


def test_a_run_that_only_reads_the_sources_mends_what_an_interrupted_one_has_left(
    home: TestHome, instance: DagsterInstance
) -> None:
    assert loaded_assets(home, instance, EVENTS, DAYS[4], DAYS[-1])
    assert home.rows("SELECT COUNT(*) FROM metrics.daily WHERE day >= ?", DAYS[5]) == [(0,)]
    assert job_run(home, instance, "read_sources").success
    assert home.rows("SELECT COUNT(*) FROM landing.stale_days") == [(0,)]
    by_parts = tables(home)
    home.run(rebuild=True)
    assert by_parts == tables(home)


def test_a_load_that_fails_shows_its_days_as_failed_leaves_the_others_and_says_what_to_do(
    home: TestHome, instance: DagsterInstance
) -> None:
    before = tables(home)
    with duckdb.connect(str(working_file(home.home))) as connection:
        connection.execute("ALTER TABLE landing.judged_failures RENAME COLUMN severity TO gravity")
    failed = days_run(home, instance, DAYS[3], DAYS[5])
    assert not failed.success
    after = tables(home)
    # Sightings are loaded before failures, and nothing follows from them.
    assert set(after.pop("core.apm_version_activity")) > set(before.pop("core.apm_version_activity"))
    assert after == before
    for asset in ("core/failures", "core/rejected_events", "metrics/daily"):
        told = statuses(home, instance, asset, DAYS[:7])
        assert told == dict.fromkeys(DAYS[:3], "MATERIALIZED") | dict.fromkeys(DAYS[3:6], "FAILED") | {DAYS[6]: None}
    assert statuses(home, instance, "core/deployments", DAYS[3:6]) == dict.fromkeys(DAYS[3:6], "MATERIALIZED")
    (failure,) = [
        event.step_failure_data
        for event in failed.all_events
        if event.step_key == "core__failures" and event.is_step_failure
    ]
    assert failure.user_failure_data is not None
    described = str(failure.user_failure_data.description)
    assert described.startswith(f"{working_file(home.home)}: ")
    assert described.endswith("`dora run --rebuild` makes the warehouse again from the raw layer")
    home.run(rebuild=True)
    assert days_run(home, instance, DAYS[4]).success
    assert statuses(home, instance, "metrics/daily", DAYS[3:6]) == {
        DAYS[3]: "FAILED",
        DAYS[4]: "MATERIALIZED",
        DAYS[5]: "FAILED",
    }


def test_one_day_is_loaded_again_alone_and_changes_nothing_else(home: TestHome, instance: DagsterInstance) -> None:
    before = tables(home)
    result = days_run(home, instance, DAYS[2])
    assert result.success
    assert tables(home) == before
    made = {(event.asset_key.path[0], event.partition) for event in result.get_asset_materialization_events()}
    assert made == {("core", DAYS[2]), ("metrics", DAYS[2])}
    assert home.rows("SELECT COUNT(*) > 0 FROM core.deployments WHERE day = ?", date(2024, 3, 3)) == [(True,)]
