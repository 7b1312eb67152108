"""Dagster's own storage on PostgreSQL, with the settings that docs/production ships."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from dora_pipeline.assets.lineage import DAILY_TABLES
from dora_pipeline.assets.metadata import asset_key, check_specs
from dora_pipeline.assets.outside_loads import report_outside_loads
from dora_pipeline.assets.partitions import daily_partitions
from dora_pipeline.cli.dagster_home import DagsterHome
from dora_pipeline.config import project_folder
from dora_pipeline.pipeline.loading import WHOLE_TABLES
from dora_pipeline_tests.dagster_servers import Dagster, Units
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.postgresql import running_postgresql
from dora_pipeline_tests.waiting import eventually

DAYS = ("2024-05-06", "2024-05-07")


def made_days(page: Dagster) -> int | None:
    """The days of metrics.daily that are materialized; None where Dagster met a connection that the server had ended.

    It keeps some open, and finds each of them broken only by using it.
    """
    with suppress(AssertionError):
        return page.partitions("metrics/daily")["materialized"]
    return None


def test_days_that_dora_run_loaded_are_shown_in_postgresql_too(
    home: TestHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.select_events(at=datetime.now(UTC) - timedelta(days=3))
    home.run()
    dagster = with_postgresql(home)
    monkeypatch.setenv("DAGSTER_HOME", str(dagster.path))
    with running_postgresql() as server:
        monkeypatch.setenv("DAGSTER_PG_URL", server.new_database().replace("+psycopg:", "+psycopg2:"))
        partitions = daily_partitions(home.home)
        with dg.DagsterInstance.get() as instance:
            # Four days of six tables, and three tables without days.
            assert report_outside_loads(instance, home.home, partitions) == 4 * 8 + 3
            assert report_outside_loads(instance, home.home, partitions) == 0
            for table in DAILY_TABLES:
                days = instance.get_materialized_partitions(asset_key(table))
                assert days == set(partitions.get_partition_keys()), table.table_name
                found = instance.fetch_materializations(asset_key(table), limit=10).records
                assert len(found) == 4
            for table in WHOLE_TABLES:
                assert instance.get_latest_materialization_event(asset_key(table)) is not None, table.table_name
            checks = [check.key for table in DAILY_TABLES for check in check_specs(table)]
            assert len(instance.event_log_storage.get_latest_asset_check_execution_by_key(checks)) == len(checks)


def with_postgresql(home: TestHome) -> DagsterHome:
    """The folder of Dagster with the settings that docs/production ships for PostgreSQL."""
    dagster = DagsterHome(home.home)
    dagster.make()
    fragment = (project_folder() / "docs" / "production" / "dagster-postgresql.yaml").read_text()
    dagster.settings.write_text(dagster.settings.read_text().partition("\nstorage:")[0] + "\n" + fragment)
    return dagster


def test_a_backfill_of_a_page_and_daemon_without_the_home_is_kept_in_postgresql_and_outlives_a_restart_of_it(
    home: TestHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.select_events()
    for day in DAYS:
        home.deploy("shop", f"{day} 10:00:00", version=day)
    dagster = with_postgresql(home)
    with running_postgresql() as server:
        url = server.new_database()
        monkeypatch.setenv("DAGSTER_PG_URL", url.replace("+psycopg:", "+psycopg2:"))
        with Units(home.home.path, tmp_path / "logs", apart=True) as units:
            page = units.page
            backfill = page.backfill(DAYS)
            eventually(lambda: page.backfill_state(backfill) == "COMPLETED_SUCCESS", "the backfill")
            assert made_days(page) == 2
            server.stop()
            server.start()
            eventually(page.is_ready, "page and daemon after the restart")
            eventually(lambda: made_days(page) == 2, "the partitions after the restart")
            assert page.backfill_state(backfill) == "COMPLETED_SUCCESS"
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT COUNT(*) FROM runs").fetchone() != (0,)
    assert not (dagster.path / "history").exists()
    assert [version for (version,) in home.rows("SELECT version FROM core.deployments ORDER BY day")] == list(DAYS)
