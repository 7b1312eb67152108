"""What a backfill from the page costs, and one day by each of the ways to load it.

    PYTHONPATH=. python benchmarks/backfills.py [--days N ...] [--json FILE]

On a home with the sample: one day by `dora run` and through the daemon; then backfills of N days over GraphQL, as the
page launches them. Prints runs, wall seconds, processor seconds and the peak of resident memory of all processes of
Dagster together; the yardstick is the same days loaded by `dora run` in a process of its own. What a backfill takes
beyond that is not spent in our functions. Of it, what the processes of runs take is Dagster's start in each and its
event log; the rest is the daemon, the code servers, which the daemon starts anew each minute, and the page.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from results import Results, add_json_option

from dora_pipeline.cli.dagster_home import DagsterHome
from dora_pipeline.config import Home
from dora_pipeline.demo import prepare_demo
from dora_pipeline.pipeline.progress import Silence
from dora_pipeline.pipeline.runs import run
from dora_pipeline_tests.dagster_servers import ENDED, Units
from dora_pipeline_tests.waiting import eventually


@dataclass
class Figures:
    """Seconds of wall time and of processors, those of the runs' processes, and bytes of memory at the peak."""

    wall: float
    processor: float
    in_runs: float
    peak: int


def main() -> int:
    """Print a table; 1 where a backfill did not succeed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, nargs="*", default=[1, 365, 3650])
    add_json_option(parser)
    options = parser.parse_args()
    results = Results(options)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        prepare_demo(home, Silence())
        # More than ten years of partitions; the first of them are empty.
        log = home.selection_log.read_text(encoding="utf-8")
        home.selection_log.write_text(log.replace("2018-01-01", "2016-10-01"), encoding="utf-8")
        run(home)
        # Else the page's first look at what is loaded is measured, too.
        dagster = DagsterHome(home)
        dagster.make()
        dagster.show_loads()
        with Units(home.path, Path(folder) / "logs") as units:
            days = units.page.days()
            # A new page reads the sources once.
            eventually(lambda: has_come_to_rest(units), "the first run of the page")
            results.table("the newest days of the sample", COLUMNS)
            succeeded = True
            for wanted in options.days:
                chosen = days[-wanted:]
                known = {item["runId"] for item in units.page.runs(1000)}
                state, figures = by_backfill(units, chosen)
                new = [item for item in units.page.runs(1000) if item["runId"] not in known]
                alone = by_command(home, chosen)
                results.row(len(chosen), "dora run", 1, alone.wall, alone.processor, None, 1.0, alone.peak / 2**20)
                seconds = (figures.wall, figures.processor, figures.in_runs, figures.processor / alone.processor)
                results.row(len(chosen), "backfill", len(new), *seconds, figures.peak / 2**20)
                print(f"  {state}; {units.page.partitions('metrics/daily')}")
                succeeded &= state == "COMPLETED_SUCCESS"
    results.write()
    return 0 if succeeded else 1


COLUMNS = {
    "days": ",",
    "by": "",
    "runs": ",",
    "wall s": ".1f",
    "processor s": ".1f",
    "of runs": ".1f",
    "÷ dora run": ".1f",
    "peak MiB": ",.0f",
}


def has_come_to_rest(units: Units) -> bool:
    """Whether there was a run, and all have ended."""
    runs = units.page.runs()
    return bool(runs) and all(run["endTime"] for run in runs)


def by_command(home: Home, days: list[str]) -> Figures:
    """The days by `dora run --from --to`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    command = [sys.executable, "-m", "dora_pipeline.cli", "run", "--from", days[0], "--to", days[-1]]
    subprocess.run(command, env={**os.environ, "DORA_HOME": str(home.path)}, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Figures(time.monotonic() - began, processor, processor, after.ru_maxrss * 1024)


def by_backfill(units: Units, days: list[str]) -> tuple[str, Figures]:
    """The days by a backfill, watched."""
    peak, of_runs, is_over = [0], dict[int, float](), threading.Event()

    def watch() -> None:
        while not is_over.wait(0.5):
            peak[0] = max(peak[0], units.memory())
            of_runs.update(units.run_workers())

    watcher = threading.Thread(target=watch)
    watcher.start()
    before, began = units.processor_seconds(), time.monotonic()
    backfill = units.page.backfill(days)
    eventually(lambda: units.page.backfill_state(backfill) in ENDED, "the backfill", 3600)
    wall, processor = time.monotonic() - began, units.processor_seconds() - before
    is_over.set()
    watcher.join()
    figures = Figures(wall, processor, sum(of_runs.values()), peak[0])
    return units.page.backfill_state(backfill), figures


if __name__ == "__main__":
    sys.exit(main())
