"""The original commits that squash commits stand for, by the heads of their pull or merge requests.

A squash commit has one parent and names a request; it stands for the commits, no merges, that the head of the request
reaches and its own parent does not. It is none of them itself, nor is what was made on top of it: a request that was
merged as it is may have its number in the subjects of its own commits. Where the same request landed before on another
branch, as of a commit that was picked with its number, the parent of that one tells which commits are the request's.
An original commit that is a squash commit of another request stands for its originals in turn. What does not belong
here: the fetching of heads (`mirror.py`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from dora_pipeline.repositories.graph import Commit, CommitGraph
from dora_pipeline.repositories.messages import CommitMessage, messages
from dora_pipeline.repositories.mirror import Mirror
from dora_pipeline.repositories.reading import Reading, commits_since, with_heads


@dataclass(frozen=True)
class Heads:
    """The heads of requests by their refs; `is_final` says whether the remote could be asked for what is missing."""

    by_ref: Mapping[str, str]
    is_final: bool


# Gives the heads of requests that the refs name, as far as there are any.
HeadsOfRequests = Callable[[Collection[str]], Heads]


@dataclass(frozen=True)
class SquashMerges:
    """What the squash commits of a repository stand for.

    `originals` has the commits by squash commit, where there are any; `landings` all squash commits that stand for a
    commit, whatever branch they are on; `unexpanded` are the squash commits without a request's head; `unasked` those
    of all branches, with the seconds of their commits, whose requests the remote could not be asked for; `reading` has
    the graph with the originals.
    """

    reading: Reading
    candidates: frozenset[str] = frozenset()
    originals: Mapping[str, list[Commit]] = field(default_factory=dict)
    landings: Mapping[str, Collection[str]] = field(default_factory=dict)
    unexpanded: frozenset[str] = frozenset()
    unasked: Mapping[str, int] = field(default_factory=dict)

    def of(self, sha: str) -> list[Commit]:
        """The commits that a commit stands for; none where it stands for itself."""
        return self.originals.get(sha, [])

    def is_final(self, commits: Collection[Commit]) -> bool:
        """Whether all that the commits of a range depend on could be asked for."""
        if not (self.unasked and commits):
            return True
        counted = [item for commit in commits for item in (commit, *self.of(commit.sha))]
        seconds = [commit.committed_at for commit in counted if commit.committed_at] or [0]
        return self.unasked.keys().isdisjoint(commit.sha for commit in commits) and not any(
            min(seconds) <= second <= max(seconds) for second in self.unasked.values()
        )


def squash_merges(
    mirror: Mirror,
    reading: Reading,
    commits: Collection[Commit],
    said: dict[str, CommitMessage],
    heads_of_requests: HeadsOfRequests,
) -> SquashMerges:
    """Looks up what the squash commits among some commits stand for. `said` has their messages, and gets those of more.

    Raises RepositoryError.
    """
    lookup = _Lookup(mirror, reading, said, heads_of_requests)
    candidates = lookup.squash_commits(commits)
    lookup.expand(candidates)
    originals = {commit.sha: found for commit in candidates if (found := lookup.leaves(commit))}
    landings = lookup.landings([*commits, *(commit for shas in originals.values() for commit in shas)])
    return SquashMerges(
        lookup.reading,
        frozenset(commit.sha for commit in candidates),
        originals,
        landings,
        frozenset(commit.sha for commit in candidates if lookup.request(commit) is None),
        lookup.unasked,
    )


class _Lookup:
    """The graph, the messages, the heads of requests and the squash commits of all branches, as far as needed."""

    def __init__(
        self, mirror: Mirror, reading: Reading, said: dict[str, CommitMessage], heads_of_requests: HeadsOfRequests
    ) -> None:
        self.reading = reading
        self.unasked: dict[str, int] = {}
        self._mirror = mirror
        self._said = said
        self._heads_of_requests = heads_of_requests
        self._heads: dict[str, str | None] = {}
        # What each squash commit stands for, where that may be squash commits in turn.
        self._own: dict[str, list[Commit]] = {}
        # The squash commits of all branches since a second, oldest first.
        self._landed: list[Commit] = []
        self._landed_since: int | None = None

    def squash_commits(self, commits: Iterable[Commit]) -> list[Commit]:
        """Those of the commits that may be squash commits."""
        plain = [commit for commit in commits if len(commit.parents) == 1]
        self._said |= messages(self._mirror, {commit.sha for commit in plain} - self._said.keys())
        return [commit for commit in plain if self._said[commit.sha].requests]

    def request(self, squash: Commit) -> tuple[str, str] | None:
        """The ref and the head of the request of a squash commit."""
        heads = ((ref, self._heads.get(ref)) for ref in self._said[squash.sha].requests)
        return next(((ref, head) for ref, head in heads if head), None)

    def expand(self, squashed: Collection[Commit]) -> None:
        """Find what some squash commits stand for, and the squash commits among that in turn."""
        waiting = list(squashed)
        while waiting := [squash for squash in waiting if squash.sha not in self._own]:
            self._own |= self._originals(waiting)
            waiting = [
                commit
                for squash in waiting
                for commit in self.squash_commits(self._own[squash.sha])
                if self._said[commit.sha].requests != self._said[squash.sha].requests
            ]

    def leaves(self, squash: Commit) -> list[Commit]:
        """What a squash commit stands for, through those that it holds."""
        found: dict[str, Commit] = {}
        waiting, seen = [squash], {squash.sha}
        while waiting:
            for commit in self._own[waiting.pop().sha]:
                if not self._own.get(commit.sha):
                    found[commit.sha] = commit
                elif commit.sha not in seen:
                    seen.add(commit.sha)
                    waiting.append(commit)
        return list(found.values())

    def landings(self, commits: Collection[Commit]) -> dict[str, list[str]]:
        """The squash commits of all branches that stand for each of some commits, as far as there are any."""
        shas = {commit.sha for commit in commits}
        landed = self._landed_after(commits)
        self.expand(landed)
        found: dict[str, list[str]] = {}
        for squash in landed:
            for commit in self.leaves(squash):
                if commit.sha in shas:
                    found.setdefault(commit.sha, []).append(squash.sha)
        return found

    def _originals(self, squashed: Collection[Commit]) -> dict[str, list[Commit]]:
        refs = {ref for squash in squashed for ref in self._said[squash.sha].requests} - self._heads.keys()
        if refs:
            heads = self._heads_of_requests(refs)
            self._heads |= {ref: heads.by_ref.get(ref) for ref in refs}
            if not heads.is_final:
                missing = {ref for ref in refs if not self._heads[ref]}
                self.unasked |= {
                    squash.sha: squash.committed_at or 0
                    for squash in squashed
                    if not missing.isdisjoint(self._said[squash.sha].requests)
                }
        requests = {squash.sha: request for squash in squashed if (request := self.request(squash))}
        parents = {squash.parents[0] for squash in squashed if squash.sha in requests}
        heads_and_landed = {*requests, *(head for _, head in requests.values())}
        self.reading = with_heads(self._mirror, self.reading, heads_and_landed, parents)
        found = {
            squash.sha: self._held(squash, requests[squash.sha][1]) if squash.sha in requests else []
            for squash in squashed
        }
        first = self._first_landings([commit for commits in found.values() for commit in commits])
        for sha, (ref, head) in requests.items():
            landed = first.get(ref)
            if landed and landed.sha != sha and landed.sha not in {commit.sha for commit in found[sha]}:
                self.reading = with_heads(self._mirror, self.reading, {landed.sha}, ())
                known = {commit.sha for commit in self._held(landed, head)}
                found[sha] = [commit for commit in found[sha] if commit.sha in known]
        return found

    def _held(self, squash: Commit, head: str) -> list[Commit]:
        """What the head of a request has beyond a squash commit's parent, and may have become that commit."""
        commits = self.reading.graph.difference(squash.parents[0], head)
        later = CommitGraph(commits).descendants(squash.sha)
        return [commit for commit in commits if not commit.is_merge and commit.sha not in later]

    def _first_landings(self, commits: Collection[Commit]) -> dict[str, Commit]:
        """The first squash commit of each request, of all branches, that landed after the oldest of some commits."""
        found: dict[str, Commit] = {}
        for squash in self._landed_after(commits):
            for ref in self._said[squash.sha].requests:
                found.setdefault(ref, squash)
        return found

    def _landed_after(self, commits: Collection[Commit]) -> list[Commit]:
        """The squash commits of all branches that are no older than the oldest of some commits, oldest first."""
        second = min((commit.committed_at for commit in commits if commit.committed_at), default=None)
        if second is None:
            return []
        if self._landed_since is None or second < self._landed_since:
            self._landed_since = second
            found = self.squash_commits(commits_since(self._mirror, self.reading, second))
            self._landed = sorted(found, key=lambda squash: (squash.committed_at or 0, squash.sha))
        return [squash for squash in self._landed if (squash.committed_at or 0) >= second]
