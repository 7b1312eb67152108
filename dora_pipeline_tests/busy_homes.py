"""A home at work: runs, backfills, rebuilds and the intake go on while readers read."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import requests

from dora_pipeline.config import Home
from dora_pipeline_tests.intake_servers import running_intake
from dora_pipeline_tests.readers import Seen, seen_by, start_reader
from dora_pipeline_tests.waiting import PATIENCE

_KEY = "a-key-of-the-readers-test"
_READERS = 10
_MANY = 100


@dataclass
class Work:
    """What was done meanwhile: runs that ended well, those that began after many events, events stored, every error."""

    runs: int = 0
    later_runs: int = 0
    events: int = 0
    errors: list[str] = field(default_factory=list)


def read_while_busy(home: Home, is_enough: Callable[[Work], bool]) -> tuple[list[Seen], Work]:
    """Ten readers of a home, the first with one open transaction, while it works; what they saw, and the work.

    Every reader reads before the work begins and after it was enough.
    """
    work, is_over = Work(), threading.Event()
    with running_intake(home, api_keys=[_KEY]) as url:
        threads = [
            threading.Thread(target=_until, args=(is_over, work, _runs(home, work))),
            threading.Thread(target=_until, args=(is_over, work, _events(url, work))),
        ]
        readers = [start_reader(home.warehouse, is_holding=number == 0) for number in range(_READERS)]
        try:
            for thread in threads:
                thread.start()
            try:
                while not (is_enough(work) or work.errors):
                    time.sleep(0.1)
            finally:
                # Also where a test is given up: work that goes on would keep the whole run of tests from its end.
                is_over.set()
                for thread in threads:
                    thread.join()
            seen = [seen_by(reader) for reader in readers]
        finally:
            for reader in readers:
                reader.kill()
    return seen, work


def _until(is_over: threading.Event, work: Work, steps: Iterator[Callable[[], None]]) -> None:
    while not is_over.is_set():
        try:
            next(steps)()
        except Exception as error:
            work.errors.append(repr(error))
            return


def _runs(home: Home, work: Work) -> Iterator[Callable[[], None]]:
    """What changed, a month, what changed, everything anew; and from the beginning."""
    month = ["--from", "2026-03-01", "--to", "2026-03-31"]

    def run(*arguments: str) -> None:
        is_later = work.events > _MANY
        command = [sys.executable, "-m", "dora_pipeline.cli", "run", *arguments]
        told = subprocess.run(
            command,
            env={**os.environ, "DORA_HOME": str(home.path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert told.returncode == 0, told.stderr
        work.runs += 1
        work.later_runs += is_later

    while True:
        yield run
        yield lambda: run(*month)
        yield run
        yield lambda: run("--rebuild")


def _events(url: str, work: Work) -> Iterator[Callable[[], None]]:
    session = requests.Session()
    session.headers["DD-API-KEY"] = _KEY
    now = int(time.time())

    def send(number: int) -> None:
        kind, of = ("deployment", "service") if number % 3 else ("failure", "services")
        service = f"service-{number % 7}"
        told = {of: service if of == "service" else [service], "env": "production", "version": str(number)}
        times = {"started_at": now - number * 600, "finished_at": now - number * 600 + 60}
        answer = session.post(
            f"{url}/api/v2/dora/{kind}", json={"data": {"attributes": {**told, **times}}}, timeout=PATIENCE
        )
        assert answer.status_code == 200, answer.text
        work.events += 1
        # A busy place, not a load test.
        time.sleep(0.02)

    number = 0
    while True:
        number += 1
        yield partial(send, number)
