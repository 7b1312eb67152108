"""What `dora run` loads is shown by Dagster: days as materialized, with rows and checks, and nothing as outdated."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from dagster import DagsterInstance
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from dora_pipeline.assets import event_log, outside_loads
from dora_pipeline.assets.outside_loads import report_outside_loads
from dora_pipeline.assets.partitions import daily_partitions
from dora_pipeline.code_versions import code_version
from dora_pipeline.definitions import definitions
from dora_pipeline.errors import SourceIncomplete
from dora_pipeline.tables import Deployments
from dora_pipeline.warehouse.publication import working_file
from dora_pipeline_tests.dagster_runs import DAILY, days_run, instance_with_files, job_run, sensor_tick, statuses
from dora_pipeline_tests.homes import DEPLOYMENTS_BY_APM, TestHome
from dora_pipeline_tests.test_shrinking_loads import sightings

WHOLE = ("core/source_selections", "core/services", "landing/source_states")
# The partitions: nine days before today, and today.
NOW = datetime.now(UTC)
DAYS = [(NOW - timedelta(days=back)).date().isoformat() for back in reversed(range(10))]


@pytest.fixture
def home(home: TestHome, monkeypatch: pytest.MonkeyPatch) -> TestHome:
    """A home with a deployment on the second of the days and two on the fourth, to which DORA_HOME points."""
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    home.select_events(at=NOW - timedelta(days=9))
    for number, day in enumerate((DAYS[1], DAYS[3], DAYS[3])):
        home.deploy("shop", f"{day} 23:00:0{number}", version=str(number))
    return home


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    """An instance of Dagster with its SQLite files in the folder of the test."""
    with instance_with_files(tmp_path / "dagster") as made:
        yield made


def reported(home: TestHome, instance: DagsterInstance) -> int:
    """Report what was loaded; the number of days."""
    return report_outside_loads(instance, home.home, daily_partitions(home.home))


def events(instance: DagsterInstance, asset: str) -> list[tuple[str | None, int, dg.AssetMaterialization]]:
    """Partition, rows and event of each materialization of an asset, oldest first."""
    key = dg.AssetKey(asset.split("/"))
    found = instance.fetch_materializations(key, limit=10_000, ascending=True).records
    made = [record.asset_materialization for record in found]
    name = "dagster/row_count" if asset in WHOLE else "dagster/partition_row_count"
    return [(event.partition, int(str(event.metadata[name].value)), event) for event in made if event]


def outdated(home: TestHome, instance: DagsterInstance) -> list[tuple[str, str | None]]:
    """The assets and days that the page calls outdated, and why."""
    graph = definitions(home.home).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    found = []
    for asset in (*WHOLE, *DAILY):
        for day in [None] if asset in WHOLE else DAYS:
            for cause in resolver.get_stale_causes(dg.AssetKey(asset.split("/")), day):
                found.append((asset, f"{day} {cause.reason} {cause.dependency}"))
    return found


@pytest.fixture(params=["together", "one by one"])
def _ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways into Dagster's event log."""
    if request.param == "one by one":
        monkeypatch.setattr(event_log, "TRIED_VERSION", "another one")


@pytest.mark.usefixtures("_ways")
def test_days_that_dora_run_loaded_are_materialized_with_their_rows_and_checks(
    home: TestHome, instance: DagsterInstance
) -> None:
    home.run()
    assert reported(home, instance) == 8 * 10 + 3
    for asset in DAILY:
        assert statuses(home, instance, asset, DAYS) == dict.fromkeys(DAYS, "MATERIALIZED"), asset
    assert {day: rows for day, rows, _ in events(instance, "core/deployments") if rows} == {DAYS[1]: 1, DAYS[3]: 2}
    assert [rows for _, rows, _ in events(instance, "core/source_selections")] == [2]
    assert outdated(home, instance) == []
    graph = definitions(home.home).resolve_asset_graph()
    checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(graph.asset_check_keys))
    assert set(checks) == graph.asset_check_keys
    evaluations = {
        key.name: record.event.dagster_event.asset_check_evaluation_data
        for key, record in checks.items()
        if record.event and record.event.dagster_event and key.asset_key == dg.AssetKey(["core", "deployments"])
    }
    assert evaluations["keys_unique"].passed
    lacking = evaluations["commits_known"]
    assert (lacking.passed, lacking.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert lacking.description == "deployments that lack their commits (3): no_commit (3, 100%, all days)"
    assert lacking.metadata["wrong"].value == 3


def test_the_way_that_is_not_public_is_that_of_the_version_in_the_lock_file(instance: DagsterInstance) -> None:
    assert f"dagster=={event_log.TRIED_VERSION} " in Path("requirements.txt").read_text(encoding="utf-8")
    assert event_log._sql_storage(instance) is not None


def test_a_materialization_is_of_the_moment_and_of_the_version_of_the_load(
    home: TestHome, instance: DagsterInstance
) -> None:
    home.run()
    query = "SELECT loaded_at FROM landing.loads WHERE target = 'core.deployments' AND day = ?"
    ((loaded_at,),) = home.rows(query, DAYS[3])
    reported(home, instance)
    found = instance.fetch_materializations(dg.AssetKey(["core", "deployments"]), limit=100).records
    moments = {record.partition_key: record.timestamp for record in found}
    assert moments[DAYS[3]] == pytest.approx(loaded_at.timestamp(), abs=0.001)
    tags = [event.tags or {} for _, _, event in events(instance, "core/deployments")]
    assert {each["dagster/code_version"] for each in tags} == {code_version(Deployments)}


def test_a_day_that_another_version_loaded_is_outdated(home: TestHome, instance: DagsterInstance) -> None:
    home.run()
    with duckdb.connect(str(working_file(home.home))) as connection:
        connection.execute(
            "UPDATE landing.loads SET code_version = 'older' WHERE target = 'metrics.daily' AND day = ?", [DAYS[3]]
        )
    home.deploy("shop", f"{DAYS[1]} 23:00:09", version="9")
    home.run()
    reported(home, instance)
    assert outdated(home, instance) == [("metrics/daily", f"{DAYS[3]} has a new code version None")]


def test_the_next_report_is_of_what_came_since(home: TestHome, instance: DagsterInstance) -> None:
    home.run()
    reported(home, instance)
    assert reported(home, instance) == 0
    home.deploy("shop", f"{DAYS[5]} 23:00:00", version="5")
    home.run()
    # The day of eight tables, and the three tables that every run reads.
    assert reported(home, instance) == 8 + 3
    assert [(day, rows) for day, rows, _ in events(instance, "core/deployments")][-1] == (DAYS[5], 1)
    assert len(events(instance, "core/deployments")) == 11
    assert reported(home, instance) == 0


def test_a_report_that_is_killed_is_made_whole_by_the_next_one_and_nothing_stands_twice(
    home: TestHome, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside_loads, "_DAYS_AT_ONCE", 1)
    home.run()
    storage, left = instance.daemon_cursor_storage, [3]
    write = storage.set_cursor_values

    def kill(values: Any) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(values)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "set_cursor_values", kill)
        with pytest.raises(KeyboardInterrupt):
            reported(home, instance)
    assert 0 < sum(len(events(instance, asset)) for asset in (*WHOLE, *DAILY)) < 83
    reported(home, instance)
    for asset in DAILY:
        assert sorted(str(day) for day, _, _ in events(instance, asset)) == DAYS, asset
    assert [len(events(instance, asset)) for asset in WHOLE] == [1, 1, 1]


def test_a_report_that_takes_long_ends_and_the_next_one_goes_on(home: TestHome, instance: DagsterInstance) -> None:
    home.run()
    assert report_outside_loads(instance, home.home, daily_partitions(home.home), seconds=-1) == 0
    assert reported(home, instance) == 83


def test_what_a_run_of_dagster_loaded_is_not_reported_again(home: TestHome, instance: DagsterInstance) -> None:
    assert days_run(home, instance, DAYS[0], DAYS[-1], job="refresh").success
    assert reported(home, instance) == 0
    assert len(events(instance, "metrics/daily")) == 10


def test_loads_by_dagster_and_outside_of_it_together_leave_nothing_outdated(
    home: TestHome, instance: DagsterInstance
) -> None:
    home.run()
    reported(home, instance)
    assert days_run(home, instance, DAYS[2], DAYS[4], job="refresh").success
    assert outdated(home, instance) == []
    home.deploy("shop", f"{DAYS[3]} 22:00:00", version="4")
    home.run()
    assert reported(home, instance) == 8 + 3
    assert outdated(home, instance) == []
    assert job_run(home, instance, "read_sources").success
    assert outdated(home, instance) == []
    assert days_run(home, instance, DAYS[3], job="load_days").success
    assert outdated(home, instance) == []
    assert events(instance, "core/deployments")[-1][:2] == (DAYS[3], 3)


def test_a_day_that_failed_in_dagster_is_materialized_when_dora_run_loads_it(
    home: TestHome, instance: DagsterInstance
) -> None:
    home.run()
    reported(home, instance)
    job = definitions(home.home).resolve_job_def("load_days")
    home.settings(merge_window="forever")
    assert not job.execute_in_process(instance=instance, partition_key=DAYS[3], raise_on_error=False).success
    home.settings()
    assert statuses(home, instance, "core/deployments", [DAYS[3]]) == {DAYS[3]: "FAILED"}
    home.run(DAYS[3])
    reported(home, instance)
    assert statuses(home, instance, "core/deployments", [DAYS[3]]) == {DAYS[3]: "MATERIALIZED"}


def test_a_day_that_was_refused_is_not_shown_as_loaded_nor_what_follows_from_it(
    tmp_path: Path, instance: DagsterInstance
) -> None:
    home = TestHome(tmp_path / "exporting")
    home.select("deployment", *DEPLOYMENTS_BY_APM, at=NOW - timedelta(days=9))
    home.drop_export("one.jsonl", [sighting for day in DAYS[2:4] for sighting in sightings(day, 40)])
    home.run()
    reported(home, instance)
    home.drop_export("one.jsonl", [*sightings(DAYS[2], 3), *sightings(DAYS[3], 41)])
    with pytest.raises(SourceIncomplete, match=f"not loaded: {DAYS[2]}"):
        home.run()
    reported(home, instance)
    loads = {
        asset: [(day, rows) for day, rows, _ in events(instance, asset) if day in DAYS[2:4]][2:]
        for asset in ("core/apm_version_activity", "core/deployments", "metrics/daily")
    }
    assert loads == {
        "core/apm_version_activity": [(DAYS[2], 3), (DAYS[3], 41)],
        "core/deployments": [(DAYS[3], 41)],
        "metrics/daily": [(DAYS[3], 41)],
    }


def test_days_before_the_first_partition_are_no_matter_of_dagster(home: TestHome, instance: DagsterInstance) -> None:
    home.deploy("shop", f"{(NOW - timedelta(days=12)).date()} 10:00:00", version="0")
    home.run()
    reported(home, instance)
    assert {day for day, _, _ in events(instance, "core/deployments")} == set(DAYS)


def test_the_sensor_reports_and_says_so(home: TestHome, instance: DagsterInstance) -> None:
    assert "nothing was loaded" in sensor_tick(home, instance, "outside_loads").skip_message
    home.run()
    assert sensor_tick(home, instance, "outside_loads").skip_message == "83 days of tables reported"
    assert sensor_tick(home, instance, "outside_loads").skip_message == "nothing was loaded outside of Dagster"


def test_a_warehouse_that_is_made_anew_is_reported_anew(home: TestHome, instance: DagsterInstance) -> None:
    home.run()
    reported(home, instance)
    home.run(rebuild=True)
    assert reported(home, instance) == 83
    assert outdated(home, instance) == []
