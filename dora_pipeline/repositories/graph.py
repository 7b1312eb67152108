"""A part of a commit graph in memory, and what one commit reaches and another does not.

What does not belong here: the running of git.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush


@dataclass(frozen=True, slots=True)
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

    def place(self, sha: str) -> int | None:
        """The place of a commit; every one comes before its parents."""
        return self._places.get(sha)

    def parents(self, place: int) -> list[int]:
        """The places of the parents that are in the graph."""
        return self._parents[place]

    def with_newer(self, commits: Iterable[Commit]) -> "CommitGraph":
        """The graph with commits that none of its own reaches; those that it has are left out."""
        return CommitGraph([*(commit for commit in commits if commit.sha not in self._places), *self.commits])

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

    def reaches(self, descendant: str, ancestor: str) -> bool:
        """Whether a commit has another one, or itself, in its history; it is in the graph or the base of a range."""
        goal, place = self._places.get(ancestor), self._places.get(descendant)
        if goal is None or place is None:
            return goal is None
        seen, queue = {place}, [place]
        while queue and queue[0] < goal:
            for parent in self._parents[heappop(queue)]:
                if parent not in seen:
                    seen.add(parent)
                    heappush(queue, parent)
        return goal in seen

    def descendants(self, ancestor: str) -> set[str]:
        """The commits of the graph that reach `ancestor`, which itself need not be in the graph."""
        found = {ancestor}
        for commit in reversed(self.commits):
            if not found.isdisjoint(commit.parents):
                found.add(commit.sha)
        return found


def landing_order(commits: Collection[Commit], head: str) -> dict[str, int]:
    """The place of each commit of a range in the order in which they came to its head, from 0.

    That of the first parents, oldest first; what a merge brought stands right before the merge, in the same order.
    """
    by_sha = {commit.sha: commit for commit in commits}
    places: dict[str, int] = {}
    begun: set[str] = set()
    stack = [head] if head in by_sha else []
    while stack:
        sha = stack[-1]
        if sha in begun:
            stack.pop()
            places.setdefault(sha, len(places))
        else:
            begun.add(sha)
            # The first parent is on top.
            stack += [parent for parent in reversed(by_sha[sha].parents) if parent in by_sha and parent not in begun]
    return places
