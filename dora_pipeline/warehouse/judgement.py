"""Events by the rules: deployments are inferred from sightings, and judged; failures are judged.

Deployments are judged by selection, same second, merging and history; failures by selection and same second. All work
on what changed since the last time only, and say which days of core that makes stale.
"""

import duckdb

from dora_pipeline.tables import Deployments, Failures, RejectedEvents
from dora_pipeline.warehouse import links
from dora_pipeline.warehouse.engines import Engine
from dora_pipeline.warehouse.failed_changes import wait_for_changes
from dora_pipeline.warehouse.landing import APM, add_deployments, remove_deployments, wait_for_services
from dora_pipeline.warehouse.queries import count, first_row, require_rows
from dora_pipeline.warehouse.replacement import replace_rows
from dora_pipeline.warehouse.staleness import mark_days


def infer_deployments(
    connection: duckdb.DuckDBPyConnection, engine: Engine, quiet_gap_us: int, merge_window_us: int
) -> None:
    """Infer the deployments of services and environments whose sightings changed, from their first changed day on."""
    if count(connection, "SELECT COUNT(*) FROM landing.changed_pairs") == 0:
        return
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE changed_pairs AS
        SELECT service, env, MIN(from_day) AS from_day FROM landing.changed_pairs GROUP BY service, env
        """
    )
    of_changed = f"""
        FROM landing.deployments AS d
        JOIN changed_pairs AS p ON d.service = p.service AND d.env IS NOT DISTINCT FROM p.env AND d.day >= p.from_day
        WHERE d.source = '{APM}' AND d.input IS NULL
    """
    parameters = {"quiet_gap_us": quiet_gap_us, "merge_window_us": merge_window_us}
    name = "landing.inferred_deployments"
    if count(connection, f"CREATE OR REPLACE TEMP TABLE known_deployments AS SELECT d.* {of_changed}"):
        rows = engine.make(connection, "new_deployments", name, parameters)
        changed = remove_deployments(connection, "known_deployments", "new_deployments")
        add_deployments(connection, "new_deployments", rows, changed)
    else:
        # Nothing to compare with: whole rows are written once.
        rows = engine.insert(connection, "landing.deployments", name, parameters)
        require_rows("landing.deployments", rows, count(connection, f"SELECT COUNT(*) {of_changed}"))
        wait_for_services(connection, f"SELECT d.service, d.day, d.started_at {of_changed}")
    connection.execute("DELETE FROM landing.changed_pairs")


def judge_deployments(
    connection: duckdb.DuckDBPyConnection, engine: Engine, merge_window_us: int, longest_gap_us: int
) -> None:
    """Judge the deployments of changed services, from their first changed day on, and mark the days that differ."""
    if count(connection, "SELECT COUNT(*) FROM landing.changed_services") == 0:
        return
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE changed_services AS
        SELECT service, MIN(from_day) AS from_day FROM landing.changed_services GROUP BY service
        """
    )
    of_changed = """
        FROM landing.judged_deployments AS x JOIN changed_services AS c ON x.service = c.service AND x.day >= c.from_day
    """
    [looked_at_from] = first_row(connection, "SELECT MIN(from_day) - 2 FROM changed_services") or [None]
    parameters = {
        "merge_window_us": merge_window_us,
        "longest_gap_us": longest_gap_us,
        "looked_at_from": looked_at_from,
    }
    differing = replace_rows(connection, engine, "landing.judged_deployments", of_changed, "new_judged", parameters)
    mark_days(connection, (Deployments, RejectedEvents), f"SELECT x.day {differing}")
    links.wait_for_deployments(connection, f"SELECT x.deployment_id, x.service, x.team, x.finished_at {differing}")
    wait_for_changes(connection, f"SELECT x.service, x.day {differing}")
    connection.execute("INSERT INTO landing.changed_ranges FROM changed_services")
    connection.execute("DELETE FROM landing.changed_services")


def judge_failures(connection: duckdb.DuckDBPyConnection, engine: Engine) -> None:
    """Judge the failures of changed days, and mark the days that differ."""
    if count(connection, "SELECT COUNT(*) FROM landing.changed_days") == 0:
        return
    connection.execute("CREATE OR REPLACE TEMP TABLE changed_days AS SELECT DISTINCT day FROM landing.changed_days")
    of_changed = "FROM landing.judged_failures AS x WHERE x.day IN (SELECT c.day FROM changed_days AS c)"
    differing = replace_rows(connection, engine, "landing.judged_failures", of_changed, "new_judged")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE differing_days AS SELECT DISTINCT x.day {differing}")
    mark_days(connection, (Failures, RejectedEvents), "FROM differing_days")
    links.wait_for_days(connection, "FROM differing_days")
    connection.execute("DELETE FROM landing.changed_days")


def judge_all_again(connection: duckdb.DuckDBPyConnection) -> None:
    """Let every service wait for `judge_deployments`, from its first day on, and every day for `judge_failures`."""
    connection.execute(
        """
        INSERT INTO landing.changed_services
        SELECT service, MIN(day)
        FROM (
            SELECT service, day FROM landing.deployments UNION ALL SELECT service, day FROM landing.judged_deployments
        )
        GROUP BY service
        """
    )
    connection.execute(
        """
        INSERT INTO landing.changed_days
        SELECT day FROM landing.failures UNION SELECT day FROM landing.judged_failures
        """
    )
