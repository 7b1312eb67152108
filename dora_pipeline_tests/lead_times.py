"""What tests ask of the lead times of a home whose settings name one repository."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from dora_pipeline_tests.git_histories import git
from dora_pipeline_tests.homes import TestHome

REPOSITORY = "example.com/org/app"


def reasons(home: TestHome) -> dict[str, str | None]:
    return dict(home.rows("SELECT deployment_id, lead_time_reason FROM core.deployments"))


def brought(home: TestHome, deployment_id: str) -> dict[str, float | None]:
    """The commits that a deployment brought and their lead times."""
    return dict(
        home.rows(
            "SELECT commit_sha, lead_time_seconds FROM core.deployment_commits WHERE deployment_id = ?", deployment_id
        )
    )


@dataclass(frozen=True)
class Delivered:
    """A deployment of a commit; `day` gives the order."""

    deployment_id: str
    service: str
    day: int
    sha: str


def delivered_by_git(
    repository: Path, deployments: Sequence[Delivered], main: str
) -> list[tuple[str, str, str | None, bool]]:
    """Deployment, commit, what it landed as, whether it is a redelivery: git is asked for each deployment by itself.

    Squash commits are on the first parents of `main`.
    """

    def commits(*arguments: str) -> list[str]:
        return git(repository, "rev-list", "--no-merges", *arguments).split()

    order = git(repository, "rev-list", "--first-parent", "--reverse", main).split()
    heads = dict(
        line.split() for line in git(repository, "for-each-ref", "--format=%(refname) %(objectname)").split("\n")
    )
    originals: dict[str, list[str]] = {}
    for sha in order[1:]:
        number = re.search(r"\(([#!])(\d+)\)$", git(repository, "show", "-s", "--format=%s", sha))
        if number:
            head = heads.get(f"refs/{'pull' if number[1] == '#' else 'merge-requests'}/{number[2]}/head")
            originals[sha] = commits(f"{sha}^..{head}") if head else []
    landings: dict[str, set[str]] = {}
    for squash, shas in originals.items():
        for sha in shas:
            landings.setdefault(sha, set()).add(squash)
    rows: list[tuple[str, str, str | None, bool]] = []
    for service in sorted({item.service for item in deployments}):
        history = sorted((item for item in deployments if item.service == service), key=lambda item: item.day)
        owners: dict[str, str] = {}
        has_row: set[str] = set()
        for place, (previous, this) in enumerate(pairwise(history), start=1):
            had = set(git(repository, "rev-list", *(item.sha for item in history[:place])).split())
            brought = commits(f"{previous.sha}..{this.sha}")
            found: dict[str, str | None] = {}
            for landed in sorted((sha for sha in brought if originals.get(sha)), key=order.index):
                owned = [sha for sha in originals[landed] if owners.setdefault(sha, landed) == landed]
                found |= dict.fromkeys(owned, landed) if owned else {landed: None}
            for sha in brought:
                if not originals.get(sha):
                    found.setdefault(sha, None)
            rows += [
                (this.deployment_id, sha, landed, sha in has_row or bool(had & {sha, *landings.get(sha, ())}))
                for sha, landed in found.items()
            ]
            has_row |= found.keys()
    return rows
