"""What the figures cost: processor time of metrics.daily, metrics.summary and metrics.summary_by.

    python benchmarks/figures.py [--deployments N] [--times N] [--file FILE]

Fills core with N deployments over three years, 200 services in two environments, three commits each, a failure for
every tenth and a failed change for every twentieth, and asks for figures over it. The yardstick is the median lead time
of commits alone, by service, env and week, in the same process. `--file` keeps the warehouse.
"""

import argparse
import resource
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import duckdb

from dora_pipeline.warehouse.queries import statement
from dora_pipeline.warehouse.schema import ensure_schema
from dora_pipeline.warehouse.writer import STORAGE_VERSION

_DEPLOYMENTS = """
INSERT INTO core.deployments BY NAME
SELECT 'd' || MD5(n::VARCHAR) AS deployment_id, 'deployment_event_api' AS source,
    's' || (n * 7919 % $services) AS service,
    CASE WHEN n % 3 = 0 THEN 'staging' ELSE 'production' END AS env,
    CASE WHEN n % 11 > 0 THEN 't' || (n * 7919 % $services % 12) END AS team, 'example.com/org/app' AS repository_id,
    finished_at AS started_at, finished_at, 'standard' AS kind,
    ['tier:' || (n % 5), 'region:' || (n % 3)] AS custom_tags,
    CASE WHEN n % 29 = 0 THEN 'd' || MD5((n - 1)::VARCHAR) END AS duplicate_of, n % 31 > 0 AS is_selected,
    3 AS lead_time_commits, 60.25 * HASH(n) % 20000 AS lead_time_mean_seconds, finished_at::DATE AS day
FROM (
    SELECT n, TIMESTAMPTZ '2023-01-02 00:00:00+00' + TO_SECONDS(n * (94608000 / $deployments)) AS finished_at
    FROM RANGE($deployments) AS r(n)
)
"""
_COMMITS = """
INSERT INTO core.deployment_commits BY NAME
SELECT d.deployment_id, d.service, d.env, d.repository_id, MD5(d.deployment_id || c) AS commit_sha,
    'A change' AS subject, FALSE AS is_redelivery,
    d.finished_at - TO_SECONDS(seconds) AS authored_at, d.finished_at - TO_SECONDS(seconds) AS committed_at,
    d.finished_at, seconds AS lead_time_seconds, d.is_selected, d.day
FROM (
    SELECT *, ((HASH(deployment_id, c) % 2000000000) / 1000)::DOUBLE AS seconds FROM core.deployments, RANGE(3) AS r(c)
) AS d
"""
_FAILURES = """
INSERT INTO core.failures BY NAME
SELECT 'f' || n AS failure_id, 'failure_event_api' AS source,
    CASE WHEN n % 50 > 0 THEN 's' || ((n + i) % $services) END AS service,
    'production' AS env, 't' || (n % 12) AS team, started_at, 'example.com/org/app' AS repository_id, [] AS custom_tags,
    CASE WHEN n % 40 > 0 THEN started_at + TO_SECONDS(seconds) END AS finished_at,
    CASE WHEN n % 40 > 0 THEN seconds END AS time_to_restore_seconds,
    CASE WHEN n % 40 > 0 THEN (started_at + TO_SECONDS(seconds))::DATE END AS restored_day,
    TRUE AS is_selected, started_at::DATE AS day
FROM (
    SELECT n, i, TIMESTAMPTZ '2023-01-02 00:00:00+00' + TO_SECONDS(n * (94608000 / $deployments * 10)) AS started_at,
        ((HASH(n) % 200000000) / 1000)::DOUBLE AS seconds
    FROM RANGE($deployments // 10) AS r(n), RANGE(2) AS s(i)
    WHERE i = 0 OR n % 5 = 0 AND n % 50 > 0
)
"""
_FAILED_CHANGES = """
INSERT INTO core.failed_changes BY NAME
SELECT d.deployment_id, d.service, d.env, d.team, 'rollback' AS way, 'd' || MD5((n + 1)::VARCHAR) AS remediation_id,
    'rollback' AS remediation_type, ((HASH(n) % 200000000) / 1000)::DOUBLE AS recovery_seconds, d.is_selected, d.day
FROM (SELECT n * 20 AS n FROM RANGE($deployments // 20) AS r(n)) AS f
INNER JOIN core.deployments AS d ON d.deployment_id = 'd' || MD5(n::VARCHAR)
"""
_LINKS = """
INSERT INTO core.failure_links BY NAME
SELECT f.failure_id, f.service, f.env,
    'd' || MD5((CAST(SUBSTRING(f.failure_id, 2) AS BIGINT) * 10)::VARCHAR) AS deployment_id,
    'latest' AS rule, 60 AS distance_seconds, f.is_selected, f.day
FROM core.failures AS f
"""
_SELECTIONS = """
INSERT INTO core.source_selections BY NAME
SELECT event_type, event_type || '_event_api' AS source, TIMESTAMPTZ '2020-01-01 00:00:00+00' AS selected_at,
    TIMESTAMPTZ '2020-01-01 00:00:00+00' AS first_selected_at, TRUE AS is_selected, 1 AS priority
FROM (VALUES ('deployment'), ('failure')) AS v(event_type)
"""
_SPAN = "DATE '2023-01-02', DATE '2025-12-31'"
_QUESTIONS = {
    "summary, a year by week": "FROM metrics.summary('week', DATE '2025-01-01', DATE '2025-12-31')",
    "summary, three years by month": f"FROM metrics.summary('month', {_SPAN})",
    "summary by env, three years by month": f"FROM metrics.summary_by('env', 'month', {_SPAN})",
    "summary by team, three years by week": f"FROM metrics.summary_by('team', 'week', {_SPAN})",
    "summary by a tag, three years by month": f"FROM metrics.summary_by('tag:tier', 'month', {_SPAN})",
}
_YARDSTICK = """
SELECT c.service, c.env, DATE_TRUNC('week', c.day), PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY c.lead_time_seconds)
FROM core.deployment_commits AS c GROUP BY ALL
"""


def main() -> None:
    """Print a row for each question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deployments", type=int, default=200_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        connection = filled(options.file or Path(folder) / "warehouse.duckdb", options.deployments)

        def cost(query: str) -> float:
            return statistics.median(processor_seconds(lambda: connection.execute(query)) for _ in range(options.times))

        connection.execute("CREATE TEMP TABLE run_days AS SELECT DISTINCT day FROM core.deployments")
        connection.execute(f"CREATE TEMP TABLE known_days AS {statement('metrics.known_days')}")
        yardstick = cost(_YARDSTICK)
        print("| figures | processor s | / yardstick |\n|---|---|---|")
        for name, query in {"daily, every day": statement("metrics.daily"), **_QUESTIONS}.items():
            seconds = cost(f"CREATE OR REPLACE TEMP TABLE figures AS {query}")
            print(f"| {name} | {seconds:.2f} | {seconds / yardstick:.1f} |", flush=True)


def filled(path: Path, deployments: int, services: int = 200) -> duckdb.DuckDBPyConnection:
    """A warehouse with so many deployments of so many services in core; metrics.daily is empty."""
    connection = duckdb.connect(str(path), config={"storage_compatibility_version": STORAGE_VERSION})
    connection.execute("SET TimeZone = 'UTC'")
    ensure_schema(connection, replaces=False)
    connection.execute(_DEPLOYMENTS, {"deployments": deployments, "services": services})
    connection.execute(_COMMITS)
    connection.execute(_FAILURES, {"deployments": deployments, "services": services})
    connection.execute(_FAILED_CHANGES, {"deployments": deployments})
    connection.execute(_LINKS)
    connection.execute(_SELECTIONS)
    connection.execute("CHECKPOINT")
    return connection


def processor_seconds(act: Callable[[], object]) -> float:
    """User and system time of a call, over all threads."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    act()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
