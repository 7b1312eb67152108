"""How many of the rollbacks of real services are found: by contents alone, and with the histories of their commits.

    python benchmarks/rollbacks.py FOLDER

FOLDER holds a folder for each service, with `commits.csv.gz`, `deployments.csv.gz` (service, env, deployed_at, version,
commit_sha) and `rollbacks.csv` (env, first_bad_at, rollback_at). A rollback is found where the deployment of its moment
is one; what failed is right where that is the deployment of `first_bad_at`.
"""

import argparse
import csv
import gzip
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from dora_pipeline.intake.store import EventStore
from dora_pipeline.repositories.history import rebuild_history
from dora_pipeline_tests.homes import TestHome

# A service and env, the moment of the rollback: the moment of what failed.
Rollbacks = Mapping[tuple[str, str, datetime], datetime]
_FOUND = """
    SELECT d.service, d.env, d.finished_at, f.finished_at
    FROM core.deployments AS d
    LEFT JOIN core.failed_changes AS c ON c.remediation_id = d.deployment_id
    LEFT JOIN core.deployments AS f ON c.deployment_id = f.deployment_id
    WHERE d.kind = 'rollback'
"""


def main() -> None:
    """Print a row for each way, and what differs; ends with 1 where histories miss a rollback or find too many."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    services = sorted(path.parent for path in parser.parse_args().folder.glob("*/rollbacks.csv"))
    known: Rollbacks = {
        (row["service"], row["env"], _moment(row["rollback_at"])): _moment(row["first_bad_at"])
        for service in services
        for row in _rows(service / "rollbacks.csv")
    }
    print("| by | rollbacks | found | missed | in excess | what failed is right |")
    print("|---|---|---|---|---|---|", flush=True)
    differences: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        clones = Path(folder) / "repositories"
        for service in services:
            rebuild_history(service / "commits.csv.gz", clones / f"{service.name}.git")
        for way, repositories in (
            ("contents", {}),
            ("contents and histories", {_repository(one): str(clones / f"{one.name}.git") for one in services}),
        ):
            found = _found(TestHome(Path(folder) / way), services, repositories)
            right = sum(found.get(rollback) == failed for rollback, failed in known.items())
            missed, more = sorted(known.keys() - found.keys()), sorted(found.keys() - known.keys())
            hits = len(known) - len(missed)
            print(f"| {way} | {len(known)} | {hits} | {len(missed)} | {len(more)} | {right} |", flush=True)
            other = sorted(one for one in known.keys() & found.keys() if found[one] != known[one])
            for word, those in (("missed", missed), ("in excess", more), ("another failed", other)):
                differences += [f"{word} by {way}: {' '.join((*one[:2], one[2].isoformat()))}" for one in those]
    print("\n".join(differences))
    sys.exit(1 if missed or more else 0)


def _found(home: TestHome, services: list[Path], repositories: Mapping[str, str]) -> Rollbacks:
    home.select("deployment", "deployment_event_api", at=datetime.fromisoformat("2000-01-01T00:00:00Z"))
    home.settings(repositories=dict(repositories))
    with EventStore.at(home.home) as store:
        for service in services:
            events = [_event(service, row) for row in _rows(service / "deployments.csv.gz")]
            received = [_moment(event["finished_at"]) for event in events]
            store.append_many("deployment", events, received_at=received)
    home.run()
    return {(service, env, at): failed_at for service, env, at, failed_at in home.rows(_FOUND)}


def _event(service: Path, row: Mapping[str, str]) -> dict[str, object]:
    git = {"commit_sha": row["commit_sha"], "repository_url": f"https://{_repository(service)}"}
    times = {"started_at": row["deployed_at"], "finished_at": row["deployed_at"]}
    return {"service": row["service"], "env": row["env"], "version": row["version"], "git": git, **times}


def _repository(service: Path) -> str:
    return f"example.com/services/{service.name}"


def _rows(path: Path) -> Iterator[Mapping[str, str]]:
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as lines:
        yield from csv.DictReader(lines)


def _moment(text: object) -> datetime:
    return datetime.fromisoformat(str(text))


if __name__ == "__main__":
    main()
