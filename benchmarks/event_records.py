"""What keeping the records of sent events costs: `landing.event_records`, by which events of several doors are one.

    python benchmarks/event_records.py [--events 200000] [--folder FOLDER]

Bytes are those of the table alone in a DuckDB file of the published storage version, beside the published file;
processor time is that of finding which records are one event (`pipeline/identities.py`) and of keeping them, in the
first run.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from dora_pipeline.pipeline import events
from dora_pipeline.warehouse.event_records import EventRecords
from dora_pipeline.warehouse.writer import STORAGE_VERSION
from dora_pipeline_tests import large_homes
from dora_pipeline_tests.homes import TestHome


class Stopwatch:
    """Processor seconds of this process, all threads, spent in what it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time taken."""

        def timed(*given: Any, **options: Any) -> Any:
            began = time.process_time()
            try:
                return function(*given, **options)
            finally:
                self.seconds += time.process_time() - began

        return timed


def main() -> None:
    """Print one row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        home = TestHome(Path(folder) / "home")
        large_homes.send(home, options.events)
        finding, keeping = Stopwatch(), Stopwatch()
        # The one place that calls it.
        events.settle = finding.wrapped(events.settle)
        EventRecords.put = keeping.wrapped(EventRecords.put)
        began = time.process_time()
        home.run()
        seconds = time.process_time() - began
        published = home.home.warehouse.stat().st_size
        size = size_alone(home, Path(folder) / "alone.duckdb")
    print(
        "| events | run cpu µs an event | finding | keeping | table bytes | bytes an event | published bytes | share |"
    )
    print("|---|---|---|---|---|---|---|---|")
    each = [f"{taken / options.events * 1e6:.0f}" for taken in (seconds, finding.seconds, keeping.seconds)]
    sizes = [f"{size:,}", f"{size / options.events:.0f}", f"{published:,}", f"{size / published:.0%}"]
    print("|", " | ".join([f"{options.events:,}", *each, *sizes]), "|")


def size_alone(home: TestHome, path: Path) -> int:
    """The bytes of a database that holds landing.event_records alone."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{home.home.warehouse}' AS published (READ_ONLY)")
        connection.execute(f"ATTACH '{path}' AS alone (STORAGE_VERSION '{STORAGE_VERSION}')")
        connection.execute("CREATE TABLE alone.event_records AS FROM published.landing.event_records")
        connection.execute("CHECKPOINT alone")
        connection.execute("DETACH alone")
    return path.stat().st_size


if __name__ == "__main__":
    main()
