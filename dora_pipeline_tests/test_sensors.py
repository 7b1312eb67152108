"""Sensors: what changed outside is read once, the days that it changed are loaded once, and nothing is skipped."""

import json
import logging
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEvent, DagsterInstance, EventLogEntry

from dora_pipeline.definitions import definitions
from dora_pipeline.pipeline.changes import ranges
from dora_pipeline.timeline import Window
from dora_pipeline_tests.dagster_runs import days_run, job_run, range_tags, sensor_tick
from dora_pipeline_tests.deliveries import DAYS, RESOLVED, TRIGGERED, deliver
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.pulled_homes import NOON

SIGHTING = {"timestamp": "2024-05-06T10:00:00Z", "service": "shop", "env": "prod", "version": "1"}


@pytest.fixture
def home(home: TestHome, monkeypatch: pytest.MonkeyPatch) -> TestHome:
    """A home without anything, to which DORA_HOME points."""
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    return home


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    """An instance of Dagster in memory."""
    with DagsterInstance.ephemeral() as made:
        yield made


class Sensor:
    """One sensor over its ticks: its definitions are loaded anew for each, only its cursor stays."""

    def __init__(self, home: TestHome, instance: DagsterInstance, name: str) -> None:
        self._home, self._instance, self._name = home, instance, name
        self.cursor: str | None = None
        self.reason: str | None = None

    def tick(self) -> list[dict[str, str]]:
        """The tags of the runs that it asks for."""
        told = sensor_tick(self._home, self._instance, self._name, self.cursor)
        self.cursor, self.reason = told.cursor or self.cursor, told.skip_message
        return [dict(request.tags) for request in told.run_requests]

    def days(self) -> list[tuple[str, str]]:
        """The ranges of days that it asks for."""
        return [
            (tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"])
            for tags in self.tick()
        ]


def waiting_run(home: TestHome, instance: DagsterInstance, status: dg.DagsterRunStatus, tags: dict[str, str]) -> None:
    """A run of load_days that has this status now."""
    job = definitions(home.home).resolve_job_def("load_days")
    instance.create_run_for_job(job, status=status, tags=tags)


def test_sensors_say_what_there_is_to_do_while_no_source_is_selected(home: TestHome, instance: DagsterInstance) -> None:
    for name in ("sent_events", "dropped_exports", "changed_home", "changed_days"):
        sensor = Sensor(home, instance, name)
        assert sensor.tick() == []
        assert str(sensor.reason).startswith("no source is selected yet; select some with the job select_sources")
    assert list(home.home.path.iterdir()) == []


def test_sensors_wait_with_the_mistake_while_the_settings_are_wrong(home: TestHome, instance: DagsterInstance) -> None:
    home.select_events()
    found = definitions(home.home)
    home.settings(lock_timeout="never")
    for name in ("sent_events", "dropped_exports", "changed_home", "changed_days"):
        context = dg.build_sensor_context(instance=instance, cursor=None, definitions=found)
        told = found.resolve_sensor_def(name).evaluate_tick(context)
        assert told.run_requests == []
        assert f"{home.home.settings_file}: lock_timeout: 'never' is not a duration" in str(told.skip_message)


def test_an_event_is_read_and_then_just_its_day_is_loaded(home: TestHome, instance: DagsterInstance) -> None:
    home.select_events()
    events, days = Sensor(home, instance, "sent_events"), Sensor(home, instance, "changed_days")
    assert events.tick() == []
    home.deploy("shop", "2024-05-06 10:00:00", version="1")
    assert days.days() == []
    (tags,) = events.tick()
    assert tags["dora/because"] == "events of deployment_event_api"
    assert job_run(home, instance, "read_sources").success
    assert home.rows("SELECT * FROM core.deployments") == []
    assert days.days() == [("2024-05-06", "2024-05-06")]
    assert days_run(home, instance, "2024-05-06").success
    assert home.rows("SELECT version FROM core.deployments") == [("1",)]
    assert (events.tick(), days.days()) == ([], [])


def test_an_event_is_asked_for_once_however_many_ticks_and_restarts_come(
    home: TestHome, instance: DagsterInstance
) -> None:
    home.select_events()
    events = Sensor(home, instance, "sent_events")
    home.deploy("shop", "2024-05-06 10:00:00")
    assert len(events.tick()) == 1
    # More of them before the run has read any are read by the same run.
    home.deploy("shop", "2024-05-07 10:00:00")
    assert [events.tick() for _ in range(3)] == [[], [], []]
    assert job_run(home, instance, "read_sources").success
    assert events.tick() == []
    home.deploy("shop", "2024-05-08 10:00:00")
    assert len(events.tick()) == 1


def test_an_event_in_a_store_that_took_the_place_of_another_is_asked_for(
    home: TestHome, instance: DagsterInstance
) -> None:
    home.select_events()
    events = Sensor(home, instance, "sent_events")
    for day in (6, 7):
        home.deploy("shop", f"2024-05-0{day} 10:00:00")
    home.run()
    assert events.tick() == []
    shutil.rmtree(home.home.intake)
    home.deploy("shop", "2024-05-08 10:00:00")
    assert len(events.tick()) == 1
    assert job_run(home, instance, "read_sources").success
    assert events.tick() == []


def test_an_event_that_moves_to_another_day_changes_both(home: TestHome, instance: DagsterInstance) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00", id="one")
    home.run()
    days = Sensor(home, instance, "changed_days")
    assert days.days() == []
    home.deploy("shop", "2024-05-09 10:00:00", id="one")
    assert job_run(home, instance, "read_sources").success
    assert days.days() == [("2024-05-06", "2024-05-06"), ("2024-05-09", "2024-05-09")]


def test_events_of_a_source_that_was_never_selected_start_nothing(home: TestHome, instance: DagsterInstance) -> None:
    home.select("failure", "failure_event_api")
    home.deploy("shop", "2024-05-06 10:00:00")
    assert Sensor(home, instance, "sent_events").tick() == []


def test_a_webhook_is_read_and_then_just_its_day_is_loaded(
    home: TestHome, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAGERDUTY_API_TOKEN", raising=False)
    events, days = Sensor(home, instance, "sent_events"), Sensor(home, instance, "changed_days")
    deliver(home, TRIGGERED)
    assert events.tick() == []
    began = NOON - timedelta(days=DAYS)
    home.select("failure", "pagerduty", at=NOON - timedelta(days=60))
    for told, ended in ((None, None), (RESOLVED, began + timedelta(minutes=30))):
        if told is not None:
            deliver(home, told)
        assert [tags.get("dora/because") for tags in events.tick()] == ["events of pagerduty"]
        assert events.tick() == []
        assert job_run(home, instance, "read_sources").success
        assert days.days() == [(str(began.date()), str(began.date()))]
        assert days_run(home, instance, str(began.date())).success
        assert home.rows("SELECT service, started_at, finished_at FROM core.failures") == [("shop", began, ended)]
        assert (events.tick(), days.days()) == ([], [])


def test_a_rejected_event_is_read_and_shown_though_its_day_has_nothing_else(
    home: TestHome, instance: DagsterInstance
) -> None:
    home.select_events()
    home.fail(["shop"], "2024-05-06 10:00:00", "2024-05-05 10:00:00")
    assert job_run(home, instance, "read_sources").success
    assert home.rows("SELECT reason FROM core.rejected_events") == [("finished_before_started",)]


def test_no_run_is_started_for_what_a_waiting_run_will_read(home: TestHome, instance: DagsterInstance) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00")
    waiting_run(home, instance, dg.DagsterRunStatus.NOT_STARTED, range_tags("2024-01-01", "2024-01-01"))
    events = Sensor(home, instance, "sent_events")
    assert events.tick() == []
    assert str(events.reason).endswith("is about to read them")
    (run,) = instance.get_runs()
    instance.report_run_canceled(run)
    assert len(events.tick()) == 1


def test_exports_that_were_added_changed_and_removed_are_read_once(home: TestHome, instance: DagsterInstance) -> None:
    home.select("deployment", "apm_deployment_tracking")
    exports, days = Sensor(home, instance, "dropped_exports"), Sensor(home, instance, "changed_days")
    path = home.drop_export("a.jsonl", [SIGHTING])
    for state, moment in (([SIGHTING], 1_720_000_000), ([SIGHTING, SIGHTING | {"version": "2"}], 1_720_000_001)):
        home.drop_export("a.jsonl", state)
        os.utime(path, (moment, moment))
        assert [len(exports.tick()) for _ in range(3)] == [1, 0, 0]
        assert job_run(home, instance, "read_sources").success
        assert days.days() == [("2024-05-06", "2024-05-06")]
        assert days_run(home, instance, "2024-05-06").success
        assert (exports.tick(), days.days()) == ([], [])
    kept = path.rename(path.with_suffix(".kept"))
    assert [len(exports.tick()) for _ in range(3)] == [1, 0, 0]
    home.run()
    assert exports.tick() == []
    # The same file with the same time again is a change again.
    kept.rename(path)
    assert [len(exports.tick()) for _ in range(2)] == [1, 0]


def test_a_file_that_is_still_written_waits_and_clocks_do_not_hold_one_back(
    home: TestHome, instance: DagsterInstance
) -> None:
    home.select("deployment", "apm_deployment_tracking")
    exports = Sensor(home, instance, "dropped_exports")
    path = home.drop_export("a.jsonl", [SIGHTING])
    assert exports.tick() == []
    ahead = time.time() + 86400
    os.utime(path, (ahead, ahead))
    assert len(exports.tick()) == 1


def test_settings_selections_and_services_are_read_when_they_change_and_when_they_change_back(
    home: TestHome, instance: DagsterInstance
) -> None:
    home.select_events()
    sensor = Sensor(home, instance, "changed_home")
    assert [len(sensor.tick()) for _ in range(2)] == [1, 0]
    for quiet in ("10m", "20m", "10m"):
        home.settings(merge_window=quiet)
        assert [len(sensor.tick()) for _ in range(2)] == [1, 0]
    home.home.services.mkdir()
    (home.home.services / "a.yaml").write_text("apiVersion: v3\nkind: service\nmetadata: {name: shop}\n")
    assert [len(sensor.tick()) for _ in range(2)] == [1, 0]
    home.select("deployment", "apm_deployment_tracking", at=datetime(2024, 1, 1, tzinfo=UTC))
    assert [len(sensor.tick()) for _ in range(2)] == [1, 0]


def test_a_new_selection_loads_every_day_that_it_changes_in_few_runs(home: TestHome, instance: DagsterInstance) -> None:
    home.select_events()
    for day in range(1, 11):
        home.deploy("shop", f"2024-05-{day:02} 10:00:00")
        home.deploy("shop", f"2024-09-{day:02} 10:00:00")
    home.run()
    home.select("deployment", "apm_deployment_tracking", at=datetime(2024, 10, 1, tzinfo=UTC))
    assert job_run(home, instance, "read_sources").success
    days = Sensor(home, instance, "changed_days").days()
    assert days == [("2024-05-01", "2024-05-10"), ("2024-09-01", "2024-09-10")]


def test_days_in_work_are_not_started_again_and_others_are(home: TestHome, instance: DagsterInstance) -> None:
    home.select_events()
    for day in ("2024-05-06", "2024-05-07", "2024-05-08"):
        home.deploy("shop", f"{day} 10:00:00")
    assert job_run(home, instance, "read_sources").success
    waiting_run(home, instance, dg.DagsterRunStatus.NOT_STARTED, range_tags("2024-05-01", "2024-05-06"))
    waiting_run(home, instance, dg.DagsterRunStatus.STARTED, {"dagster/partition": "2024-05-08"})
    assert Sensor(home, instance, "changed_days").days() == [("2024-05-07", "2024-05-07")]


def test_a_day_that_failed_is_asked_for_again_only_when_it_changes_again(
    home: TestHome, instance: DagsterInstance
) -> None:
    home.select_events()
    for day in ("2024-05-06", "2024-05-07"):
        home.deploy("shop", f"{day} 10:00:00")
    assert job_run(home, instance, "read_sources").success
    days = Sensor(home, instance, "changed_days")
    assert days.days() == [("2024-05-06", "2024-05-07")]
    # The run fails, or is cancelled: the days are still stale.
    assert [days.days() for _ in range(3)] == [[], [], []]
    assert days.reason == "2 changed days: runs are at work on them, or have failed and are tried again every day"
    home.deploy("shop", "2024-05-07 11:00:00")
    assert job_run(home, instance, "read_sources").success
    assert days.days() == [("2024-05-07", "2024-05-07")]
    assert days_run(home, instance, "2024-05-06", "2024-05-07").success
    assert days.days() == []
    assert json.loads(str(days.cursor)) == {}


def test_a_selection_before_the_first_partition_asks_for_a_reload(home: TestHome, instance: DagsterInstance) -> None:
    home.select_events(at=datetime(2024, 5, 6, tzinfo=UTC))
    found = definitions(home.home)
    home.home.selection_log.unlink()
    home.select_events()
    home.deploy("shop", "2024-05-05 10:00:00")
    assert job_run(home, instance, "read_sources").success
    told = found.resolve_sensor_def("changed_days").evaluate_tick(
        dg.build_sensor_context(instance=instance, definitions=found)
    )
    assert told.run_requests == []
    assert "1 changed days lie before 2024-05-06, the first partition; reload the code location" in told.skip_message
    assert Sensor(home, instance, "changed_days").days() == [("2024-05-05", "2024-05-05")]


def test_a_new_time_zone_asks_for_a_reload(home: TestHome, instance: DagsterInstance) -> None:
    home.select_events()
    found = definitions(home.home)
    home.settings(timezone="Europe/Berlin")
    told = found.resolve_sensor_def("changed_days").evaluate_tick(
        dg.build_sensor_context(instance=instance, definitions=found)
    )
    assert "the timezone is now Europe/Berlin, the partitions are days of UTC; reload" in told.skip_message


def test_few_ranges_are_exact_and_many_are_joined_over_gaps_that_cost_less_than_a_run() -> None:
    days = [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 20), date(2024, 3, 1), date(2024, 6, 1)]
    exact = [(1, 1, 1, 2), (1, 20, 1, 20), (3, 1, 3, 1), (6, 1, 6, 1)]
    assert ranges(days, 183) == [Window(date(2024, a, b), date(2024, c, d)) for a, b, c, d in exact]
    joined = [(1, 1, 1, 20), (3, 1, 3, 1), (6, 1, 6, 1), (9, 1, 9, 1)]
    assert ranges([*days, date(2024, 9, 1)], 183) == [
        Window(date(2024, a, b), date(2024, c, d)) for a, b, c, d in joined
    ]


def test_long_ranges_are_cut_so_that_no_run_is_longer_than_half_a_year() -> None:
    days = [date(2020, 1, 1) + timedelta(days=number) for number in range(366)]
    assert ranges(days, 183) == [
        Window(date(2020, 1, 1), date(2020, 7, 1)),
        Window(date(2020, 7, 2), date(2020, 12, 31)),
    ]


class Webhook:
    """A server that keeps what is posted to it, and answers as it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.posted: list[dict[str, Any]] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if webhook.status == 200:
                    webhook.posted.append(body)
                self.send_response(webhook.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing is logged."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}/services/s3cr3t"


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """A webhook that DORA_FAILURE_WEBHOOK_URL names."""
    made = Webhook()
    monkeypatch.setenv("DORA_FAILURE_WEBHOOK_URL", made.address)
    monkeypatch.setenv("DORA_DAGSTER_URL", "https://dagster.example/")
    yield made
    made.server.shutdown()
    made.server.server_close()


def failed_run(home: TestHome, instance: DagsterInstance, mistake: str = "never") -> str:
    """A run that fails by a mistake in the settings; its id."""
    job = definitions(home.home).resolve_job_def("read_sources")
    home.settings(lock_timeout=mistake)
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    home.settings()
    assert not result.success
    return result.run_id


def test_a_failed_run_is_posted_once_with_its_sentence_and_its_page(
    home: TestHome, instance: DagsterInstance, webhook: Webhook
) -> None:
    home.select_events()
    failed_run(home, instance)
    notices = Sensor(home, instance, "failed_runs")
    assert notices.tick() == []
    assert webhook.posted == []
    run_id = failed_run(home, instance)
    for _ in range(3):
        assert notices.tick() == []
    (posted,) = webhook.posted
    assert posted["job"] == "read_sources"
    assert posted["run_id"] == run_id
    assert posted["url"] == f"https://dagster.example/runs/{run_id}"
    assert f"{home.home.settings_file}: lock_timeout: 'never' is not a duration" in posted["error"]
    assert posted["text"].endswith(f"\n{posted['url']}")
    assert posted["error"] in posted["text"]


def test_a_notice_that_is_not_taken_is_posted_again_and_none_after_it_is_lost(
    home: TestHome, instance: DagsterInstance, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    home.select_events()
    notices = Sensor(home, instance, "failed_runs")
    notices.tick()
    runs = [failed_run(home, instance, mistake) for mistake in ("never", "ever")]
    webhook.status = 503
    notices.tick()
    notices.tick()
    assert notices.reason == ("the webhook in DORA_FAILURE_WEBHOOK_URL answered 503; the next tick tries again")
    webhook.status = 200
    notices.tick()
    notices.tick()
    assert [posted["run_id"] for posted in webhook.posted] == runs
    assert "s3cr3t" not in caplog.text


def test_a_notice_that_will_never_be_taken_keeps_none_behind_it_back(
    home: TestHome, instance: DagsterInstance, webhook: Webhook
) -> None:
    home.select_events()
    notices = Sensor(home, instance, "failed_runs")
    notices.tick()
    failed_run(home, instance)
    webhook.status = 400
    notices.tick()
    webhook.status = 200
    later = failed_run(home, instance)
    notices.tick()
    assert [posted["run_id"] for posted in webhook.posted] == [later]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:9/s3cr3t", "cannot be reached"),
        ("s3cr3t", "is not an address; it must begin with https:// or http://"),
        ("ftp://s3cr3t/", "is not an address; it must begin with https:// or http://"),
    ],
)
def test_the_address_of_the_webhook_is_in_no_reason(
    home: TestHome, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, address: str, reason: str
) -> None:
    monkeypatch.setenv("DORA_FAILURE_WEBHOOK_URL", address)
    home.select_events()
    notices = Sensor(home, instance, "failed_runs")
    notices.tick()
    failed_run(home, instance)
    notices.tick()
    assert notices.reason == f"the webhook in DORA_FAILURE_WEBHOOK_URL {reason}; the next tick tries again"


def test_a_run_that_is_started_again_by_itself_is_no_notice_yet(
    home: TestHome, instance: DagsterInstance, webhook: Webhook
) -> None:
    home.select_events()
    notices = Sensor(home, instance, "failed_runs")
    notices.tick()
    instance.add_run_tags(failed_run(home, instance), {"dagster/will_retry": "true"})
    notices.tick()
    assert webhook.posted == []


def test_without_an_address_no_notice_is_posted(home: TestHome, instance: DagsterInstance) -> None:
    notices = Sensor(home, instance, "failed_runs")
    assert notices.tick() == []
    assert notices.reason == "DORA_FAILURE_WEBHOOK_URL is not set; no notices are posted"


def test_a_run_whose_process_was_killed_is_ended_and_a_living_one_is_left_alone(
    home: TestHome, instance: DagsterInstance
) -> None:
    home.select_events()
    runs = [instance.create_run_for_job(definitions(home.home).resolve_job_def("read_sources")) for _ in range(3)]
    with subprocess.Popen(["sleep", "60"]) as killed, subprocess.Popen(["sleep", "60"]) as living:
        for run, process in zip(runs, (killed, living), strict=False):
            ticks = Path(f"/proc/{process.pid}/stat").read_text().split()[21]
            instance.add_run_tags(run.run_id, {"dora/process": f"{socket.gethostname()} {process.pid} {ticks}"})
        for run in runs:
            instance.handle_new_event(started(run))
        killed.kill()
        killed.wait()
        tick = Sensor(home, instance, "lost_runs")
        assert tick.tick() == []
        assert tick.reason == f"ended by others: {runs[0].run_id[:8]}"
        assert [instance.get_run_by_id(run.run_id).status.value for run in runs] == ["FAILURE", "STARTED", "STARTED"]
        living.kill()
    # Another process has its number now.
    instance.add_run_tags(runs[2].run_id, {"dora/process": f"{socket.gethostname()} {os.getpid()} 1"})
    tick.tick()
    assert [instance.get_run_by_id(run.run_id).status.value for run in runs] == ["FAILURE", "FAILURE", "FAILURE"]


def started(run: dg.DagsterRun) -> Any:
    event = DagsterEvent("PIPELINE_START", run.job_name)
    return EventLogEntry(
        error_info=None,
        level=logging.INFO,
        user_message="",
        run_id=run.run_id,
        timestamp=time.time(),
        job_name=run.job_name,
        dagster_event=event,
    )
