"""Which deployments failed and which are rollbacks, as the warehouse has it: what is asked, and the rows that follow.

What says that a deployment failed follows from what went live by then: of the services of which something changed it is
judged from their first changed day on, and kept as signs. Which of the signs stand depends on later ones and on marks:
that is settled for the whole services, of which there are few signs. What does not belong here: which deployments are
rollbacks (`pipeline/failed_changes.py`).
"""

import json
from collections.abc import Callable, Sequence

import duckdb
import polars as pl

from dora_pipeline.config import ChangeFailureRule
from dora_pipeline.tables import ChangeSigns, DeploymentKinds, Deployments, FailedChanges, JudgedChanges, Table
from dora_pipeline.warehouse.engines import Engine
from dora_pipeline.warehouse.links import wait_for_deployments
from dora_pipeline.warehouse.properties import change_properties
from dora_pipeline.warehouse.queries import count, difference, execute_with, frame, insert, statement
from dora_pipeline.warehouse.staleness import mark_days

# A rollback, and the deployment that it says failed.
ROLLBACKS = {"deployment_id": pl.String, "failed_id": pl.String}

_RULES = {"rule": pl.Int64, "name": pl.String, "fails": pl.String}
# Rows x of the waiting services, all and those of the days that are judged anew.
_OF_WAITING = "x.service IN (SELECT w.service FROM waiting_services AS w)"
_OF_CHANGED = "EXISTS (FROM waiting_services AS w WHERE x.service = w.service AND x.day >= w.from_day)"


def wait_for_changes(connection: duckdb.DuckDBPyConnection, changed: str) -> None:
    """Let services wait for their changes to be judged, each from the first of its days in a query of service and day.

    Without a day only what stands of the signs is settled again.
    """
    connection.execute(
        f"""
        INSERT INTO landing.unjudged_changes
        SELECT c.service, MIN(c.day) FROM ({changed}) AS c(service, day) WHERE c.service IS NOT NULL GROUP BY c.service
        """
    )


def first_days(services: str) -> str:
    """The query of services and their first days, of the services that a query of one column gives."""
    return f"""
        SELECT j.service, MIN(j.day) FROM landing.judged_deployments AS j
        WHERE j.service IN ({services}) GROUP BY j.service
    """


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
    at most `longest_gap_us` before. `rollbacks` is given the chains in which something may be a rollback, as far as
    they have to be known, and gives ROLLBACKS. Columns of chains: chain, deployment_id, content, previous_content (of
    what is to be judged), is_behind, repository_id, commit_sha (whole, where the repository knows it), is_judged
    (whether it was judged before), failed_id (what failed by it, where it was judged to be a rollback), in this order.
    """
    written = json.dumps([rule.model_dump() for rule in rules])
    if change_properties(connection, {"change_failure_rules": written}):
        wait_for_changes(connection, first_days("SELECT service FROM landing.judged_deployments"))
    _make_marks(connection, id_prefix)
    _wait_for_tied_services(connection, "marks")
    waiting = count(
        connection,
        """
        CREATE OR REPLACE TEMP TABLE waiting_services AS
        SELECT
            u.service, MIN(u.from_day) AS from_day,
            -- Days of other time zones than UTC are not those of the moments.
            MIN(u.from_day) - CAST($longest_gap_us // 86400000000 + 2 AS INTEGER) AS reverts_from_day
        FROM landing.unjudged_changes AS u GROUP BY u.service
        """,
        {"longest_gap_us": longest_gap_us},
    )
    if waiting == 0:
        return
    connection.execute("DELETE FROM landing.unjudged_changes")
    engine.make(connection, "chain_names", "landing.chain_names")
    engine.make(connection, "chains", "landing.chains")
    _find_rollbacks(connection, rollbacks)
    # Most of the time of a small load goes into planning statements; without commits some find nothing.
    has_commits = count(connection, "SELECT COUNT(*) FROM landing.range_commits") > 0
    _find_reverts(connection, longest_gap_us, has_commits=has_commits)
    _find_matches(connection, rules, has_commits=has_commits)
    if kinds := _replace(connection, engine, DeploymentKinds, _OF_CHANGED):
        ids = f"SELECT deployment_id FROM ({kinds})"
        mark_days(
            connection,
            [Deployments],
            f"""
            SELECT day FROM ({kinds})
            UNION SELECT day FROM landing.judged_deployments WHERE duplicate_of IN ({ids})
            """,
        )
        # What is a rollback now, or is none any more, may be the cause of other failures.
        wait_for_deployments(
            connection,
            f"""
            SELECT deployment_id, service, team, finished_at FROM landing.judged_deployments
            WHERE deployment_id IN ({ids})
            """,
        )
    _replace(connection, engine, ChangeSigns, _OF_CHANGED)
    if changes := _replace(connection, engine, JudgedChanges, _OF_WAITING):
        mark_days(connection, [FailedChanges], f"SELECT day FROM ({changes})")
    # In a first load it has all deployments, and what follows needs the memory.
    connection.execute("DROP TABLE chains")


def _find_rollbacks(connection: duckdb.DuckDBPyConnection, rollbacks: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE live_before (chain BIGINT, content VARCHAR, finished_at TIMESTAMPTZ)
        """
    )
    earlier = "FROM landing.judged_deployments AS x JOIN waiting_services AS w ON x.service = w.service"
    # Where there is nothing before, as in a first load, whatever goes live need not be looked for.
    if count(connection, f"SELECT COUNT(*) FROM (SELECT 1 {earlier} AND x.day < w.from_day LIMIT 1)"):
        connection.execute(f"INSERT INTO live_before BY NAME {statement('landing.live_before')}")
    for table in ("returning_contents", "returning_chains"):
        chains = count(connection, f"CREATE OR REPLACE TEMP TABLE {table} AS {statement(f'landing.{table}')}")
    found = pl.DataFrame(schema=ROLLBACKS)
    if chains:
        found = rollbacks(frame(connection, statement("landing.returning_rows")))
    execute_with(connection, found, "CREATE OR REPLACE TEMP TABLE rollbacks AS SELECT * FROM given_rows")


def _find_reverts(connection: duckdb.DuckDBPyConnection, longest_gap_us: int, *, has_commits: bool) -> None:
    connection.execute(f"CREATE OR REPLACE TEMP VIEW brought_messages AS {statement('landing.brought_messages')}")
    connection.execute("CREATE OR REPLACE TEMP TABLE reverted_deployments (deployment_id VARCHAR, failed_id VARCHAR)")
    # The few that are taken back are looked for among all commits where there are any.
    if has_commits and count(connection, f"CREATE OR REPLACE TEMP TABLE reverts AS {statement('landing.reverts')}"):
        connection.execute(
            f"INSERT INTO reverted_deployments {statement('landing.reverted_deployments')}",
            {"longest_gap_us": longest_gap_us},
        )


def _find_matches(
    connection: duckdb.DuckDBPyConnection, rules: Sequence[ChangeFailureRule], *, has_commits: bool
) -> None:
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


def _replace(connection: duckdb.DuckDBPyConnection, engine: Engine, table: type[Table], which: str) -> str | None:
    """Replace which of the rows x of a table a condition says; the query of those that differ, None without any."""
    of_waiting = f"FROM {table.table_name} AS x WHERE {which}"
    before = count(connection, f"CREATE OR REPLACE TEMP TABLE known_changes AS SELECT x.* {of_waiting}")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE new_changes AS SELECT * FROM {table.table_name} LIMIT 0")
    rows = engine.insert(connection, "new_changes", table.table_name)
    if before == rows == 0:
        return None
    connection.execute(f"DELETE {of_waiting}")
    insert(connection, table.table_name, "new_changes", rows)
    return difference("known_changes", "new_changes")


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
        SELECT UNNEST([m.service, j.service]), CAST(NULL AS DATE)
        FROM {marks} AS m LEFT JOIN landing.judged_deployments AS j ON m.remediation_id = j.deployment_id
        WHERE m.remediation_id IS NOT NULL AND (NOT m.is_there OR m.service <> j.service)
        UNION
        SELECT UNNEST([f.service, j.service]), CAST(NULL AS DATE)
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


def ask_again(connection: duckdb.DuckDBPyConnection, deployments: pl.DataFrame) -> None:
    """Let deployments, a column of deployment_id, be judged again by the next run."""
    execute_with(connection, deployments, "CREATE OR REPLACE TEMP TABLE unanswered AS SELECT * FROM given_rows")
    wait_for_changes(
        connection, "SELECT service, day FROM landing.judged_deployments WHERE deployment_id IN (FROM unanswered)"
    )
