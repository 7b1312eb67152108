"""The step that looks up commits, as the warehouse has it: what is asked, and the rows that follow from the answers.

Works on the services whose deployments, repositories or patterns changed, from their first changed day on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb
import polars as pl

from dora_pipeline.tables import Deployments
from dora_pipeline.warehouse.engines import Engine
from dora_pipeline.warehouse.failed_changes import wait_for_changes
from dora_pipeline.warehouse.queries import count, difference, execute_with, frame, insert, make_alike, statement
from dora_pipeline.warehouse.staleness import mark_days
from dora_pipeline.warehouse.writer import Writer

# Reasons for which a later fetch may find what is missing now.
_PASSING_REASONS = ("repository_missing", "commit_missing", "previous_commit_missing")
# A deployment, and a commit of its range that an earlier one of its history had, as landing.range_commits has it.
HAD_COMMITS = {"deployment_id": pl.String, "commit_sha": pl.String, "landed_as_sha": pl.String}

_ASKED = "deployment_id, history, service, env, repository_id, base_sha, head_sha, patterns, is_ranged, day"
_WAITING = "SELECT service, MIN(from_day) AS from_day FROM landing.changed_ranges"
_KNOWN = "FROM landing.deployment_ranges AS d JOIN changed_ranges AS c ON d.service = c.service AND d.day >= c.from_day"


@dataclass(frozen=True)
class Questions:
    """What is asked of the repositories: rows with the first columns of landing.deployment_ranges, by repository,
    history and order of deployment, with the whole SHA that the same question found before (`known_sha`); and the
    temporary table of the services that changed, each from a day on.
    """

    rows: pl.DataFrame
    services: str


def deployments_without_commits(writer: Writer) -> pl.DataFrame:
    """Deployments of whose repository or commits something is missing that may be had later.

    deployment_id, repository_id, base_sha, head_sha, previous_sha, commit_sha, reason, day.
    """
    return frame(
        writer.connection,
        """
        SELECT deployment_id, repository_id, base_sha, head_sha, previous_sha, commit_sha, reason, day
        FROM landing.deployment_ranges WHERE reason IN (SELECT UNNEST($reasons))
        """,
        {"reasons": list(_PASSING_REASONS)},
    )


def deployments_of_unfinished_ranges(writer: Writer) -> dict[str, list[str]]:
    """The deployments of ranges whose squash commits could not all be asked for, by repository."""
    rows = writer.connection.execute(
        """
        SELECT d.repository_id, LIST(d.deployment_id) FROM landing.deployment_ranges AS d
        SEMI JOIN (SELECT range_id FROM landing.commit_ranges WHERE NOT is_final) AS r ON d.range_id = r.range_id
        GROUP BY d.repository_id ORDER BY d.repository_id
        """
    ).fetchall()
    return dict(rows)


def unexpanded_squash_commits(writer: Writer, since: date) -> dict[str, list[str]]:
    """The squash commits without a ref of their request, of repositories that have one deployed `since` or later."""
    rows = writer.connection.execute(
        """
        SELECT x.repository_id, LIST(DISTINCT x.sha) FROM (
            SELECT r.repository_id, d.day, UNNEST(r.unexpanded) AS sha
            FROM landing.commit_ranges AS r JOIN landing.deployment_ranges AS d ON r.range_id = d.range_id
            WHERE LEN(r.unexpanded) > 0
        ) AS x
        GROUP BY x.repository_id HAVING MAX(x.day) >= ? ORDER BY x.repository_id
        """,
        [since],
    ).fetchall()
    return dict(rows)


def reopen_ranges(writer: Writer, repository_id: str, squash_commits: Collection[str]) -> None:
    """Let the ranges with some unexpanded squash commits count as unfinished."""
    writer.connection.execute(
        "UPDATE landing.commit_ranges SET is_final = FALSE WHERE repository_id = ? AND LIST_HAS_ANY(unexpanded, ?)",
        [repository_id, sorted(squash_commits)],
    )


def wait_for_commits(connection: duckdb.DuckDBPyConnection, services: str) -> None:
    """Let the services that a query of one column gives wait for their commits to be looked up, from the first day."""
    connection.execute(
        f"""
        INSERT INTO landing.changed_ranges
        SELECT j.service, MIN(j.day) FROM landing.judged_deployments AS j
        WHERE j.service IN ({services}) GROUP BY j.service
        """
    )


def forget_commits(connection: duckdb.DuckDBPyConnection) -> None:
    """Let all commits be looked up again; the ranges that were are kept."""
    connection.execute("DELETE FROM landing.deployment_ranges")
    connection.execute("DELETE FROM landing.repeated_commits")
    connection.execute("DELETE FROM landing.delivered_tips")
    wait_for_commits(connection, "SELECT service FROM landing.judged_deployments")


def begin_questions(writer: Writer, again: Sequence[str]) -> dict[tuple[str, str], int]:
    """Let services wait for their commits also for the deployments `again`, and where repositories are configured anew.

    Which services wait for which repositories, and for how many deployments each.
    """
    connection = writer.connection
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE asked_again AS SELECT UNNEST(?::VARCHAR[]) AS deployment_id", [again]
    )
    reconfigured = count(
        connection,
        """
        INSERT INTO asked_again
        SELECT d.deployment_id FROM landing.deployment_ranges AS d
        WHERE (COALESCE(d.reason, '') = 'repository_not_configured')
            = (d.repository_id IN (SELECT r.repository_id FROM landing.repositories AS r))
        """,
    )
    if again or reconfigured:
        connection.execute(
            """
            INSERT INTO landing.changed_ranges
            SELECT d.service, MIN(d.day) FROM landing.deployment_ranges AS d
            WHERE d.deployment_id IN (FROM asked_again) GROUP BY d.service
            """
        )
    if count(connection, "SELECT COUNT(*) FROM landing.changed_ranges") == 0:
        return {}
    connection.execute(f"CREATE OR REPLACE TEMP TABLE changed_ranges AS {_WAITING} GROUP BY service")
    found = connection.execute(
        f"""
        SELECT service, repository_id, COUNT(*)
        FROM (
            SELECT service, repository_id FROM ({statement("landing.asked_ranges")})
            UNION ALL SELECT d.service, d.repository_id {_KNOWN}
        )
        GROUP BY service, repository_id ORDER BY repository_id, service
        """
    ).fetchall()
    return {(service, repository_id): deployments for service, repository_id, deployments in found}


def questions_of(writer: Writer, services: Sequence[str]) -> Questions | None:
    """What is to be asked of the repositories for some of the services that wait; None where nothing has changed."""
    connection = writer.connection
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE changed_ranges AS
        {_WAITING} WHERE service IN (SELECT UNNEST(?)) GROUP BY service
        """,
        [services],
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE asked_ranges AS {statement('landing.asked_ranges')}")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE known_ranges AS SELECT d.* {_KNOWN}")
    changed = count(
        connection,
        f"""
        CREATE OR REPLACE TEMP TABLE changed_ranges AS
        SELECT service, MIN(day) AS from_day
        FROM (
            (SELECT {_ASKED} FROM asked_ranges EXCEPT SELECT {_ASKED} FROM known_ranges)
            UNION ALL
            (SELECT {_ASKED} FROM known_ranges EXCEPT SELECT {_ASKED} FROM asked_ranges)
            UNION ALL
            (SELECT {_ASKED} FROM known_ranges WHERE deployment_id IN (FROM asked_again))
        )
        GROUP BY service
        """,
    )
    if changed == 0:
        return None
    rows = frame(
        connection,
        f"""
        SELECT {", ".join(f"a.{name}" for name in _ASKED.split(", "))}, k.commit_sha AS known_sha
        FROM asked_ranges AS a
        JOIN changed_ranges AS c ON a.service = c.service AND a.day >= c.from_day
        LEFT JOIN known_ranges AS k
            ON a.deployment_id = k.deployment_id AND a.history = k.history AND a.service = k.service
            AND a.env IS NOT DISTINCT FROM k.env AND a.base_sha IS NOT DISTINCT FROM k.base_sha
            AND a.head_sha = k.head_sha AND a.day = k.day
        ORDER BY a.repository_id, a.history, a.service, a.env, a.finished_at, a.started_at, a.deployment_id
        """,
    )
    return Questions(rows, "changed_ranges")


def end_questions(writer: Writer) -> None:
    """Let no service wait for its commits any more; those of all that do have been asked for."""
    writer.connection.execute("DELETE FROM landing.changed_ranges")


def known_tips(writer: Writer, services: str) -> pl.DataFrame:
    """The tips of the services of a table as they were before the day from which on each of them changed.

    repository_id, commit_sha, from_day, history, service, env.
    """
    return frame(
        writer.connection,
        f"""
        SELECT t.repository_id, t.commit_sha, t.from_day, t.history, t.service, t.env
        FROM landing.delivered_tips AS t JOIN {services} AS c ON t.service = c.service
        WHERE t.from_day < c.from_day AND (t.until_day IS NULL OR t.until_day >= c.from_day)
        """,
    )


def replace_answers(
    connection: duckdb.DuckDBPyConnection,
    engine: Engine,
    questions: Questions,
    ranges: pl.DataFrame,
    had: pl.DataFrame,
    tips: pl.DataFrame,
    differing_ranges: Collection[str],
) -> None:
    """Keep what the repositories answered to the questions, and mark the days of core that differ.

    Rows of DeploymentRanges and DeliveredTips, HAD_COMMITS, and the ids of ranges that have other commits than before.
    """
    make_alike(connection, "new_ranges", "landing.deployment_ranges", ranges)
    execute_with(connection, had, "CREATE OR REPLACE TEMP TABLE had_commits AS SELECT * FROM given_rows")
    is_changed = f"EXISTS (FROM {questions.services} AS c WHERE x.service = c.service AND x.day >= c.from_day)"
    for name in ("deployment_ranges", "repeated_commits"):
        of_changed = f"FROM landing.{name} AS x WHERE {is_changed}"
        connection.execute(f"CREATE OR REPLACE TEMP TABLE known_{name} AS SELECT x.* {of_changed}")
        connection.execute(f"DELETE {of_changed}")
    repeated = engine.make(connection, "new_repeated", "landing.repeated_commits")
    insert(connection, "landing.deployment_ranges", "new_ranges", ranges.height)
    insert(connection, "landing.repeated_commits", "new_repeated", repeated)
    connection.execute(
        f"""
        DELETE FROM landing.delivered_tips AS t
        WHERE EXISTS (
            FROM {questions.services} AS c
            WHERE t.service = c.service AND (t.until_day IS NULL OR t.until_day >= c.from_day)
        )
        """
    )
    execute_with(connection, tips, "INSERT INTO landing.delivered_tips BY NAME SELECT * FROM given_rows")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE differing_ranges AS SELECT UNNEST(?::VARCHAR[]) AS range_id",
        [list(differing_ranges)],
    )
    # A range that was read again may be that of other services, too.
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE differing_answers AS
        SELECT service, day FROM ({difference("known_deployment_ranges", "new_ranges")})
        UNION SELECT service, day FROM ({difference("known_repeated_commits", "new_repeated")})
        UNION SELECT service, day FROM landing.deployment_ranges WHERE range_id IN (FROM differing_ranges)
        """
    )
    # Their commits follow when they are loaded: those of a day that nobody asks for stay as its deployments are.
    mark_days(connection, (Deployments,), "SELECT day FROM differing_answers")
    wait_for_changes(connection, "FROM differing_answers")
