"""The ASGI app of the intake, as one worker runs it."""

import asyncio
import logging
import multiprocessing
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dora_pipeline.config import Home
from dora_pipeline.errors import DoraError
from dora_pipeline.intake.store import EventStore
from dora_pipeline.intake.store.committer import Committer
from dora_pipeline.intake.store.search import SearchSyntaxError
from dora_pipeline.intake.web.access import Door, Keys
from dora_pipeline.intake.web.certificates import Certificate, Tls
from dora_pipeline.intake.web.crowding import Connections, connection_limit
from dora_pipeline.intake.web.document import document
from dora_pipeline.intake.web.monitoring import Metrics, Monitor
from dora_pipeline.intake.web.read_model import JsonApiResponse
from dora_pipeline.intake.web.refusals import BAD_REQUEST, Refusal, WrongRequest
from dora_pipeline.intake.web.routes import OPERATIONS
from dora_pipeline.intake.web.wire import WireError
from dora_pipeline.intake.web.worker import Worker

_log = logging.getLogger("dora_pipeline.intake")
_RETRY_SECONDS = "1"


@dataclass(frozen=True)
class IntakeSettings:
    """What a worker needs to know; it travels to worker processes.

    It holds keys as digests only; PagerDuty's secrets are needed in clear. `requests_per_minute` counts for a key and
    worker, 0 is no limit.
    """

    home: Path
    keys: Keys
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    requests_per_minute: int = 0
    tls: Tls | None = None


def intake_app(settings: IntakeSettings) -> Starlette:
    """The app; it opens the store of the home when it starts, and finishes what was accepted when it stops."""
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Connections]]:
        certificate = Certificate(settings.tls) if settings.tls else None
        connections = Connections(connection_limit(), certificate)
        with EventStore.at(Home(settings.home)) as store:
            committer = Committer(store, asyncio.get_running_loop().call_soon_threadsafe)
            door = Door(settings.keys, settings.requests_per_minute)
            app.state.worker = Worker(store, committer, door, metrics, settings.webhook_secrets)
            _end_with_parent()
            watching = _follow(certificate)
            try:
                # The server gives it to each connection.
                yield {"connections": connections}
            finally:
                if watching is not None:
                    watching.cancel()
                await asyncio.to_thread(committer.close)

    described = document(OPERATIONS, is_open=settings.keys.is_empty)

    async def openapi(_request: Request) -> Response:
        return JSONResponse(described)

    routes = [*(operation.route for operation in OPERATIONS), Route("/openapi.json", openapi, methods=["GET"])]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.router.redirect_slashes = False
    app.middleware_stack = Monitor(app.router, metrics, _answer)
    return app


def _end_with_parent() -> None:
    # A worker whose parent was killed would go on and hold the port.
    parent = multiprocessing.parent_process()
    if parent is not None:
        loop = asyncio.get_running_loop()

        def end() -> None:
            loop.remove_reader(parent.sentinel)
            signal.raise_signal(signal.SIGTERM)

        loop.add_reader(parent.sentinel, end)


def _follow(certificate: Certificate | None) -> asyncio.Task[None] | None:
    if certificate is None:
        return None
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, certificate.renew)
    return loop.create_task(certificate.watch())


async def _answer(error: Exception) -> tuple[Response, bool]:
    """The answer to an error, and whether it is one of ours."""
    match error:
        case Refusal():
            refusal = error
        case WireError():
            refusal = WrongRequest(error.mistakes)
        case SearchSyntaxError():
            refusal = WrongRequest([f'attribute "query": {error}'])
        case DoraError():
            _log.error("%s", error)
            message = "The event store does not answer; nothing was stored. Try again"
            refusal = Refusal(503, message, {"Retry-After": _RETRY_SECONDS})
        case HTTPException():
            # A method that a path does not have is not found either, as at Datadog.
            refusal = Refusal(404, "Not found")
        case ClientDisconnect():
            # Nobody is there to read it; the status is for the log.
            return Response(status_code=BAD_REQUEST), False
        case _:
            refusal = Refusal(500, "Internal error")
    is_ours = refusal.status == 500
    return JsonApiResponse(refusal.body, refusal.status, refusal.headers), is_ours
