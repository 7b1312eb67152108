"""Which deployments failed and which are rollbacks, as the warehouse has it: what is asked, and the rows that follow.

Works on the services of which something changed, with all that is known of them. What does not belong here: which
deployments are rollbacks (`pipeline/failed_changes.py`).
"""

import json
from collections.abc import Callable, Sequence

import duckdb
import polars as pl

from dora_pipeline.config import ChangeFailureRule
from dora_pipeline.tables import DeploymentKinds, Deployments, FailedChanges, JudgedChanges, Table
from dora_pipeline.warehouse.engines import Engine
from dora_pipeline.warehouse.inputs import change_properties
from dora_pipeline.warehouse.links import wait_for_deployments
from dora_pipeline.warehouse.queries import count, difference, execute_with, frame, insert, statement
from dora_pipeline.warehouse.staleness import mark_days

# A rollback, and the deployment that it says failed.
ROLLBACKS = {"deployment_id": pl.String, "failed_id": pl.String}

_RULES = {"rule": pl.Int64, "name": pl.String, "fails": pl.String}
# What is judged, and the table of core that shows it.
_JUDGED: Sequence[tuple[type[Table], type[Table]]] = ((DeploymentKinds, Deployments), (JudgedChanges, FailedChanges))


def wait_for_changes(connection: duckdb.DuckDBPyConnection, services: str) -> None:
    """Let the services that a query of one column gives wait for their changes to be judged."""
    connection.execute(
        f"""
        INSERT INTO landing.unjudged_changes
        SELECT DISTINCT s.service FROM ({services}) AS s(service) WHERE s.service IS NOT NULL
        """
    )


def judge_waiting_changes(
    connection: duckdb.DuckDBPyConnection,
    engine: Engine,
    rules: Sequence[ChangeFailureRule],
    id_prefix: str,
    longest_gap_us: int,
    rollbacks: Callable[[pl.DataFrame], pl.DataFrame],
) -> None:
    """Judge the changes of the waiting services anew, and mark the days of core that differ.

    `id_prefix` begins the ids of deployments that their source names without it. A revert takes back what was deployed
    at most `longest_gap_us` before. `rollbacks` is given the chains in which something may be a rollback, and gives
    ROLLBACKS. Columns of chains: chain, place, deployment_id, content, is_behind, repository_id, commit_sha (whole,
    where the repository knows it), in this order.
    """
    written = json.dumps([rule.model_dump() for rule in rules])
    if change_properties(connection, {"change_failure_rules": written}):
        wait_for_changes(connection, "SELECT service FROM landing.judged_deployments")
    _make_marks(connection, id_prefix)
    _wait_for_tied_services(connection, "marks")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE waiting_services AS SELECT DISTINCT service FROM landing.unjudged_changes"
    )
    if count(connection, "SELECT COUNT(*) FROM waiting_services") == 0:
        return
    engine.make(connection, "chains", "landing.chains")
    returning = frame(
        connection,
        f"""
        SELECT chain, place, deployment_id, content, is_behind, repository_id, commit_sha
        FROM chains WHERE chain IN ({statement("landing.returning_chains")}) ORDER BY chain, place
        """,
    )
    execute_with(connection, rollbacks(returning), "CREATE OR REPLACE TEMP TABLE rollbacks AS SELECT * FROM given_rows")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW brought_messages AS {statement('landing.brought_messages')}")
    connection.execute("CREATE OR REPLACE TEMP TABLE reverted_deployments (deployment_id VARCHAR, failed_id VARCHAR)")
    # Most of the time of a small load goes into planning statements; without commits these find nothing.
    has_commits = count(connection, "SELECT COUNT(*) FROM landing.range_commits") > 0
    if has_commits:
        connection.execute(
            f"INSERT INTO reverted_deployments {statement('landing.reverted_deployments')}",
            {"longest_gap_us": longest_gap_us},
        )
    execute_with(
        connection,
        pl.DataFrame([(place, rule.name, rule.fails) for place, rule in enumerate(rules)], schema=_RULES, orient="row"),
        "CREATE OR REPLACE TEMP TABLE change_failure_rules AS SELECT * FROM given_rows",
    )
    connection.execute("CREATE OR REPLACE TEMP TABLE rule_matches (deployment_id VARCHAR, rule BIGINT)")
    for place, rule in enumerate(rules):
        if rule.field == "commit_subject" and not has_commits:
            continue
        matches = f"INSERT INTO rule_matches {statement('landing.rule_matches')}"
        connection.execute(matches, {"rule": place, "field": rule.field, "pattern": rule.matches})
    for table, shown in _JUDGED:
        of_waiting = f"{table.table_name} WHERE service IN (SELECT service FROM waiting_services)"
        before = count(connection, f"CREATE OR REPLACE TEMP TABLE known_changes AS SELECT * FROM {of_waiting}")
        connection.execute(f"CREATE OR REPLACE TEMP TABLE new_changes AS SELECT * FROM {table.table_name} LIMIT 0")
        rows = engine.insert(connection, "new_changes", table.table_name)
        if before == rows == 0:
            continue
        changed = difference("known_changes", "new_changes")
        mark_days(connection, [shown], f"SELECT day FROM ({changed})")
        if table is DeploymentKinds:
            # What is a rollback now, or is none any more, may be the cause of other failures.
            wait_for_deployments(
                connection,
                f"""
                SELECT deployment_id, service, team, finished_at FROM landing.judged_deployments
                WHERE deployment_id IN (SELECT deployment_id FROM ({changed}))
                """,
            )
        connection.execute(f"DELETE FROM {of_waiting}")
        insert(connection, table.table_name, "new_changes", rows)
    connection.execute("DELETE FROM landing.unjudged_changes")


def _make_marks(connection: duckdb.DuckDBPyConnection, id_prefix: str) -> None:
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE marks (
            deployment_id VARCHAR, service VARCHAR, is_failed BOOLEAN, remediation_id VARCHAR, remediation_type VARCHAR,
            is_there BOOLEAN
        )
        """
    )
    if count(connection, "SELECT COUNT(*) FROM landing.judged_deployments WHERE change_failure IS NOT NULL") > 0:
        connection.execute(f"INSERT INTO marks BY NAME {statement('landing.marks')}", {"prefix": id_prefix})


def _wait_for_tied_services(connection: duckdb.DuckDBPyConnection, marks: str) -> None:
    remedied = f"SELECT remediation_id FROM {marks} UNION ALL SELECT remediation_id FROM landing.failed_changes"
    if count(connection, f"SELECT COUNT(remediation_id) FROM ({remedied})") == 0:
        return
    # A mark may name a remediation of another service, or one that is not there yet: what becomes of one of the two
    # concerns both, and what a mark named until now.
    wait_for_changes(
        connection,
        f"""
        SELECT UNNEST([m.service, j.service])
        FROM {marks} AS m LEFT JOIN landing.judged_deployments AS j ON m.remediation_id = j.deployment_id
        WHERE m.remediation_id IS NOT NULL AND (NOT m.is_there OR m.service <> j.service)
        UNION
        SELECT UNNEST([f.service, j.service])
        FROM landing.failed_changes AS f
        INNER JOIN landing.judged_deployments AS j ON f.remediation_id = j.deployment_id
        WHERE f.service <> j.service
        """,
    )


def known_histories(connection: duckdb.DuckDBPyConnection, repository_id: str) -> dict[tuple[str, str], bool]:
    """Whether the second commit is in the history of the first, as far as that was asked of a repository."""
    rows = connection.execute(
        "SELECT commit_sha, earlier_sha, is_in_history FROM landing.commit_histories WHERE repository_id = ?",
        [repository_id],
    ).fetchall()
    return {(commit, earlier): is_in_history for commit, earlier, is_in_history in rows}


def keep_histories(connection: duckdb.DuckDBPyConnection, histories: pl.DataFrame) -> None:
    """Keep what was asked: rows of CommitHistories."""
    execute_with(connection, histories, "INSERT INTO landing.commit_histories BY NAME SELECT * FROM given_rows")
