"""Schedules: what can still change is loaded every day and today every hour, and what was missed in one run."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance

from dora_pipeline.definitions import definitions
from dora_pipeline_tests.dagster_runs import instance_with_files, range_tags, schedule_tick
from dora_pipeline_tests.homes import TestHome, moment

DAILY = dg.AssetKey(["metrics", "daily"])


@pytest.fixture
def home(home: TestHome, monkeypatch: pytest.MonkeyPatch) -> TestHome:
    """A home in which both event APIs are selected since 2020, and to which DORA_HOME points."""
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    home.select_events()
    return home


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    """An instance of Dagster with files; schedules take no other."""
    with instance_with_files(tmp_path / "dagster") as made:
        yield made


def asked(told: Any) -> list[tuple[str, str]]:
    """The ranges of days that a tick asks for."""
    return [
        (request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"])
        for request in told.run_requests
    ]


def ended_run(home: TestHome, instance: DagsterInstance, first: str, last: str, *, loaded: bool = True) -> None:
    """A run that the daily schedule started, and that has loaded its days (the last is told) or has failed."""
    job = definitions(home.home).resolve_job_def("refresh")
    status = dg.DagsterRunStatus.SUCCESS if loaded else dg.DagsterRunStatus.FAILURE
    tags = {**range_tags(first, last), "dagster/schedule_name": "daily"}
    instance.create_run_for_job(job, status=status, tags=tags)
    if loaded:
        instance.report_runless_asset_event(dg.AssetMaterialization(DAILY, partition=last))


def test_both_schedules_are_on_and_run_in_the_zone_of_the_settings(home: TestHome) -> None:
    home.settings(timezone="America/New_York")
    found = definitions(home.home)
    for name, cron in (("daily", "10 4 * * *"), ("hourly", "40 * * * *")):
        schedule = found.resolve_schedule_def(name)
        assert schedule.cron_schedule == cron
        assert schedule.execution_timezone == "America/New_York"
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_the_daily_schedule_loads_today_and_the_days_that_are_read_again(
    home: TestHome, instance: DagsterInstance
) -> None:
    told = schedule_tick(home, instance, "daily", moment("2024-05-10 04:10:00"))
    assert asked(told) == [("2024-05-03", "2024-05-10")]
    home.settings(reread="2d")
    told = schedule_tick(home, instance, "daily", moment("2024-05-10 04:10:00"))
    assert asked(told) == [("2024-05-08", "2024-05-10")]


def test_the_hourly_schedule_loads_today_of_the_zone(home: TestHome, instance: DagsterInstance) -> None:
    assert asked(schedule_tick(home, instance, "hourly", moment("2024-05-10 23:40:00"))) == [
        ("2024-05-10", "2024-05-10")
    ]
    home.settings(timezone="Asia/Tokyo")
    assert asked(schedule_tick(home, instance, "hourly", moment("2024-05-10 23:40:00"))) == [
        ("2024-05-11", "2024-05-11")
    ]


def test_days_before_the_first_selection_are_not_asked_for(home: TestHome, instance: DagsterInstance) -> None:
    home.home.selection_log.unlink()
    home.select_events(at=datetime(2024, 5, 8, 12, tzinfo=UTC))
    told = schedule_tick(home, instance, "daily", moment("2024-05-10 04:10:00"))
    assert asked(told) == [("2024-05-08", "2024-05-10")]


def test_a_laptop_that_slept_for_a_month_catches_up_in_one_run(home: TestHome, instance: DagsterInstance) -> None:
    ended_run(home, instance, "2024-04-03", "2024-04-10")
    # The hourly schedule may be first after waking.
    instance.report_runless_asset_event(dg.AssetMaterialization(DAILY, partition="2024-05-10"))
    told = schedule_tick(home, instance, "daily", moment("2024-05-10 04:10:00"))
    assert asked(told) == [("2024-04-10", "2024-05-10")]


def test_days_of_daily_runs_that_failed_are_loaded_by_the_next_one(home: TestHome, instance: DagsterInstance) -> None:
    ended_run(home, instance, "2024-04-03", "2024-04-10")
    ended_run(home, instance, "2024-04-10", "2024-05-09", loaded=False)
    told = schedule_tick(home, instance, "daily", moment("2024-05-10 04:10:00"))
    assert asked(told) == [("2024-04-10", "2024-05-10")]


def test_a_clock_that_goes_back_asks_for_no_day_after_today(home: TestHome, instance: DagsterInstance) -> None:
    ended_run(home, instance, "2024-05-03", "2024-05-10")
    told = schedule_tick(home, instance, "daily", moment("2024-05-09 04:10:00"))
    assert asked(told) == [("2024-05-02", "2024-05-09")]


def test_years_that_were_missed_are_a_run_each_half_year(home: TestHome, instance: DagsterInstance) -> None:
    ended_run(home, instance, "2022-12-25", "2023-01-01")
    told = schedule_tick(home, instance, "daily", moment("2024-01-01 04:10:00"))
    assert asked(told) == [("2023-01-01", "2023-07-02"), ("2023-07-03", "2024-01-01")]
    assert len({request.run_key for request in told.run_requests}) == 2


def test_a_tick_that_is_evaluated_twice_has_the_same_run_keys(home: TestHome, instance: DagsterInstance) -> None:
    for name in ("daily", "hourly"):
        keys = [
            [request.run_key for request in schedule_tick(home, instance, name, when).run_requests]
            for when in (moment("2024-05-10 04:10:00"), moment("2024-05-10 04:10:00"), moment("2024-05-11 04:10:00"))
        ]
        assert keys[0] == keys[1] != keys[2]


def test_days_that_a_run_is_about_to_load_are_not_asked_for_again(home: TestHome, instance: DagsterInstance) -> None:
    job = definitions(home.home).resolve_job_def("refresh")
    instance.create_run_for_job(job, tags=range_tags("2024-05-03", "2024-05-10"))
    told = schedule_tick(home, instance, "hourly", moment("2024-05-10 04:40:00"))
    assert asked(told) == []
    assert told.skip_message == "a run that has not ended loads these days"
    told = schedule_tick(home, instance, "daily", moment("2024-05-11 04:10:00"))
    assert asked(told) == [("2024-05-11", "2024-05-11")]


def test_days_that_wait_are_tried_again_every_day(home: TestHome, instance: DagsterInstance) -> None:
    home.deploy("shop", "2024-02-01 10:00:00")
    home.run("2024-03-01")
    told = schedule_tick(home, instance, "daily", moment("2024-05-10 04:10:00"))
    assert asked(told) == [("2024-02-01", "2024-02-01"), ("2024-05-03", "2024-05-10")]


def test_the_restore_of_an_old_failure_needs_no_day_of_the_schedule(home: TestHome, instance: DagsterInstance) -> None:
    home.fail(["shop"], "2024-02-01 10:00:00", id="old")
    home.run()
    told = schedule_tick(home, instance, "daily", moment("2024-05-10 04:10:00"))
    assert asked(told) == [("2024-05-03", "2024-05-10")]
    home.fail(["shop"], "2024-02-01 10:00:00", "2024-05-09 10:00:00", id="old")
    home.run("2024-05-09")
    # Reading it makes its own day wait, which the sensor changed_days, and else the next tick, takes up.
    assert home.rows("SELECT day FROM landing.stale_days WHERE target = 'core.failures'") == [(date(2024, 2, 1),)]
    told = schedule_tick(home, instance, "daily", moment("2024-05-10 04:10:00"))
    assert asked(told) == [("2024-02-01", "2024-02-01"), ("2024-05-03", "2024-05-10")]


def test_nothing_is_asked_for_while_no_source_is_selected_or_the_settings_are_wrong(
    home: TestHome, instance: DagsterInstance
) -> None:
    found = definitions(home.home)
    log = home.home.selection_log.read_text()
    for name in ("daily", "hourly"):
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=moment("2024-05-10 04:10:00"))
        schedule = found.resolve_schedule_def(name)
        home.home.selection_log.unlink()
        told = schedule.evaluate_tick(context)
        assert (told.run_requests, str(told.skip_message)[:30]) == ([], "no source is selected yet; sel")
        home.home.selection_log.write_text(log)
        home.settings(reread="long")
        told = schedule.evaluate_tick(context)
        assert told.run_requests == []
        assert f"{home.home.settings_file}: reread: 'long' is not a duration" in str(told.skip_message)
        home.settings()
