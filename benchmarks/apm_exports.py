"""The cost of reading APM exports, beside that of bare DuckDB and bare Polars on the same files.

    python benchmarks/apm_exports.py [--sightings 10000000] [--format jsonl csv parquet] [--rounds 3] [--keep FOLDER]
        [--json FILE]

The yardsticks only count: scan, group by service, env and version, count. The reader also reads times, commits,
repositories and teams, checks every field, and compacts. Each measurement is a process of its own; they take turns, and
the least of each counts. The ratio is that of processor time to the cheaper yardstick.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
from results import Results, add_json_option
from stopwatch import peak_mebibytes

PROJECT = Path(__file__).resolve().parents[1]
FORMATS = ("jsonl", "csv", "parquet")

# 200 services of unequal traffic in 3 environments for 60 days; each service is deployed every 10 to 110 hours, and
# the environments follow each other.
SIGHTINGS = """
WITH numbered AS (
    SELECT number, hash(number) AS one, hash(number * 7 + 1) AS other FROM range($sightings) AS numbers (number)
),
seen AS (
    SELECT
        1767225600000000
        + CAST(number * (5184000000000 / $sightings) AS BIGINT)
        + CAST(other % 1000 AS BIGINT) * 1000 AS moment,
        CAST(floor(power((one % 1000003) / 1000003.0, 2) * 200) AS INTEGER) AS service,
        CAST(other % 7 // 3 AS INTEGER) AS env,
        number
    FROM numbered
),
versions AS (
    SELECT *, (moment // 3600000000 - 6 * (2 - env)) // (service % 11 * 10 + 10) AS release FROM seen
)
SELECT
    strftime(make_timestamp(moment), '%Y-%m-%dT%H:%M:%S.%gZ') AS "timestamp",
    'team-' || service % 17 || '-service-' || service AS service,
    ['dev', 'staging', 'prod'][env + 1] AS env,
    'v1.' || service % 7 || '.' || release AS version,
    sha1(service || '-' || release) AS "git.commit.sha",
    'https://github.com/organization/repository-' || service % 90 AS "git.repository_url"
FROM versions
ORDER BY number
"""


def generate(folder: Path, form: str, sightings: int) -> Path:
    """The export file of a format, the same sightings in each, in the order of their times."""
    path = folder / f"sightings-{sightings}.{form}"
    if not path.exists():
        chosen = '* REPLACE (CAST("timestamp" AS TIMESTAMPTZ) AS "timestamp")' if form == "parquet" else "*"
        query = SIGHTINGS.replace("$sightings", str(sightings))
        kind = "json" if form == "jsonl" else form
        with duckdb.connect(config={"threads": 2, "memory_limit": "4GB"}) as connection:
            connection.execute(f"COPY (SELECT {chosen} FROM ({query})) TO '{path}' (FORMAT {kind})")
    return path


def read_with_the_pipeline(path: Path) -> int:
    """Sessions found by the reader itself."""
    from dora_pipeline.config import Settings
    from dora_pipeline.sources.apm.export_files import export_files
    from dora_pipeline.sources.apm.export_reading import read_export

    [file] = [file for file in export_files(path.parent) if file.path == path]
    reading = read_export(file, Settings())
    if reading.rejected.height:
        raise SystemExit(f"{reading.rejected.height} records were rejected:\n{reading.rejected}")
    return reading.activity.height


def count_with_duckdb(path: Path) -> int:
    """Groups counted by bare DuckDB."""
    scan = {".jsonl": "read_json", ".csv": "read_csv", ".parquet": "read_parquet"}[path.suffix]
    query = f"SELECT service, env, version, count(*) FROM {scan}('{path}') GROUP BY service, env, version"
    with duckdb.connect() as connection:
        return len(connection.sql(query).pl())


def count_with_polars(path: Path) -> int:
    """Groups counted by bare Polars."""
    scans: dict[str, Callable[[Path], pl.LazyFrame]] = {
        ".jsonl": pl.scan_ndjson,
        ".csv": pl.scan_csv,
        ".parquet": pl.scan_parquet,
    }
    counted = scans[path.suffix](path).group_by("service", "env", "version").len()
    return counted.collect(engine="streaming").height


READERS: dict[str, Callable[[Path], int]] = {
    "dora_pipeline": read_with_the_pipeline,
    "bare duckdb": count_with_duckdb,
    "bare polars": count_with_polars,
}


def measure(reader: str, path: Path) -> None:
    """Prints processor seconds, seconds, peak MiB and rows of one reading, in this process."""
    READERS[reader](path.with_name(f"warm-up{path.suffix}"))
    start, processor = time.perf_counter(), time.process_time()
    rows = READERS[reader](path)
    processor, seconds = time.process_time() - processor, time.perf_counter() - start
    print(processor, seconds, peak_mebibytes(), rows)


def measured(reader: str, path: Path) -> list[float]:
    """The figures of a reading in a process of its own."""
    command = [sys.executable, __file__, "--measure", reader, str(path)]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(PROJECT)}
    )
    if result.returncode:
        raise SystemExit(result.stderr)
    return [float(figure) for figure in result.stdout.split()]


def compare(results: Results, path: Path, rounds: int) -> None:
    """Measures all readers in turns, and prints the best of each with its ratio to the cheaper yardstick."""
    best: dict[str, list[float]] = {}
    for _ in range(rounds):
        for reader in READERS:
            figures = measured(reader, path)
            best[reader] = min(best.get(reader, figures), figures)
    yardstick = min(best[reader][0] for reader in READERS if reader != "dora_pipeline")
    for reader, (processor, seconds, peak, rows) in best.items():
        form, size = path.suffix.removeprefix("."), path.stat().st_size / 2**20
        results.row(form, size, reader, processor, processor / yardstick, seconds, peak, rows)


COLUMNS = {
    "format": "",
    "MiB": ",.0f",
    "reader": "",
    "processor s": ".2f",
    "÷ cheaper yardstick": ".2f",
    "wall s": ".2f",
    "peak MiB": ",.0f",
    "rows": ",.0f",
}


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sightings", type=int, default=10_000_000)
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a folder for the files, used again if they are there")
    add_json_option(parser)
    parser.add_argument("--measure", nargs=2, metavar=("READER", "PATH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure[0], Path(options.measure[1]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        results = Results(options)
        results.table(f"{options.sightings:,} sightings, best of {options.rounds}", COLUMNS)
        for form in options.format:
            path = generate(folder, form, options.sightings)
            generate(folder, form, 1_000).replace(folder / f"warm-up.{form}")
            compare(results, path, options.rounds)
        results.write()


if __name__ == "__main__":
    main()
