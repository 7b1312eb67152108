"""Backfills from Dagster's page on Apache Spark and on Sail."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from dora_pipeline_tests import stored
from dora_pipeline_tests.dagster_servers import ENDED, running_dagster
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.spark_servers import ConnectServer, running_sail, running_server
from dora_pipeline_tests.waiting import eventually


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("running", [running_server, running_sail])
def test_a_backfill_from_the_page_is_made_on_spark_and_fails_with_a_sentence_when_it_is_lost(
    running: Callable[[Path], AbstractContextManager[ConnectServer]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, sparked = TestHome(tmp_path / "plain"), TestHome(tmp_path / "sparked")
    for home in (plain, sparked):
        stored.tell_two_months(home)
    plain.run()
    storage = tmp_path / "storage"
    storage.mkdir()
    with running(tmp_path / "spark") as server:
        if server.token:
            monkeypatch.setenv("DORA_SPARK_TOKEN", server.token)
        sparked.settings(engine={"kind": "spark", "url": server.url, "storage": str(storage)})
        with running_dagster(sparked.home.path, tmp_path / "dora-dev.log") as page:
            backfill = page.backfill(("2024-05-06", "2024-06-07"))
            eventually(lambda: page.backfill_state(backfill) in ENDED, "the backfill")
            assert {run["status"] for run in page.runs()} == {"SUCCESS"}
            assert page.backfill_state(backfill) == "COMPLETED_SUCCESS"
            days = "SELECT service, version, day FROM core.deployments ORDER BY day"
            assert sparked.rows(days) == plain.rows(days)
            assert page.partitions("metrics/daily")["materialized"] == 2
            for home in (plain, sparked):
                home.deploy("late", "2024-06-07 12:00:00", version="3")
            before = sparked.tables()
            server.lose()
            lost = page.backfill(["2024-06-07"])
            eventually(lambda: page.backfill_state(lost) in ENDED, "the backfill that has no engine")
            assert "FAILURE" in {run["status"] for run in page.runs() if run["tags"].get("dagster/backfill") == lost}
            assert sparked.tables() == before
    plain.run()
    sparked.settings(engine={"kind": "duckdb"})
    sparked.run()
    rows = "FROM metrics.daily ORDER BY day, service, env, team"
    assert sparked.rows(rows) == plain.rows(rows)
