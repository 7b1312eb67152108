"""The Dagster door: the same tables as `dora run`, by partitions, with checks and metadata."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from dora_pipeline.assets.jobs import select_sources
from dora_pipeline.assets.partitions import daily_partitions
from dora_pipeline.assets.resources import warehouse
from dora_pipeline.assets.tables import SOURCES, table_assets
from dora_pipeline.config import project_folder
from dora_pipeline.tables import TABLES
from dora_pipeline_tests.homes import TestHome


def definitions(home: TestHome) -> dg.Definitions:
    """The definitions of a home, as `definitions.py` makes them."""
    return dg.Definitions(
        assets=[*SOURCES, *table_assets(daily_partitions(home.home))],
        resources={"warehouse": warehouse},
        executor=dg.in_process_executor,
    )


def materialized(home: TestHome, first: str, last: str) -> dg.ExecuteInProcessResult:
    """Materialize everything for a range of days in one run."""
    return (
        definitions(home)
        .resolve_implicit_global_asset_job_def()
        .execute_in_process(
            tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        )
    )


@pytest.fixture
def filled(home: TestHome, monkeypatch: pytest.MonkeyPatch) -> TestHome:
    """A home with two deployments, one with a collision, and a failure, and DORA_HOME pointing to it."""
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00", version="1")
    home.deploy("shop", "2024-05-07 10:00:00", version="2")
    home.deploy("shop", "2024-05-07 10:00:00", version="2", env="staging", received="2024-05-07 11:00:00")
    home.fail(["shop"], "2024-05-07 12:00:00", "2024-05-08 12:00:00")
    return home


def test_definitions_load_with_an_empty_environment(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "dagster",
        "definitions",
        "validate",
        "-w",
        str(project_folder() / "workspace.yaml"),
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DORA_HOME": str(tmp_path / "nothing")}
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "All code locations passed validation" in result.stderr + result.stdout


def test_assets_have_the_names_of_their_tables(home: TestHome) -> None:
    keys = {key.to_user_string() for assets in table_assets(daily_partitions(home.home)) for key in assets.keys}
    expected = {table.table_name.replace(".", "/") for table in TABLES if not table.table_name.startswith("landing.")}
    assert keys == expected


def test_every_asset_tells_group_kinds_owner_columns_and_table(home: TestHome) -> None:
    for assets in table_assets(daily_partitions(home.home)):
        spec = next(iter(assets.specs))
        table = next(table for table in TABLES if table.table_name == ".".join(spec.key.path))
        assert spec.group_name in ("core", "metrics")
        assert "duckdb" in spec.kinds
        assert spec.owners == ["team:platform"]
        assert spec.description
        assert spec.metadata["dagster/table_name"] == table.table_name
        schema = spec.metadata["dagster/column_schema"]
        assert [column.name for column in schema.columns] == list(table.columns())
        assert all(column.description for column in schema.columns)


def test_partitions_run_from_the_first_selection_to_today_in_the_zone(home: TestHome) -> None:
    home.settings(timezone="Europe/Berlin")
    home.select_events()
    partitions = daily_partitions(home.home)
    assert partitions.get_first_partition_key() == "2020-01-01"
    assert partitions.timezone == "Europe/Berlin"


def test_a_range_of_days_is_one_run_and_gives_the_tables_of_dora_run(filled: TestHome, tmp_path: Path) -> None:
    result = materialized(filled, "2024-05-06", "2024-05-08")
    assert result.success
    by_dagster = filled.tables()
    filled.home.warehouse.unlink()
    filled.run(rebuild=True)
    assert by_dagster == filled.tables()
    assert by_dagster["core.deployments"]


def test_a_day_is_loaded_alone(filled: TestHome) -> None:
    assert materialized(filled, "2024-05-07", "2024-05-07").success
    assert filled.rows("SELECT version, day FROM core.deployments") == [("2", date(2024, 5, 7))]


def test_materializations_tell_rows_rejects_and_whether_people_see_them(filled: TestHome) -> None:
    result = materialized(filled, "2024-05-06", "2024-05-08")
    told = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert told["core/deployments"]["dagster/row_count"].value == 2
    assert told["core/rejected_events"]["rejected"].value == 1
    assert told["core/deployments"]["published"].value is False
    assert told["metrics/daily"]["published"].value is True


def test_checks_pass_on_good_days_and_warn_of_a_large_share_of_rejects(filled: TestHome) -> None:
    result = materialized(filled, "2024-05-06", "2024-05-08")
    passed = {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}
    assert passed == {
        "keys_unique": True,
        "nothing_before_first_selection": True,
        "rates_equal_recount": True,
        "rejected_share": False,
    }


def test_the_job_selects_sources(home: TestHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home.home.path.mkdir(exist_ok=True)
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    config = {
        "event_type": "failure",
        "sources": ["pagerduty", "failure_event_api"],
        "at": "2024-01-02T03:04:05Z",
    }
    result = select_sources.execute_in_process(
        run_config=dg.RunConfig(ops={"append_to_selection_log": {"config": config}})
    )
    assert result.success
    text = home.home.selection_log.read_text(encoding="utf-8")
    assert text.splitlines()[1:] == ["failure,2024-01-02T03:04:05Z,pagerduty;failure_event_api"]


def test_a_source_that_cannot_be_read_fails_the_run_and_the_others_are_loaded(filled: TestHome) -> None:
    segment = filled.home.raw / "failure_event_api" / "000000000001-000000000001.jsonl.gz"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(b"not gzip")
    result = (
        definitions(filled)
        .resolve_implicit_global_asset_job_def()
        .execute_in_process(
            tags={
                "dagster/asset_partition_range_start": "2024-05-06",
                "dagster/asset_partition_range_end": "2024-05-08",
            },
            raise_on_error=False,
        )
    )
    assert not result.success
