"""What it costs to show in Dagster what `dora run` loaded.

    python benchmarks/outside_loads.py [--folder FOLDER] [--times N]

Loads the demo and reports all its days to a new instance of Dagster, then, N times, a day with a new deployment, and
nothing new. Budgets: 15 s for the whole demo, 0.2 s for a day beside its checks. The yardstick is Dagster's public call
for one event in the same process. A line has wall seconds and processor seconds.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from dora_pipeline.assets.outside_loads import report_outside_loads
from dora_pipeline.assets.partitions import daily_partitions
from dora_pipeline.config import Home
from dora_pipeline.demo import prepare_demo
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.check_results import all_results
from dora_pipeline.pipeline.progress import Silence
from dora_pipeline.pipeline.runs import run
from dora_pipeline.settings import read_settings
from dora_pipeline.warehouse.reader import open_reader

Seconds = tuple[float, float]


def main() -> None:
    """Print a row for each report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--times", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        home = Home(Path(folder) / "demo")
        os.environ["DORA_HOME"] = str(home.path)
        prepare_demo(home, Silence())
        run(home)
        (Path(folder) / "dagster").mkdir()
        with dg.DagsterInstance.local_temp(str(Path(folder) / "dagster")) as instance:
            measure(home, instance, options.times)


def measure(home: Home, instance: dg.DagsterInstance, times: int) -> None:
    """Print the figures of one home."""
    partitions, settings = daily_partitions(home), read_settings(home)

    def report() -> int:
        return report_outside_loads(instance, home, partitions)

    days, spent = timed(report)
    row(f"the demo, {days:,} days of tables", [spent])
    new, none, looks, single = [], [], [], []
    for number in range(times):
        moment = datetime(2026, 8, 20, 23, 0, number, tzinfo=UTC).isoformat()
        with EventStore.at(home) as store:
            attributes = {"service": "rosalind", "env": "production", "version": f"new-{number}"}
            store.append("deployment", {**attributes, "started_at": moment, "finished_at": moment})
        run(home)
        new.append(timed(report)[1])
        none.append(timed(report)[1])
        with open_reader(home) as connection:
            looks.append(timed(lambda: all_results(connection, settings))[1])
        event = dg.AssetMaterialization(["benchmark"], partition=str(number))
        single.append(timed(lambda: instance.report_runless_asset_event(event))[1])  # noqa: B023
    row("a day with a new deployment", new)
    row("of which its checks", looks)
    row("nothing new", none)
    row("one event by the public call", single)


def timed(action: Callable[[], Any]) -> tuple[Any, Seconds]:
    """What an action gives, and its seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    result = action()
    return result, (time.perf_counter() - wall, time.process_time() - processor)


def row(name: str, found: list[Seconds]) -> None:
    """Print the medians."""
    walls, processors = zip(*found, strict=True)
    print(f"{name}: {statistics.median(walls):.3f} s wall, {statistics.median(processors):.3f} s processor", flush=True)


if __name__ == "__main__":
    main()
