"""The demo: a home of its own with bundled real data, and the run that loads it."""

import gzip
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import yaml

from dora_pipeline.config import Home, project_folder
from dora_pipeline.errors import ConfigError
from dora_pipeline.identifiers import EventType
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.progress import Progress
from dora_pipeline.pipeline.runs import run
from dora_pipeline.repositories.history import rebuild_history
from dora_pipeline.timeline import instant
from dora_pipeline.warehouse.queries import count
from dora_pipeline.warehouse.reader import open_reader

_SAMPLE = project_folder() / "data" / "sample"
_REPOSITORIES = {"metaphysics": "github.com/artsy/metaphysics", "rosalind": "github.com/artsy/rosalind"}
# Only a folder that holds this file is ever replaced.
_MARK = "this-folder-is-a-demo.txt"

_QUARTERS = """
    SELECT
        period, deployments, lead_time_p50_seconds, failures, change_failure_rate, time_to_restore_p50_seconds,
        failed_changes, failed_change_rate, recovery_p50_seconds, rework_rate
    FROM metrics.summary_by(
        'all', 'quarter', (SELECT MIN(day) FROM metrics.daily), (SELECT MAX(day) FROM metrics.daily)
    )
    WHERE env = 'production' ORDER BY period
"""
_SHARES = """
    SELECT env, CAST(SUM(failures) AS BIGINT), CAST(SUM(failed_changes) AS BIGINT)
    FROM metrics.daily GROUP BY env ORDER BY env
"""
# The newest one of production that has all three.
_BAD_DEPLOYMENT = """
    SELECT
        d.day, d.service, d.env, d.version, d.finished_at, f.name, f.started_at, l.rule, l.distance_seconds,
        c.way, r.version, r.finished_at, c.recovery_seconds
    FROM core.failed_changes AS c
    JOIN core.deployments AS d ON d.deployment_id = c.deployment_id
    JOIN core.deployments AS r ON r.deployment_id = c.remediation_id
    JOIN core.failure_links AS l ON l.deployment_id = c.deployment_id
    JOIN core.failures AS f ON f.failure_id = l.failure_id
    WHERE c.way = 'rollback' AND d.env = 'production'
    ORDER BY d.finished_at DESC, f.failure_id LIMIT 1
"""


@dataclass(frozen=True)
class Quarter:
    """The metrics of production in one quarter, over all services. Durations are seconds.

    The four come first, then what DORA has measured since 2024 and those do not tell.
    """

    first_day: date
    deployments: int
    lead_time_p50_seconds: float | None
    failures: int
    change_failure_rate: float | None
    time_to_restore_p50_seconds: float | None
    failed_changes: int
    failed_change_rate: float | None
    recovery_p50_seconds: float | None
    rework_rate: float | None

    @property
    def name(self) -> str:
        """As 2024 Q1."""
        return f"{self.first_day.year} Q{self.first_day.month // 3 + 1}"


@dataclass(frozen=True)
class Share:
    """How many failures and failed changes are of an environment."""

    env: str
    failures: int
    failed_changes: int


@dataclass(frozen=True)
class BadDeployment:
    """A deployment that failed, the failure that is linked to it, and the rollback that mended it."""

    day: date
    service: str
    env: str
    version: str
    finished_at: datetime
    failure: str
    started_at: datetime
    rule: str
    distance_seconds: float
    way: str
    remediation_version: str
    recovered_at: datetime
    recovery_seconds: float


@dataclass(frozen=True)
class DemoReport:
    """Where the demo is, what it shows, and how long preparing and running took, in seconds."""

    home: Home
    quarters: list[Quarter]
    shares: list[Share]
    bad_deployment: BadDeployment
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
    with open_reader(home) as connection:
        return DemoReport(
            home,
            [Quarter(*row) for row in connection.execute(_QUARTERS).fetchall()],
            [Share(*row) for row in connection.execute(_SHARES).fetchall()],
            BadDeployment(*connection.execute(_BAD_DEPLOYMENT).fetchall()[0]),
            _rows(connection),
            prepared - began,
            finished - prepared,
        )


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
    events = [(instant(body["finished_at"]), body) for body in _bodies(path)]
    sent = [(ended_at, body) for ended_at, body in events if ended_at.year >= first_year]
    store.append_many(event_type, [body for _, body in sent], received_at=[ended_at for ended_at, _ in sent])


def _bodies(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["data"]["attributes"]


def _rows(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    tables = connection.execute(
        "FROM duckdb_tables() SELECT schema_name || '.' || table_name WHERE schema_name <> 'landing' ORDER BY ALL"
    ).fetchall()
    return {name: count(connection, f"SELECT COUNT(*) FROM {name}") for (name,) in tables}
