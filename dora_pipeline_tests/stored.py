"""What stands in a storage, read by its manifest with nothing of the program: as a reader of another engine does."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from dora_pipeline.config import project_folder
from dora_pipeline_tests.command import command_line, environment
from dora_pipeline_tests.homes import TestHome

TABLES = (
    "core.source_selections",
    "core.services",
    "core.apm_version_activity",
    "core.deployments",
    "core.deployment_commits",
    "core.failures",
    "core.failure_links",
    "core.failed_changes",
    "core.rejected_events",
    "metrics.daily",
    "metrics.freshness",
    "landing.deployments",
    "landing.failures",
    "landing.properties",
)
VIEWS = ("core.events", "metrics.measures", "metrics.deployment_outcomes")
# Without macros as long as the events of a test are.
SUMMARY = "metrics.summary_by('tag:team', 'quarter', DATE '2024-01-01', DATE '2025-06-30')"


def tell_two_months(home: TestHome) -> None:
    """Two deployments and a failure of two months."""
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00", version="1", custom_tags=["team:a"])
    home.deploy("shop", "2024-06-07 10:00:00", version="2")
    home.fail(["shop"], "2024-06-07 11:00:00", "2024-06-07 12:30:00")


def manifest(storage: Path) -> dict[str, Any]:
    """The manifest of a folder."""
    content: dict[str, Any] = json.loads((storage / "manifest.json").read_text(encoding="utf-8"))
    return content


def files(known: dict[str, Any], table: str) -> dict[str | None, str]:
    """The files of a table in a manifest by month."""
    found = {file["month"]: file["path"] for file in known["tables"][table]}
    assert len(found) == len(known["tables"][table])
    return found


def define(connection: duckdb.DuckDBPyConnection, address: str, known: dict[str, Any]) -> None:
    """Make the views and macros of a manifest, as docs/clients.md shows it."""
    connection.execute("SET TimeZone = 'UTC'")
    for name, listed in known["tables"].items():
        paths = [f"{address}/{file['path']}" for file in listed]
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name.split('.')[0]}")
        connection.execute(f"CREATE VIEW {name} AS FROM read_parquet({paths})")
    for definition in known["definitions"]:
        connection.execute(definition)


def guide(storage: Path) -> str:
    """The program of docs/clients.md that makes the views and macros of a folder."""
    text = (project_folder() / "docs" / "clients.md").read_text(encoding="utf-8")
    (program,) = [one for one in re.findall(r"^```python\n(.+?)^```", text, re.M | re.S) if "definitions" in one]
    return str(program.replace("/shared/dora", str(storage)))


def assert_equal(home: TestHome, storage: Path) -> None:
    """Every row of every table, view and of a macro is that of the published file, and files are as they are named."""
    known = manifest(storage)
    assert known["tables"].keys() == set(TABLES)
    with duckdb.connect() as connection:
        define(connection, str(storage), known)
        for name in (*TABLES, *VIEWS, SUMMARY):
            query = f"SELECT * FROM {name} ORDER BY ALL"
            assert connection.execute(query).fetchall() == home.rows(query), name
        for table, listed in known["tables"].items():
            for file in listed:
                path = storage / file["path"]
                assert path.stat().st_size == file["bytes"]
                month = "DISTINCT STRFTIME(day, '%Y-%m')" if file["month"] else "NULL"
                months = connection.execute(f"SELECT {month} FROM '{path}' LIMIT 2").fetchall()
                assert {row[0] for row in months} <= {file["month"]}, table
                assert connection.execute(f"SELECT COUNT(*) FROM '{path}'").fetchall() == [(file["rows"],)]


def kill_run(home: TestHome, files_written: Callable[[], int], enough: int) -> None:
    """A run that is killed as soon as it has written so many files."""
    run = subprocess.Popen(command_line("run"), env=environment(home.home.path), stderr=subprocess.DEVNULL)
    try:
        while run.poll() is None and files_written() < enough:
            time.sleep(0.001)
        run.send_signal(signal.SIGKILL)
    finally:
        run.wait()
    assert run.returncode == -signal.SIGKILL
