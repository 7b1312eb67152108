"""Whether runs that are killed, repeated, or made in another order end in the same tables.

    python benchmarks/killed_runs.py [--kills N]

The same home is loaded four times: in one run; in one run and again; a day at a time in reversed order (the days of the
newest two years, after the others); and in runs that are ended with SIGKILL at N random moments. Then every table of
core and metrics is compared, row for row, sorted. Ends with 1 where any differs.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import duckdb

from dora_pipeline.config import Home
from dora_pipeline.demo import prepare_demo
from dora_pipeline.pipeline.progress import Silence
from dora_pipeline.pipeline.runs import run
from dora_pipeline.timeline import Window


def main() -> int:
    """Print a line for each way of loading, with the digest of the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=20261123)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pattern = Home(Path(folder) / "pattern")
        prepare_demo(pattern, Silence())
        ways = {
            "one run": run,
            "two runs": lambda home: (run(home), run(home)),
            "rebuilt": lambda home: (run(home), run(home, rebuild=True)),
            "days in reversed order": reversed_days,
            f"killed {options.kills} times": lambda home: killed(home, options.kills, random.Random(options.seed)),
        }
        digests = {}
        for name, load in ways.items():
            home = Home(Path(folder) / "home")
            shutil.copytree(pattern.path, home.path)
            load(home)
            digests[name] = digest(home)
            print(f"{name}: {digests[name]}", flush=True)
            shutil.rmtree(home.path)
    same = len(set(digests.values())) == 1
    print("all equal" if same else "DIFFERENT")
    return 0 if same else 1


def reversed_days(home: Home) -> None:
    """The newest day first, each in a run of its own; the oldest years in one run at the end."""
    days = [date.fromordinal(n) for n in range(date(2026, 12, 31).toordinal(), date(2026, 1, 1).toordinal() - 1, -1)]
    for day in days:
        run(home, Window(day, day))
    for year in range(2025, 2017, -1):
        run(home, Window(date(year, 1, 1), date(year, 12, 31)))


def killed(home: Home, times: int, chance: random.Random) -> None:
    """Runs that are killed after a random share of the time that a whole run takes, then one that is not."""
    command = [sys.executable, "-m", "dora_pipeline.cli", "run"]
    environment = {**os.environ, "DORA_HOME": str(home.path)}
    probe = home.path.with_name("probe")
    shutil.copytree(home.path, probe)
    began = time.monotonic()
    subprocess.run(command, env={**environment, "DORA_HOME": str(probe)}, check=True, capture_output=True)
    whole = time.monotonic() - began
    shutil.rmtree(probe)
    ended = 0
    while ended < times:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=chance.uniform(0.2, 1.0) * whole)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        else:
            # It finished before its moment: start over from nothing, so that the next one has something to do.
            shutil.rmtree(home.work)
            home.warehouse.unlink()
        ended += 1
    subprocess.run(command, env=environment, check=True, capture_output=True)


def digest(home: Home) -> str:
    """One digest of the sorted rows of every table of core and metrics, but for when the last run was."""
    told = hashlib.sha256()
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        names = connection.execute(
            "FROM duckdb_tables() SELECT schema_name || '.' || table_name WHERE schema_name IN ('core', 'metrics')"
        ).fetchall()
        for (name,) in names:
            rows = connection.execute(f"SELECT COLUMNS(lambda c: c <> 'last_run_at') FROM {name}").fetchall()
            told.update("\n".join([name, *sorted(repr(row) for row in rows)]).encode())
    return told.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
