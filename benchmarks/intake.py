"""How many events a second the intake keeps, with durable writes, beside a bare INSERT and commit.

    PYTHONPATH=. python benchmarks/intake.py [--seconds N] [--events N] [--postgresql]

For 1 and 4 workers: 32 connections that each send an event, wait for its 2xx and send the next, from a process of their
own. The yardstick is one connection of the same database that inserts a row of the same bytes and commits, in a loop,
in the same run. Then N events go to one worker, and its memory is told before and after.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dora_pipeline.config import Home
from dora_pipeline_tests.intake_servers import API_KEY, IntakeProcess, started_intake

CONNECTIONS = 32
WARM_UP = 500


@dataclass(frozen=True)
class Figures:
    """Events kept in so many seconds, and the seconds that each answer took."""

    events: int
    seconds: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    def percentile(self, share: int) -> float:
        """Milliseconds that this share of the answers did not exceed."""
        return statistics.quantiles(self.latencies, n=100)[share - 1] * 1000


def main() -> None:
    """Print a row for each database and number of workers, then the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--events", type=int, default=1_000_000, help="for the figures of memory; 0 leaves them out")
    parser.add_argument("--postgresql", action="store_true", help="also PostgreSQL, whose server must be installed")
    parser.add_argument("--load", nargs=4, metavar=("PORT", "SECONDS", "EVENTS", "FIRST"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        port, seconds, events, first = options.load
        print(json.dumps(asyncio.run(load(int(port), float(seconds), int(events), int(first)))))
        return
    print("| database | workers | events/s | p50 ms | p99 ms | bare commits/s | bare p50 ms | events / bare commits |")
    print("|---|---|---|---|---|---|---|---|")
    databases = [sqlite_store, postgresql_store] if options.postgresql else [sqlite_store]
    for database in databases:
        for workers in (1, 4):
            print(row(database, workers, options.seconds), flush=True)
    if options.events:
        print(memory(options.events))


@dataclass(frozen=True)
class Store:
    """A database of its own: where the intake finds it, and a bare insert with commit into it."""

    name: str
    variables: dict[str, str]
    commit_row: Callable[[bytes], None]


@contextmanager
def sqlite_store(folder: Path) -> Iterator[Store]:
    """A file, as the home has it; the yardstick's lies beside it."""
    connection = sqlite3.connect(folder / "yardstick.sqlite3", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE rows (body BLOB)")
    yield Store("SQLite", {}, lambda body: _nothing(connection.execute("INSERT INTO rows VALUES (?)", (body,))))
    connection.close()


@contextmanager
def postgresql_store(_folder: Path) -> Iterator[Store]:
    """A server that is started for it."""
    import psycopg

    from dora_pipeline_tests.postgresql import running_postgresql

    with running_postgresql() as server:
        url = server.new_database()
        plain = url.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute("CREATE TABLE yardstick (body BYTEA)")
            yield Store(
                "PostgreSQL",
                {"DORA_INTAKE_URL": url},
                lambda body: _nothing(connection.execute("INSERT INTO yardstick VALUES (%s)", (body,))),
            )


def _nothing(_result: object) -> None:
    """Takes what a call gives."""


def row(database: Callable[[Path], "contextmanager[Store]"], workers: int, seconds: float) -> str:
    """The figures of one database and number of workers as a row of the table."""
    with tempfile.TemporaryDirectory() as folder, database(Path(folder)) as store:
        bare = bare_commits(store.commit_row, seconds / 2)
        home = Home(Path(folder) / "home")
        with started_intake(home, "--rate-limit", "0", workers=workers, variables=store.variables) as intake:
            loaded(intake, 60, WARM_UP, 0)
            told = loaded(intake, seconds, 0, WARM_UP)
    return (
        f"| {store.name} | {workers} | {told.rate:,.0f} | {told.percentile(50):.1f} | {told.percentile(99):.1f} | "
        f"{bare.rate:,.0f} | {bare.percentile(50):.2f} | {told.rate / bare.rate:.2f} |"
    )


def bare_commits(commit_row: Callable[[bytes], None], seconds: float) -> Figures:
    """The yardstick."""
    latencies = []
    began = before = time.perf_counter()
    while before - began < seconds:
        commit_row(body(len(latencies)))
        now = time.perf_counter()
        latencies.append(now - before)
        before = now
    return Figures(len(latencies), before - began, latencies)


def memory(events: int) -> str:
    """A line with the resident memory of one worker before and after so many events."""
    with (
        tempfile.TemporaryDirectory() as folder,
        started_intake(Home(Path(folder) / "home"), "--rate-limit", "0") as intake,
    ):
        loaded(intake, 600, WARM_UP, 0)
        before, done, began = resident(intake), 0, time.perf_counter()
        while done < events:
            done += loaded(intake, 3600, min(100_000, events - done), WARM_UP + done).events
        seconds = time.perf_counter() - began
        after = resident(intake)
    took = f"{events:,} events in {seconds:,.0f} s"
    return f"\nresident memory of one worker: {before:.0f} MiB, after {took} {after:.0f} MiB"


def resident(intake: IntakeProcess) -> float:
    """MiB of the server's process."""
    status = Path(f"/proc/{intake.process.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def loaded(intake: IntakeProcess, seconds: float, events: int, first: int) -> Figures:
    """What a load generator in a process of its own found; it ends after the seconds, or the events if not 0."""
    port = intake.url.rpartition(":")[2]
    command = [sys.executable, __file__, "--load", port, str(seconds), str(events), str(first)]
    told = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, "PYTHONPATH": "."})
    return Figures(**json.loads(told.stdout))


async def load(port: int, seconds: float, events: int, first: int) -> dict[str, object]:
    """Send numbered events over 32 connections; every answer must be 200."""
    latencies: list[float] = []
    began = time.perf_counter()
    numbers = iter(range(first, first + events) if events else range(first, sys.maxsize))

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            before = time.perf_counter()
            if before - began > seconds:
                break
            content = body(number)
            writer.write(HEAD % len(content) + content)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"not kept: {head!r}")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            latencies.append(time.perf_counter() - before)
        writer.close()

    await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
    return {"events": len(latencies), "seconds": time.perf_counter() - began, "latencies": latencies[:200_000]}


HEAD = (
    b"POST /api/v2/dora/deployment HTTP/1.1\r\nHost: intake\r\nDD-API-KEY: " + API_KEY.encode() + b"\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


def body(number: int) -> bytes:
    """A deployment as clients send it, of a second and service of its own."""
    git = b'{"repository_url":"https://github.com/organization/example","commit_sha":"%040x"}' % number
    started = 1_600_000_000 + number // 100
    attributes = (
        b'{"service":"service-%d","env":"production","version":"v%d","started_at":%d000000000,"finished_at":%d000000000,'
        b'"team":"backend","git":%b}'
    ) % (number % 100, number, started, started + 60, git)
    return b'{"data":{"attributes":' + attributes + b"}}"


if __name__ == "__main__":
    main()
