"""The cache of commit ranges: what was looked up once is never computed again."""

import hashlib
from collections.abc import Sequence

import polars as pl

from dora_pipeline.warehouse.queries import execute_with
from dora_pipeline.warehouse.writer import Writer


def range_id(repository_id: str, base_sha: str, head_sha: str, patterns: Sequence[str]) -> str:
    """The id of a range: a digest of all that its commits depend on."""
    return hashlib.sha256("\x00".join((repository_id, base_sha, head_sha, *patterns)).encode()).hexdigest()[:32]


def unknown_ranges(writer: Writer, range_ids: Sequence[str]) -> set[str]:
    """Those of the ranges that were never looked up."""
    known = writer.connection.execute(
        "SELECT range_id FROM landing.commit_ranges WHERE range_id IN (SELECT UNNEST(?))", [list(range_ids)]
    ).fetchall()
    return set(range_ids) - {row[0] for row in known}


def keep_ranges(writer: Writer, ranges: pl.DataFrame, commits: pl.DataFrame) -> None:
    """Keep looked-up ranges (rows of CommitRanges) with their commits (rows of RangeCommits)."""
    with writer.transaction() as connection:
        for name, frame in (("commit_ranges", ranges), ("range_commits", commits)):
            execute_with(connection, frame, f"INSERT INTO landing.{name} BY NAME SELECT * FROM given_rows")
