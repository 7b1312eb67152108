"""What a run of the newest day costs, as history grows.

    python benchmarks/newest_day.py [--folder FOLDER] [--times N]

Loads the sample with its last 1, 4 and 8 years (and all of it), then runs the newest day again N times: with nothing
new, and with one more deployment told. The yardstick is the first full run of the same home in the same process.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from dora_pipeline.config import Home
from dora_pipeline.demo import prepare_demo
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.progress import Silence
from dora_pipeline.pipeline.runs import run
from dora_pipeline.timeline import Window
from dora_pipeline.warehouse.reader import open_reader

NEWEST_YEAR = 2026


def main() -> None:
    """Print a row for each length of history."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    print("| years | deployments | commits | warehouse MiB | full s | newest day s | new event s | newest day / full |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for years in (1, 4, 8, 9):
            print(measured(Home(Path(folder) / str(years)), years, options.times), flush=True)


def measured(home: Home, years: int, times: int) -> str:
    """The figures of one history as a row of the table."""
    prepare_demo(home, Silence(), NEWEST_YEAR - years + 1)
    full = seconds(lambda: run(home))
    with open_reader(home) as connection:
        newest, deployments, commits = connection.execute(
            "SELECT MAX(day), COUNT(*), (SELECT COUNT(*) FROM core.deployment_commits) FROM core.deployments"
        ).fetchall()[0]
    window = Window(newest, newest)
    again = statistics.median(seconds(lambda: run(home, window)) for _ in range(times))
    told = []
    for number in range(times):
        moment = datetime(newest.year, newest.month, newest.day, 23, 0, number, tzinfo=UTC)
        with EventStore.at(home) as store:
            attributes = {"service": "rosalind", "env": "production", "version": f"new-{number}"}
            times_told = {"started_at": moment.isoformat(), "finished_at": moment.isoformat()}
            store.append("deployment", {**attributes, **times_told}, received_at=moment)
        told.append(seconds(lambda: run(home)))
    size = home.warehouse.stat().st_size / 1024 / 1024
    return (
        f"| {years} | {deployments:,} | {commits:,} | {size:.1f} | {full:.2f} | {again:.2f} | "
        f"{statistics.median(told):.2f} | {again / full:.2f} |"
    )


def seconds(act: Callable[[], object]) -> float:
    """Wall time of a call."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
