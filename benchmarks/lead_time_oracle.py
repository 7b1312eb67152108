#!/usr/bin/env python3
"""Lead times computed the slow and obvious way, compared with those in the warehouse.

For every deployment that counts (selected, no duplicate) git is asked by itself which commits it brought, and the
lead time of each is worked out in plain Python: `finished_at` minus the author time. The result must be
`core.deployment_commits`, row by row. Nothing of the package is used.

    lead_time_oracle.py HOME [--service NAME] [--all]

Without --all only env `production` is checked. Exit code 1 if anything differs.
"""

import argparse
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import duckdb

MICROSECOND = 1_000_000
MOST_DAYS = 60
MOST_COMMITS = 5000
SHOWN = 20


@dataclass
class Deployment:
    """A row of core.deployments; the time is microseconds since 1970."""

    deployment_id: str
    service: str
    env: str | None
    repository_id: str | None
    commit_sha: str | None
    finished_at: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, metavar="HOME", help="the folder with warehouse.duckdb and git/")
    parser.add_argument("--service", help="check this service only")
    parser.add_argument("--all", action="store_true", help="check every env, not only production")
    arguments = parser.parse_args()

    deployments, patterns, stored = read_warehouse(arguments.home / "warehouse.duckdb")
    repositories = sorted(path.parent for path in (arguments.home / "git").glob("*/HEAD"))
    checked = {
        deployment.deployment_id
        for deployment in deployments
        if arguments.service in (None, deployment.service) and (arguments.all or deployment.env == "production")
    }
    expected, reasons = lead_times(deployments, checked, patterns, repositories)
    actual = {key: seconds for key, seconds in stored.items() if key[0] in checked}

    equal, differences = 0, []
    for key in sorted(expected.keys() | actual.keys()):
        told, computed = actual.get(key), expected.get(key)
        if told is not None and computed is not None and abs(told - computed) < 1e-6:
            equal += 1
        else:
            differences.append(f"deployment {key[0]} commit {key[1]}: warehouse {told}, computed {computed}")
    print(f"deployments checked: {len(checked)}")
    for reason, count in sorted(reasons.items()):
        print(f"  {reason}: {count}")
    print(f"commits compared: {equal + len(differences)}, equal: {equal}, different: {len(differences)}")
    for difference in differences[:SHOWN]:
        print(f"  {difference}")
    if not checked:
        print("nothing to check: no deployment of this service and env counts", file=sys.stderr)
    return 1 if differences or not checked else 0


def read_warehouse(
    path: Path,
) -> tuple[list[Deployment], dict[str, list[str]], dict[tuple[str, str], float]]:
    """The deployments that count, the patterns by service, and the stored lead times by deployment and commit."""
    with duckdb.connect(str(path), read_only=True) as connection:
        deployments = [
            Deployment(*row)
            for row in connection.execute(
                "SELECT deployment_id, service, env, repository_id, commit_sha, epoch_us(finished_at) "
                "FROM core.deployments WHERE duplicate_of IS NULL AND is_selected"
            ).fetchall()
        ]
        patterns = dict(connection.execute("SELECT service, source_patterns FROM core.services").fetchall())
        stored = {
            (deployment, commit): seconds
            for deployment, commit, seconds in connection.execute(
                "SELECT deployment_id, commit_sha, lead_time_seconds FROM core.deployment_commits"
            ).fetchall()
        }
    return deployments, patterns, stored


def lead_times(
    deployments: list[Deployment], checked: set[str], patterns: dict[str, list[str]], repositories: list[Path]
) -> tuple[dict[tuple[str, str], float], Counter[str]]:
    """Seconds by deployment and commit, and how many deployments there are of each kind."""
    seconds: dict[tuple[str, str], float] = {}
    reasons: Counter[str] = Counter()
    previous: dict[tuple[str, str | None], Deployment] = {}
    for deployment in sorted(deployments, key=lambda row: (row.finished_at, row.deployment_id)):
        place = (deployment.service, deployment.env)
        before = previous.get(place)
        if deployment.commit_sha is not None:
            previous[place] = deployment
        if deployment.deployment_id not in checked:
            continue
        if deployment.commit_sha is None:
            reasons["without a commit"] += 1
        elif before is None or before.commit_sha is None:
            reasons["first"] += 1
        elif deployment.finished_at - before.finished_at > MOST_DAYS * 86_400 * MICROSECOND:
            reasons["previous one more than 60 days before"] += 1
        else:
            commits = commits_between(
                before.commit_sha, deployment.commit_sha, patterns.get(deployment.service) or [], repositories
            )
            reasons["commits not in a repository" if commits is None else "measured"] += 1
            for sha, authored_at in (commits or {}).items():
                seconds[deployment.deployment_id, sha] = deployment.finished_at / MICROSECOND - authored_at
    return seconds, reasons


def commits_between(base: str, head: str, patterns: list[str], repositories: list[Path]) -> dict[str, int] | None:
    """Author times, in seconds since 1970, by SHA; None where no repository has both commits."""
    for repository in repositories:
        if has_commit(repository, base) and has_commit(repository, head):
            listed = git(
                repository, "rev-list", "--no-merges", "--full-history", f"--max-count={MOST_COMMITS}",
                f"{base}..{head}", "--", *(f":(top,glob){pattern}" for pattern in patterns),
            ).split()  # fmt: skip
            shown = git(repository, "show", "-s", "--format=%H %at", *listed) if listed else ""
            return {sha: int(authored_at) for sha, authored_at in (line.split() for line in shown.splitlines())}
    return None


def has_commit(repository: Path, sha: str) -> bool:
    command = ["git", f"--git-dir={repository}", "cat-file", "-e", f"{sha}^{{commit}}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def git(repository: Path, *arguments: str) -> str:
    command = ["git", f"--git-dir={repository}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
