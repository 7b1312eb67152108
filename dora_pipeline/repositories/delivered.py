"""What the deployments of one history have had so far: the walk over its tips.

A commit is had once a deployment has it in its history (`git rev-list this --not <tips of all earlier ones>`).
"""

from collections.abc import Collection, Iterable
from heapq import heapify, heappop, heappush

from dora_pipeline.repositories.graph import CommitGraph


class Delivered:
    """The commits that earlier deployments had, kept as `tips`: none is in the history of another.

    `graph` has every commit that is asked for and is not in the history of one of the tips; what it lacks is had. Each
    commit is walked over once, however many deployments there are.
    """

    def __init__(self, graph: CommitGraph, tips: Collection[str]) -> None:
        self.tips = set(tips)
        self._graph = graph
        places = (graph.place(tip) for tip in tips)
        self._had = {place for place in places if place is not None}
        self._frontier = list(self._had)
        heapify(self._frontier)

    def repeated(self, shas: Iterable[str]) -> set[str]:
        """Those of the commits that an earlier deployment had."""
        places = ((sha, self._graph.place(sha)) for sha in shas)
        return {sha for sha, place in places if place is None or self._has(place)}

    def add(self, sha: str) -> None:
        """A deployment of a commit. Takes away the tips that the commit has in its history."""
        place = self._graph.place(sha)
        if not self.tips:
            self.tips = {sha}
            if place is not None:
                self._had.add(place)
                heappush(self._frontier, place)
            return
        if place is None or self._has(place):
            return
        new, waiting = {place}, [place]
        while waiting:
            place = waiting.pop()
            self.tips.difference_update(self._graph.commits[place].parents)
            for parent in self._graph.parents(place):
                if parent not in new and not self._has(parent):
                    new.add(parent)
                    waiting.append(parent)
        self._had |= new
        self.tips.add(sha)

    def _has(self, place: int) -> bool:
        # A commit that has all its descendants behind it has got its mark.
        while self._frontier and self._frontier[0] < place:
            for parent in self._graph.parents(heappop(self._frontier)):
                if parent not in self._had:
                    self._had.add(parent)
                    heappush(self._frontier, parent)
        return place in self._had
