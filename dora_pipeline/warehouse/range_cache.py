"""The cache of commit ranges: what was looked up once is never computed again."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import duckdb
import polars as pl

from dora_pipeline.warehouse.queries import difference, execute_with, make_alike
from dora_pipeline.warehouse.writer import Writer

# Bump when the rows of a range change, so that every range is looked up again.
_VERSION = "3"


def range_id(repository_id: str, base_sha: str, head_sha: str, patterns: Sequence[str], squash_merges: str) -> str:
    """The id of a range: a digest of all that its commits depend on."""
    parts = (_VERSION, squash_merges, repository_id, base_sha, head_sha, *patterns)
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]


def take_over_what_remotes_said(writer: Writer) -> None:
    """Take over from what is published the ranges with originals of squash commits, and what went wrong with
    repositories, also where an older program made it, unless it had other columns.

    The refs of their requests may be gone from the remote, and with a lost mirror the originals could not be had again.
    A rebuild asks no remote what is wrong.
    """
    with writer.published() as is_there:
        if not is_there or _columns(writer.connection, "published") != _columns(writer.connection):
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


def _columns(connection: duckdb.DuckDBPyConnection, database: str | None = None) -> list[tuple[str, str, str]]:
    """The columns of what is taken over as a database, or this one, has them: tables, names and types."""
    return connection.execute(
        """
        SELECT table_name, column_name, data_type FROM duckdb_columns()
        WHERE database_name = COALESCE(?, CURRENT_DATABASE()) AND schema_name = 'landing'
            AND table_name IN ('repository_errors', 'commit_ranges', 'range_commits')
        ORDER BY ALL
        """,
        [database],
    ).fetchall()


# A commit of a range, the squash commit of the range that stands for it, and all that do.
Landed = tuple[str, str | None, Sequence[str]]


@dataclass(frozen=True)
class KeptRanges:
    """What was looked up before, of some ranges and repositories.

    `is_final` has the ranges that were, and whether all that they lacked could be asked for; `landed` their commits;
    `squashing` the repositories of which a range has squash commits.
    """

    is_final: Mapping[str, bool]
    landed: Mapping[str, list[Landed]]
    squashing: Set[str]

    def unknown(self, range_ids: Iterable[str], *, asks_requests: bool) -> set[str]:
        """Those of the ranges that were never looked up, and, if `asks_requests`, those that lack what can be asked."""
        return {
            key
            for key in range_ids
            if not self.is_final.get(key, False) and (asks_requests or key not in self.is_final)
        }


def kept_ranges(writer: Writer, repository_ids: Sequence[str], range_ids: Sequence[str]) -> KeptRanges:
    """What was looked up before; each question looks through all that is kept, so ask of many at once."""
    connection = writer.connection
    final = connection.execute(
        "SELECT range_id, is_final FROM landing.commit_ranges WHERE range_id IN (SELECT UNNEST(?))", [range_ids]
    ).fetchall()
    landed: dict[str, list[Landed]] = {key: [] for key, _ in final}
    if final:
        rows = connection.execute(
            "SELECT range_id, commit_sha, landed_as_sha, landings FROM landing.range_commits "
            "WHERE range_id IN (SELECT UNNEST(?))",
            [list(landed)],
        ).fetchall()
        for key, *commit in rows:
            landed[key].append((commit[0], commit[1], commit[2]))
    squashing = connection.execute(
        "SELECT DISTINCT repository_id FROM landing.commit_ranges "
        "WHERE repository_id IN (SELECT UNNEST(?)) AND squash_merges > 0",
        [repository_ids],
    ).fetchall()
    return KeptRanges(dict(final), landed, {row[0] for row in squashing})


def keep_ranges(
    connection: duckdb.DuckDBPyConnection,
    found_ranges: Sequence[pl.DataFrame],
    found_commits: Sequence[pl.DataFrame],
    kept: KeptRanges,
) -> set[str]:
    """Keep looked-up ranges (rows of CommitRanges) with their commits (rows of RangeCommits).

    Returns the ids of those that were kept before and had other commits.
    """
    if not found_ranges:
        return set()
    ranges, commits = pl.concat(found_ranges), pl.concat(found_commits)
    again = [key for key in ranges["range_id"] if key in kept.is_final]
    is_again = "WHERE range_id IN (SELECT UNNEST(?))"
    if again:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE kept_commits AS SELECT * FROM landing.range_commits {is_again}", [again]
        )
        for name in ("commit_ranges", "range_commits"):
            connection.execute(f"DELETE FROM landing.{name} {is_again}", [again])
    for name, frame in (("commit_ranges", ranges), ("range_commits", commits)):
        execute_with(connection, frame, f"INSERT INTO landing.{name} BY NAME SELECT * FROM given_rows")
    if not again:
        return set()
    found = commits.filter(pl.col("range_id").is_in(again))
    make_alike(connection, "found_commits", "landing.range_commits", found)
    rows = connection.execute(f"SELECT DISTINCT range_id FROM ({difference('kept_commits', 'found_commits')})")
    return {row[0] for row in rows.fetchall()}
