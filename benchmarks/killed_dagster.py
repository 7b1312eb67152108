"""Whether a backfill survives what kills the processes of Dagster: no lost day, no half day, no wrong status.

    PYTHONPATH=. python benchmarks/killed_dagster.py [--kills N] [--first-year YEAR] [--daemons N]

Webserver and daemon run on a home with the sample, and are started again when they end, as a service manager does.
While a backfill of all days goes on, N times at random one of run worker, daemon, webserver and code server gets
SIGKILL. Afterwards every day that Dagster calls materialized must have its rows; the days that it calls failed or
missing are backfilled again, as an operator would; then all days must be materialized, and the tables those of an
undisturbed run.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path

import duckdb
import requests

from benchmarks.killed_runs import digest
from dora_pipeline.config import Home
from dora_pipeline.demo import prepare_demo
from dora_pipeline.pipeline.progress import Silence
from dora_pipeline.pipeline.runs import run
from dora_pipeline_tests.dagster_servers import ENDED, Dagster, Units, eventually
from dora_pipeline_tests.readers import DIFFERENCES


def main() -> int:
    """Print each kill and what came of it; 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--first-year", type=int, default=2018)
    parser.add_argument("--daemons", type=int, default=1, help="2: a mistake that must harm nothing")
    parser.add_argument("--seed", type=int, default=20261123)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = Home(Path(folder) / "undisturbed")
        prepare_demo(undisturbed, Silence(), options.first_year)
        log = undisturbed.selection_log.read_text(encoding="utf-8")
        undisturbed.selection_log.write_text(log.replace("2018-01-01", f"{options.first_year}-01-01"), encoding="utf-8")
        home = Home(Path(folder) / "home")
        shutil.copytree(undisturbed.path, home.path)
        run(undisturbed)
        with Units(home.path, Path(folder) / "logs", options.daemons) as units:
            return 0 if survives(units, home, undisturbed, options.kills, chance) else 1


def survives(units: Units, home: Home, undisturbed: Home, kills: int, chance: random.Random) -> bool:
    """Kill, let it settle, compare."""
    days = units.page.days()
    print(f"{len(days)} days", flush=True)
    current = units.page.backfill(days)
    done: Counter[str] = Counter()
    while done.total() < kills:
        time.sleep(chance.uniform(2, 12))
        if state(units.page, current) in ENDED:
            current = units.page.backfill(days)
        kind = chance.choice(["run worker", "daemon", "webserver", "code server"])
        if units.kill(kind, chance):
            done[kind] += 1
            print(f"{done.total()}: killed a {kind}; readers see {disagreeing(home)} rows that disagree", flush=True)
    eventually(units.page.is_ready, "page and daemon after the kills", 120)
    settle(units.page, current)
    wrong = wrongly_materialized(units.page, home, undisturbed)
    told = units.page.partitions("metrics/daily")
    print(f"killed {dict(done)}; days now: {told}; called materialized without their rows: {wrong}", flush=True)
    attempts = 0
    while (missing := unmade(units.page, days)) and attempts < 3:
        attempts += 1
        settle(units.page, units.page.backfill(missing))
    same = digest(home) == digest(undisturbed)
    print(f"after {attempts} backfills of what was left: {units.page.partitions('metrics/daily')}; same tables: {same}")
    return same and wrong == 0 and not missing


def state(page: Dagster, backfill: str) -> str:
    """The status of a backfill, asked until the page answers."""

    def ask() -> str | None:
        try:
            return page.backfill_state(backfill)
        except (requests.RequestException, AssertionError, KeyError, ValueError):
            return None

    return eventually(ask, "the page", 120)


def settle(page: Dagster, backfill: str) -> None:
    """Wait until a backfill and every run are over."""
    eventually(lambda: state(page, backfill) in ENDED, f"backfill {backfill}", 900)
    going = ("STARTED", "STARTING", "QUEUED", "CANCELING", "NOT_STARTED")
    eventually(lambda: not [run for run in page.runs() if run["status"] in going], "runs that are over", 600)


def unmade(page: Dagster, days: list[str]) -> list[str]:
    """The days that an asset lacks or failed to make."""
    made = page.made_days()
    return [day for day in days if any(day not in known for known in made.values())]


def wrongly_materialized(page: Dagster, home: Home, undisturbed: Home) -> int:
    """Days that are called materialized, but whose rows in metrics.daily are not those of the undisturbed run."""
    expected, found = rows_by_day(undisturbed), rows_by_day(home)
    made = page.made_days()["metrics/daily"]
    return sum(expected.get(day) != found.get(day) for day in made)


def rows_by_day(home: Home) -> dict[str, str]:
    """The rows of metrics.daily of each day as one text."""
    if not home.warehouse.exists():
        return {}
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        rows = connection.execute("SELECT * FROM metrics.daily ORDER BY ALL").fetchall()
    found: dict[str, str] = {}
    for row in rows:
        day: date = row[0]
        found[day.isoformat()] = found.get(day.isoformat(), "") + repr(row)
    return found


def disagreeing(home: Home) -> int | str:
    """Rows of metrics.daily that are no recount of core, in what is published now."""
    if not home.warehouse.exists():
        return "nothing published yet, 0"
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        count: int = connection.execute(DIFFERENCES).fetchall()[0][0]
        return count


if __name__ == "__main__":
    sys.exit(main())
