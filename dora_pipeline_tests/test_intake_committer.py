"""Group commit, on any database: `systems/` runs the same tests on PostgreSQL."""

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from threading import Barrier, Event, Thread
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine, event, select

from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.intake.store import EventStore, StoredEvent, event_tables
from dora_pipeline.intake.store.committer import Committer
from dora_pipeline_tests.examples import examples
from dora_pipeline_tests.waiting import PATIENCE, eventually

SECOND = 1_714_996_800
ENV = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest.fixture
def committer(store: EventStore) -> Iterator[Committer]:
    with Committer(store) as committer:
        yield committer


class HeldStore:
    """Holds the store's writers back for the length of the block, by the lock that they take first."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, poolclass=NullPool)

    def __enter__(self) -> None:
        self._connection = self._engine.connect()
        self._connection.execute(select(event_tables.state).with_for_update())
        if self._engine.dialect.name == "sqlite":
            self._connection.rollback()
            self._connection.exec_driver_sql("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        self._connection.rollback()
        self._connection.close()


def deployment(number: int, **changes: Any) -> dict[str, Any]:
    return {"service": "shop", "env": "prod", "started_at": SECOND + number} | changes


def when_done(future: Future[StoredEvent]) -> StoredEvent:
    return future.result(timeout=PATIENCE)


def test_what_is_submitted_is_stored_when_the_future_is_done(committer: Committer, store: EventStore) -> None:
    stored = when_done(committer.submit("deployment", deployment(0), event_id="own"))
    assert stored.event_id == "own"
    assert store.get("deployment", "own") == stored


def test_what_waits_is_committed_at_once_in_the_order_of_arrival(
    committer: Committer, store: EventStore, store_url: str
) -> None:
    with HeldStore(store_url):
        first = committer.submit("deployment", deployment(0))
        futures = [
            committer.submit("failure", {"services": ["shop"], "started_at": SECOND}),
            committer.submit("deployment", deployment(1, version="v1"), event_id="a"),
            committer.submit("delivery", {"event": {}}, event_id="a"),
            committer.submit("deployment", deployment(1, team="x")),
            committer.submit("failure", {"services": ["shop"], "started_at": SECOND, "finished_at": SECOND + 9}),
        ]
    assert when_done(first).sequence == 1
    events = [when_done(future) for future in futures]
    assert [event.sequence for event in events] == [2, 3, 4, 5, 6]
    assert [event.event_type for event in events] == ["failure", "deployment", "delivery", "deployment", "failure"]
    assert (events[3].event_id, events[3].attributes["version"], events[3].attributes["team"]) == ("a", "v1", "x")
    assert events[4].event_id == events[0].event_id
    assert store.changed_since("failure", 0) == [events[4]]


def test_waiting_tellings_share_transactions_of_at_most_five_hundred(committer: Committer, store_url: str) -> None:
    commits: list[object] = []

    def note(connection: object) -> None:
        commits.append(connection)

    event.listen(Engine, "commit", note)
    try:
        with HeldStore(store_url):
            futures = [committer.submit("deployment", deployment(number)) for number in range(1_201)]
        assert len({when_done(future).event_id for future in futures}) == 1_201
    finally:
        event.remove(Engine, "commit", note)
    # How many the first took depends on how fast the thread was.
    assert len(commits) in (3, 4)


def test_what_cannot_be_stored_is_refused_and_harms_no_other(
    committer: Committer, store: EventStore, store_url: str
) -> None:
    nested: dict[str, Any] = {}
    for _ in range(101):
        nested = {"a": nested}
    with HeldStore(store_url):
        before = committer.submit("deployment", deployment(0))
        for refused in (deployment(1, n=float("nan")), deployment(1, n={1, 2}), nested):
            with pytest.raises((ValueError, TypeError)):
                committer.submit("deployment", refused)
        after = committer.submit("deployment", deployment(2))
    assert [when_done(before).sequence, when_done(after).sequence] == [1, 2]
    assert len(store.changed_since("deployment", 0)) == 2


def test_a_cancelled_future_is_not_written_and_stops_no_other(
    committer: Committer, store: EventStore, store_url: str
) -> None:
    with HeldStore(store_url):
        first = committer.submit("deployment", deployment(0))
        # What is submitted after the thread has taken the first waits for the next transaction.
        eventually(first.running, "the first transaction", pause=0.01)
        cancelled = [committer.submit("deployment", deployment(number)) for number in range(1, 4)]
        kept = committer.submit("deployment", deployment(9))
        assert [future.cancel() for future in cancelled] == [True, True, True]
    assert [when_done(first).sequence, when_done(kept).sequence] == [1, 2]
    assert store.changed_since("deployment", 0) == [when_done(first), when_done(kept)]


def test_an_error_of_the_database_goes_to_all_of_its_transaction(store_url: str, store: EventStore) -> None:
    hasty = "timeout=0.05" if store_url.startswith("sqlite") else "options=-c%20lock_timeout%3D50ms"
    address = store_url + ("&" if "?" in store_url else "?") + hasty
    with EventStore(address) as impatient, Committer(impatient) as committer:
        with HeldStore(store_url):
            futures = [committer.submit("deployment", deployment(number)) for number in range(3)]
            for future in futures:
                assert isinstance(future.exception(timeout=PATIENCE), SourceUnavailable)
        assert when_done(committer.submit("deployment", deployment(5))).sequence == 1


def test_more_than_ten_thousand_that_wait_are_refused(committer: Committer, store_url: str) -> None:
    with HeldStore(store_url):
        # The thread holds up to five hundred beside those that wait.
        futures = [committer.submit("deployment", deployment(number)) for number in range(10_000)]
        with pytest.raises(SourceUnavailable, match="10,000 events wait to be written; send this again later"):
            futures.extend(committer.submit("deployment", deployment(number)) for number in range(10_000, 10_501))
    assert len({when_done(future).sequence for future in futures}) == len(futures)


def test_closing_writes_what_waits_and_takes_no_more(store: EventStore, store_url: str) -> None:
    committer = Committer(store)
    with HeldStore(store_url):
        futures = [committer.submit("deployment", deployment(number)) for number in range(1_000)]
        closing = Thread(target=committer.close)
        closing.start()
    closing.join(PATIENCE)
    assert all(future.done() for future in futures)
    assert len(store.changed_since("deployment", 0)) == 1_000
    with pytest.raises(SourceUnavailable, match="closing"):
        committer.submit("deployment", deployment(0))
    committer.close()


def test_many_threads_may_submit_at_once(committer: Committer, store: EventStore) -> None:
    barrier = Barrier(8)
    events: dict[int, list[StoredEvent]] = {}

    def send(thread: int) -> None:
        barrier.wait()
        events[thread] = [
            when_done(committer.submit("deployment", deployment(number, **{f"by_{thread}": 1}))) for number in range(25)
        ]

    threads = [Thread(target=send, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = store.changed_since("deployment", 0)
    assert len(stored) == 25
    assert all(event.attributes.keys() >= {f"by_{thread}" for thread in range(8)} for event in stored)
    assert len({event.sequence for told in events.values() for event in told}) == 200


SENDER = """
import sys
from threading import Lock, Thread
from dora_pipeline.intake.store.committer import Committer
from dora_pipeline.intake.store import EventStore

store, sender, lock = EventStore(sys.argv[1]), sys.argv[2], Lock()
committer = Committer(store)

def send(thread):
    for number in range(1_000_000):
        body = {"service": f"{sender}-{thread}", "env": "prod", "started_at": 1_714_996_800 + number}
        event = committer.submit("deployment", body).result()
        with lock:
            print(event.event_id, body["service"], number, flush=True)

for thread in range(8):
    Thread(target=send, args=(thread,), daemon=True).start()
sys.stdin.read()
"""


@pytest.mark.parametrize("seed", range(examples(1)))
def test_everything_that_was_acknowledged_before_a_kill_is_there_once(store_url: str, seed: int) -> None:
    chance = random.Random(seed)
    EventStore(store_url).close()
    acknowledged: list[tuple[str, str, int]] = []
    for life in range(2):
        senders = [_Sender(store_url, f"{life}-{number}") for number in range(2)]
        for sender in senders:
            sender.wait_for(chance.randrange(5, 120))
            sender.process.kill()
        for sender in senders:
            acknowledged += sender.acknowledged()
    with EventStore(store_url) as store:
        stored = store.changed_since("deployment", 0, limit=1_000_000)
        known = {event.event_id: event.attributes for event in stored}
        assert len(acknowledged) >= 2 * 2 * 5
        for event_id, service, number in acknowledged:
            assert known[event_id] == {"service": service, "env": "prod", "started_at": SECOND + number}
        told = Counter((event.attributes["service"], event.attributes["started_at"]) for event in stored)
        assert set(told.values()) == {1}
        # At most one telling of each thread was on its way when it was killed.
        assert len(stored) - len(acknowledged) <= 2 * 2 * 8
        assert store.append("deployment", {"id": "next"}).sequence == len(stored) + 1


class _Sender:
    """A process that sends without end, and tells what was acknowledged."""

    def __init__(self, url: str, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SENDER, url, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENV,
        )
        self._lines: list[str] = []
        self._enough = Event()
        self._wanted = sys.maxsize
        self._reader = Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with self.process:
            for line in self.process.stdout or ():
                self._lines.append(line)
                if len(self._lines) >= self._wanted:
                    self._enough.set()

    def wait_for(self, lines: int) -> None:
        self._wanted = lines
        assert self._enough.wait(PATIENCE), self._lines

    def acknowledged(self) -> list[tuple[str, str, int]]:
        self._reader.join()
        # The last line may be cut.
        told = [line.split() for line in self._lines if line.endswith("\n")]
        return [(event_id, service, int(number)) for event_id, service, number in told]
