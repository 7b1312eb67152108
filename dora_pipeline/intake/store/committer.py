"""Group commit: messages that wait at the same time share one transaction, and so one fsync.

What does not belong here: what a message makes of an event.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Condition, Thread
from typing import Any, Protocol, Self

from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.intake.store.event import SentEvent, StoredEvent, StoredType
from dora_pipeline.intake.store.event_store import EventStore

MOST_AT_ONCE = 500
MOST_WAITING = 10_000


class Outcome(Protocol):
    """A future of `concurrent.futures`, or what is asked like one."""

    def set_running_or_notify_cancel(self) -> bool:
        """Whether it is still wanted; asked in the thread that writes."""

    def done(self) -> bool:
        """Whether it was given up."""

    def set_result(self, result: StoredEvent, /) -> None:
        """The event is on disk."""

    def set_exception(self, exception: Exception, /) -> None:
        """It is not."""


Act = Callable[[], None]
_Waiting = tuple[SentEvent, Outcome]


def _at_once(act: Act) -> None:
    act()


class Committer:
    """One thread that writes whatever waits, at most 500 messages a transaction, in the order in which they came.

    May be shared by threads. The store stays the caller's to close, after this. `soon` runs what it is given soon, and
    in one thread: the waking of the writer by the first message that waits, and what follows when the futures of a
    transaction are done. `call_soon_threadsafe` of an event loop makes both once for all messages of a turn.
    """

    def __init__(self, store: EventStore, soon: Callable[[Act], object] = _at_once) -> None:
        self._store = store
        self._soon = soon
        self._waiting: deque[_Waiting] = deque()
        self._changed = Condition()
        self._is_closed = False
        self._thread = Thread(target=self._commit_what_waits, name="intake-committer", daemon=True)
        self._thread.start()

    def submit(
        self, event_type: StoredType, attributes: Mapping[str, Any], event_id: str | None = None
    ) -> Future[StoredEvent]:
        """The event after this message, as `EventStore.append` gives it; the future is done when it is on disk.

        It fails as `append` does, together with the other messages of its transaction. A future that is cancelled
        before its transaction begins is never written. Raises ValueError for attributes that are not JSON, and
        SourceUnavailable while 10,000 messages wait and after `close`.
        """
        future: Future[StoredEvent] = Future()
        self.submit_for(future, SentEvent.of(event_type, attributes, event_id))
        return future

    def submit_for(self, outcome: Outcome, message: SentEvent) -> None:
        """As `submit`; the outcome is told as `soon` runs things."""
        with self._changed:
            if self._is_closed:
                raise SourceUnavailable("intake", "the event store is closing; send the event again")
            if len(self._waiting) >= MOST_WAITING:
                raise SourceUnavailable("intake", f"{MOST_WAITING:,} events wait to be written; send this again later")
            self._waiting.append((message, outcome))
            is_first = len(self._waiting) == 1
        if is_first:
            self._soon(self._wake)

    def close(self) -> None:
        """Writes what waits, then stops."""
        with self._changed:
            self._is_closed = True
        self._wake()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _commit_what_waits(self) -> None:
        while taken := self._taken():
            wanted = [one for one in taken if one[1].set_running_or_notify_cancel()]
            try:
                events = self._store.commit([message for message, _ in wanted])
            except Exception as error:
                self._soon(partial(_fail, wanted, error))
            else:
                self._soon(partial(_finish, wanted, events))

    def _taken(self) -> list[_Waiting]:
        """The messages of the next transaction; none when closed and done."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            return [self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))]


def _fail(waiting: Sequence[_Waiting], error: Exception) -> None:
    for _, outcome in waiting:
        if not outcome.done():
            outcome.set_exception(error)


def _finish(waiting: Sequence[_Waiting], events: Sequence[StoredEvent]) -> None:
    for (_, outcome), event in zip(waiting, events, strict=True):
        if not outcome.done():
            outcome.set_result(event)
