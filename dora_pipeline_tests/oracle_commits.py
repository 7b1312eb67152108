"""The commits that each deployment brought, worked out slowly and plainly from the parents of every commit."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from dora_pipeline_tests.oracle import Brought, JudgedDeployment

LONGEST_GAP = timedelta(days=60)


@dataclass(frozen=True)
class Commit:
    """A commit: `reverts` are the SHAs that its message says it reverts."""

    sha: str
    parents: tuple[str, ...]
    subject: str
    reverts: tuple[str, ...]
    authored_at: datetime


@dataclass(frozen=True)
class Repository:
    """Commits by SHA, parents before children; the first parents of the main branch; heads of pull requests."""

    commits: Mapping[str, Commit]
    main: Sequence[str]
    requests: Mapping[int, str]

    @cached_property
    def histories(self) -> Mapping[str, frozenset[str]]:
        """What each commit has in its history, itself included."""
        found: dict[str, frozenset[str]] = {}
        for sha, commit in self.commits.items():
            found[sha] = frozenset({sha}).union(*(found[parent] for parent in commit.parents))
        return found

    def range(self, base: str, head: str) -> list[str]:
        """The commits of `base..head`, no merges."""
        new = self.histories[head] - self.histories[base]
        return [sha for sha in self.commits if sha in new and len(self.commits[sha].parents) < 2]

    def originals(self, sha: str) -> list[str]:
        """What a squash commit stands for; nothing where it is none."""
        commit = self.commits[sha]
        number = re.search(r"\(#(\d+)\)$", commit.subject)
        head = self.requests.get(int(number[1])) if number else None
        return self.range(commit.parents[0], head) if head and len(commit.parents) == 1 else []


def look_up_commits(history: Sequence[JudgedDeployment], repository: Repository | None) -> None:
    """Say what each deployment of one history brought; without a repository only why that is not known."""
    previous: JudgedDeployment | None = None
    had: frozenset[str] = frozenset()
    owners: dict[str, str] = {}
    has_row: set[str] = set()
    for row in history:
        sha = row.told.commit_sha
        if sha is None:
            row.lead_time_reason = "no_commit"
            continue
        if previous is None:
            row.lead_time_reason = "first_deployment"
        else:
            row.previous = previous.told.deployment_id
            base = previous.told.commit_sha or ""
            if repository is not None:
                row.is_behind = sha != base and sha in repository.histories[base]
            if row.told.finished_at - previous.told.finished_at > LONGEST_GAP:
                row.lead_time_reason = "previous_too_old"
            elif repository is None:
                row.lead_time_reason = "no_repository"
            else:
                landed = _landed(repository, repository.range(base, sha), owners)
                row.brought = [
                    Brought(
                        one,
                        squash,
                        one in had or squash in had or one in has_row,
                        (row.told.finished_at - repository.commits[one].authored_at).total_seconds(),
                    )
                    for one, squash in landed.items()
                ]
                has_row |= landed.keys()
                is_new = any(not commit.is_redelivery for commit in row.brought)
                row.lead_time_reason = None if is_new else "redelivered" if row.brought else "no_commits"
        if repository is not None:
            had |= repository.histories[sha]
        previous = row


def _landed(repository: Repository, shas: Sequence[str], owners: dict[str, str]) -> dict[str, str | None]:
    """The commits that count, each with the squash commit that stands for it."""
    found: dict[str, str | None] = {}
    squashed = [sha for sha in shas if repository.originals(sha)]
    for squash in sorted(squashed, key=repository.main.index):
        owned = [sha for sha in repository.originals(squash) if owners.setdefault(sha, squash) == squash]
        found |= dict.fromkeys(owned, squash) if owned else {squash: None}
    for sha in shas:
        if sha not in squashed:
            found.setdefault(sha, None)
    return found
