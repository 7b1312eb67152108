"""Lead times of a branch that squashes: by squash commits, by original commits, and by plain git.

    python benchmarks/squash_merges.py REPOSITORY [--branch main]

Every commit of the branch's first-parent line is deployed a minute after it landed, in a home of its own, which is
loaded with `squash_merges: landed` and with `squash_merges: expand`. REPOSITORY is a git repository with the refs of
its pull requests (refs/pull/N/head), on this machine. What is expanded must be what plain git says of each deployment,
asked one by one. Exit code 1 where they differ.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import yaml

from dora_pipeline.config import Home
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.runs import run
from dora_pipeline.selection import append_selection

REPOSITORY_ID = "github.com/example/squashed"
MINUTE = timedelta(minutes=1)


def main() -> int:
    """Print a row for each setting, and how many commits plain git says the same of."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path, metavar="REPOSITORY")
    parser.add_argument("--branch", default="main")
    arguments = parser.parse_args()
    repository = arguments.repository.resolve()
    form = ["log", "--first-parent", "--reverse", "--format=%H %ct", arguments.branch]
    landed = [(sha, int(second)) for sha, second in map(str.split, git(repository, form))]
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        prepare(home, landed)
        print("| squash_merges | commits | median | p90 |\n|---|---|---|---|")
        for setting in ("landed", "expand"):
            settings = {"squash_merges": setting, "repositories": {REPOSITORY_ID: str(repository)}}
            home.settings_file.write_text(yaml.safe_dump(settings), encoding="utf-8")
            run(home)
            count, median, high = figures(home)
            print(f"| {setting} | {count:,} | {median / 86_400:.4f} d | {high / 86_400:.4f} d |", flush=True)
        found = commits(home)
    expected = delivered(repository, [sha for sha, _ in landed])
    print(f"plain git: {len(expected):,} commits, {len(expected & found):,} of them the same")
    return 0 if expected == found else 1


def prepare(home: Home, landed: list[tuple[str, int]]) -> None:
    """Deploy each commit a minute after it landed, and after the one before it."""
    moment = datetime.fromtimestamp(0, UTC)
    events, received = [], []
    for sha, second in landed:
        moment = max(datetime.fromtimestamp(second, UTC) + MINUTE, moment + timedelta(seconds=1))
        git_info = {"commit_sha": sha, "repository_url": f"https://{REPOSITORY_ID}"}
        times = {"started_at": moment.isoformat(), "finished_at": moment.isoformat()}
        events.append({"service": "squashed", "env": "production", "version": sha, "git": git_info, **times})
        received.append(moment)
    append_selection(home, "deployment", ["deployment_event_api"], min(received) - MINUTE)
    with EventStore.at(home) as store:
        store.append_many("deployment", events, received_at=received)


def figures(home: Home) -> tuple[int, float, float]:
    """How many commits have a lead time, the median and the 90th percentile of it in seconds."""
    query = """
        SELECT COUNT(*), MEDIAN(seconds), QUANTILE_CONT(seconds, 0.9)
        FROM metrics.measures WHERE measure = 'commit'
    """
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        count, median, high = connection.execute(query).fetchall()[0]
    return count, median, high


def commits(home: Home) -> set[tuple[str, str]]:
    """The commit of each deployment, with each commit that it delivered."""
    query = """
        SELECT d.commit_sha, c.commit_sha
        FROM core.deployment_commits AS c JOIN core.deployments AS d USING (deployment_id)
        WHERE NOT c.is_redelivery
    """
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        return set(connection.execute(query).fetchall())


def delivered(repository: Path, landed: list[str]) -> set[tuple[str, str]]:
    """The same by plain git, one question after the other."""
    requests = dict(map(str.split, git(repository, ["for-each-ref", "--format=%(refname) %(objectname)", "refs/pull"])))
    # What the first deployment has is delivered by it, and has no row.
    had = set(git(repository, ["rev-list", landed[0]]))
    rows: set[tuple[str, str]] = set()
    for base, head in pairwise(landed):
        form = ["log", "--no-merges", "--topo-order", "--reverse", "--format=%H%x09%P%x09%s", f"{base}..{head}"]
        for line in git(repository, form):
            sha, parents, subject = line.split("\t")
            match = re.search(r"\(#(\d+)\)$", subject)
            request = requests.get(f"refs/pull/{match[1]}/head") if match and " " not in parents and parents else None
            originals = git(repository, ["rev-list", "--no-merges", request, f"^{parents}"]) if request else []
            # An original that an earlier squash commit holds is that one's.
            own = [original for original in originals if original not in had]
            rows.update((head, commit) for commit in own or [sha])
            had.update(own)
        had.update(git(repository, ["rev-list", f"{base}..{head}"]))
    return rows


def git(repository: Path, arguments: list[str]) -> list[str]:
    """The lines that git prints."""
    command = ["git", f"--git-dir={repository}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


if __name__ == "__main__":
    sys.exit(main())
