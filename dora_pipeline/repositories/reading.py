"""The part of a mirror's commit graph that ranges and walks look at, read once.

What does not belong here: what is asked of the graph (`graph.py`, `delivered.py`).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from dora_pipeline.errors import RepositoryError
from dora_pipeline.repositories.git import lines, run_query
from dora_pipeline.repositories.graph import Commit, CommitGraph
from dora_pipeline.repositories.mirror import Mirror
from dora_pipeline.timeline import NEWEST_INSTANT

_MAXIMUM_FLOORS = 8
# What is dated 1970 comes from a clock that was never set, or from a tool that had no time to write.
_OLDEST_SECOND = int(datetime(1971, 1, 1, tzinfo=UTC).timestamp())
_NEWEST_SECOND = int(NEWEST_INSTANT.timestamp())
_MOST_DIGITS = 20


@dataclass(frozen=True)
class Reading:
    """A graph with all that `heads` reach, but for what `floor` reaches, a commit that every base reaches."""

    graph: CommitGraph
    heads: frozenset[str]
    floor: str | None

    @property
    def tips(self) -> list[str]:
        """What git is told, to read the same commits."""
        return _tips(self.heads, self.floor)


def read_graph(mirror: Mirror, heads: Collection[str], bases: Collection[str]) -> Reading:
    """The graph of all that the heads and bases reach. What its floor reaches is reached by every base, and not read.

    The oldest base mostly is the floor; where some bases do not reach it, the merge base with the oldest of them is
    tried, and in the end the whole history is read. It is read at once where git has no generation numbers: it then may
    not leave out all that the floor reaches.
    """
    tips = frozenset({*heads, *bases})
    if not tips:
        return Reading(CommitGraph(()), tips, None)
    if not bases or not mirror.has_commit_graph:
        return _read(mirror, tips, None)
    oldest_first = run_query(mirror.path, ["rev-list", "--no-walk=sorted", "--stdin"], lines(set(bases))).split()[::-1]
    floor: str | None = oldest_first[0]
    for _ in range(_MAXIMUM_FLOORS):
        reading = _read(mirror, tips, floor)
        if floor is None:
            return reading
        above = reading.graph.descendants(floor)
        strangers = [base for base in oldest_first if base not in above]
        if not strangers:
            return reading
        floor = _merge_base(mirror, floor, strangers[0])
    return _read(mirror, tips, None)


def with_heads(mirror: Mirror, reading: Reading, heads: Collection[str], bases: Collection[str]) -> Reading:
    """The same with what more heads reach, whose bases are more too."""
    if reading.floor is not None and not reading.graph.descendants(reading.floor).issuperset(bases):
        return read_graph(mirror, {*reading.heads, *heads}, {*reading.heads, *bases})
    had = [f"^{head}" for head in sorted(reading.heads)]
    newer = _commits(mirror, [*_tips({*heads} - reading.heads, reading.floor), *had])
    return Reading(reading.graph.with_newer(newer), reading.heads | {*heads}, reading.floor)


def commits_since(mirror: Mirror, reading: Reading, second: int) -> list[Commit]:
    """The commits, no merges, of the branches and of what was read, that are no older than a second since 1970."""
    arguments = ["--no-merges", f"--max-age={second}", "--branches"]
    return _commits(mirror, sorted(reading.heads), *arguments)


def _read(mirror: Mirror, heads: frozenset[str], floor: str | None) -> Reading:
    return Reading(CommitGraph(_commits(mirror, _tips(heads, floor))), heads, floor)


def _tips(heads: Collection[str], floor: str | None) -> list[str]:
    return [*sorted(heads), *([f"^{floor}"] if floor else [])]


def _commits(mirror: Mirror, tips: list[str], *limits: str) -> list[Commit]:
    arguments = ["rev-list", "--date-order", "--format=%H,%at,%ct,%P", *limits, "--stdin"]
    answer = run_query(mirror.path, arguments, lines(tips))
    return [_commit(line) for line in answer.splitlines() if not line.startswith("commit ")]


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
