"""A small home with something of everything: two sources that tell the same, failures, commits, rejects, a catalog."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from dora_pipeline_tests.git_histories import History
from dora_pipeline_tests.homes import DEPLOYMENTS_BY_APM, DEPLOYMENTS_BY_EVENT, FAILURES_BY_EVENT, TestHome

FIRST_DAY = date(2024, 3, 1)
DAYS = 12
REPOSITORY = "github.com/organization/shop"
EXPORTED = datetime(2024, 4, 1, tzinfo=UTC)
_SERVICES = """\
apiVersion: v3
kind: service
metadata: {name: shop, owner: sales, links: [{name: code, type: repo, url: "https://github.com/organization/shop"}]}
---
apiVersion: v3
kind: service
metadata: {name: api, owner: platform}
"""


def fill(home: TestHome, days: Sequence[int] = range(DAYS)) -> None:
    """Tell what happened on the days with these numbers; the first time also everything around it."""
    if not home.home.settings_file.exists():
        _prepare(home)
    commits = (home.home.path / "shop.shas").read_text().split()
    for number in days:
        day = FIRST_DAY + timedelta(days=number)
        git = {"repository_url": f"https://{REPOSITORY}.git", "commit_sha": commits[number]}
        home.deploy("shop", f"{day} 10:00:00", version=f"v{number}", git=git)
        home.deploy("api", f"{day} 22:30:00", env="Production", version=f"a{number // 2}")
        home.deploy("api", f"{day} 23:59:59", env="staging", version=f"a{number}")
        home.deploy("api", f"{day} 23:59:59", env="staging", version=f"b{number}", id=f"same-second-{number}")
        if number % 3 == 0:
            home.fail(
                ["shop", "api"], f"{day} 10:20:00", f"{day + timedelta(days=number % 2)} 11:00:00", name=f"{number}"
            )
        if number % 5 == 0:
            home.fail(["web"], f"{day} 13:00:00", severity="high")
            home.fail([], f"{day} 14:00:00", name="of nobody")
    for first in range(days[0], days[-1] + 1, 4):
        path = home.drop_export(f"from-{first:02}.jsonl", list(_sightings(range(first, min(first + 4, days[-1] + 1)))))
        set_time(path)


def set_time(path: Path, moment: datetime = EXPORTED) -> None:
    """Date a file, so that what a test expects of it does not depend on when the test runs."""
    os.utime(path, (moment.timestamp(), moment.timestamp()))


def copied(home: TestHome, path: Path) -> TestHome:
    """A copy of a home, with the same times of files; its repositories are those of the first."""
    shutil.copytree(home.home.path, path)
    return TestHome(path)


def rebuilt(home: TestHome) -> dict[str, list[str]]:
    """The tables of the home after a rebuild."""
    home.run(rebuild=True)
    return home.tables()


def _prepare(home: TestHome) -> None:
    clone = home.home.path.with_name("shop.git")
    home.settings(environments={"production": ["prod", "Production"]}, repositories={REPOSITORY: str(clone)})
    home.home.services.mkdir()
    (home.home.services / "all.yaml").write_text(_SERVICES)
    history = History()
    newest = history.commit(committed=0)
    at_the_end_of_days = []
    for number in range(DAYS):
        since = (FIRST_DAY - date(2024, 1, 1)).days * 86400 + number * 86400
        newest = history.commit(newest, committed=since + 3600, authored=since)
        newest = history.commit(newest, committed=since + 7200)
        at_the_end_of_days.append(newest)
    shas = history.write(clone, {"main": newest})
    (home.home.path / "shop.shas").write_text("\n".join(shas[number] for number in at_the_end_of_days))
    home.select("deployment", *DEPLOYMENTS_BY_EVENT, *DEPLOYMENTS_BY_APM)
    home.select("failure", *FAILURES_BY_EVENT)


def _sightings(days: Sequence[int]) -> Iterator[Mapping[str, Any]]:
    """The version of shop that its events tell too; versions of web that come back at once; one bad record."""
    for number in days:
        day = FIRST_DAY + timedelta(days=number)
        for service, time, version in (
            ("shop", "10:04:00", f"v{number}"),
            ("shop", "18:00:00", f"v{number}"),
            ("web", "12:00:00", f"w{number % 3}"),
            ("web", "12:25:00", f"w{(number + 1) % 3}"),
            ("web", "12:50:00", f"w{number % 3}"),
        ):
            yield {"timestamp": f"{day}T{time}Z", "service": service, "env": "prod", "version": version, "hits": 3}
    yield {"timestamp": "no time at all", "service": "web", "env": "prod", "version": "w"}
