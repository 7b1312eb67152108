"""The commits between two deployments, as `git log base..head` tells them.

The rule: reachable from head and not from base, merge commits left out, at most the 5,000 newest, and only those
that change a file of the service where it has source patterns (Datadog, "Change lead time" and "source_patterns"). A
squash commit stands for its original commits, which are asked for the patterns in its place.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from dora_pipeline.errors import RepositoryError
from dora_pipeline.repositories.graph import Commit, landing_order
from dora_pipeline.repositories.messages import CommitMessage, messages
from dora_pipeline.repositories.mirror import Mirror
from dora_pipeline.repositories.patterns import require_patterns, touching_commits
from dora_pipeline.repositories.reading import Reading, read_graph
from dora_pipeline.repositories.resolution import FULL_SHA
from dora_pipeline.repositories.squash_merges import HeadsOfRequests, SquashMerges, squash_merges

MAXIMUM_COMMITS = 5000
_COMMITS: dict[str, Any] = {
    "range_id": pl.String,
    "commit_sha": pl.String,
    "landed_as_sha": pl.String,
    "landed_place": pl.Int64,
    "is_touching": pl.Boolean,
    "authored_at": pl.Int64,
    "committed_at": pl.Int64,
    "subject": pl.String,
    "reverts": pl.List(pl.String),
    "landed_subject": pl.String,
    "landed_reverts": pl.List(pl.String),
    "landings": pl.List(pl.String),
}
_RANGES: dict[str, Any] = {
    "range_id": pl.String,
    "base_sha": pl.String,
    "head_sha": pl.String,
    "patterns": pl.List(pl.String),
    "squash_merges": pl.Int64,
    "unexpanded": pl.List(pl.String),
    "is_final": pl.Boolean,
}


@dataclass(frozen=True)
class Range:
    """Two full SHAs, and the patterns of `catalog/source_patterns.py` that a commit must touch; none: every file."""

    base: str
    head: str
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundRanges:
    """Ranges and their commits, in the columns of landing.commit_ranges and landing.range_commits; times are UTC.

    `reading` has the graph that they were read from.
    """

    reading: Reading
    ranges: pl.DataFrame
    commits: pl.DataFrame


def read_ranges(
    mirror: Mirror,
    ranges: Mapping[str, Range],
    heads_of_requests: HeadsOfRequests | None = None,
    heads: Collection[str] = (),
    bases: Collection[str] = (),
) -> FoundRanges:
    """The commits of each range, by its id, and a graph in which more heads and bases are too.

    Without `heads_of_requests` squash commits stand for themselves. An author or committer time is NULL where a commit
    has none that can be used: missing, negative, of 1970, or after 2199. Raises RepositoryError for a SHA that is not
    a full one of a commit of the mirror (see Mirror.missing), and for a pattern with a mistake.
    """
    _require_commits(mirror, {sha for item in ranges.values() for sha in (item.base, item.head)} | {*heads, *bases})
    require_patterns({pattern for item in ranges.values() for pattern in item.patterns})
    differing = {key: item for key, item in ranges.items() if item.base != item.head}
    all_heads = {*heads, *(item.head for item in differing.values())}
    all_bases = {*bases, *(item.base for item in differing.values())}
    reading = read_graph(mirror, all_heads, all_bases)
    found = {key: reading.graph.difference(item.base, item.head) for key, item in differing.items()}
    landed = {commit.sha: commit for commits in found.values() for commit in commits if not commit.is_merge}
    said = messages(mirror, landed)
    squashed = SquashMerges(reading)
    if heads_of_requests is not None:
        squashed = squash_merges(mirror, reading, list(landed.values()), said, heads_of_requests)
        said |= messages(mirror, (commit.sha for item in landed for commit in squashed.of(item)))
    touching = {
        patterns: touching_commits(mirror, squashed.reading.tips, patterns)
        for patterns in {item.patterns for item in differing.values()}
        if patterns
    }
    rows: list[tuple[object, ...]] = []
    range_rows: list[tuple[object, ...]] = []
    for key, item in ranges.items():
        commits = found.get(key, [])
        counted = _Counted(commits, item.head, squashed, touching.get(item.patterns))
        rows.extend(row for commit in counted.landed for row in counted.rows(key, commit, said))
        candidates = [commit.sha for commit in commits if commit.sha in squashed.candidates]
        unexpanded = sorted(squashed.unexpanded.intersection(candidates))
        is_final = squashed.is_final([commit for commit in commits if not commit.is_merge])
        range_rows.append((key, item.base, item.head, list(item.patterns), len(candidates), unexpanded, is_final))
    return FoundRanges(squashed.reading, *_frames(range_rows, rows))


def _require_commits(mirror: Mirror, shas: set[str]) -> None:
    unknown = sorted({sha for sha in shas if not FULL_SHA.fullmatch(sha)} | mirror.missing(shas))
    if unknown:
        raise RepositoryError(
            f"{mirror.repository_id}: {unknown[0]!r} (of {len(unknown)}) is no full SHA of a commit in {mirror.path}; "
            "fetch it, or leave its range out"
        )


class _Counted:
    """The commits of one range that count, as they landed, newest first."""

    def __init__(
        self, commits: list[Commit], head: str, squashed: SquashMerges, touching: Collection[str] | None
    ) -> None:
        self._squashed = squashed
        self._touching = touching
        self._places = landing_order(commits, head)
        self.landed = _newest(commit for commit in commits if not commit.is_merge and self._counts(commit))

    def rows(self, key: str, landed: Commit, said: Mapping[str, CommitMessage]) -> list[tuple[object, ...]]:
        """The rows of a landed commit: of itself, and of the commits that it stands for."""
        place, own = self._places[landed.sha], said[landed.sha]
        originals = self._squashed.of(landed.sha)
        if not originals:
            return [self._row(key, landed, None, place, own, None)]
        return [self._row(key, item, landed.sha, place, said[item.sha], own) for item in (landed, *originals)]

    def _row(
        self,
        key: str,
        commit: Commit,
        landed_as: str | None,
        place: int,
        own: CommitMessage,
        landed: CommitMessage | None,
    ) -> tuple[object, ...]:
        touches = self._touches(commit)
        reverts = list(own.reverts)
        landed_subject = landed.subject if landed else None
        landed_reverts = list(landed.reverts) if landed else []
        times = (commit.authored_at, commit.committed_at)
        texts = (own.subject, reverts, landed_subject, landed_reverts)
        landings = sorted(self._squashed.landings.get(commit.sha, ()))
        return key, commit.sha, landed_as, place, touches, *times, *texts, landings

    def _counts(self, commit: Commit) -> bool:
        return any(self._touches(item) for item in self._squashed.of(commit.sha) or [commit])

    def _touches(self, commit: Commit) -> bool:
        return self._touching is None or commit.sha in self._touching


def _newest(commits: Iterable[Commit]) -> list[Commit]:
    return sorted(commits, key=lambda commit: (-(commit.committed_at or 0), commit.sha))[:MAXIMUM_COMMITS]


def _frames(ranges: list[tuple[object, ...]], commits: list[tuple[object, ...]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    times = (
        pl.from_epoch(pl.col("authored_at", "committed_at"), "s").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    )
    return (
        pl.DataFrame(ranges, schema=_RANGES, orient="row"),
        pl.DataFrame(commits, schema=_COMMITS, orient="row").with_columns(times),
    )
