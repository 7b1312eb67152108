"""The original commits that a squash commit stands for, by the head of its pull or merge request.

A squash commit has one parent and names a request; it stands for the commits, no merges, that the head of the request
reaches and its own parent does not. It is none of them itself, nor is what was made on top of it: a request that was
merged as it is may have its number in the subjects of its own commits. What does not belong here: the fetching of heads
(`mirror.py`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dora_pipeline.repositories.graph import Commit, CommitGraph
from dora_pipeline.repositories.messages import Message
from dora_pipeline.repositories.mirror import Mirror
from dora_pipeline.repositories.reading import Reading, with_heads


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

    `originals` has the commits by squash commit, where there are any; `unexpanded` are the squash commits without a
    request's head; `reading` has the graph with the originals.
    """

    reading: Reading
    candidates: frozenset[str] = frozenset()
    originals: Mapping[str, list[Commit]] | None = None
    unexpanded: frozenset[str] = frozenset()
    is_final: bool = True

    def of(self, sha: str) -> list[Commit]:
        """The commits that a commit stands for; none where it stands for itself."""
        return (self.originals or {}).get(sha, [])


def squash_merges(
    mirror: Mirror,
    reading: Reading,
    commits: Iterable[Commit],
    messages: Mapping[str, Message],
    heads_of_requests: HeadsOfRequests,
) -> SquashMerges:
    """Looks up what the squash commits among some commits stand for. Raises RepositoryError."""
    candidates = {
        commit.sha: commit.parents[0]
        for commit in commits
        if len(commit.parents) == 1 and messages[commit.sha].requests
    }
    if not candidates:
        return SquashMerges(reading)
    heads = heads_of_requests({ref for sha in candidates for ref in messages[sha].requests})
    head_of = {}
    for sha in candidates:
        refs = [ref for ref in messages[sha].requests if ref in heads.by_ref]
        if refs:
            head_of[sha] = heads.by_ref[refs[0]]
    reading = with_heads(mirror, reading, set(head_of.values()), {candidates[sha] for sha in head_of})
    originals = {}
    for sha, head in head_of.items():
        found = _originals(reading.graph.difference(candidates[sha], head), sha)
        if found:
            originals[sha] = found
    return SquashMerges(
        reading, frozenset(candidates), originals, frozenset(candidates.keys() - head_of.keys()), heads.is_final
    )


def _originals(commits: Sequence[Commit], landed: str) -> list[Commit]:
    """Those of the commits, each before its parents, that may have become the one that landed."""
    later = CommitGraph(commits).descendants(landed)
    return [commit for commit in commits if not commit.is_merge and commit.sha not in later]
