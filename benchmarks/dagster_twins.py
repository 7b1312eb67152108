"""Two homes with one sample: Dagster loads the one while something happens to it; nothing disturbs the other."""

import shutil
from collections import Counter
from datetime import date
from pathlib import Path

import duckdb
import requests

from benchmarks.killed_runs import digest
from dora_pipeline.config import Home
from dora_pipeline.demo import prepare_demo
from dora_pipeline.pipeline.progress import Silence
from dora_pipeline.pipeline.runs import run
from dora_pipeline_tests.dagster_servers import ENDED, Dagster
from dora_pipeline_tests.readers import DIFFERENCES
from dora_pipeline_tests.waiting import eventually

_GOING = ("STARTED", "STARTING", "QUEUED", "CANCELING", "NOT_STARTED")


def twins(folder: Path, first_year: int, disk: Path | None = None) -> tuple[Home, Home]:
    """The undisturbed home, loaded, and its twin without a warehouse; the twin lies in `disk` where it is told."""
    undisturbed = Home(folder / "undisturbed")
    prepare_demo(undisturbed, Silence(), first_year)
    log = undisturbed.selection_log.read_text(encoding="utf-8")
    undisturbed.selection_log.write_text(log.replace("2018-01-01", f"{first_year}-01-01"), encoding="utf-8")
    twin = Home((disk or folder) / "home")
    shutil.copytree(undisturbed.path, twin.path)
    run(undisturbed)
    return undisturbed, twin


def recovers(page: Dagster, backfill: str, days: list[str], home: Home, undisturbed: Home) -> bool:
    """Print what Dagster calls the days, and whether that is true; then backfill those that are not made, and compare.

    True where every day that was called materialized had its rows, and all tables are the same in the end.
    """
    settle(page, backfill)
    wrong = _wrongly_materialized(page, home, undisturbed)
    statuses = dict(Counter(one["status"] for one in page.runs()))
    told = page.partitions("metrics/daily")
    print(f"runs: {statuses}; days now: {told}; called materialized without their rows: {wrong}", flush=True)
    attempts = 0
    while (missing := _unmade(page, days)) and attempts < 3:
        attempts += 1
        settle(page, page.backfill(missing))
    same = digest(home) == digest(undisturbed)
    print(f"after {attempts} backfills of what was left: {page.partitions('metrics/daily')}; same tables: {same}")
    return same and wrong == 0 and not missing


def state(page: Dagster, backfill: str) -> str:
    """The status of a backfill, asked until the page answers."""

    def ask() -> str | None:
        try:
            return page.backfill_state(backfill)
        except (requests.RequestException, AssertionError, KeyError, ValueError):
            return None

    return eventually(ask, "the page", 120)


def settle(page: Dagster, backfill: str, seconds: float = 900) -> None:
    """Wait until a backfill and every run are over."""
    eventually(lambda: state(page, backfill) in ENDED, f"backfill {backfill}", seconds)
    eventually(lambda: not [run for run in page.runs() if run["status"] in _GOING], "runs that are over", 600)


def _unmade(page: Dagster, days: list[str]) -> list[str]:
    """The days that an asset lacks or failed to make. A clock that went back can have taken a day away."""
    made, partitions = page.made_days(), set(page.days())
    return [day for day in days if day in partitions and any(day not in known for known in made.values())]


def _wrongly_materialized(page: Dagster, home: Home, undisturbed: Home) -> int:
    """Days that are called materialized, but whose rows in metrics.daily are not those of the undisturbed run."""
    expected, found = _rows_by_day(undisturbed), _rows_by_day(home)
    made = page.made_days()["metrics/daily"]
    return sum(expected.get(day) != found.get(day) for day in made)


def _rows_by_day(home: Home) -> dict[str, str]:
    """The rows of metrics.daily of each day as one text."""
    if not home.warehouse.exists():
        return {}
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        rows = connection.execute("SELECT * FROM metrics.daily ORDER BY ALL").fetchall()
    found: dict[str, str] = {}
    for row in rows:
        day: date = row[0]
        found[day.isoformat()] = found.get(day.isoformat(), "") + repr(row)
    return found


def disagreeing(home: Home) -> int | str:
    """Rows of metrics.daily that are no recount of core, in what is published now."""
    if not home.warehouse.exists():
        return "nothing published yet, 0"
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        count: int = connection.execute(DIFFERENCES).fetchall()[0][0]
        return count
