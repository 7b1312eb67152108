"""metrics.measures and core.events: all that is counted, one row each."""

from pathlib import Path
from typing import Any

import pytest

from dora_pipeline_tests.git_histories import History
from dora_pipeline_tests.homes import DEPLOYMENTS_BY_APM, DEPLOYMENTS_BY_EVENT, FAILURES_BY_EVENT, TestHome

SHOP = {"repository_url": "https://example.com/org/shop"}


@pytest.fixture
def counted(home: TestHome, tmp_path: Path) -> TestHome:
    """Three deployments, two bring a commit and one is told twice; a failure of two services and an open one."""
    history = History()
    for number, authored in enumerate((0, 3600, 7200), start=1):
        history.commit(*([number - 1] if number > 1 else []), committed=authored, authored=authored)
    shas = history.write(tmp_path / "shop.git", {"main": 3})
    home.settings(repositories={"example.com/org/shop": str(tmp_path / "shop.git")})
    home.select("deployment", *DEPLOYMENTS_BY_EVENT, *DEPLOYMENTS_BY_APM)
    home.select("failure", *FAILURES_BY_EVENT)
    for number, moment in ((1, "2024-01-01T01:00:00"), (2, "2024-01-01T02:00:10"), (3, "2024-01-01T03:00:30")):
        git = {**SHOP, "commit_sha": shas[number]}
        home.deploy("shop", moment, id=f"d{number}", version=str(number), git=git, team="cart", custom_tags=["tier:1"])
    home.drop_export(
        "a.jsonl", [{"timestamp": "2024-01-01T03:01:00Z", "service": "shop", "env": "prod", "version": "3"}]
    )
    home.fail(["shop", "till"], "2024-01-01T04:00:00", "2024-01-02T04:00:00", id="f1", severity="High", team="ops")
    home.fail(["shop"], "2024-01-01T05:00:00", id="f2")
    home.run()
    return home


def test_all_that_is_counted_has_a_row_with_what_it_took_and_the_day_on_which_it_counts(counted: TestHome) -> None:
    rows = counted.rows("SELECT measure, event_id, service, CAST(day AS VARCHAR), seconds FROM metrics.measures")
    assert sorted(rows, key=str) == [
        ("commit", "d2", "shop", "2024-01-01", 3610.0),
        ("commit", "d3", "shop", "2024-01-01", 3630.0),
        ("deployment", "d1", "shop", "2024-01-01", None),
        ("deployment", "d2", "shop", "2024-01-01", 3610.0),
        ("deployment", "d3", "shop", "2024-01-01", 3630.0),
        ("failure", "f1", "shop", "2024-01-01", None),
        ("failure", "f1", "till", "2024-01-01", None),
        ("failure", "f2", "shop", "2024-01-01", None),
        ("linked_failure", "d3", "shop", "2024-01-01", None),
        ("restore", "f1", "shop", "2024-01-02", 86_400.0),
        ("restore", "f1", "till", "2024-01-02", 86_400.0),
    ]


def test_what_is_counted_bears_what_its_event_bears(counted: TestHome) -> None:
    def borne(measure: str, event_id: str) -> tuple[Any, ...]:
        query = """
            SELECT DISTINCT env, team, repository_id, source, severity, tags, CAST(occurred_at AS VARCHAR)
            FROM metrics.measures WHERE measure = ? AND event_id = ?
        """
        (row,) = counted.rows(query, measure, event_id)
        return row

    of_deployment = ("prod", "cart", "example.com/org/shop", "deployment_event_api", None, ["tier:1"])
    assert borne("deployment", "d2") == borne("commit", "d2") == (*of_deployment, "2024-01-01 02:00:10+00")
    of_failure = ("prod", "ops", None, "failure_event_api", "High", [])
    assert borne("failure", "f1") == (*of_failure, "2024-01-01 04:00:00+00")
    assert borne("restore", "f1") == (*of_failure, "2024-01-02 04:00:00+00")


def test_events_hold_duplicates_too_and_say_what_counts(counted: TestHome) -> None:
    rows = counted.rows(
        "SELECT event_type, source, service, is_counted, COUNT(*) FROM core.events GROUP BY ALL ORDER BY ALL"
    )
    assert rows == [
        ("deployment", "apm_deployment_tracking", "shop", False, 1),
        ("deployment", "deployment_event_api", "shop", True, 3),
        ("failure", "failure_event_api", "shop", True, 2),
        ("failure", "failure_event_api", "till", True, 1),
    ]


def test_views_are_described_as_tables_are(counted: TestHome) -> None:
    query = "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal AND comment IS NOT NULL"
    views = sorted(counted.rows(query))
    assert views == [("core.events",), ("metrics.deployment_outcomes",), ("metrics.measures",)]
    undescribed = counted.rows(
        "SELECT column_name FROM duckdb_columns() "
        "WHERE table_name IN ('events', 'measures', 'deployment_outcomes') AND comment IS NULL"
    )
    assert undescribed == []
