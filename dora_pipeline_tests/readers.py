"""Readers that hold the published warehouse while runs and the intake go on, and what each of them saw."""

import json
import subprocess
import sys
import threading
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


def start_reader(warehouse: Path, *, is_holding: bool) -> subprocess.Popen[str]:
    """A reader in a process of its own: one that opens the file anew each time, or one with an open transaction.

    It has read once when this returns, and reads until `seen_by` ends it.
    """
    command = [sys.executable, "-m", __name__, str(warehouse), "hold" if is_holding else "reopen"]
    pipe = subprocess.PIPE
    reader = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert reader.stdout is not None
    reader.stdout.readline()
    return reader


def seen_by(reader: subprocess.Popen[str]) -> Seen:
    """What a reader tells, which reads once more and ends."""
    output, errors = reader.communicate()
    assert reader.returncode == 0, errors
    return Seen(**json.loads(output))


def _read(warehouse: Path, is_holding: bool) -> Seen:
    readings, differences = 0, 0
    states: set[tuple[Any, ...]] = set()
    errors: list[str] = []
    is_over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), is_over.set()), daemon=True).start()
    for connection in _connections(warehouse, is_over, is_holding):
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
        if readings + len(errors) == 1:
            print("reading", flush=True)
        # As people and dashboards do; ten that never rest would leave no processor to what they read.
        is_over.wait(_REST)
    return Seen(readings, differences, len(states), errors[:10])


def _connections(warehouse: Path, is_over: threading.Event, is_holding: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connections until it is over, and one after that."""
    if is_holding:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            connection.execute("BEGIN")
            while not is_over.is_set():
                yield connection
            yield connection
        return
    is_last = False
    while not is_last:
        is_last = is_over.is_set()
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            yield connection


if __name__ == "__main__":
    found = _read(Path(sys.argv[1]), sys.argv[2] == "hold")
    print(json.dumps(found.__dict__))
