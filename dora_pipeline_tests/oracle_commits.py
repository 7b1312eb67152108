"""The commits that each deployment brought, worked out slowly and plainly from the parents of every commit."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatch
from functools import cached_property

from dora_pipeline_tests.oracle import Brought, JudgedDeployment

LONGEST_GAP = timedelta(days=60)


@dataclass(frozen=True)
class Commit:
    """A commit: `reverts` are the SHAs that its message says it reverts, `files` what it changes of its parent's."""

    sha: str
    parents: tuple[str, ...]
    subject: str
    reverts: tuple[str, ...]
    authored_at: datetime
    files: frozenset[str] = frozenset()

    @property
    def request(self) -> int | None:
        """The number of the pull request that its subject ends with."""
        number = re.search(r"\(#(\d+)\)$", self.subject)
        return int(number[1]) if number and len(self.parents) == 1 else None


@dataclass(frozen=True)
class Repository:
    """Commits by SHA in the order in which they were made; the first parents of the main branch and of the release
    branch; heads of pull requests.
    """

    commits: Mapping[str, Commit]
    main: Sequence[str]
    release: Sequence[str]
    requests: Mapping[int, str]

    @cached_property
    def histories(self) -> Mapping[str, frozenset[str]]:
        """What each commit has in its history, itself included."""
        found: dict[str, frozenset[str]] = {}
        for sha, commit in self.commits.items():
            found[sha] = frozenset({sha}).union(*(found[parent] for parent in commit.parents))
        return found

    @cached_property
    def originals(self) -> Mapping[str, frozenset[str]]:
        """What each squash commit stands for: the commits of its request, as they were when it landed first."""
        first: dict[int, Commit] = {}
        for commit in self.commits.values():
            if commit.request is not None:
                first.setdefault(commit.request, commit)
        own: dict[str, frozenset[str]] = {}
        for sha, commit in self.commits.items():
            head = self.requests.get(commit.request or 0)
            if head:
                known = self.histories[commit.parents[0]] | self.histories[first[commit.request or 0].parents[0]]
                own[sha] = frozenset(filter(self._is_plain, self.histories[head] - known))
        found: dict[str, frozenset[str]] = {}
        for sha, shas in own.items():
            # A squash commit that a request holds was made before it, so that it is known already.
            found[sha] = frozenset().union(*(found.get(one) or {one} for one in shas))
        return {sha: shas for sha, shas in found.items() if shas}

    @cached_property
    def landings(self) -> Mapping[str, Collection[str]]:
        """The squash commits that stand for each original commit."""
        found: dict[str, set[str]] = {}
        for squash, shas in self.originals.items():
            for sha in shas:
                found.setdefault(sha, set()).add(squash)
        return found

    def resolved(self, told: str) -> str | None:
        """The whole SHA."""
        found = [sha for sha in self.commits if sha.startswith(told)]
        return found[0] if len(found) == 1 else None

    def range(self, base: str, head: str) -> list[str]:
        """The commits of `base..head`, no merges, in the order in which they came to the head."""
        return [sha for sha in self._orders[head] if sha not in self.histories[base] and self._is_plain(sha)]

    @cached_property
    def _orders(self) -> Mapping[str, Sequence[str]]:
        """The history of each commit: that of the first parent, what the second one brings, and the commit."""
        found: dict[str, Sequence[str]] = {}
        for sha, commit in self.commits.items():
            found[sha] = list(dict.fromkeys([*(one for parent in commit.parents for one in found[parent]), sha]))
        return found

    def touches(self, sha: str, patterns: Sequence[str]) -> bool:
        """Whether a commit changes a file of the patterns: `folder/**`, `**`, or one of them with a `!` before."""
        wanted = [pattern for pattern in patterns if not pattern.startswith("!")] or ["**"]
        unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
        return not patterns or any(
            any(fnmatch(file, pattern) for pattern in wanted)
            and not any(fnmatch(file, pattern) for pattern in unwanted)
            for file in self.commits[sha].files
        )

    def _is_plain(self, sha: str) -> bool:
        return len(self.commits[sha].parents) < 2


def look_up_commits(
    history: Sequence[JudgedDeployment], repositories: Mapping[str, Repository], patterns: Sequence[str] = ()
) -> None:
    """Say what each deployment of one history brought; without a repository only why that is not known.

    The commit of the one before is looked for in the repository of the deployment itself.
    """
    previous: JudgedDeployment | None = None
    had: frozenset[str] = frozenset()
    owners: dict[str, str] = {}
    has_row: set[str] = set()
    for row in history:
        told = row.told.commit_sha
        if told is None:
            row.lead_time_reason = "no_commit"
            continue
        repository = repositories.get(row.repository or "")
        row.commit = repository.resolved(told) if repository else None
        base = repository.resolved(previous.told.commit_sha or "") if repository and previous else None
        row.lead_time_reason = _reason(row, previous, base, is_configured=repository is not None)
        if previous is not None:
            row.previous = previous.told.deployment_id
        if repository is not None and row.commit and base:
            row.is_behind = row.commit != base and row.commit in repository.histories[base]
            if row.lead_time_reason is None:
                landed = _landed(repository, repository.range(base, row.commit), owners)
                row.brought = [
                    Brought(
                        one,
                        squash,
                        bool(had & {one, squash, *repository.landings.get(one, ())}) or one in has_row,
                        (row.told.finished_at - repository.commits[one].authored_at).total_seconds(),
                    )
                    for one, squash in landed.items()
                    if repository.touches(one, patterns)
                ]
                has_row |= {one.sha for one in row.brought}
                is_new = any(not commit.is_redelivery for commit in row.brought)
                row.lead_time_reason = None if is_new else "redelivered" if row.brought else "no_commits"
        if repository is not None and row.commit:
            had |= repository.histories[row.commit]
        previous = row


def _reason(
    row: JudgedDeployment, previous: JudgedDeployment | None, base: str | None, *, is_configured: bool
) -> str | None:
    """Why the commits of a deployment are not known."""
    if previous is None:
        return "first_deployment"
    if row.told.finished_at - previous.told.finished_at > LONGEST_GAP:
        return "previous_too_old"
    if not is_configured:
        return "repository_not_configured" if row.repository else "no_repository"
    if row.commit is None:
        return "commit_missing"
    return None if base else "previous_commit_missing"


def _landed(repository: Repository, shas: Sequence[str], owners: dict[str, str]) -> dict[str, str | None]:
    """The commits that count, each with the squash commit that stands for it."""
    found: dict[str, str | None] = {}
    squashed = [sha for sha in shas if sha in repository.originals]
    for squash in squashed:
        owned = [sha for sha in repository.originals[squash] if owners.setdefault(sha, squash) == squash]
        found |= dict.fromkeys(owned, squash) if owned else {squash: None}
    for sha in shas:
        if sha not in squashed:
            found.setdefault(sha, None)
    return found
