"""Whether an event that the intake answered with 2xx is there after a kill, and there once.

    PYTHONPATH=. python benchmarks/killed_intake.py [--kills N] [--workers N]

`dora serve` takes events over 32 connections, and at N random moments all of its processes are ended with SIGKILL at
once; then it starts again on the same store. In the end every event that was answered must be in the store, and no
event twice: those without an answer are sent again after the restart, as clients do. Ends with 1 where one is missing
or double.
"""

import argparse
import http.client
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from dora_pipeline.config import Home
from dora_pipeline.intake.store import EventStore, StoredEvent
from dora_pipeline_tests.intake_servers import API_KEY, IntakeProcess, started_intake

CONNECTIONS = 32
PAGE = 10_000


def main() -> int:
    """Print a line for each kill, and the count at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=20261123)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    answered: set[str] = set()
    unanswered: list[int] = []
    sent = 0
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        for kill in range(1, options.kills + 1):
            with started_intake(home, "--rate-limit", "0", workers=options.workers) as intake:
                load = Load(intake, unanswered, sent)
                load.run_and_kill(chance.uniform(0.2, 2.0))
            answered |= load.answered
            unanswered, sent = load.unanswered, load.next_number
            print(f"kill {kill}: {len(answered):,} answered, {len(unanswered)} without an answer", flush=True)
        with EventStore.at(home) as store:
            stored = [str(event.attributes["version"]) for event in all_events(store)]
    missing, double = answered - set(stored), [version for version, times in Counter(stored).items() if times > 1]
    print(f"{len(answered):,} answered with 2xx, {len(missing)} missing, {len(double)} double, {len(stored):,} stored")
    return 1 if missing or double or not answered else 0


class Load:
    """Senders that go on until the server is gone; each repeats first what had no answer before."""

    def __init__(self, intake: IntakeProcess, again: list[int], first: int) -> None:
        self.answered: set[str] = set()
        self.unanswered: list[int] = []
        self.next_number = first
        self._intake = intake
        self._again = list(again)
        self._lock = threading.Lock()
        self._is_answered = threading.Event()

    def run_and_kill(self, seconds: float) -> None:
        """Send, wait for the first answer and some time, then end every process of the server at once."""
        senders = [threading.Thread(target=self._send) for _ in range(CONNECTIONS)]
        for sender in senders:
            sender.start()
        self._is_answered.wait(60)
        time.sleep(seconds)
        os.killpg(self._intake.process.pid, signal.SIGKILL)
        for sender in senders:
            sender.join()
        self.unanswered += self._again

    def _send(self) -> None:
        host, port = self._intake.url.rpartition("/")[2].split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        headers = {"DD-API-KEY": API_KEY, "Content-Type": "application/json"}
        while True:
            number = self._number()
            try:
                connection.request("POST", "/api/v2/dora/deployment", body(number), headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                with self._lock:
                    self.unanswered.append(number)
                return
            with self._lock:
                if answer.status == 200:
                    self.answered.add(str(number))
                else:
                    self.unanswered.append(number)
            self._is_answered.set()

    def _number(self) -> int:
        with self._lock:
            if self._again:
                return self._again.pop()
            self.next_number += 1
            return self.next_number


def body(number: int) -> bytes:
    """A deployment without an id, of a second and service of its own; its version is its number."""
    started = 1_600_000_000 + number
    times = {"started_at": started * 10**9, "finished_at": (started + 60) * 10**9}
    told = {"service": "shop", "env": "production", "version": str(number), **times}
    return json.dumps({"data": {"attributes": told}}).encode()


def all_events(store: EventStore) -> list[StoredEvent]:
    """Every deployment of the store."""
    events, newest = [], 0
    while page := store.changed_since("deployment", newest, PAGE):
        events += page
        newest = page[-1].sequence
    return events


if __name__ == "__main__":
    sys.exit(main())
