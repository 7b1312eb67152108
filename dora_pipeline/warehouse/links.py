"""Links of failures to the deployments that most likely caused them, and what waits until they are made again.

What does not belong here: the rules, which are SQL (`sql/landing/failure_links.sql`).
"""

import duckdb
import polars as pl

from dora_pipeline.tables import FailureLinks
from dora_pipeline.warehouse.engines import Engine
from dora_pipeline.warehouse.queries import count, execute_with, statement
from dora_pipeline.warehouse.replacement import replace_rows
from dora_pipeline.warehouse.staleness import mark_days


def wait_for_deployments(connection: duckdb.DuckDBPyConnection, changed: str) -> None:
    """Let the failures that changed deployments may concern wait for `link_failures`.

    `changed` is a query of them, as they were and as they are, that has the columns of landing.changed_deployments.
    """
    # The days of failures that were never linked wait themselves.
    connection.execute(
        f"""
        INSERT INTO landing.changed_deployments
        SELECT deployment_id, service, team, finished_at FROM ({changed})
        WHERE EXISTS (SELECT 1 FROM landing.failure_links)
        """
    )


def wait_for_names(connection: duckdb.DuckDBPyConnection, names: pl.Series) -> None:
    """Let the failures wait that name a deployment by one of the ids, if it is not its only one."""
    execute_with(
        connection,
        names.alias("name").to_frame(),
        """
        INSERT INTO landing.changed_deployments
        SELECT DISTINCT name, NULL, NULL, NULL FROM given_rows
        WHERE EXISTS (SELECT 1 FROM landing.failure_links)
            AND name NOT IN (SELECT deployment_id FROM landing.deployments)
        """,
    )


def wait_for_days(connection: duckdb.DuckDBPyConnection, days: str) -> None:
    """Let the failures of the days that a query of one column gives wait for `link_failures`."""
    connection.execute(f"INSERT INTO landing.unlinked_days SELECT DISTINCT d.day FROM ({days}) AS d(day)")


def wait_for_owners(connection: duckdb.DuckDBPyConnection, changed: pl.DataFrame) -> None:
    """Let the days with failures wait that rows of core.services, before and after, may concern.

    A failure is linked by the catalog where its service is not deployed, and where it names only a team.
    """
    # A service that is there before and after with the same team is none.
    owners = changed.select("service", "team").filter(changed.select("service", "team").is_unique())
    execute_with(connection, owners, "CREATE OR REPLACE TEMP TABLE changed_owners AS SELECT * FROM given_rows")
    wait_for_days(
        connection,
        """
        SELECT f.day FROM landing.judged_failures AS f
        WHERE f.service IN (SELECT o.service FROM changed_owners AS o)
            OR f.service IS NULL AND f.team IN (SELECT o.team FROM changed_owners AS o)
        """,
    )


def link_all_again(connection: duckdb.DuckDBPyConnection) -> None:
    """Let all failures wait for `link_failures`."""
    wait_for_days(connection, "SELECT day FROM landing.judged_failures UNION SELECT day FROM landing.failure_links")


def link_failures(connection: duckdb.DuckDBPyConnection, engine: Engine, window_us: int, slack_us: int) -> None:
    """Link the failures that what changed may concern, and mark the days of core.failure_links that differ."""
    waiting = "SELECT (SELECT COUNT(*) FROM landing.changed_deployments) + (SELECT COUNT(*) FROM landing.unlinked_days)"
    if count(connection, waiting) == 0:
        return
    concerned = count(
        connection,
        f"CREATE OR REPLACE TEMP TABLE failures_to_link AS {statement('landing.failures_to_link')}",
        {"slack_us": slack_us},
    )
    if not concerned and count(connection, "SELECT COUNT(*) FROM landing.unlinked_days") == 0:
        connection.execute("DELETE FROM landing.changed_deployments")
        return
    of_replaced = """
        FROM landing.failure_links AS x
        WHERE x.day IN (SELECT u.day FROM landing.unlinked_days AS u) OR EXISTS (
            FROM failures_to_link AS f
            WHERE f.failure_id = x.failure_id AND f.service IS NOT DISTINCT FROM x.service
        )
    """
    parameters = {"window_us": window_us, "slack_us": slack_us}
    differing = replace_rows(connection, engine, "landing.failure_links", of_replaced, "new_links", parameters)
    mark_days(connection, [FailureLinks], f"SELECT x.day {differing}")
    connection.execute("DELETE FROM landing.changed_deployments")
    connection.execute("DELETE FROM landing.unlinked_days")
