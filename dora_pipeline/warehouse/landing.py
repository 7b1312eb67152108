"""What each source has given, kept in schema `landing`, and which days of core it makes stale.

Every function runs inside a transaction of the writer. What changes nothing marks nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import duckdb
import polars as pl

from dora_pipeline.tables import (
    ApmVersionActivity,
    DeploymentCommits,
    Deployments,
    FailedChanges,
    FailureLinks,
    Failures,
    RejectedEvents,
)
from dora_pipeline.warehouse.queries import (
    count,
    difference,
    difference_by_input,
    execute_with,
    insert,
    make_alike,
    require_rows,
)
from dora_pipeline.warehouse.staleness import mark_all_days, mark_days

APM = "apm_deployment_tracking"
_OF_INPUTS = "input IN (SELECT UNNEST(CAST($inputs AS VARCHAR[])))"
_LANDED = (
    "inputs",
    "version_activity",
    "changed_pairs",
    "event_records",
    "deployments",
    "changed_services",
    "judged_deployments",
    "failures",
    "changed_days",
    "judged_failures",
    "changed_deployments",
    "unlinked_days",
    "failure_links",
    "unjudged_changes",
    "deployment_kinds",
    "change_signs",
    "failed_changes",
    "changed_ranges",
    "deployment_ranges",
    "delivered_tips",
    "repeated_commits",
    "rejected_events",
    "left_out_files",
)
# What tables of core are made from, row by row.
_MADE_FROM = ("version_activity", "deployments", "range_commits", "failures")
_DERIVED = (
    ApmVersionActivity,
    Deployments,
    DeploymentCommits,
    Failures,
    FailureLinks,
    FailedChanges,
    RejectedEvents,
)


def land_sightings(
    connection: duckdb.DuckDBPyConnection,
    names: Sequence[str],
    activity: pl.DataFrame,
    rejected: pl.DataFrame,
) -> None:
    """Replace what exports hold of sightings: rows of LandedVersionActivity and LandedRejects, whose inputs they are.

    Services and environments whose sightings changed wait in landing.changed_pairs for `infer_deployments`.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE read_inputs AS SELECT UNNEST(CAST(? AS VARCHAR[])) AS input", [names]
    )
    of_read = "FROM landing.version_activity WHERE input IN (SELECT input FROM read_inputs)"
    if count(connection, f"CREATE OR REPLACE TEMP TABLE known_activity AS {of_read}"):
        make_alike(connection, "new_activity", "landing.version_activity", activity)
        changed = difference_by_input("known_activity", "new_activity")
        connection.execute(f"CREATE OR REPLACE TEMP TABLE changed_activity AS {changed}")
        connection.execute(f"DELETE {of_read}")
        insert(connection, "landing.version_activity", "new_activity", activity.height)
        differing = "FROM changed_activity"
    else:
        # Nothing to compare with: rows are written once.
        execute_with(connection, activity, "INSERT INTO landing.version_activity BY NAME SELECT * FROM given_rows")
        found = count(connection, f"SELECT COUNT(*) {of_read}")
        require_rows("landing.version_activity", activity.height, found)
        differing = of_read
    connection.execute(
        f"INSERT INTO landing.changed_pairs SELECT service, env, MIN(day) {differing} GROUP BY service, env"
    )
    mark_days(connection, [ApmVersionActivity], f"SELECT day {differing}")
    reject_inputs(connection, names, rejected)


def reject_inputs(connection: duckdb.DuckDBPyConnection, names: Sequence[str], rejected: pl.DataFrame) -> None:
    """Replace only the rejects of exports, as when they cannot be read now; what they held before stays."""
    known = f"SELECT * FROM landing.rejected_events WHERE source = $source AND {_OF_INPUTS}"
    # Records of two files may be called the same.
    _replace_rejects(connection, rejected, known, {"source": APM, "inputs": names}, difference_by_input)


def land_deployments(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    ids: pl.Series,
    events: pl.DataFrame,
    rejected: pl.DataFrame,
) -> None:
    """Replace what a source says of deployments by id: rows of LandedDeployments and LandedRejects."""
    landed_before = _landed_before(connection, ids)
    make_alike(connection, "new_deployments", "landing.deployments", events)
    before = count(
        connection,
        f"""
        CREATE OR REPLACE TEMP TABLE known_deployments AS
        SELECT * FROM landing.deployments WHERE {landed_before.format("deployment_id")}
        """,
        {"source": source},
    )
    changed = "new_deployments"
    if before:
        changed = remove_deployments(connection, "known_deployments", "new_deployments")
    add_deployments(connection, "new_deployments", events.height, changed)
    if source == APM:
        _infer_near_ready_events(connection, changed)
    known = f"SELECT * FROM landing.rejected_events WHERE {landed_before.format('record')}"
    _replace_rejects(connection, rejected, known, {"source": source})


def land_failures(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    ids: pl.Series,
    events: pl.DataFrame,
    rejected: pl.DataFrame,
) -> None:
    """Replace what a source says of failures by id: rows of LandedFailures and LandedRejects.

    Days whose failures changed wait in landing.changed_days for `judge_failures`.
    """
    landed_before = _landed_before(connection, ids)
    make_alike(connection, "new_failures", "landing.failures", events)
    of_known = f"FROM landing.failures WHERE {landed_before.format('failure_id')}"
    changed = "FROM new_failures"
    if count(connection, f"CREATE OR REPLACE TEMP TABLE known_failures AS {of_known}", {"source": source}):
        changed = f"FROM ({difference('known_failures', 'new_failures')})"
        connection.execute(f"DELETE {of_known}", {"source": source})
    connection.execute(f"INSERT INTO landing.changed_days SELECT DISTINCT day {changed}")
    insert(connection, "landing.failures", "new_failures", events.height)
    known = f"SELECT * FROM landing.rejected_events WHERE {landed_before.format('record')}"
    _replace_rejects(connection, rejected, known, {"source": source})


def forget_everything(connection: duckdb.DuckDBPyConnection) -> None:
    """Forget all that has landed, and mark every day that has rows, so that everything is read and loaded again."""
    mark_all_days(connection, _DERIVED)
    for table in _LANDED:
        connection.execute(f"DELETE FROM landing.{table}")


def _landed_before(connection: duckdb.DuckDBPyConnection, ids: pl.Series) -> str:
    """The condition of rows that a source gave of the same events, with a place for the column of their ids."""
    rows = ids.alias("id").to_frame()
    execute_with(connection, rows, "CREATE OR REPLACE TEMP TABLE wanted_ids AS SELECT DISTINCT id FROM given_rows")
    return "source = $source AND {} IN (SELECT id FROM wanted_ids)"


def landed_rows(connection: duckdb.DuckDBPyConnection) -> int:
    """How many rows the tables are made from that have days."""
    counted = " + ".join(f"(SELECT COUNT(*) FROM landing.{table})" for table in _MADE_FROM)
    return count(connection, f"SELECT {counted}")


def open_failures(connection: duckdb.DuckDBPyConnection, source: str) -> list[str]:
    """The ids of failures of a source that are not restored."""
    rows = connection.execute(
        "SELECT DISTINCT failure_id FROM landing.failures WHERE source = ? AND finished_at IS NULL ORDER BY failure_id",
        [source],
    ).fetchall()
    return [row[0] for row in rows]


def _infer_near_ready_events(connection: duckdb.DuckDBPyConnection, changed: str) -> None:
    # A ready event takes the place of the inferred deployment near it.
    connection.execute(
        f"""
        INSERT INTO landing.changed_pairs
        SELECT service, env, MIN(day) - 1 FROM {changed} GROUP BY service, env
        """
    )


def remove_deployments(connection: duckdb.DuckDBPyConnection, known: str, new: str) -> str:
    """Remove the rows of table `known`, in the place of which those of `new` stand; the table of what changes."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE changed_deployments AS {difference(known, new)}")
    connection.execute(
        f"""
        DELETE FROM landing.deployments AS d
        WHERE EXISTS (
            FROM {known} AS k
            WHERE k.source = d.source AND k.deployment_id = d.deployment_id AND k.input IS NOT DISTINCT FROM d.input
        )
        """
    )
    return "changed_deployments"


def add_deployments(connection: duckdb.DuckDBPyConnection, new: str, rows: int, changed: str) -> None:
    """Add the rows of table `new`, which are so many; `changed` is the table of what differs from before.

    The services of these wait in landing.changed_services for `judge_deployments`. A deployment is judged by those
    before it, by one that started in the same second, and by those of other sources within two merge windows.
    """
    insert(connection, "landing.deployments", new, rows)
    wait_for_services(
        connection,
        f"""
        SELECT service, day, started_at FROM {changed}
        UNION ALL
        SELECT d.service, d.day, d.started_at FROM landing.deployments AS d
        JOIN {changed} AS c ON d.source = c.source AND d.deployment_id = c.deployment_id
        """,
    )


def wait_for_services(connection: duckdb.DuckDBPyConnection, changed: str) -> None:
    """Let the services of changed deployments wait for `judge_deployments`; a query of service, day and started_at."""
    connection.execute(
        f"""
        INSERT INTO landing.changed_services
        SELECT service, MIN(LEAST(day, CAST(started_at AS DATE))) - 2 FROM ({changed}) GROUP BY service
        """
    )


def _replace_rejects(
    connection: duckdb.DuckDBPyConnection,
    rejected: pl.DataFrame,
    known: str,
    parameters: Mapping[str, object],
    differing: Callable[[str, str], str] = difference,
) -> None:
    before = count(connection, f"CREATE OR REPLACE TEMP TABLE known_rejects AS {known}", parameters)
    if before == 0 and rejected.is_empty():
        return
    make_alike(connection, "new_rejects", "landing.rejected_events", rejected)
    connection.execute(
        """
        DELETE FROM landing.rejected_events AS r
        WHERE EXISTS (
            SELECT 1 FROM known_rejects AS k WHERE k.source = r.source AND k.input = r.input AND k.record = r.record
        )
        """
    )
    insert(connection, "landing.rejected_events", "new_rejects", rejected.height)
    mark_days(connection, [RejectedEvents], f"SELECT day FROM ({differing('known_rejects', 'new_rejects')})")
