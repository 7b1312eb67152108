"""What a run of the newest day costs, as history grows.

    python benchmarks/newest_day.py [--folder FOLDER] [--times N] [--json FILE]

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

from results import Results, add_json_option

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
    add_json_option(parser)
    options = parser.parse_args()
    results = Results(options)
    results.table("processor time of runs", COLUMNS)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for years in (1, 4, 8, 9):
            results.row(*measured(Home(Path(folder) / str(years)), years, options.times))
    results.write()


COLUMNS = {
    "years": "",
    "deployments": ",",
    "commits": ",",
    "warehouse MiB": ".1f",
    "full s": ".2f",
    "newest day s": ".2f",
    "new event s": ".2f",
    "newest day / full": ".2f",
}


def measured(home: Home, years: int, times: int) -> tuple[float, ...]:
    """The figures of one history, a value for each of COLUMNS."""
    prepare_demo(home, Silence(), NEWEST_YEAR - years + 1)
    full = seconds(lambda: run(home))
    with open_reader(home) as connection:
        newest, deployments, commits = connection.execute(
            "SELECT MAX(day), COUNT(*), (SELECT COUNT(*) FROM core.deployment_commits) FROM core.deployments"
        ).fetchall()[0]
    window = Window(newest, newest)
    again = statistics.median(seconds(lambda: run(home, window)) for _ in range(times))
    sent = []
    for number in range(times):
        moment = datetime(newest.year, newest.month, newest.day, 23, 0, number, tzinfo=UTC)
        with EventStore.at(home) as store:
            attributes = {"service": "rosalind", "env": "production", "version": f"new-{number}"}
            times_told = {"started_at": moment.isoformat(), "finished_at": moment.isoformat()}
            store.append("deployment", {**attributes, **times_told}, received_at=moment)
        sent.append(seconds(lambda: run(home)))
    size = home.warehouse.stat().st_size / 2**20
    return years, deployments, commits, size, full, again, statistics.median(sent), again / full


def seconds(act: Callable[[], object]) -> float:
    """Processor time of a call."""
    began = time.process_time()
    act()
    return time.process_time() - began


if __name__ == "__main__":
    main()
