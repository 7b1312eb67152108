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

_KEY = "a-key-of-the-readers-test"
_READERS = 10


@dataclass
class Work:
    """What was done meanwhile: runs that ended well, events that were stored, and every error."""

    runs: int = 0
    events: int = 0
    errors: list[str] = field(default_factory=list)


def read_while_busy(home: Home, seconds: float) -> tuple[list[Seen], Work]:
    """Ten readers of a home, the first with one open transaction, while it works; what they saw, and the work."""
    work, until = Work(), time.monotonic() + seconds
    with running_intake(home, api_keys=[_KEY]) as url:
        threads = [
            threading.Thread(target=_until, args=(until, work, _runs(home, work))),
            threading.Thread(target=_until, args=(until, work, _events(url, work))),
        ]
        readers = [start_reader(home.warehouse, seconds, is_holding=number == 0) for number in range(_READERS)]
        for thread in threads:
            thread.start()
        seen = [seen_by(reader) for reader in readers]
        for thread in threads:
            thread.join()
    return seen, work


def _until(until: float, work: Work, steps: Iterator[Callable[[], None]]) -> None:
    while time.monotonic() < until:
        try:
            next(steps)()
        except Exception as error:
            work.errors.append(repr(error))
            return


def _runs(home: Home, work: Work) -> Iterator[Callable[[], None]]:
    """What changed, a month, what changed, everything anew; and from the beginning."""
    month = ["--from", "2026-03-01", "--to", "2026-03-31"]

    def run(*arguments: str) -> None:
        command = [sys.executable, "-m", "dora_pipeline.cli", "run", *arguments]
        told = subprocess.run(
            command, env={**os.environ, "DORA_HOME": str(home.path)}, capture_output=True, text=True, check=False
        )
        assert told.returncode == 0, told.stderr
        work.runs += 1

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
        answer = session.post(f"{url}/api/v2/dora/{kind}", json={"data": {"attributes": {**told, **times}}}, timeout=30)
        assert answer.status_code == 200, answer.text
        work.events += 1
        # A busy place, not a load test.
        time.sleep(0.02)

    number = 0
    while True:
        number += 1
        yield partial(send, number)
