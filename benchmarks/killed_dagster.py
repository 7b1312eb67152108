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
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.dagster_twins import disagreeing, recovers, state, twins
from dora_pipeline.config import Home
from dora_pipeline_tests.dagster_servers import ENDED, Units
from dora_pipeline_tests.waiting import eventually


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
        undisturbed, home = twins(Path(folder), options.first_year)
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
    print(f"killed {dict(done)}", flush=True)
    return recovers(units.page, current, days, home, undisturbed)


if __name__ == "__main__":
    sys.exit(main())
