"""Reading many APM exports in one process, in several, and on a Spark or Sail: the same reader, once for each file.

    python benchmarks/parallel_exports.py [--sightings 10000000] [--files 20] [--format jsonl] [--processes 2]
        [--url sc://127.0.0.1:15002 --server PID] [--keep FOLDER]

The sightings are those of `apm_exports.py`, cut into files. On a server it is a function of `mapInArrow`: its machines
must have the files by the same paths, and its Python dora_pipeline. Columns are seconds: of the clock, and of the
processors of all processes that take part. Every row that a file gives is compared; ends with 1 where one differs.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
from apm_exports import FORMATS, generate
from stopwatch import used_by_all

from dora_pipeline.config import Settings
from dora_pipeline.sources.apm.export_files import ExportFile, export_files
from dora_pipeline.sources.apm.export_reading import read_export

# What a file gives, and in the first way that is all compared with: name, records, and three frames.
Given = tuple[str, int, bytes, bytes, bytes]
_FILES = "name STRING, location STRING, size BIGINT, modified_us BIGINT"
_GIVEN = "name STRING, records BIGINT, activity BINARY, deployments BINARY, rejected BINARY"


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sightings", type=int, default=10_000_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--format", choices=FORMATS, default="jsonl")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--url")
    parser.add_argument("--server", type=int, help="the process of that server, if it runs here")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    ways: dict[str, Callable[[Sequence[ExportFile]], list[Given]]] = {
        "one process": lambda files: [given(file) for file in files],
        f"{options.processes} processes": lambda files: in_processes(files, options.processes),
    }
    if options.url:
        ways["mapInArrow"] = lambda files: on_a_server(files, options.url)
    with tempfile.TemporaryDirectory() as temporary:
        files = export_files(cut(options.keep or Path(temporary), options))
        size = sum(file.size for file in files) / 2**20
        print(f"{options.sightings:,} sightings in {len(files)} files of {options.format}, {size:,.0f} MiB\n")
        print("| read in | clock | processors | rows |\n|---|---|---|---|")
        found = {name: measured(name, read, files, options.server) for name, read in ways.items()}
    first = found["one process"]
    same = all(rows == first for rows in found.values())
    print("\nevery row is equal" if same else "\nROWS DIFFER")
    sys.exit(0 if same else 1)


def cut(folder: Path, options: argparse.Namespace) -> Path:
    """The folder with the files."""
    target = folder / f"{options.format}-{options.sightings}-{options.files}"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    whole = generate(folder, "parquet", options.sightings)
    target.mkdir()
    kind = "json" if options.format == "jsonl" else options.format
    rows = -(-options.sightings // options.files)
    with duckdb.connect(config={"threads": 2}) as connection:
        for number in range(options.files):
            some = f"FROM '{whole}' LIMIT {rows} OFFSET {number * rows}"
            connection.execute(f"COPY ({some}) TO '{target / f'part-{number:03}'}.{options.format}' (FORMAT {kind})")
    return target


def given(file: ExportFile) -> Given:
    """What a file gives: a pure function of it."""
    reading = read_export(file, Settings())
    frames = (reading.activity, reading.deployments, reading.rejected)
    return (file.name, reading.records, *(_written(frame) for frame in frames))


def _written(frame: pl.DataFrame) -> bytes:
    content = BytesIO()
    frame.write_ipc(content)
    return content.getvalue()


def in_processes(files: Sequence[ExportFile], processes: int) -> list[Given]:
    """In processes of this machine."""
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(given, files))


def on_a_server(files: Sequence[ExportFile], url: str) -> list[Given]:
    """On a server of Spark Connect, each file by itself."""
    from pyspark.sql.connect.session import SparkSession

    session = SparkSession.builder.remote(url).create()
    try:
        session.conf.set("spark.sql.session.timeZone", "UTC")
        listed = [(file.name, file.location, file.size, file.modified_us) for file in files]
        rows = session.createDataFrame(listed, _FILES).repartition(len(files), "name").mapInArrow(_read, _GIVEN)
        return [tuple(row.values()) for row in rows.toArrow().sort_by("name").to_pylist()]
    finally:
        session.stop()


def _read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    names = ("name", "records", "activity", "deployments", "rejected")
    for batch in batches:
        for row in batch.to_pylist():
            yield pa.RecordBatch.from_pylist([dict(zip(names, given(ExportFile(**row)), strict=True))])


def measured(
    name: str, read: Callable[[Sequence[ExportFile]], list[Given]], files: Sequence[ExportFile], server: int | None
) -> list[tuple[object, ...]]:
    """The rows of all files, in their order."""
    began, before = time.monotonic(), _used(server)
    results = read(files)
    seconds, processors = time.monotonic() - began, _used(server) - before
    frames = [(file, records, *(pl.read_ipc(one) for one in some)) for file, records, *some in results]
    rows = sum(frame.height for _, _, *some in frames for frame in some)
    print(f"| {name} | {seconds:.1f} | {processors:.1f} | {rows:,} |", flush=True)
    return [(file, records, *(frame.rows() for frame in some)) for file, records, *some in frames]


def _used(server: int | None) -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = time.process_time() + children.ru_utime + children.ru_stime
    return own + (used_by_all(server) if server else 0.0)


if __name__ == "__main__":
    main()
