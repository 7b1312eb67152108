"""metrics.freshness: how new each table is, in the very state that people read."""

from datetime import UTC, date, datetime
from importlib.metadata import version

import duckdb
import pytest

from dora_pipeline.pipeline.runs import begin
from dora_pipeline.settings import read_settings
from dora_pipeline.tables import TABLES
from dora_pipeline.warehouse.writer import open_writer
from dora_pipeline_tests.full_homes import fill
from dora_pipeline_tests.homes import TestHome, moment

STATES = (
    "SELECT table_name, rows, newest_event_at, CAST(newest_day AS VARCHAR), stale_days FROM metrics.freshness "
    "ORDER BY table_name"
)
LAST_RUNS = "SELECT DISTINCT last_run_at, code_version FROM metrics.freshness"


def last_run_at(home: TestHome) -> datetime:
    ((told, code_version),) = home.rows(LAST_RUNS)
    assert code_version == version("dora-pipeline")
    return told


def test_every_other_table_of_core_and_metrics_has_a_row(home: TestHome) -> None:
    home.select_events()
    home.run()
    names = {table.table_name for table in TABLES if table.table_name.startswith(("core.", "metrics."))}
    assert {name for name, *_ in home.rows(STATES)} == names - {"metrics.freshness"}


def test_it_tells_rows_newest_event_and_newest_day(home: TestHome) -> None:
    home.select_events(at=moment("2024-01-01 00:00:00"))
    home.deploy("shop", "2024-05-06 10:00:00", version="first")
    home.deploy("shop", "2024-05-07 11:00:00")
    home.fail(["shop", "cart"], "2024-05-05 12:00:00", "2024-05-09 12:00:00")
    home.deploy("shop", "2024-05-06 10:00:00", version="again", id="another", received="2024-05-08 00:00:00")
    before = datetime.now(UTC)
    home.run()
    assert home.rows(STATES) == [
        ("core.apm_version_activity", 0, None, None, 0),
        ("core.deployment_commits", 0, None, None, 0),
        ("core.deployments", 2, moment("2024-05-07 11:00:00"), "2024-05-07", 0),
        ("core.failed_changes", 0, None, None, 0),
        ("core.failure_links", 2, None, "2024-05-05", 0),
        ("core.failures", 2, moment("2024-05-05 12:00:00"), "2024-05-05", 0),
        ("core.rejected_events", 1, moment("2024-05-08 00:00:00"), "2024-05-06", 0),
        ("core.services", 0, None, None, 0),
        ("core.source_selections", 2, moment("2024-01-01 00:00:00"), None, 0),
        ("metrics.daily", 6, None, "2024-05-09", 0),
    ]
    assert before <= last_run_at(home) <= datetime.now(UTC)


def test_it_agrees_with_the_tables_of_the_same_state(home: TestHome) -> None:
    fill(home)
    home.run()
    for name, rows, *_ in home.rows(STATES):
        assert home.rows(f"SELECT COUNT(*) FROM {name}") == [(rows,)]


def test_days_that_were_not_loaded_are_counted(home: TestHome) -> None:
    home.select_events()
    for day in ("06", "07", "08"):
        home.deploy("shop", f"2024-05-{day} 10:00:00")
    home.run("2024-05-07")
    told = {name: (rows, newest_day, stale) for name, rows, _, newest_day, stale in home.rows(STATES)}
    assert told["core.deployments"] == (1, "2024-05-07", 2)
    assert told["metrics.daily"] == (1, "2024-05-07", 0)


def test_a_run_that_changes_nothing_moves_the_time_of_the_last_run_and_nothing_else(home: TestHome) -> None:
    fill(home)
    home.run()
    first, tables = last_run_at(home), home.tables()
    assert list(home.run().days) == []
    assert last_run_at(home) > first
    assert home.tables() == tables


def test_a_run_that_fails_leaves_the_time_of_the_last_one(home: TestHome) -> None:
    fill(home)
    home.run()
    first = last_run_at(home)
    home.home.settings_file.write_text("timezone: nowhere\n")
    with pytest.raises(Exception, match="nowhere"):
        home.run()
    assert last_run_at(home) == first


def test_a_reader_keeps_the_freshness_of_the_state_that_it_opened(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00")
    home.run()
    newest = "SELECT newest_day, rows FROM metrics.freshness WHERE table_name = 'core.deployments'"
    with duckdb.connect(str(home.home.warehouse), read_only=True) as reader:
        assert reader.execute(newest).fetchall() == [(date(2024, 5, 6), 1)]
        home.deploy("shop", "2024-05-07 10:00:00")
        home.run()
        assert reader.execute(newest).fetchall() == [(date(2024, 5, 6), 1)]
    assert home.rows(newest) == [(date(2024, 5, 7), 2)]


def test_a_run_publishes_again_only_after_changes(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00")
    home.run()
    settings = read_settings(home.home)
    states = [home.home.warehouse.stat().st_ino]
    with open_writer(home.home, settings, "test") as writer:
        run = begin(writer, home.home, settings, home.notes, fetches=True)
        for change in (lambda: None, lambda: None, lambda: run.days.load_all([date(2024, 5, 6)])):
            change()
            assert run.publish()
            states.append(home.home.warehouse.stat().st_ino)
    before, first, unchanged, changed = states
    assert before != first == unchanged != changed
