"""What the routes of deployments and failures have in common: telling, listing, getting and deleting an event.

Each answers only after what it says is true: 2xx for a telling means that it is on disk.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from dora_pipeline.intake.store import SEARCH_SECONDS, EventStore
from dora_pipeline.intake.store.committer import Committer
from dora_pipeline.intake.store.database import SearchTooLong
from dora_pipeline.intake.store.event import EventType, StoredEvent
from dora_pipeline.intake.web.access import Door
from dora_pipeline.intake.web.answers import Answer, receipt, shown
from dora_pipeline.intake.web.bodies import Body, ListAttributes
from dora_pipeline.intake.web.limits import body_of
from dora_pipeline.intake.web.monitoring import Metrics
from dora_pipeline.intake.web.refusals import Refusal, failure, unknown
from dora_pipeline.intake.web.wire import WireError, json_object

# A search may hold a connection of the store for long; writing needs one too.
_MOST_SEARCHES = 2
# For a search that others let through late.
LEAST_SEARCH_SECONDS = 1.0

AnyBody = TypeVar("AnyBody", bound=Body)
Answered = TypeVar("Answered")


@dataclass
class Intake:
    """What a worker works with."""

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

    async def tell(
        self, event_type: EventType, attributes: Mapping[str, Any], event_id: str | None = None
    ) -> StoredEvent:
        """The event after this telling, once it is on disk. Raises WireError for what cannot be stored."""
        try:
            told = await asyncio.wrap_future(self.committer.submit(event_type, attributes, event_id))
        except ValueError as error:
            raise WireError([str(error)]) from error
        self.metrics.count_event(event_type)
        return told


def intake_of(request: Request) -> Intake:
    """The parts of the worker that answers."""
    intake: Intake = request.app.state.intake
    return intake


async def admit_sender(request: Request) -> None:
    """Raises Refusal for a request without a right API key."""
    intake_of(request).door.admit_sender(request)


async def admit_reader(request: Request) -> None:
    """Raises Refusal for a request without a right API key and application key."""
    intake_of(request).door.admit_reader(request)


async def body_as(model: type[AnyBody], request: Request) -> AnyBody:
    """The body of a request. Raises Refusal or WireError, with every mistake, where it is not as the model says."""
    return model.of(json_object(await body_of(request)))


async def in_thread(call: Callable[..., Answered], *arguments: object, **named: object) -> Answered:
    """What a call of the store gives, without holding up other requests."""
    return await run_in_threadpool(call, *arguments, **named)


async def tell(request: Request, event_type: EventType, attributes: Mapping[str, Any]) -> Answer:
    """The receipt of an event that is on disk."""
    return Answer(receipt(await intake_of(request).tell(event_type, attributes)))


async def listing(request: Request, event_type: EventType, wanted: ListAttributes) -> Answer:
    """The events that a search finds, newest first unless it says otherwise."""
    events = await searched(
        request,
        intake_of(request).store.search,
        event_type,
        first=wanted.from_,
        last=wanted.to,
        query=wanted.query or "",
        sort=wanted.sort.removeprefix("-"),
        descending=wanted.sort.startswith("-"),
        limit=wanted.limit,
    )
    return Answer({"data": [shown(event) for event in events]})


async def searched(request: Request, call: Callable[..., Answered], *arguments: object, **named: object) -> Answered:
    """What a search of the store gives. Raises Refusal where too many others are under way, or where it takes too long.

    Waiting for others takes from its time.
    """
    searching = intake_of(request).searching
    began = monotonic()
    try:
        async with asyncio.timeout(SEARCH_SECONDS):
            await searching.acquire()
    except TimeoutError:
        message = "Too many searches are under way. Try again"
        raise Refusal(503, failure(message), {"Retry-After": str(max(1, round(SEARCH_SECONDS)))}) from None
    try:
        left = max(LEAST_SEARCH_SECONDS, SEARCH_SECONDS - (monotonic() - began))
        return await in_thread(call, *arguments, seconds=left, **named)
    except SearchTooLong:
        message = f"The search took more than {SEARCH_SECONDS:g} seconds; ask for fewer days, or for whole names"
        raise Refusal(504, failure(message)) from None
    finally:
        searching.release()


async def fetched(request: Request, event_type: EventType, event_id: str) -> StoredEvent:
    """An event. Raises Refusal where there is none."""
    event = await in_thread(intake_of(request).store.get, event_type, event_id)
    if event is None:
        raise unknown(event_type, event_id)
    return event


async def deleted(request: Request, event_type: EventType, event_id: str) -> Response:
    """An empty answer, once the deletion is on disk. Raises Refusal where there is no such event."""
    if not await in_thread(intake_of(request).store.delete, event_type, event_id):
        raise unknown(event_type, event_id)
    return Response(status_code=202)
