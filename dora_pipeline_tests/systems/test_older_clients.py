"""Clients of DuckDB 1.2, the oldest that reads the published file: the tests that the newest passes.

The tests of the module imported as a whole are collected here a second time, with the `duckdb_folder` of this one.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.stored import guide
from dora_pipeline_tests.test_publication import *  # noqa: F403
from dora_pipeline_tests.test_publication import Clients


@pytest.fixture
def duckdb_folder() -> Path:
    """Where `make test-systems` installs DuckDB 1.2; one process cannot import two versions."""
    return Path(sys.prefix) / "duckdb-1.2"


def test_the_clients_are_of_version_1_2(clients: Clients) -> None:
    with clients() as client:
        assert client.version.startswith("1.2.")


def test_an_older_client_reads_tables_views_and_macros(published: TestHome, clients: Clients) -> None:
    with clients() as client:
        for opening in ("open read-only", "attach (READ_ONLY)"):
            assert client.say(opening) == "done"
            (total,) = published.rows("SELECT SUM(deployments) FROM metrics.daily")[0]
            assert client.say("SELECT SUM(deployments)::INT FROM metrics.daily") == f"[({total},)]" == "[(3,)]"
            query = "SELECT deployments::INT FROM metrics.summary('year', DATE '2024-01-01', DATE '2024-12-31')"
            assert client.say(query) == "[(3,)]"
            for dimension in ("team", "all", "source", "tag:tier"):
                assert client.say(query.replace("summary('year'", f"summary_by('{dimension}', 'year'")) == "[(3,)]"
            sure = "is_whole, is_provisional, failed_changes, failed_change_rate_high, open_failures"
            assert client.say(query.replace("deployments::INT", sure)) == (
                f"[(True, False, 0, {published.rows('SELECT metrics.wilson_high(0, 3)')[0][0]}, 0)]"
            )
            wrong = query.replace("summary('year'", "summary_by('teams', 'decade'").replace("2024", "1999")
            assert "grain is one of day, week, month, quarter, year" in client.say(wrong)
            assert "dimension is one of service, team" in client.say(wrong.replace("decade", "year"))
            outcomes = "SELECT agreement, COUNT(*)::INT FROM metrics.deployment_outcomes GROUP BY agreement"
            assert client.say(outcomes) == "[('none', 3)]"
            counted = client.say(
                "SELECT measure, COUNT(*)::INT, COUNT(DISTINCT event_id)::INT FROM metrics.measures GROUP BY 1"
            )
            assert counted == "[('deployment', 3, 3)]"
            assert client.say("SELECT COUNT(*)::INT FROM core.events WHERE is_counted") == "[(3,)]"
            client.say("close")


def test_an_older_client_that_follows_a_manifest_reads_tables_and_is_refused_what_it_would_take_otherwise(
    published: TestHome, duckdb_folder: Path, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    storage.mkdir()
    published.settings(engine={"storage": str(storage)})
    published.run()
    tables, rest = guide(storage).split("for definition in ")
    tables += "print(connection.execute('SELECT COUNT(*) FROM core.deployments').fetchall())\n"
    command = [sys.executable, "-c", f"{tables}for definition in {rest}"]
    variables = {**os.environ, "PYTHONPATH": str(duckdb_folder)}
    client = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert client.stdout == "[(3,)]\n"
    assert "DuckDB 1.4 or later is needed for views and macros of the manifest" in client.stderr
