"""What keeping the records of sent events costs: `landing.event_records`, by which events of several doors are one.

    python benchmarks/event_records.py [--events 200000] [--folder FOLDER]

Bytes are those of the table alone in a DuckDB file of the published storage version, beside the published file;
processor time is that of finding which records are one event (`pipeline/identities.py`) and of keeping them, in the
first run.
"""

import argparse
import tempfile
from pathlib import Path

import duckdb
from stopwatch import Stages

from dora_pipeline.warehouse.writer import STORAGE_VERSION
from dora_pipeline_tests import large_homes
from dora_pipeline_tests.homes import TestHome


def main() -> None:
    """Print one row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        home = TestHome(Path(folder) / "home")
        large_homes.send(home, options.events)
        stages = Stages(
            {
                "finding": ["dora_pipeline.pipeline.events.settle"],
                "keeping": ["dora_pipeline.warehouse.event_records.EventRecords.put"],
            }
        )
        with stages.measured() as seconds:
            home.run()
        published = home.home.warehouse.stat().st_size
        size = size_alone(home, Path(folder) / "alone.duckdb")
    print(
        "| events | run cpu µs an event | finding | keeping | table bytes | bytes an event | published bytes | share |"
    )
    print("|---|---|---|---|---|---|---|---|")
    taken = (sum(seconds.values()), seconds["finding"], seconds["keeping"])
    each = [f"{one / options.events * 1e6:.0f}" for one in taken]
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
