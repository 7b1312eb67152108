"""What the intake costs: events a second with durable writes, processor time of each event, and memory.

    PYTHONPATH=. python benchmarks/intake.py [--only WHAT] [--seconds N] [--events N] [--postgresql] [--json FILE]

WHAT is `rate`, `processor` or `memory`. Senders are connections of one other process that each send an event, wait for
its 2xx and send the next.

rate: 32 senders, for 1 and 4 workers; the yardstick is one connection of the same database that inserts a row of the
same bytes and commits, in a loop.
processor: 16 and 128 senders, one worker, processor time of the server's process for each event; the yardstick is a
bare ASGI app under the same server that reads the body and sends it back.
memory: N events to one worker, whose memory is told before and after.
"""

import argparse
import asyncio
import json
import os
import socket
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
from typing import Any

import uvicorn
from results import Results, add_json_option
from stopwatch import used_by

from dora_pipeline.config import Home
from dora_pipeline_tests.intake_servers import API_KEY, IntakeProcess, started_intake

CONNECTIONS = 32
SENDERS = (16, 128)
WHATS = ("rate", "processor", "memory")
WARM_UP = 500
# For the processor time of an event.
EVENTS = 10_000


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
    """Print a table for each of what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=WHATS, metavar="WHAT")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--events", type=int, default=1_000_000, help="for the figures of memory")
    parser.add_argument("--postgresql", action="store_true", help="also PostgreSQL, whose server must be installed")
    add_json_option(parser)
    parser.add_argument("--load", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--echo", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        port, senders, seconds, events, first = options.load
        print(json.dumps(asyncio.run(load(int(port), int(senders), float(seconds), int(events), int(first)))))
        return
    if options.echo:
        serve_echo()
        return
    results = Results(options)
    databases = [sqlite_store, postgresql_store] if options.postgresql else [sqlite_store]
    wanted = [options.only] if options.only else WHATS
    if "rate" in wanted:
        results.table(f"{CONNECTIONS} senders", RATES)
        for database in databases:
            for workers in (1, 4):
                results.row(*rates(database, workers, options.seconds))
    if "processor" in wanted:
        results.table("processor time of the server", PROCESSOR)
        for senders in SENDERS:
            echo = echo_microseconds(senders)
            results.row("echo", senders, echo, 1.0)
            for database in databases:
                name, event = intake_microseconds(database, senders)
                results.row(name, senders, event, event / echo)
    if "memory" in wanted:
        results.table("resident memory of one worker", MEMORY)
        results.row(*memory(options.events))
    results.write()


RATES = {
    "database": "",
    "workers": "",
    "events/s": ",.0f",
    "p50 ms": ".1f",
    "p99 ms": ".1f",
    "bare commits/s": ",.0f",
    "bare p50 ms": ".2f",
    "events / bare commits": ".2f",
}
PROCESSOR = {"server": "", "senders": "", "µs an event": ".0f", "÷ echo": ".1f"}
MEMORY = {"events": ",", "wall s": ",.0f", "MiB before": ".0f", "MiB after": ".0f"}


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


def rates(database: Callable[[Path], "contextmanager[Store]"], workers: int, seconds: float) -> tuple[object, ...]:
    """The figures of one database and number of workers, a value for each of RATES."""
    with tempfile.TemporaryDirectory() as folder, database(Path(folder)) as store:
        bare = bare_commits(store.commit_row, seconds / 2)
        with served(Path(folder), store, workers) as intake:
            loaded(intake.url, CONNECTIONS, 60, WARM_UP, 0)
            kept = loaded(intake.url, CONNECTIONS, seconds, 0, WARM_UP)
    ours = (kept.rate, kept.percentile(50), kept.percentile(99))
    return (store.name, workers, *ours, bare.rate, bare.percentile(50), kept.rate / bare.rate)


@contextmanager
def served(folder: Path, store: Store, workers: int) -> Iterator[IntakeProcess]:
    """An intake that keeps events in the store."""
    home = Home(folder / "home")
    with started_intake(home, "--rate-limit", "0", workers=workers, variables=store.variables) as intake:
        yield intake


def intake_microseconds(database: Callable[[Path], "contextmanager[Store]"], senders: int) -> tuple[str, float]:
    """The database, and what the intake's process needs for an event."""
    with (
        tempfile.TemporaryDirectory() as folder,
        database(Path(folder)) as store,
        served(Path(folder), store, 1) as intake,
    ):
        return store.name, microseconds_each(intake.process.pid, intake.url, senders)


def echo_microseconds(senders: int) -> float:
    """What the yardstick needs for an event."""
    command = [sys.executable, __file__, "--echo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            return microseconds_each(server.pid, server.stdout.readline().strip(), senders)
        finally:
            server.terminate()


def microseconds_each(process: int, url: str, senders: int) -> float:
    """Processor time that a server's process needs for an event."""
    loaded(url, senders, 60, WARM_UP, 0)
    before = used_by(process)
    events = loaded(url, senders, 600, EVENTS, WARM_UP).events
    return (used_by(process) - before) / events * 1e6


def serve_echo() -> None:
    """The yardstick: uvicorn as `dora serve` has it, but for our limits of connections."""

    async def app(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        content = b""
        while True:
            message = await receive()
            content += message["body"]
            if not message["more_body"]:
                break
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    config = uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False)
    config.server_header = False
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        uvicorn.Server(config).run(sockets=[listening])


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


def memory(events: int) -> tuple[float, ...]:
    """The resident memory of one worker before and after so many events, a value for each of MEMORY."""
    with (
        tempfile.TemporaryDirectory() as folder,
        started_intake(Home(Path(folder) / "home"), "--rate-limit", "0") as intake,
    ):
        loaded(intake.url, CONNECTIONS, 600, WARM_UP, 0)
        before, done, began = resident(intake), 0, time.perf_counter()
        while done < events:
            done += loaded(intake.url, CONNECTIONS, 3600, min(100_000, events - done), WARM_UP + done).events
        return events, time.perf_counter() - began, before, resident(intake)


def resident(intake: IntakeProcess) -> float:
    """MiB of the server's process."""
    status = Path(f"/proc/{intake.process.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def loaded(url: str, senders: int, seconds: float, events: int, first: int) -> Figures:
    """What a load generator in a process of its own found; it ends after the seconds, or the events if not 0."""
    port = url.rpartition(":")[2]
    command = [sys.executable, __file__, "--load", port, str(senders), str(seconds), str(events), str(first)]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, "PYTHONPATH": "."})
    return Figures(**json.loads(found.stdout))


async def load(port: int, senders: int, seconds: float, events: int, first: int) -> dict[str, object]:
    """Send numbered events over so many connections; every answer must be 200."""
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

    await asyncio.gather(*(send() for _ in range(senders)))
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
