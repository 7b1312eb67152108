"""What linking failures to deployments, and judging changes, costs: all, a new day, one changed deployment or service.

And what it costs to find the redeliveries of a new day after all of that, three commits to a deployment.

    python benchmarks/failure_links.py [DEPLOYMENTS] [FAILURES] [SERVICES]

By default 1,000,000 deployments in two environments, and 200,000 failures, of 5,000 services. A third of the failures
has a version, a fifth a commit, a seventh names a deployment by a tag, a tenth has no env, a twentieth no service.
One deployment in fifty goes back to what was live before.
"""

import argparse
import resource
import time

import duckdb
import polars as pl

from dora_pipeline.pipeline.failed_changes import chains_of, rollbacks
from dora_pipeline.pipeline.landing import LONGEST_GAP
from dora_pipeline.settings import HomeSettings
from dora_pipeline.sources.apm.settings import ID_PREFIX
from dora_pipeline.timeline import microseconds
from dora_pipeline.warehouse import failed_changes
from dora_pipeline.warehouse.engines import InPlace
from dora_pipeline.warehouse.links import link_failures
from dora_pipeline.warehouse.queries import count
from dora_pipeline.warehouse.schema import ensure_schema

_DAY_US = 86_400_000_000
_RULES = HomeSettings().change_failure_rules
_DEPLOYMENTS = """
    INSERT INTO landing.judged_deployments BY NAME
    SELECT
        'd' || i AS deployment_id, 'deployment_event_api' AS source, 's' || (i % $services) AS service,
        CASE WHEN (i // $services) % 4 = 0 THEN 'staging' ELSE 'prod' END AS env,
        'v' || (i // $services // 3) AS version,
        't' || (i % 200) AS team,
        SHA256(
            CAST(CASE WHEN HASH(i) % 50 = 0 THEN GREATEST(i - 8 * $services, i % $services) ELSE i END // 2 AS VARCHAR)
        )[:40] AS commit_sha,
        TIMESTAMPTZ '2024-01-01' + TO_SECONDS(i * 94) AS started_at, started_at AS finished_at,
        CAST([] AS VARCHAR[]) AS custom_tags, started_at AS received_at, 'selected' AS history, TRUE AS is_selected,
        CAST(started_at AS DATE) AS day
    FROM RANGE($deployments) AS r(i)
"""
_ROLLBACKS = """
    INSERT INTO landing.deployment_kinds
    SELECT deployment_id, service, 'rollback', day FROM landing.judged_deployments WHERE HASH(deployment_id) % 50 = 0
"""
_FAILURES = """
    INSERT INTO landing.judged_failures BY NAME
    SELECT
        'f' || i AS failure_id, 'failure_event_api' AS source,
        CASE WHEN i % 20 <> 0 THEN 's' || (HASH(i) % $services) END AS service,
        CASE WHEN i % 10 <> 0 THEN 'prod' END AS env, 't' || (i % 200) AS team,
        CASE WHEN i % 3 = 0 THEN 'v' || ((i * $deployments // $failures) // $services // 3) END AS version,
        CASE WHEN i % 5 = 1 THEN
            LEFT(
                SHA256(CAST(CAST(HASH(i * 7) % $deployments AS BIGINT) // 2 AS VARCHAR)),
                CASE WHEN i % 2 = 0 THEN 40 ELSE 8 END
            )
        END AS commit_sha,
        TIMESTAMPTZ '2024-01-01' + TO_SECONDS(i * 94.0 * $deployments / $failures) AS started_at,
        CASE WHEN i % 7 = 0 THEN ['deployment_id:d' || (HASH(i * 3) % $deployments)] ELSE ['a:b'] END AS custom_tags,
        started_at AS received_at, FALSE AS is_rejected, TRUE AS is_selected, CAST(started_at AS DATE) AS day
    FROM RANGE($failures) AS r(i)
"""
_CHANGED = """
    INSERT INTO landing.changed_deployments
    SELECT deployment_id, service, team, finished_at FROM landing.judged_deployments
"""
_COMMITS = (
    """
    INSERT INTO landing.deployment_ranges BY NAME
    SELECT
        deployment_id, history, service, env, 'r' AS repository_id, commit_sha AS base_sha, commit_sha AS head_sha,
        CAST([] AS VARCHAR[]) AS patterns, TRUE AS is_ranged, commit_sha, commit_sha AS previous_sha,
        'range ' || deployment_id AS range_id, FALSE AS is_behind, day
    FROM landing.judged_deployments
    """,
    """
    INSERT INTO landing.range_commits BY NAME
    SELECT
        'range ' || deployment_id AS range_id, SHA1(deployment_id || k) AS commit_sha,
        CASE WHEN HASH(deployment_id) % 2 = 0 THEN SHA1(deployment_id) END AS landed_as_sha, k AS landed_place,
        TRUE AS is_touching, finished_at AS authored_at, finished_at AS committed_at, 'work' AS subject,
        CAST([] AS VARCHAR[]) AS reverts, CAST([] AS VARCHAR[]) AS landed_reverts, CAST([] AS VARCHAR[]) AS landings
    FROM landing.judged_deployments CROSS JOIN RANGE(3) AS r(k)
    """,
    "CREATE TEMP TABLE had_commits (deployment_id VARCHAR, commit_sha VARCHAR, landed_as_sha VARCHAR)",
    """
    CREATE TEMP TABLE new_ranges AS
    SELECT * FROM landing.deployment_ranges WHERE day = (SELECT MAX(day) FROM landing.deployment_ranges)
    """,
    "CREATE TEMP TABLE changed_ranges AS SELECT service, MIN(day) AS from_day FROM new_ranges GROUP BY service",
    "DELETE FROM landing.deployment_ranges WHERE deployment_id IN (SELECT deployment_id FROM new_ranges)",
)
# What the rule `latest` alone would cost in DuckDB's own words.
_YARDSTICK = """
    CREATE OR REPLACE TEMP TABLE joined AS
    SELECT f.failure_id, d.deployment_id
    FROM landing.judged_failures AS f
    ASOF LEFT JOIN landing.judged_deployments AS d
        ON f.service = d.service AND f.env = d.env AND f.started_at >= d.finished_at
"""
_NEWEST = "(SELECT MAX(day) FROM landing.judged_failures)"
_CASES = {
    "all": ("INSERT INTO landing.unlinked_days SELECT DISTINCT day FROM landing.judged_failures",),
    "a new day": (f"INSERT INTO landing.unlinked_days SELECT {_NEWEST}", f"{_CHANGED} WHERE day = {_NEWEST}"),
    "one deployment": (f"{_CHANGED} WHERE deployment_id = 'd1000'",),
}


def main() -> None:
    """Print a row for each case, and by which rules failures were linked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, usual in (("deployments", 1_000_000), ("failures", 200_000), ("services", 5_000)):
        parser.add_argument(name, type=int, nargs="?", default=usual)
    sizes = vars(parser.parse_args())
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    ensure_schema(connection, replaces=False)
    connection.execute(_DEPLOYMENTS, {name: sizes[name] for name in ("deployments", "services")})
    connection.execute(_ROLLBACKS)
    connection.execute(_FAILURES, sizes)
    print("| case | failures | processor | ÷ the join | wall |\n|---|---|---|---|---|")
    processor, wall = _processor_seconds(), time.monotonic()
    joined = count(connection, _YARDSTICK)
    yardstick, wall = _processor_seconds() - processor, time.monotonic() - wall
    print(f"| a bare ASOF join | {joined:,} | {yardstick:.2f} s | 1.0 | {wall:.1f} s |", flush=True)
    for case, statements in _CASES.items():
        for statement in statements:
            connection.execute(statement)
        processor, wall = _processor_seconds(), time.monotonic()
        link_failures(connection, InPlace(), window_us=7 * _DAY_US, slack_us=300_000_000)
        processor, wall = _processor_seconds() - processor, time.monotonic() - wall
        linked = count(connection, "SELECT COUNT(*) FROM failures_to_link")
        print(f"| {case} | {linked:,} | {processor:.2f} s | {processor / yardstick:.1f} | {wall:.1f} s |", flush=True)
    for case, changed in (
        ("changes: all", "SELECT service, day FROM landing.judged_deployments"),
        ("changes: one service", "SELECT service, day FROM landing.judged_deployments WHERE service = 's1'"),
        ("changes: a new day", f"SELECT service, day FROM landing.judged_deployments WHERE day = {_NEWEST}"),
    ):
        failed_changes.wait_for_changes(connection, changed)
        processor, wall = _processor_seconds(), time.monotonic()
        _judge_changes(connection)
        processor, wall = _processor_seconds() - processor, time.monotonic() - wall
        judged = count(connection, "SELECT COUNT(*) FROM chains")
        times = processor / yardstick
        print(f"| {case} | {judged:,} deployments | {processor:.2f} s | {times:.1f} | {wall:.1f} s |", flush=True)
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:,} MB at most until here", flush=True)
    for statement in _COMMITS:
        connection.execute(statement)
    processor, wall = _processor_seconds(), time.monotonic()
    InPlace().make(connection, "new_repeated", "landing.repeated_commits")
    processor, wall = _processor_seconds() - processor, time.monotonic() - wall
    asked = count(connection, "SELECT COUNT(*) FROM new_ranges")
    times = processor / yardstick
    print(f"| redeliveries: a new day | {asked:,} deployments | {processor:.2f} s | {times:.1f} | {wall:.1f} s |")
    failed = count(connection, "SELECT COUNT(*) FROM landing.failed_changes")
    print(f"{failed:,} failed changes")
    print(
        connection.sql("SELECT rule, reason, COUNT(*) AS failures FROM landing.failure_links GROUP BY ALL ORDER BY ALL")
    )


def _judge_changes(connection: duckdb.DuckDBPyConnection) -> None:
    """As a run does where no repository is known."""

    def found(chains: pl.DataFrame) -> pl.DataFrame:
        pairs = [pair for chain in chains_of(chains) for pair in rollbacks(chain, lambda live, earlier: False)]
        return pl.DataFrame(pairs, schema=failed_changes.ROLLBACKS, orient="row")

    failed_changes.judge_waiting_changes(connection, InPlace(), _RULES, ID_PREFIX, microseconds(LONGEST_GAP), found)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
