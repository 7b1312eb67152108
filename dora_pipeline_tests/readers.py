"""Readers that hold the published warehouse while runs and the intake go on, and what each of them saw."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

# Rows of metrics.daily whose counts are not those of a recount of core. Both sides are read in one snapshot.
DIFFERENCES = """
    WITH recount AS (
        SELECT day, service, env, SUM(deployments) AS deployments, SUM(failures) AS failures
        FROM (
            SELECT day, service, env, 1 AS deployments, 0 AS failures
            FROM core.deployments WHERE is_selected AND duplicate_of IS NULL
            UNION ALL
            SELECT day, service, env, 0, 1 FROM core.failures WHERE is_selected
        )
        GROUP BY day, service, env
    )
    SELECT COUNT(*)
    FROM metrics.daily AS d
    FULL JOIN recount AS r
        ON d.day = r.day AND d.service IS NOT DISTINCT FROM r.service AND d.env IS NOT DISTINCT FROM r.env
    WHERE COALESCE(d.deployments, 0) <> COALESCE(r.deployments, 0) OR COALESCE(d.failures, 0) <> COALESCE(r.failures, 0)
"""
_COUNTS = "SELECT COUNT(*), SUM(deployments), SUM(failures), MAX(day) FROM metrics.daily"

_REST = 0.5


@dataclass(frozen=True)
class Seen:
    """What one reader saw: how often it read, the rows that did not agree, different states, and its errors."""

    readings: int
    differences: int
    states: int
    errors: Sequence[str]


def start_reader(warehouse: Path, seconds: float, *, is_holding: bool) -> subprocess.Popen[str]:
    """A reader in a process of its own: one that opens the file anew each time, or one with an open transaction."""
    command = [sys.executable, "-m", __name__, str(warehouse), str(seconds), "hold" if is_holding else "reopen"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def seen_by(reader: subprocess.Popen[str]) -> Seen:
    """What a reader tells when its time is over."""
    output, errors = reader.communicate()
    assert reader.returncode == 0, errors
    return Seen(**json.loads(output))


def _read(warehouse: Path, seconds: float, is_holding: bool) -> Seen:
    readings, differences = 0, 0
    states: set[tuple[Any, ...]] = set()
    errors: list[str] = []
    until = time.monotonic() + seconds
    for connection in _connections(warehouse, until, is_holding):
        try:
            if not is_holding:
                connection.execute("BEGIN")
            differences += connection.execute(DIFFERENCES).fetchall()[0][0]
            states.add(connection.execute(_COUNTS).fetchall()[0])
            readings += 1
            if not is_holding:
                connection.execute("COMMIT")
        except duckdb.Error as error:
            errors.append(str(error))
        # As people and dashboards do; ten that never rest would leave no processor to what they read.
        time.sleep(_REST)
    return Seen(readings, differences, len(states), errors[:10])


def _connections(warehouse: Path, until: float, is_holding: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    if is_holding:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            connection.execute("BEGIN")
            while time.monotonic() < until:
                yield connection
        return
    while time.monotonic() < until:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            yield connection


if __name__ == "__main__":
    found = _read(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "hold")
    print(json.dumps(found.__dict__))
