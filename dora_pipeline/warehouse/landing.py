"""What each source has told, kept in schema `landing`, and which days of core it makes stale.

Every function runs inside a transaction of the writer. What changes nothing marks nothing.
"""

from dataclasses import dataclass
from datetime import datetime

import duckdb
import polars as pl

from dora_pipeline.tables import (
    ApmVersionActivity,
    DeploymentCommits,
    Deployments,
    Failures,
    RejectedEvents,
)
from dora_pipeline.warehouse.queries import count, first_row, statement
from dora_pipeline.warehouse.staleness import mark_all_days, mark_days

APM = "apm_deployment_tracking"
_LANDED = ("inputs", "version_activity", "changed_pairs", "deployments", "failures", "rejected_events")


@dataclass(frozen=True)
class Input:
    """An input as it was when it was read: its name, size in bytes and last change (UTC)."""

    name: str
    size: int
    modified_at: datetime
    content_of: str | None = None


def known_inputs(connection: duckdb.DuckDBPyConnection, source: str) -> dict[str, Input]:
    """The inputs of a source that have landed, by name."""
    rows = connection.execute(
        "SELECT input, size, modified_at, content_of FROM landing.inputs WHERE source = ?", [source]
    ).fetchall()
    return {row[0]: Input(*row) for row in rows}


def note_input(connection: duckdb.DuckDBPyConnection, source: str, told: Input, records: int) -> None:
    """Remember that an input was read as it was then."""
    connection.execute("DELETE FROM landing.inputs WHERE source = ? AND input = ?", [source, told.name])
    connection.execute(
        "INSERT INTO landing.inputs VALUES (?, ?, ?, ?, ?, ?)",
        [source, told.name, told.size, told.modified_at, told.content_of, records],
    )


def forget_input(connection: duckdb.DuckDBPyConnection, source: str, name: str) -> None:
    """Forget an input, so that it is read again when it is met again."""
    connection.execute("DELETE FROM landing.inputs WHERE source = ? AND input = ?", [source, name])


def land_export(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    activity: pl.DataFrame,
    deployments: pl.DataFrame,
    rejected: pl.DataFrame,
) -> None:
    """Replace what an export told: rows of LandedVersionActivity, LandedDeployments, LandedRejects, without `input`.

    Services and environments whose sightings changed wait in landing.changed_pairs for `infer_deployments`.
    """
    _make_temporary(connection, "told_activity", activity, name)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE known_activity AS SELECT * FROM landing.version_activity WHERE input = ?", [name]
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE changed_activity AS {_difference('known_activity', 'told_activity')}"
    )
    connection.execute("DELETE FROM landing.version_activity WHERE input = ?", [name])
    connection.execute("INSERT INTO landing.version_activity BY NAME SELECT * FROM told_activity")
    connection.execute(
        "INSERT INTO landing.changed_pairs SELECT service, env, MIN(day) FROM changed_activity GROUP BY service, env"
    )
    mark_days(connection, ApmVersionActivity, "SELECT day FROM changed_activity")
    _make_temporary(connection, "told_deployments", deployments, name)
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE known_deployments AS
        SELECT * FROM landing.deployments WHERE source = ? AND input = ?
        """,
        [APM, name],
    )
    changed = _replace_deployments(connection)
    if changed:
        # A ready event takes the place of the inferred deployment near it.
        connection.execute(
            """
            INSERT INTO landing.changed_pairs
            SELECT service, env, MIN(day) - 1 FROM changed_deployments GROUP BY service, env
            """
        )
    reject_input(connection, name, rejected)


def reject_input(connection: duckdb.DuckDBPyConnection, name: str, rejected: pl.DataFrame) -> None:
    """Replace only the rejects of an export file, as when it cannot be read now; what it told before stays."""
    known = "SELECT * FROM landing.rejected_events WHERE source = $source AND input = $input"
    _replace_rejects(connection, rejected, name, known, {"source": APM, "input": name})


def infer_deployments(connection: duckdb.DuckDBPyConnection, quiet_gap_us: int, merge_window_us: int) -> None:
    """Infer the deployments of services and environments whose sightings changed, from their first changed day on."""
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE changed_pairs AS
        SELECT service, env, MIN(from_day) AS from_day FROM landing.changed_pairs GROUP BY service, env
        """
    )
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE known_deployments AS
        SELECT d.* FROM landing.deployments AS d
        JOIN changed_pairs AS p ON d.service = p.service AND d.env IS NOT DISTINCT FROM p.env AND d.day >= p.from_day
        WHERE d.source = ? AND d.input IS NULL
        """,
        [APM],
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE told_deployments AS {statement('inferred_deployments')}",
        {"quiet_gap_us": quiet_gap_us, "merge_window_us": merge_window_us},
    )
    _replace_deployments(connection)
    connection.execute("DELETE FROM landing.changed_pairs")


def land_deployments(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    name: str,
    ids: pl.Series,
    events: pl.DataFrame,
    rejected: pl.DataFrame,
) -> None:
    """Replace what is known of deployments by id: rows of LandedDeployments and LandedRejects, without `input`."""
    _make_ids(connection, ids)
    _make_temporary(connection, "told_deployments", events, name)
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE known_deployments AS
        SELECT * FROM landing.deployments WHERE source = ? AND deployment_id IN (SELECT id FROM told_ids)
        """,
        [source],
    )
    _replace_deployments(connection)
    _replace_rejects_of_ids(connection, source, rejected, name)


def land_failures(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    name: str,
    ids: pl.Series,
    events: pl.DataFrame,
    rejected: pl.DataFrame,
) -> None:
    """Replace what is known of failures by id: rows of LandedFailures and LandedRejects, without `input`."""
    _make_ids(connection, ids)
    _make_temporary(connection, "told_failures", events, name)
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE known_failures AS
        SELECT * FROM landing.failures WHERE source = ? AND failure_id IN (SELECT id FROM told_ids)
        """,
        [source],
    )
    mark_days(connection, Failures, f"SELECT day FROM ({_difference('known_failures', 'told_failures')})")
    connection.execute(
        "DELETE FROM landing.failures WHERE source = ? AND failure_id IN (SELECT id FROM told_ids)", [source]
    )
    connection.execute("INSERT INTO landing.failures BY NAME SELECT * FROM told_failures")
    _replace_rejects_of_ids(connection, source, rejected, name)


def forget_everything(connection: duckdb.DuckDBPyConnection) -> None:
    """Forget all that has landed, and mark every day that has rows, so that everything is read and loaded again."""
    mark_all_days(connection, (ApmVersionActivity, Deployments, DeploymentCommits, Failures, RejectedEvents))
    for table in _LANDED:
        connection.execute(f"DELETE FROM landing.{table}")


def note_reading(connection: duckdb.DuckDBPyConnection, source: str, read_at: datetime, error: str | None) -> None:
    """Remember how the reading of a source went at `read_at` (UTC); an error leaves the last good reading as it was."""
    known = first_row(connection, "SELECT read_at FROM landing.source_states WHERE source = ?", [source])
    good = read_at if error is None else (known[0] if known else None)
    connection.execute("DELETE FROM landing.source_states WHERE source = ?", [source])
    connection.execute("INSERT INTO landing.source_states VALUES (?, ?, ?)", [source, good, error])


def read_property(connection: duckdb.DuckDBPyConnection, name: str) -> str | None:
    """The value of a property, None where it was never written."""
    row = first_row(connection, "SELECT value FROM landing.properties WHERE name = ?", [name])
    return str(row[0]) if row else None


def write_property(connection: duckdb.DuckDBPyConnection, name: str, value: str) -> None:
    """Set the value of a property."""
    connection.execute("DELETE FROM landing.properties WHERE name = ?", [name])
    connection.execute("INSERT INTO landing.properties VALUES (?, ?)", [name, value])


def _make_temporary(connection: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame, name: str) -> None:
    landed = {"told_activity": "version_activity", "told_deployments": "deployments", "told_failures": "failures"}[
        table
    ]
    connection.register("told_frame", frame.with_columns(input=pl.lit(name)))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM landing.{landed} LIMIT 0")
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM told_frame")
    connection.unregister("told_frame")


def _make_ids(connection: duckdb.DuckDBPyConnection, ids: pl.Series) -> None:
    connection.register("told_frame", ids.alias("id").to_frame())
    connection.execute("CREATE OR REPLACE TEMP TABLE told_ids AS SELECT DISTINCT id FROM told_frame")
    connection.unregister("told_frame")


def _replace_deployments(connection: duckdb.DuckDBPyConnection) -> int:
    """Put told_deployments in the place of known_deployments; the number of rows that differ.

    A deployment is judged by those before it, so every later day of its service is stale too, and the day before,
    where a deployment of another source may merge with it.
    """
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE changed_deployments AS {_difference('known_deployments', 'told_deployments')}"
    )
    connection.execute(
        """
        DELETE FROM landing.deployments AS d
        WHERE EXISTS (
            FROM known_deployments AS k
            WHERE k.source = d.source AND k.deployment_id = d.deployment_id AND k.input IS NOT DISTINCT FROM d.input
        )
        """
    )
    connection.execute("INSERT INTO landing.deployments BY NAME SELECT * FROM told_deployments")
    mark_days(
        connection,
        Deployments,
        """
        SELECT day FROM changed_deployments
        UNION ALL
        SELECT d.day FROM landing.deployments AS d
        JOIN (
            SELECT service, MIN(LEAST(day, CAST(started_at AS DATE))) - 1 AS from_day
            FROM changed_deployments GROUP BY service
        ) AS c ON d.service = c.service AND d.day >= c.from_day
        """,
    )
    return count(connection, "SELECT COUNT(*) FROM changed_deployments")


def _replace_rejects_of_ids(
    connection: duckdb.DuckDBPyConnection, source: str, rejected: pl.DataFrame, name: str
) -> None:
    _replace_rejects(
        connection,
        rejected,
        name,
        "SELECT * FROM landing.rejected_events WHERE source = $source AND record IN (SELECT id FROM told_ids)",
        {"source": source},
    )


def _replace_rejects(
    connection: duckdb.DuckDBPyConnection, rejected: pl.DataFrame, name: str, known: str, parameters: dict[str, str]
) -> None:
    connection.execute(f"CREATE OR REPLACE TEMP TABLE known_rejects AS {known}", parameters)
    connection.execute("CREATE OR REPLACE TEMP TABLE told_rejects AS SELECT * FROM landing.rejected_events LIMIT 0")
    connection.register("told_frame", rejected.with_columns(input=pl.lit(name)))
    connection.execute("INSERT INTO told_rejects BY NAME SELECT * FROM told_frame")
    connection.unregister("told_frame")
    connection.execute(
        """
        DELETE FROM landing.rejected_events AS r
        WHERE EXISTS (
            SELECT 1 FROM known_rejects AS k WHERE k.source = r.source AND k.input = r.input AND k.record = r.record
        )
        """
    )
    connection.execute("INSERT INTO landing.rejected_events SELECT * FROM told_rejects")
    mark_days(connection, RejectedEvents, f"SELECT day FROM ({_difference('known_rejects', 'told_rejects')})")


def _difference(known: str, told: str) -> str:
    """The query of the rows that stand in one of two tables only, whichever input told them."""
    rows = "SELECT * EXCLUDE (input) FROM"
    return f"({rows} {known} EXCEPT {rows} {told}) UNION ALL ({rows} {told} EXCEPT {rows} {known})"
