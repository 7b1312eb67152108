"""Which deployments failed by what a repository knows: earlier states of the code, reverts, subjects of commits."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from dora_pipeline_tests.git_histories import git
from dora_pipeline_tests.homes import TestHome

REPOSITORY = "example.com/org/app"
# Deployments: days after 2024-05-01, and places of commits.
Deployed = Sequence[tuple[float, int]]
BEHIND: dict[str, Deployed] = {
    "never deployed before": [(0, 1), (1, 4), (2, 3)],
    "nothing to go back to": [(0, 4), (1, 3)],
    "very late": [(0, 1), (1, 4), (150, 3)],
    "left behind, and behind": [(0, 1), (1, 2), (2, 4), (3, 1), (4, 4), (5, 2)],
    "forward again": [(0, 1), (1, 2), (2, 3), (3, 1), (4, 3)],
}
REVERTS: dict[str, Deployed] = {
    "one by one": [(0, 4), (1, 5), (2, 6), (3, 7), (4, 8), (5, 9), (6, 10)],
    "together": [(0, 4), (1, 7), (2, 8)],
    "too late": [(0, 4), (1, 5), (30, 6), (61, 6), (61.5, 7)],
    "the latest": [(0, 4), (1, 5), (2, 6), (3, 8)],
    "subjects": [(0, 10), (1, 11)],
}


def commit(repository: Path, parent: str | None, message: str) -> str:
    """Writes an empty commit; its SHA."""
    tree = git(repository, "hash-object", "-t", "tree", "-w", "--stdin")
    parents = ["-p", parent] if parent else []
    names = {f"GIT_{who}_{what}": "a@x.test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {f"GIT_{who}_DATE": "1714000000 +0000" for who in ("AUTHOR", "COMMITTER")}
    arguments = ["git", f"--git-dir={repository}", "commit-tree", tree, *parents, "-m", message]
    run = subprocess.run(arguments, env={**os.environ, **names, **dates}, check=True, capture_output=True, text=True)
    return run.stdout.strip()


def write_repository(repository: Path) -> list[str]:
    """A history without branches; the SHAs of its commits, from place 1."""
    git(repository, "init", "--quiet", "--bare", "--template=", "--initial-branch=main")
    shas = [""]
    for message in ("One", "Two", "Three", "Four", "Add a basket (#7)", "Change the till"):
        shas.append(commit(repository, shas[-1] or None, message))
    for message in (
        'Revert "Add a basket (#7)" (#9)',
        f"Give up the new till\n\nThis reverts commit {shas[6][:9]}.",
        f'Reapply "Add a basket"\n\nThis reverts commit {"{7}"}.',
        'Revert "Revert "Add a basket (#7)" (#9)"',
        "HOTFIX for the till",
    ):
        shas.append(commit(repository, shas[-1], message.replace("{7}", shas[7] if len(shas) > 7 else "")))
    git(repository, "update-ref", "refs/heads/main", shas[-1])
    return shas


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home with a service for each case. When it ran first, its repository was not there."""
    folder = tmp_path_factory.mktemp("reverted")
    home = TestHome(folder / "home")
    home.select_events()
    home.settings(repositories={REPOSITORY: str(folder / "app.git")})
    shas = write_repository(folder / "written.git")
    for name, deployed in (BEHIND | REVERTS).items():
        for place, (days, number) in enumerate(deployed):
            moment = f"2024-{5 + int(days) // 30:02}-{1 + int(days) % 30:02}T{int(days % 1 * 24):02}:00:00"
            short = shas[number][: 40 if place % 2 else 8]
            home.deploy(
                name, moment, id=f"{name} {place}", git={"commit_sha": short, "repository_url": f"https://{REPOSITORY}"}
            )
    home.run()
    # Short and whole SHAs are two contents as long as nobody knows better.
    assert home.rows("SELECT deployment_id, remediation_id FROM core.failed_changes ORDER BY ALL") == [
        ("forward again 3", "forward again 4"),
        ("left behind, and behind 2", "left behind, and behind 5"),
        ("left behind, and behind 3", "left behind, and behind 4"),
    ]
    (folder / "written.git").rename(folder / "app.git")
    home.run()
    return home


def failed(home: TestHome, service: str) -> list[tuple[int, str, int, str]]:
    rows = home.rows(
        "SELECT deployment_id, way, remediation_id, remediation_type FROM core.failed_changes WHERE service = ?",
        service,
    )
    return sorted((int(one.split()[-1]), way, int(other.split()[-1]), kind) for one, way, other, kind in rows)


def rolled_back(one: int, other: int) -> tuple[int, str, int, str]:
    return (one, "rollback", other, "rollback")


def reverted(one: int, other: int) -> tuple[int, str, int, str]:
    return (one, "revert", other, "rollforward")


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("never deployed before", [rolled_back(1, 2)]),
        ("nothing to go back to", [rolled_back(0, 1)]),
        ("very late", [rolled_back(1, 2)]),
        # 4 was left behind and goes forward; 2 was left behind too, and is behind 4: its target is the second 1.
        ("left behind, and behind", [rolled_back(1, 3), rolled_back(4, 5)]),
        ("forward again", [rolled_back(1, 3)]),
    ],
)
def test_an_earlier_state_of_the_code_is_a_rollback(
    home: TestHome, service: str, expected: Sequence[tuple[int, str, int, str]]
) -> None:
    assert failed(home, service) == expected


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        # 8 takes 6 back, by a short SHA; what 9 and 10 take back are reverts.
        ("one by one", [reverted(1, 3), reverted(2, 4)]),
        ("together", [reverted(1, 2)]),
        ("too late", []),
        ("the latest", [reverted(2, 3)]),
        ("subjects", [(0, "rule", 1, "rollforward")]),
    ],
)
def test_a_deployment_failed_of_which_a_later_one_takes_a_commit_back(
    home: TestHome, service: str, expected: Sequence[tuple[int, str, int, str]]
) -> None:
    assert failed(home, service) == expected


def test_a_rebuild_finds_the_same(home: TestHome) -> None:
    told = home.tables()
    home.run(rebuild=True)
    assert home.tables() == told
