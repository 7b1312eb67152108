"""The commits between two deployments, as `git log base..head` tells them.

The rule: reachable from head and not from base, merge commits left out, at most the 5,000 newest, and only those
that change a file of the service where it has source patterns (Datadog, "Change lead time" and "source_patterns").
"""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

import polars as pl

from dora_pipeline.catalog.source_patterns import pattern_mistake, split_pattern
from dora_pipeline.errors import RepositoryError
from dora_pipeline.repositories.git import run_query
from dora_pipeline.repositories.graph import Commit, CommitGraph
from dora_pipeline.repositories.mirror import FULL_SHA, Mirror
from dora_pipeline.timeline import NEWEST_INSTANT

MAXIMUM_COMMITS = 5000
_MAXIMUM_FLOORS = 8
_MAXIMUM_BRANCHES = 50
# What is dated 1970 comes from a clock that was never set, or from a tool that had no time to write.
_OLDEST_SECOND = int(datetime(1971, 1, 1, tzinfo=UTC).timestamp())
_NEWEST_SECOND = int(NEWEST_INSTANT.timestamp())
_MOST_DIGITS = 20
# The mode of a submodule in a tree.
_SUBMODULE = "160000"
# A wildcard that stands for itself.
_ESCAPED = re.compile(r"\[([*?\[])\]|\\([*?\[\]\\!])")
_SCHEMA = {
    "base_sha": pl.String,
    "head_sha": pl.String,
    "commit_sha": pl.String,
    "authored_at": pl.Int64,
    "committed_at": pl.Int64,
}


def range_commits(mirror: Mirror, ranges: Collection[tuple[str, str]], patterns: Sequence[str]) -> pl.DataFrame:
    """The commits of each range (base, head), newest first: base_sha, head_sha, commit_sha, authored_at, committed_at.

    Times are UTC, NULL where a commit has none that can be used: missing, negative, of 1970, or after 2199.
    `patterns` are those of `catalog/source_patterns.py`; none means every file. One for all of a folder means a
    submodule of that name too: a commit that moves it counts. A range without commits has no row.
    Raises RepositoryError for a SHA that is not a full one of a commit of the mirror (see Mirror.missing), and for a
    pattern with a mistake.
    """
    mistakes = list(filter(None, map(pattern_mistake, patterns)))
    if mistakes:
        raise RepositoryError(mistakes[0])
    pairs = sorted({(base, head) for base, head in ranges})
    shas = {sha for pair in pairs for sha in pair}
    unknown = sorted({sha for sha in shas if not FULL_SHA.fullmatch(sha)} | mirror.missing(shas))
    if unknown:
        raise RepositoryError(
            f"{mirror.repository_id}: {unknown[0]!r} (of {len(unknown)}) is no full SHA of a commit in {mirror.path}; "
            "fetch it, or leave its range out"
        )
    pairs = [(base, head) for base, head in pairs if base != head]
    rows: list[tuple[str, str, str, int | None, int | None]] = []
    if pairs:
        graph, floor = _graph(mirror, pairs)
        touching = _touching(mirror, pairs, floor, patterns) if patterns else None
        for base, head in pairs:
            commits = (commit for commit in graph.difference(base, head) if not commit.is_merge)
            counted = (commit for commit in commits if touching is None or commit.sha in touching)
            rows += [(base, head, c.sha, c.authored_at, c.committed_at) for c in _newest(counted)]
    seconds = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    instants = (
        pl.from_epoch(pl.col("authored_at", "committed_at"), "s").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    )
    return seconds.with_columns(instants)


def has_files(mirror: Mirror, patterns: Sequence[str]) -> bool:
    """Whether a file of one of the newest 50 branches (tags, where there are none) matches the patterns.

    Raises RepositoryError where the mirror cannot be read.
    """
    nothing = run_query(mirror.path, ["hash-object", "-t", "tree", "--stdin"]).strip()
    paths = [*_pathspecs(patterns), *_folders_by_wildcard(patterns)]
    for kind in ("refs/heads", "refs/tags"):
        form = ["--sort=-creatordate", f"--count={_MAXIMUM_BRANCHES}", "--format=%(objectname)"]
        tips = run_query(mirror.path, ["for-each-ref", *form, kind]).split()
        for tip in tips:
            if run_query(mirror.path, ["diff-tree", "-r", "--name-only", nothing, tip, "--", *paths]):
                return True
        if tips:
            break
    return False


def _newest(commits: Iterable[Commit]) -> list[Commit]:
    return sorted(commits, key=lambda commit: (-(commit.committed_at or 0), commit.sha))[:MAXIMUM_COMMITS]


def _graph(mirror: Mirror, pairs: list[tuple[str, str]]) -> tuple[CommitGraph, str | None]:
    """A graph with every commit of the ranges, and its floor: a commit that every base reaches.

    What the floor reaches is in no range and is not read. The oldest base mostly is the floor; where some bases do
    not reach it, the merge base with the oldest of them is tried, and in the end the whole history is read. It is read
    at once where git has no generation numbers: it then may not leave out all that the floor reaches.
    """
    if not mirror.has_commit_graph:
        return _read_graph(mirror, pairs, None), None
    bases = {base for base, _ in pairs}
    oldest_first = run_query(mirror.path, ["rev-list", "--no-walk=sorted", "--stdin"], _lines(bases)).split()[::-1]
    floor: str | None = oldest_first[0]
    for _ in range(_MAXIMUM_FLOORS):
        graph = _read_graph(mirror, pairs, floor)
        if floor is None:
            return graph, None
        above = graph.descendants(floor)
        strangers = [base for base in oldest_first if base not in above]
        if not strangers:
            return graph, floor
        floor = _merge_base(mirror, floor, strangers[0])
    return _read_graph(mirror, pairs, None), None


def _read_graph(mirror: Mirror, pairs: list[tuple[str, str]], floor: str | None) -> CommitGraph:
    arguments = ["rev-list", "--date-order", "--format=%H,%at,%ct,%P", "--stdin"]
    answer = run_query(mirror.path, arguments, _lines(_tips(pairs, floor)))
    return CommitGraph(_commit(line) for line in answer.splitlines() if not line.startswith("commit "))


def _commit(line: str) -> Commit:
    sha, authored, committed, parents = line.split(",")
    return Commit(sha, tuple(parents.split()), _second(authored), _second(committed))


def _second(text: str) -> int | None:
    # Of a commit without a date git prints nothing.
    second = int(text) if text.isdecimal() and len(text) < _MOST_DIGITS else 0
    return second if _OLDEST_SECOND <= second < _NEWEST_SECOND else None


def _merge_base(mirror: Mirror, one: str, other: str) -> str | None:
    try:
        return run_query(mirror.path, ["merge-base", "--end-of-options", one, other]).strip()
    except RepositoryError:
        return None  # Git fails where there is none; reading the whole history is right in any case.


def _touching(mirror: Mirror, pairs: list[tuple[str, str]], floor: str | None, patterns: Sequence[str]) -> set[str]:
    tips = _tips(pairs, floor)
    arguments = ["rev-list", "--no-merges", "--full-history", "--stdin"]
    found = set(run_query(mirror.path, arguments, _lines([*tips, "--", *_pathspecs(patterns)])).split())
    folders = _folders_by_wildcard(patterns)
    return found | _moved_submodules(mirror, tips, folders) if folders else found


def _moved_submodules(mirror: Mirror, tips: list[str], paths: list[str]) -> set[str]:
    """The commits that change which commit of another repository stands at one of the paths."""
    arguments = [
        "log",
        "--no-merges",
        "--full-history",
        "--raw",
        "--no-abbrev",
        "--no-renames",
        "--format=%H",
        "--stdin",
    ]
    found, sha = set(), ""
    for line in run_query(mirror.path, arguments, _lines([*tips, "--", *paths])).splitlines():
        if not line.startswith(":"):
            sha = line or sha
        elif _SUBMODULE in line[1:].split()[:2]:
            found.add(sha)
    return found


def _pathspecs(patterns: Sequence[str]) -> list[str]:
    """The patterns in git's words; of those that only leave out, all other files remain."""
    found = [] if not patterns or any(not pattern.startswith("!") for pattern in patterns) else [":(top,glob)**"]
    for pattern in patterns:
        excluded, path = split_pattern(pattern)
        magic = ",exclude" if excluded else ""
        found.append(f":(top,glob{magic}){path}**" if path.endswith("/") else f":(top,glob{magic}){path}")
        literal = _literal(_folder(pattern))
        if literal:
            # Git takes a submodule for a folder only where a literal path ends in a slash.
            found.append(f":(top,literal{magic}){literal}/")
    return found


def _folders_by_wildcard(patterns: Sequence[str]) -> list[str]:
    """Pathspecs for the folders themselves, which submodules may be, where wildcards name them."""
    folders = (_folder(pattern) for pattern in patterns if not pattern.startswith("!"))
    return [f":(top,glob){folder}" for folder in folders if folder and not _literal(folder)]


def _folder(pattern: str) -> str:
    """The folder all of which the pattern means; empty where it means something else."""
    path = split_pattern(pattern)[1]
    for ending in ("/**/*", "/**", "/"):
        if path.endswith(ending):
            return path.removesuffix(ending)
    return ""


def _literal(folder: str) -> str:
    """The folder where no letter of it is a wildcard; else empty."""
    plain = _ESCAPED.sub(lambda match: match[1] or match[2], folder)
    return plain if not set("*?[\\") & set(_ESCAPED.sub("", folder)) else ""


def _tips(pairs: list[tuple[str, str]], floor: str | None) -> list[str]:
    tips = sorted({sha for pair in pairs for sha in pair})
    return [*tips, f"^{floor}"] if floor else tips


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
