"""What a first load costs, by stage: processor time and memory, beside plain programs on the same export.

    python benchmarks/first_load.py [--deployments 100000] [--services 5000] [--both] [--seed N] [--folder F] [--json F]

A Parquet export with three sightings of each deployment over three years, the services unequal, and a failure for every
five deployments in the intake's store; no commits. `--both` selects the Deployment Event API, too, and every fifth
deployment is sent as well. Then a file with 300 more deployments of one day is added, and the newest day is loaded. The
yardsticks are DuckDB that writes the sightings and the deployments of each day, and Polars that infers deployments as
first sightings and counts. Each measurement is a process of its own. `--folder` keeps the export and the store, and
takes those that are there.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from stopwatch import Stages, in_a_process, peak_mebibytes

from dora_pipeline.config import Home
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.runs import run
from dora_pipeline.selection import append_selection
from dora_pipeline.warehouse.reader import open_reader

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_MORE = 300
_BATCH = 10_000

# One in each step of time, so that no two of a service are of one second; what is seen within the hour is no return.
_DEPLOYMENTS = """
    SELECT
        i, $first + (i - $begin) * step + CAST(HASH(i, $seed) % step AS BIGINT) AS moment,
        'service-' || CAST(FLOOR(POWER(HASH(i, $seed, 1) % 1000003 / 1000003.0, 3) * $services) AS INTEGER) AS service,
        CASE WHEN HASH(i, $seed, 2) % 3 = 0 THEN 'staging' ELSE 'prod' END AS env,
        'v1.' || i AS version
    FROM RANGE($begin, $begin + $count) AS r(i)
    CROSS JOIN (SELECT $days * 86400 // $count AS step)
"""
_SIGHTINGS = f"""
    SELECT
        MAKE_TIMESTAMPTZ((moment + part * CAST(HASH(i, part, $seed) % 1700 AS BIGINT)) * 1000000) AS "timestamp",
        service, env, version
    FROM ({_DEPLOYMENTS}) CROSS JOIN RANGE(3) AS p(part)
    ORDER BY 1, service
"""
# What DuckDB and Polars say of the export without any of our rules.
_DAILY = """
    SELECT CAST(first_seen_at AS DATE) AS day, service, env, COUNT(*) AS deployments FROM (
        SELECT service, env, version, MIN("timestamp") AS first_seen_at FROM sightings GROUP BY service, env, version
    ) GROUP BY ALL
"""
_STAGES = {
    "reading exports": ("pipeline.exports.read_export",),
    "landing exports": ("warehouse.landing.land_sightings",),
    "intake: fetch": ("pipeline.segments._fetch",),
    "intake: read segments": ("pipeline.events.fresh_segments",),
    "intake: events of records": ("pipeline.events.changed_events",),
    "intake: land": ("pipeline.events.land_change", "pipeline.exports.land_change"),
    "inferring": ("warehouse.judgement.infer_deployments",),
    "judging deployments": ("warehouse.judgement.judge_deployments",),
    "judging failures": ("warehouse.judgement.judge_failures",),
    "judging changes": ("pipeline.runs.judge_changes",),
    "linking": ("pipeline.runs.link",),
    "commits": ("pipeline.runs.look_up_commits",),
    "sightings of core": ("pipeline.loading.load_version_activity",),
    "deployments of core": ("pipeline.loading.load_deployments",),
    "failures of core": ("pipeline.loading.load_failures",),
    "tables that follow": ("pipeline.loading.load_following",),
    "proof": ("pipeline.runs.require_accounts",),
    "checks": ("pipeline.runs.warnings",),
    "publishing": ("warehouse.writer.publish",),
    "checkpoint": ("pipeline.runs.write_freshness", "warehouse.writer.Writer.publish"),
}


def main() -> None:
    """Print the stages and the totals; ends with 1 where a deployment is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployments", type=int, default=100_000)
    parser.add_argument("--services", type=int, default=5_000)
    parser.add_argument("--both", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", choices=("load", *_YARDSTICKS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measured = load(options) if options.measure == "load" else _YARDSTICKS[options.measure](options.folder)
        print(json.dumps(measured | {"peak MiB": peak_mebibytes()}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        prepare(options)
        chosen = ["--folder", str(options.folder.absolute()), *(["--both"] if options.both else [])]
        found = {name: in_a_process(__file__, "--measure", name, *chosen) for name in ("load", *_YARDSTICKS)}
    show(found, options.deployments)
    if options.json:
        options.json.write_text(json.dumps({**found, "options": {**vars(options)}}, indent=1, default=str))
    sys.exit(0 if found["load"]["deployments"] == options.deployments else 1)


def prepare(options: argparse.Namespace) -> None:
    """The export, one more, and the intake's store, where they are not there."""
    folder, count = options.folder, options.deployments
    if (folder / "intake").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    span = {"first": 1_672_531_200, "days": 1_095, "begin": 0, "count": count}
    day = {"first": 1_672_531_200 + 1_095 * 86_400, "days": 1, "begin": count, "count": _MORE}
    chosen = {"seed": options.seed, "services": options.services}
    with duckdb.connect(config={"threads": 2}) as connection:
        for name, values in (("sightings", span), ("newest", day)):
            connection.execute(f"COPY ({_SIGHTINGS}) TO '{folder / name}.parquet' (FORMAT parquet)", values | chosen)
        rows = connection.execute(f"{_DEPLOYMENTS} ORDER BY i", span | chosen).fetchall()
    with EventStore.at(Home(folder)) as store:
        for start in range(0, count, 5 * _BATCH):
            some = rows[start : start + 5 * _BATCH : 5]
            store.append_many("failure", [_failure(*row) for row in some])
            if options.both:
                store.append_many("deployment", [_deployment(*row) for row in some])


def _failure(number: int, moment: int, service: str, env: str, version: str) -> dict[str, Any]:
    open_ended = number % 50 == 0
    times = {"started_at": moment + 600} | ({} if open_ended else {"finished_at": moment + 600 + number % 9_000})
    return {"id": f"failure-{number}", "services": [service], "env": env, "name": f"Alert {number}", **times}


def _deployment(number: int, moment: int, service: str, env: str, version: str) -> dict[str, Any]:
    # Its end is near the first sighting of the version.
    return {"service": service, "env": env, "version": version, "started_at": moment - 60, "finished_at": moment + 30}


def load(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a first load and of the newest day, by stage; and the rows that are there then."""
    source = options.folder
    stages = Stages({stage: [f"dora_pipeline.{place}" for place in places] for stage, places in _STAGES.items()})
    with tempfile.TemporaryDirectory(dir=source) as folder:
        home = Home(Path(folder))
        shutil.copytree(source / "intake", home.intake)
        exports = home.path / "exports" / "apm"
        exports.mkdir(parents=True)
        shutil.copy(source / "sightings.parquet", exports)
        also = ["deployment_event_api"] if options.both else []
        append_selection(home, "deployment", [*also, "apm_deployment_tracking"], _LONG_AGO)
        append_selection(home, "failure", ["failure_event_api"], _LONG_AGO)
        with stages.measured() as first:
            run(home)
        peak = peak_mebibytes()
        counted = "SELECT COUNT(*) FROM core.deployments WHERE is_selected AND duplicate_of IS NULL"
        with open_reader(home) as connection:
            [(deployments,)] = connection.execute(counted).fetchall()
        shutil.copy(source / "newest.parquet", exports)
        with stages.measured() as newest:
            run(home)
        size = home.warehouse.stat().st_size
    return {"deployments": deployments, "stages": first, "newest": newest, "load MiB": peak, "bytes": size}


def _with_duckdb(folder: Path) -> dict[str, Any]:
    with (
        _timed() as seconds,
        tempfile.TemporaryDirectory(dir=folder) as temporary,
        duckdb.connect(f"{temporary}/yardstick.duckdb", config={"threads": 2}) as connection,
    ):
        connection.execute(f"CREATE TABLE sightings AS FROM '{folder}/sightings.parquet'")
        connection.execute(f"CREATE TABLE daily AS {_DAILY}")
    return {"stages": seconds}


def _with_polars(folder: Path) -> dict[str, Any]:
    with _timed() as seconds, tempfile.TemporaryDirectory(dir=folder) as temporary:
        keys = ["service", "env", "version"]
        sightings = pl.read_parquet(folder / "sightings.parquet")
        deployments = sightings.group_by(keys).agg(pl.col("timestamp").min()).sort("service", "env", "timestamp")
        deployments.write_parquet(f"{temporary}/deployments.parquet")
        day = pl.col("timestamp").dt.date().alias("day")
        deployments.group_by(day, "service", "env").len().write_parquet(f"{temporary}/daily.parquet")
    return {"stages": seconds}


_YARDSTICKS = {"duckdb": _with_duckdb, "polars": _with_polars}


@contextmanager
def _timed() -> Iterator[dict[str, float]]:
    with Stages({}).measured() as seconds:
        yield seconds


def show(found: dict[str, dict[str, Any]], deployments: int) -> None:
    """Print what was measured."""
    first, newest = found["load"]["stages"], found["load"]["newest"]
    print(f"{deployments:,} deployments, processor seconds\n")
    print("| stage | first load | µs each | newest day |\n|---|---|---|---|")
    for stage in sorted({*first, *newest}, key=lambda name: -first.get(name, 0)):
        each = first.get(stage, 0) / deployments * 1e6
        print(f"| {stage} | {first.get(stage, 0):.2f} | {each:.1f} | {newest.get(stage, 0):.2f} |")
    total = sum(first.values())
    own = sum(newest.values()) - newest.get("publishing", 0)
    print(f"| in all | {total:.2f} | {total / deployments * 1e6:.1f} | {sum(newest.values()):.2f}, own {own:.2f} |\n")
    print("| | processor s | our load ÷ it | peak MiB |\n|---|---|---|---|")
    for name, measured in found.items():
        seconds = sum(measured["stages"].values())
        peak = measured.get("load MiB", measured["peak MiB"])
        print(f"| {name} | {seconds:.2f} | {total / seconds:.1f} | {peak:,} |")
    print(f"\npublished: {found['load']['bytes'] / 2**20:,.0f} MiB")


if __name__ == "__main__":
    main()
