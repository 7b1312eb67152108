"""Clients of DuckDB 1.2, the oldest that reads the published file: the tests that the newest passes.

The tests of the module imported as a whole are collected here a second time, with the `duckdb_folder` of this one.
"""

import sys
from pathlib import Path

import pytest

from dora_pipeline_tests.homes import TestHome
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
