"""A part of a commit graph in memory, and the commits that one commit reaches and another does not.

What does not belong here: the running of git.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush


@dataclass(frozen=True)
class Commit:
    """A commit; `parents` are SHAs, times are seconds since 1970, None where they cannot be used."""

    sha: str
    parents: tuple[str, ...]
    authored_at: int | None
    committed_at: int | None

    @property
    def is_merge(self) -> bool:
        """Whether it has several parents."""
        return len(self.parents) > 1


class CommitGraph:
    """Commits, every one before its parents. What is not in the graph is reached by the base of every range."""

    def __init__(self, commits: Iterable[Commit]) -> None:
        self.commits = list(commits)
        self._places: Mapping[str, int] = {commit.sha: place for place, commit in enumerate(self.commits)}
        self._parents = [
            [self._places[parent] for parent in commit.parents if parent in self._places] for commit in self.commits
        ]

    def difference(self, base: str, head: str) -> list[Commit]:
        """The commits that `head` reaches and `base` does not, as `git rev-list base..head` has them.

        Walks down from both in the order of the graph, where every commit comes after all its descendants: a commit
        that is met has got all its marks, whatever the clocks say. Ends when all that is left is reached by the base.
        """
        if head not in self._places:
            return []
        unwanted = {self._places[base]} if base in self._places else set()
        wanted = {self._places[head]} - unwanted
        queue = [*wanted, *unwanted]
        heapify(queue)
        waiting = len(wanted)
        found = []
        while waiting:
            place = heappop(queue)
            if place in unwanted:
                for parent in self._parents[place]:
                    if parent not in unwanted:
                        unwanted.add(parent)
                        if parent in wanted:
                            waiting -= 1
                        else:
                            heappush(queue, parent)
            else:
                waiting -= 1
                found.append(self.commits[place])
                for parent in self._parents[place]:
                    if parent not in wanted and parent not in unwanted:
                        wanted.add(parent)
                        waiting += 1
                        heappush(queue, parent)
        return found

    def descendants(self, ancestor: str) -> set[str]:
        """The commits of the graph that reach `ancestor`, which itself need not be in the graph."""
        found = {ancestor}
        for commit in reversed(self.commits):
            if not found.isdisjoint(commit.parents):
                found.add(commit.sha)
        return found
