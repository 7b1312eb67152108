"""The demo: a home of its own with bundled real data, and the run that loads it."""

import gzip
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from dora_pipeline.config import Home, project_folder
from dora_pipeline.errors import ConfigError
from dora_pipeline.identifiers import EventType
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.progress import Progress
from dora_pipeline.pipeline.runs import run
from dora_pipeline.repositories.history import rebuild_history
from dora_pipeline.timeline import instant
from dora_pipeline.warehouse.reader import open_reader

_SAMPLE = project_folder() / "data" / "sample"
_REPOSITORIES = {"metaphysics": "github.com/artsy/metaphysics", "rosalind": "github.com/artsy/rosalind"}
# Only a folder that holds this file is ever replaced.
_MARK = "this-folder-is-a-demo.txt"


@dataclass(frozen=True)
class Quarter:
    """The four metrics of production in one quarter, over all services. Durations are seconds."""

    first_day: date
    deployments: int
    lead_time_p50_seconds: float | None
    failures: int
    change_failure_rate: float | None
    time_to_restore_p50_seconds: float | None


@dataclass(frozen=True)
class Year:
    """The five metrics of DORA since 2024, of production in one year, over all services. Durations are seconds."""

    first_day: date
    deployments: int
    lead_time_p50_seconds: float | None
    failed_change_rate: float | None
    recovery_p50_seconds: float | None
    rework_rate: float | None


@dataclass(frozen=True)
class DemoReport:
    """Where the demo is, what it shows, and how long preparing and running took, in seconds."""

    home: Home
    quarters: list[Quarter]
    years: list[Year]
    rows: dict[str, int]
    preparing_seconds: float
    running_seconds: float


def make_demo(folder: Path, progress: Progress) -> DemoReport:
    """Make the demo's home in `folder`, anew if it is there, and run the pipeline over all its years.

    Raises ConfigError for a folder that holds something else, and where the bundled data is missing.
    """
    began = time.monotonic()
    home = Home(folder)
    prepare_demo(home, progress)
    prepared = time.monotonic()
    run(home, progress=progress)
    finished = time.monotonic()
    return DemoReport(home, _quarters(home), _years(home), _rows(home), prepared - began, finished - prepared)


def prepare_demo(home: Home, progress: Progress, first_year: int = 0) -> None:
    """Fill an empty home, or one that a demo made, with the bundled data of `first_year` and later."""
    if not _SAMPLE.is_dir():
        raise ConfigError(f"{_SAMPLE}: the bundled data is missing; run the demo from a checkout of the project")
    if home.path.exists() and any(home.path.iterdir()):
        if not (home.path / _MARK).exists():
            raise ConfigError(f"{home.path}: is not empty and not a demo; name another folder with --folder")
        shutil.rmtree(home.path)
    home.path.mkdir(parents=True, exist_ok=True)
    (home.path / _MARK).write_text(
        "`dora demo` made this folder, and replaces it when it runs again.\n", encoding="utf-8"
    )
    shutil.copytree(_SAMPLE / "services", home.path / "services")
    (home.path / "exports" / "apm").mkdir(parents=True)
    for path in (_SAMPLE / "exports" / "apm").glob("*.jsonl.gz"):
        if int(path.name.removesuffix(".jsonl.gz")[-4:]) >= first_year:
            shutil.copy2(path, home.path / "exports" / "apm" / path.name)
    shutil.copy(_SAMPLE / "source_selections.csv", home.selection_log)
    clones = {}
    for done, (name, repository_id) in enumerate(_REPOSITORIES.items()):
        progress.step("rebuild repositories", done, len(_REPOSITORIES))
        clone = home.path / "repositories" / f"{name}.git"
        clone.parent.mkdir(exist_ok=True)
        rebuild_history(_SAMPLE / "commits" / f"{name}.csv.gz", clone)
        clones[repository_id] = str(clone)
    progress.step("rebuild repositories", len(_REPOSITORIES), len(_REPOSITORIES))
    settings = yaml.safe_load((_SAMPLE / "dora.yaml").read_text(encoding="utf-8")) or {}
    home.settings_file.write_text(yaml.safe_dump({**settings, "repositories": clones}), encoding="utf-8")
    with EventStore.at(home) as store:
        _send(store, "deployment", _SAMPLE / "deployments.jsonl.gz", first_year)
        _send(store, "failure", _SAMPLE / "failures.jsonl.gz", first_year)
    progress.step("send events", 1, 1)


def _send(store: EventStore, event_type: EventType, path: Path, first_year: int) -> None:
    """Each event as if it had been sent at the moment it ended."""
    told = [(instant(body["finished_at"]), body) for body in _bodies(path)]
    sent = [(ended_at, body) for ended_at, body in told if ended_at.year >= first_year]
    store.append_many(event_type, [body for _, body in sent], received_at=[ended_at for ended_at, _ in sent])


def _bodies(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["data"]["attributes"]


def _quarters(home: Home) -> list[Quarter]:
    columns = "deployments, lead_time_p50_seconds, failures, change_failure_rate, time_to_restore_p50_seconds"
    return [Quarter(*row) for row in _production(home, "quarter", columns)]


def _years(home: Home) -> list[Year]:
    columns = "deployments, lead_time_p50_seconds, failed_change_rate, recovery_p50_seconds, rework_rate"
    return [Year(*row) for row in _production(home, "year", columns)]


def _production(home: Home, grain: str, columns: str) -> list[tuple[Any, ...]]:
    with open_reader(home) as connection:
        return connection.execute(
            f"""
            SELECT period, {columns}
            FROM metrics.summary_by(
                'all', ?, (SELECT MIN(day) FROM metrics.daily), (SELECT MAX(day) FROM metrics.daily)
            )
            WHERE env = 'production' ORDER BY period
            """,
            [grain],
        ).fetchall()


def _rows(home: Home) -> dict[str, int]:
    with open_reader(home) as connection:
        tables = connection.execute(
            "FROM duckdb_tables() SELECT schema_name || '.' || table_name WHERE schema_name <> 'landing' ORDER BY ALL"
        ).fetchall()
        return {name: int(connection.execute(f"SELECT COUNT(*) FROM {name}").fetchall()[0][0]) for (name,) in tables}
