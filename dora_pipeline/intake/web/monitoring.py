"""What operators see: a line and a count for each request, and whether the process and its store are well.

Neither holds keys, bodies or query strings, and labels of metrics come from the declared routes only.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from functools import cache

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dora_pipeline.errors import DoraError
from dora_pipeline.intake.store.event import StoredType

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_METHODS = {"GET", "POST", "PATCH", "DELETE"}
_PING_SECONDS = 5.0

ErrorAnswer = Callable[[Exception], Awaitable[tuple[Response, bool]]]

log = logging.getLogger("dora_pipeline.intake")
access_log = logging.getLogger("dora_pipeline.intake.access")


class Metrics:
    """The counts of this process, or of all workers where they share a folder."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "dora_intake_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "dora_intake_request_seconds",
            "Time from the head of a request to its answer.",
            ["route"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )
        self.events = Counter(
            "dora_intake_events", "Events that were told and are on disk.", ["event_type"], registry=self.registry
        )

        # To find the one of some labels costs as much as to count.
        self._count_request = cache(self.requests.labels)
        self._seconds_of = cache(self.seconds.labels)
        self._count_event = cache(self.events.labels)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """One more request was answered."""
        self._count_request(method, route, status).inc()
        self._seconds_of(route).observe(seconds)

    def count_event(self, event_type: StoredType) -> None:
        """One more event is on disk."""
        self._count_event(event_type).inc()

    def text(self) -> bytes:
        """The format of Prometheus."""
        if METRICS_FOLDER not in os.environ:
            return generate_latest(self.registry)
        shared = CollectorRegistry()
        multiprocess.MultiProcessCollector(shared)  # type: ignore[no-untyped-call]  # the library has it untyped
        return generate_latest(shared)


class Monitor:
    """Counts and logs every request on its way through, and answers those that end with an error.

    `answer` makes the answer to an error, and says whether the server has to know of it, too. Starlette would do that
    in layers of its own, which take longer than judging a body.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, answer: ErrorAnswer) -> None:
        self._app = app
        self._metrics = metrics
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is no request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = None

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        except Exception as error:
            if status is not None:
                raise
            response, is_unexpected = await self._answer(error)
            await response(scope, receive, note_status)
            if is_unexpected:
                raise
        finally:
            self._note(scope, status or 500, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.count_request(method, route, status, seconds)
        client = scope["client"][0] if scope.get("client") else "-"
        # The route in place of the path: what a stranger writes there has no place in the log.
        access_log.info("%s %s %s %d %.1f ms", client, method, route, status, seconds * 1000)


async def healthz(_request: Request) -> JSONResponse:
    """Whether the process answers.

    Always 200.
    """
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> JSONResponse:
    """Whether an event could be stored.

    200; or 503 where as much as the last event that failed cannot be written within 5 seconds, with the reason.
    """
    worker = request.app.state.worker
    try:
        async with asyncio.timeout(_PING_SECONDS):
            await asyncio.shield(worker.ping())
    except (DoraError, TimeoutError) as error:
        reason = str(error) or f"the event store does not answer within {_PING_SECONDS:g} s"
        log.warning("not ready: %s", reason)
        # Strangers may ask: neither the address of the store nor what its server says goes to them.
        shown = reason.removeprefix("intake: ").replace(f" {worker.store.address}", "").partition(":")[0]
        return JSONResponse({"status": shown}, 503)
    return JSONResponse({"status": "ok"})


async def metrics(request: Request) -> Response:
    """Metrics for Prometheus.

    Counts of requests and events, and times of requests.
    """
    text = await run_in_threadpool(request.app.state.worker.metrics.text)
    return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})
