"""What a first load and the newest day cost on Spark, beside the same in DuckDB.

    python benchmarks/engines.py --url sc://127.0.0.1:15002 --storage /shared [--server PID] [--deployments 20000]
        [--services 500] [--seed N] [--folder F]

The world is that of `first_load.py`. The columns are seconds: of the clock, of this process's processors and, with
`--server` the process of a Spark on this machine, of its processors. Rows that differ are counted, but for the last
digits of percentiles; there must be none.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import yaml
from first_load import prepare
from stopwatch import used_by

from dora_pipeline.config import Home
from dora_pipeline.pipeline.runs import run
from dora_pipeline.selection import append_selection

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_TABLES = ("core.apm_version_activity", "core.deployments", "core.failures", "core.failure_links", "metrics.daily")


def main() -> None:
    """Print a row for each engine and load; ends with 1 where rows differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--server", type=int)
    parser.add_argument("--deployments", type=int, default=20_000)
    parser.add_argument("--services", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    options.both = False
    engines = {"duckdb": {}, "spark": {"kind": "spark", "url": options.url, "storage": str(options.storage)}}
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        prepare(options)
        print("| engine | load | clock | our processors | Spark's processors |\n|---|---|---|---|---|")
        homes = [load(options, Path(temporary) / name, name, engine) for name, engine in engines.items()]
        differing = sum(_differing(homes, table) for table in _TABLES)
    print(f"\n{differing:,} rows differ")
    sys.exit(1 if differing else 0)


def load(options: argparse.Namespace, folder: Path, name: str, engine: dict[str, str]) -> Home:
    """The home after a first load and the newest day."""
    home = Home(folder)
    exports = home.path / "exports" / "apm"
    exports.mkdir(parents=True)
    shutil.copytree(options.folder / "intake", home.intake)
    home.settings_file.write_text(yaml.safe_dump({"engine": engine}), encoding="utf-8")
    append_selection(home, "deployment", ["apm_deployment_tracking"], _LONG_AGO)
    append_selection(home, "failure", ["failure_event_api"], _LONG_AGO)
    for file, title in (("sightings", "first"), ("newest", "newest day")):
        shutil.copy(options.folder / f"{file}.parquet", exports)
        with _row(f"{name} | {title}", options.server if engine else None):
            run(home)
    return home


@contextmanager
def _row(title: str, server: int | None) -> Iterator[None]:
    began, own, others = time.monotonic(), time.process_time(), _used(server)
    yield
    seconds = (time.monotonic() - began, time.process_time() - own, _used(server) - others)
    print(f"| {title} | " + " | ".join(f"{one:.1f}" for one in seconds) + " |", flush=True)


def _used(process: int | None) -> float:
    return 0.0 if process is None else used_by(process)


def _differing(homes: list[Home], table: str) -> int:
    with duckdb.connect() as connection:
        for place, home in enumerate(homes):
            connection.execute(f"ATTACH '{home.warehouse}' AS w{place} (READ_ONLY)")
        rounded = "COLUMNS(lambda c: c NOT LIKE '%_p50_seconds' AND c NOT LIKE '%_p90_seconds')"
        one, other = (f"SELECT {rounded} FROM w{place}.{table}" for place in (0, 1))
        both = f"(({one}) EXCEPT ALL ({other})) UNION ALL (({other}) EXCEPT ALL ({one}))"
        return len(connection.execute(both).fetchall())


if __name__ == "__main__":
    main()
