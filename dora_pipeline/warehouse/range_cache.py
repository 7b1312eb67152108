"""The cache of commit ranges: what was looked up once is never computed again."""

import hashlib
from collections.abc import Sequence

import polars as pl

from dora_pipeline.warehouse.queries import difference, execute_with
from dora_pipeline.warehouse.version import SCHEMA_VERSION, schema_version
from dora_pipeline.warehouse.writer import Writer

# Bump when the rows of a range change, so that every range is looked up again.
_VERSION = "3"


def range_id(repository_id: str, base_sha: str, head_sha: str, patterns: Sequence[str], squash_merges: str) -> str:
    """The id of a range: a digest of all that its commits depend on."""
    parts = (_VERSION, squash_merges, repository_id, base_sha, head_sha, *patterns)
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]


def take_over_what_remotes_said(writer: Writer) -> None:
    """Take over from what is published the ranges with originals of squash commits, and what went wrong with
    repositories, where the same program made it.

    The refs of their requests may be gone from the remote, and with a lost mirror the originals could not be had again.
    A rebuild asks no remote what is wrong.
    """
    with writer.published() as is_there:
        if not is_there or schema_version(writer.connection, "published.landing") != SCHEMA_VERSION:
            return
        with writer.transaction() as connection:
            connection.execute(
                """
                INSERT INTO landing.repository_errors BY NAME
                SELECT p.* FROM published.landing.repository_errors AS p
                ANTI JOIN landing.repository_errors AS e ON p.repository_id = e.repository_id
                """
            )
            connection.execute(
                """
                CREATE OR REPLACE TEMP TABLE taken_ranges AS
                SELECT DISTINCT c.range_id FROM published.landing.range_commits AS c
                SEMI JOIN published.landing.commit_ranges AS p ON c.range_id = p.range_id AND p.is_final
                ANTI JOIN landing.commit_ranges AS r ON c.range_id = r.range_id
                WHERE c.landed_as_sha IS NOT NULL
                """
            )
            for name in ("commit_ranges", "range_commits"):
                connection.execute(
                    f"""
                    INSERT INTO landing.{name} BY NAME
                    SELECT p.* FROM published.landing.{name} AS p SEMI JOIN taken_ranges AS t ON p.range_id = t.range_id
                    """
                )


def unknown_ranges(writer: Writer, range_ids: Sequence[str], *, asks_requests: bool) -> set[str]:
    """Those of the ranges that were never looked up, and, if `asks_requests`, those that lack what can be asked."""
    known = writer.connection.execute(
        "SELECT range_id FROM landing.commit_ranges WHERE range_id IN (SELECT UNNEST(?)) AND (is_final OR NOT ?)",
        [list(range_ids), asks_requests],
    ).fetchall()
    return set(range_ids) - {row[0] for row in known}


def has_squash_merges(writer: Writer, repository_id: str) -> bool:
    """Whether a range of the repository has squash commits."""
    query = "SELECT COUNT(*) > 0 FROM landing.commit_ranges WHERE repository_id = ? AND squash_merges > 0"
    return bool(writer.connection.execute(query, [repository_id]).fetchall()[0][0])


# A commit of a range, the squash commit of the range that stands for it, and all that do.
Landed = tuple[str, str | None, Sequence[str]]


def landed_commits(writer: Writer, range_ids: Sequence[str]) -> dict[str, list[Landed]]:
    """The commits of each of the ranges."""
    found: dict[str, list[Landed]] = {key: [] for key in range_ids}
    rows = writer.connection.execute(
        "SELECT range_id, commit_sha, landed_as_sha, landings FROM landing.range_commits "
        "WHERE range_id IN (SELECT UNNEST(?))",
        [list(range_ids)],
    ).fetchall()
    for key, *landed in rows:
        found[key].append((landed[0], landed[1], landed[2]))
    return found


def keep_ranges(writer: Writer, repository_id: str, ranges: pl.DataFrame, commits: pl.DataFrame) -> set[str]:
    """Keep looked-up ranges of a repository (rows of CommitRanges) with their commits (rows of RangeCommits).

    Returns the ids of those that were kept before and had other commits.
    """
    if ranges.is_empty():
        return set()
    ranges = ranges.with_columns(repository_id=pl.lit(repository_id))
    range_ids = [ranges["range_id"].to_list()]
    is_kept = "range_id IN (SELECT range_id FROM kept_ranges)"
    with writer.transaction() as connection:
        connection.execute(
            """
            CREATE OR REPLACE TEMP TABLE kept_ranges AS
            SELECT range_id FROM landing.commit_ranges WHERE range_id IN (SELECT UNNEST(?))
            """,
            range_ids,
        )
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE kept_commits AS SELECT * FROM landing.range_commits WHERE {is_kept}"
        )
        for name, frame in (("commit_ranges", ranges), ("range_commits", commits)):
            connection.execute(f"DELETE FROM landing.{name} WHERE range_id IN (SELECT UNNEST(?))", range_ids)
            execute_with(connection, frame, f"INSERT INTO landing.{name} BY NAME SELECT * FROM given_rows")
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE found_commits AS SELECT * FROM landing.range_commits WHERE {is_kept}"
        )
        rows = connection.execute(f"SELECT DISTINCT range_id FROM ({difference('kept_commits', 'found_commits')})")
        return {row[0] for row in rows.fetchall()}
