"""What a worker works with, and what the routes ask of it. Each 2xx for an event means that it is on disk."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from dora_pipeline.intake.store import SEARCH_SECONDS, EventStore, StoredEvent, StoredType
from dora_pipeline.intake.store.committer import Committer
from dora_pipeline.intake.store.database import SearchTooLong
from dora_pipeline.intake.store.event import SentEvent
from dora_pipeline.intake.web.access import Door
from dora_pipeline.intake.web.monitoring import Metrics
from dora_pipeline.intake.web.refusals import Refusal, WrongRequest

# A search may hold a connection of the store for long; writing needs one too.
_MOST_SEARCHES = 2
# For a search that others let through late.
LEAST_SEARCH_SECONDS = 1.0

Found = TypeVar("Found")


class _Outcome(asyncio.Future[StoredEvent]):
    """What the committer tells in the thread of the event loop, so that nothing has to be carried over."""

    def set_running_or_notify_cancel(self) -> bool:
        """Whether it is still wanted."""
        return not self.cancelled()


@dataclass
class Worker:
    """The parts of one process; its calls of the store do not hold up other requests."""

    store: EventStore
    committer: Committer
    door: Door
    metrics: Metrics
    webhook_secrets: tuple[str, ...]
    searching: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MOST_SEARCHES))
    pinging: asyncio.Task[None] | None = None

    def ping(self) -> asyncio.Task[None]:
        """The one look at the store that is under way, so that strangers cannot keep it busy."""
        if self.pinging is None or self.pinging.done():
            self.pinging = asyncio.create_task(run_in_threadpool(self.store.ping))
            # Nobody may wait for it any more.
            self.pinging.add_done_callback(lambda ping: ping.cancelled() or ping.exception())
        return self.pinging

    async def keep(
        self, event_type: StoredType, attributes: Mapping[str, Any], event_id: str | None = None
    ) -> StoredEvent:
        """The event after this message, once it is on disk. Raises WrongRequest for what cannot be stored."""
        outcome = _Outcome()
        try:
            self.committer.submit_for(outcome, SentEvent.of(event_type, attributes, event_id))
            event = await outcome
        except ValueError as error:
            raise WrongRequest([str(error)]) from error
        self.metrics.count_event(event_type)
        return event

    async def search(self, call: Callable[..., Found], *arguments: object, **named: object) -> Found:
        """What a search of the store gives. Raises Refusal where too many others are under way, or it takes too long.

        Waiting for others takes from its time.
        """
        began = monotonic()
        try:
            async with asyncio.timeout(SEARCH_SECONDS):
                await self.searching.acquire()
        except TimeoutError:
            wait = {"Retry-After": str(max(1, round(SEARCH_SECONDS)))}
            raise Refusal(503, "Too many searches are under way. Try again", wait) from None
        try:
            left = max(LEAST_SEARCH_SECONDS, SEARCH_SECONDS - (monotonic() - began))
            return await run_in_threadpool(call, *arguments, seconds=left, **named)
        except SearchTooLong:
            message = f"The search took more than {SEARCH_SECONDS:g} seconds; ask for fewer days, or for whole names"
            raise Refusal(504, message) from None
        finally:
            self.searching.release()


def worker_of(request: Request) -> Worker:
    """The worker that answers."""
    worker: Worker = request.app.state.worker
    return worker
