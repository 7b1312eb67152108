"""A warehouse of another version of the program: an older one is made anew, a newer one is refused."""

import shutil
from datetime import timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from dora_pipeline.assets.lineage import SOURCES
from dora_pipeline.assets.partitions import daily_partitions
from dora_pipeline.assets.resources import Warehouse
from dora_pipeline.assets.tables import table_assets
from dora_pipeline.errors import DoraError, WarehouseError
from dora_pipeline.warehouse.version import SCHEMA_VERSION
from dora_pipeline_tests.command import call
from dora_pipeline_tests.full_homes import FIRST_DAY, fill
from dora_pipeline_tests.git_histories import History, git
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.lead_times import REPOSITORY

Tables = dict[str, list[str]]
DAY = str(FIRST_DAY + timedelta(days=3))

_OLDER = "UPDATE landing.properties SET value = '1' WHERE name = 'schema_version'"
# What version 1 had in another way, as far as a reader or a run could stumble over it.
_VERSION_1 = f"""
ALTER TABLE core.deployments DROP COLUMN change_failure;
ALTER TABLE core.deployments DROP COLUMN remediation_id;
ALTER TABLE core.deployments DROP COLUMN remediation_type;
ALTER TABLE landing.deployments DROP COLUMN change_failure;
ALTER TABLE landing.deployments DROP COLUMN remediation_id;
ALTER TABLE landing.deployments DROP COLUMN remediation_type;
ALTER TABLE landing.judged_deployments DROP COLUMN change_failure;
ALTER TABLE landing.judged_deployments DROP COLUMN remediation_id;
ALTER TABLE landing.judged_deployments DROP COLUMN remediation_type;
{_OLDER};
"""
_NEWER = "UPDATE landing.properties SET value = '999' WHERE name = 'schema_version'"
_VERSION = "SELECT value FROM landing.properties WHERE name = 'schema_version'"


def change(home: TestHome, statements: str) -> None:
    """Change the working database, and publish that."""
    working = home.home.work / "warehouse.duckdb"
    with duckdb.connect(str(working)) as connection:
        connection.execute(statements)
    home.home.warehouse.unlink()
    shutil.copy2(working, home.home.warehouse)


@pytest.fixture(scope="module")
def current(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home after a run of this program. Nothing may change it."""
    home = TestHome(tmp_path_factory.mktemp("homes") / "current")
    fill(home)
    home.run()
    return home


@pytest.fixture(scope="module")
def expected(current: TestHome) -> Tables:
    return without_times(current.tables())


@pytest.fixture
def old(current: TestHome, tmp_path: Path) -> TestHome:
    """The same home as the program of version 1 left it."""
    shutil.copytree(current.home.path, tmp_path / "old")
    home = TestHome(tmp_path / "old")
    change(home, _VERSION_1)
    return home


def without_times(tables: Tables) -> Tables:
    """The tables that tell of events; metrics.freshness also tells when a run was."""
    return {name: rows for name, rows in tables.items() if name != "metrics.freshness"}


def materialized(home: TestHome, day: str) -> dg.ExecuteInProcessResult:
    """Materialize everything for a day, as Dagster does."""
    definitions = dg.Definitions(
        assets=[*SOURCES, *table_assets(daily_partitions(home.home))],
        resources={"warehouse": Warehouse(home=str(home.home.path))},
        executor=dg.in_process_executor,
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        tags={"dagster/asset_partition_range_start": day, "dagster/asset_partition_range_end": day}
    )


# An older warehouse


def test_a_run_makes_an_older_warehouse_anew_and_says_so(old: TestHome, expected: Tables) -> None:
    old.run()
    assert without_times(old.tables()) == expected
    assert old.rows(_VERSION) == [(SCHEMA_VERSION,)]
    assert len([note for note in old.notes.notes if f"it is made anew in version {SCHEMA_VERSION}" in note]) == 1
    assert list(old.run().days) == []


def test_a_run_of_one_day_on_an_older_warehouse_takes_no_other_day_away(old: TestHome, expected: Tables) -> None:
    old.run(DAY)
    assert without_times(old.tables()) == expected


def test_a_partition_that_dagster_runs_on_an_older_warehouse_takes_no_other_day_away(
    old: TestHome, expected: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_HOME", str(old.home.path))
    assert materialized(old, DAY).success
    assert without_times(old.tables()) == expected


def test_readers_keep_the_older_warehouse_until_the_new_one_is_whole(
    old: TestHome, expected: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = old.tables()
    with monkeypatch.context() as patch:
        # The store does not answer, and one of its segments cannot be read either.
        patch.setenv("DORA_INTAKE_URL", "sqlite:////nowhere/at/all/events.sqlite3")
        (segment,) = (old.home.raw / "deployment_event_api").glob("*.jsonl.gz")
        whole = segment.read_bytes()
        segment.write_bytes(b"garbage")
        for day in (None, DAY):
            with pytest.raises(DoraError, match="cannot be read"):
                old.run(day)
            assert old.tables() == before
    segment.write_bytes(whole)
    old.run(DAY)
    assert without_times(old.tables()) == expected


def test_a_store_that_does_not_answer_takes_no_events_out_of_the_new_warehouse(
    old: TestHome, expected: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_INTAKE_URL", "sqlite:////proc/nowhere/events.sqlite3")
    with pytest.raises(DoraError, match="intake"):
        old.run()
    assert without_times(old.tables()) == expected


def test_the_originals_of_squash_commits_that_only_an_older_warehouse_has_stay(tmp_path: Path) -> None:
    home, remote, history = TestHome(tmp_path / "home"), tmp_path / "app.git", History()
    root = history.commit()
    original, squash = history.commit(root), history.commit(root, message="Add a (#1)")
    shas = history.write(remote, {"main": squash})
    git(remote, "update-ref", "refs/pull/1/head", shas[original])
    home.settings(repositories={REPOSITORY: str(remote)})
    home.select_events()
    for day, number in enumerate((root, squash), start=2):
        tags = {"commit_sha": shas[number], "repository_url": f"https://{REPOSITORY}"}
        home.deploy("shop", f"2024-01-0{day} 10:00:00", git=tags)
    home.run()
    before = home.tables()
    assert home.rows("SELECT commit_sha FROM core.deployment_commits") == [(shas[original],)]
    git(remote, "update-ref", "-d", "refs/pull/1/head")
    shutil.rmtree(home.home.git)
    change(home, _OLDER)
    home.run()
    assert home.rows(_VERSION) == [(SCHEMA_VERSION,)]
    assert without_times(home.tables()) == without_times(before)


def test_queries_go_on_with_an_older_warehouse(old: TestHome) -> None:
    answer = call(old.home.path, "sql", "SELECT COUNT(*) AS deployments FROM core.deployments", "--format", "csv")
    assert (answer.code, answer.out.split()[0]) == (0, "deployments")


def test_a_lost_working_folder_and_a_run_of_one_day_take_no_other_day_away(
    current: TestHome, tmp_path: Path, expected: Tables
) -> None:
    shutil.copytree(current.home.path, tmp_path / "lost")
    home = TestHome(tmp_path / "lost")
    shutil.rmtree(home.home.work)
    home.run(DAY)
    assert without_times(home.tables()) == expected


# A newer warehouse


@pytest.mark.parametrize("lost", ["nothing", "the working folder"])
def test_a_newer_warehouse_is_refused_in_a_sentence_and_stays(old: TestHome, lost: str) -> None:
    change(old, _NEWER)
    before = old.home.warehouse.read_bytes()
    if lost != "nothing":
        shutil.rmtree(old.home.work)
    refused = f"has schema version 999, this program knows version {SCHEMA_VERSION}; use the newer"
    with pytest.raises(WarehouseError, match=refused):
        old.run()
    assert old.home.warehouse.read_bytes() == before


def test_going_back_to_an_older_program_is_a_rebuild(old: TestHome, expected: Tables) -> None:
    change(old, _NEWER)
    old.run(rebuild=True)
    assert without_times(old.tables()) == expected


def test_a_newer_warehouse_that_cannot_be_read_is_told_in_a_sentence(old: TestHome) -> None:
    change(old, f"{_NEWER}; DROP TABLE landing.source_states")
    answer = call(old.home.path, "sources")
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert f"schema version 999, this program knows version {SCHEMA_VERSION}" in line


def test_a_version_that_is_no_number_is_refused(old: TestHome) -> None:
    change(old, "UPDATE landing.properties SET value = 'two' WHERE name = 'schema_version'")
    with pytest.raises(WarehouseError, match=f"schema version two, this program knows version {SCHEMA_VERSION}"):
        old.run()
