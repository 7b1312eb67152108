"""Dagster's events of many days are stored together, and are then what they are when each is stored by itself.

Connections that stay open hide nothing from who looks at the files.
"""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy.exc import OperationalError

from dora_pipeline.assets import event_log
from dora_pipeline.cli.dagster_home import DagsterHome
from dora_pipeline.definitions import definitions
from dora_pipeline_tests.dagster_runs import DAILY, days_run, statuses
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.waiting import eventually

DAYS = ["2024-05-06", "2024-05-07", "2024-05-08"]


@pytest.fixture
def home(home: TestHome) -> TestHome:
    """A home with a deployment on two of three days."""
    home.select_events()
    home.deploy("shop", f"{DAYS[0]}T10:00:00")
    home.deploy("shop", f"{DAYS[2]}T10:00:00")
    return home


def told_by_a_run(home: TestHome, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], Counter[str]]:
    """What Dagster knows after a run of the days, with its storage in a new folder; and the events stored singly."""
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    dagster = DagsterHome(home.home)
    dagster.make()
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", dagster.environment["DAGSTER_EVENT_BATCH_SIZE"])
    singly: Counter[str] = Counter()
    store_event = SqliteEventLogStorage.store_event

    def counted(storage: SqliteEventLogStorage, event: Any) -> None:
        singly[event.dagster_event_type.value if event.is_dagster_event else "log"] += 1
        store_event(storage, event)

    with monkeypatch.context() as patches, DagsterInstance.get() as instance:
        patches.setattr(SqliteEventLogStorage, "store_event", counted)
        run = days_run(home, instance, DAYS[0], DAYS[-1])
        assert run.success
        return known(home, instance, run.run_id), singly


def known(home: TestHome, instance: DagsterInstance, run_id: str) -> dict[str, Any]:
    """What the page shows: days of assets, newest events, tags, checks, and the events of the run by kind."""
    graph = definitions(home.home).resolve_asset_graph()
    assets = {asset: dg.AssetKey(asset.split("/")) for asset in DAILY}
    made = {
        asset: [
            # The values of some tags name the run and its events.
            (record.partition_key, event.metadata["dagster/partition_row_count"].value, sorted(event.tags or ()))
            for record in instance.fetch_materializations(key, limit=100, ascending=True).records
            if (event := record.asset_materialization)
        ]
        for asset, key in assets.items()
    }
    newest = {asset: instance.get_latest_materialization_event(key) for asset, key in assets.items()}
    checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(graph.asset_check_keys))
    return {
        "days": {asset: statuses(home, instance, asset, DAYS) for asset in DAILY},
        "made": made,
        "newest": {asset: event and event.asset_materialization.partition for asset, event in newest.items()},
        "tags": {
            asset: [sorted(tags) for tags in instance.event_log_storage.get_event_tags_for_asset(key)]
            for asset, key in assets.items()
        },
        "checks": {key.to_user_string(): record.status.value for key, record in checks.items()},
        "run": Counter(entry.dagster_event_type for entry in instance.all_logs(run_id) if entry.is_dagster_event),
    }


def test_the_events_of_many_days_are_stored_together(
    home: TestHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, singly = told_by_a_run(home, tmp_path / "together", monkeypatch)
    assert together["days"] == {asset: dict.fromkeys(DAYS, "MATERIALIZED") for asset in DAILY}
    assert not {"ASSET_MATERIALIZATION", "ASSET_MATERIALIZATION_PLANNED"} & singly.keys()
    monkeypatch.setattr(event_log, "TRIED_VERSION", "another one")
    one_by_one, singly = told_by_a_run(home, tmp_path / "one by one", monkeypatch)
    assert singly["ASSET_MATERIALIZATION"] == singly["ASSET_MATERIALIZATION_PLANNED"] == len(DAILY) * len(DAYS)
    assert together == one_by_one


def test_who_follows_a_run_hears_of_each_event_while_the_files_stay_open(
    home: TestHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    DagsterHome(home.home).make()
    heard: list[str] = []
    with DagsterInstance.get() as instance, DagsterInstance.get() as page:
        run = days_run(home, instance, DAYS[0], DAYS[0])
        page.watch_event_logs(run.run_id, None, lambda event, cursor: heard.append(event.message))
        # As of a process that goes on.
        told = [f"still there {number}" for number in range(3)]
        for message in told:
            instance.report_engine_event(message, instance.get_run_by_id(run.run_id))
            eventually(lambda message=message: message in heard, "the page hears of it")
    # Many runs leave nothing but their files.
    assert not [*(tmp_path / "dagster").rglob("*-wal")]


def test_files_that_were_brought_back_or_removed_meanwhile_are_seen_though_they_were_open(
    home: TestHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    DagsterHome(home.home).make()

    def tell(instance: DagsterInstance, text: str) -> None:
        instance.run_storage.set_cursor_values({"told": text})
        instance.report_runless_asset_event(dg.AssetMaterialization("asset", description=text))

    def told(instance: DagsterInstance) -> tuple[str | None, str | None]:
        event = instance.get_latest_materialization_event(dg.AssetKey("asset"))
        made = event and event.asset_materialization
        return instance.run_storage.get_cursor_values({"told"}).get("told"), made and made.description

    with DagsterInstance.get() as page:
        tell(page, "first")
        shutil.copytree(folder / "history", tmp_path / "backup")
        tell(page, "second")
        (folder / "history").rename(tmp_path / "former")
        (tmp_path / "backup").rename(folder / "history")
        assert told(page) == ("first", "first")
        tell(page, "third")
        with DagsterInstance.get() as other:
            assert told(other) == ("third", "third")
        shutil.rmtree(folder / "history")
        with pytest.raises(OperationalError):
            tell(page, "lost")
