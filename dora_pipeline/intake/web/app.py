"""The ASGI app of the intake, as one worker runs it."""

import asyncio
import logging
import multiprocessing
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from dora_pipeline.config import Home
from dora_pipeline.errors import DoraError
from dora_pipeline.intake.store import EventStore
from dora_pipeline.intake.store.committer import Committer
from dora_pipeline.intake.store.search import QueryError
from dora_pipeline.intake.web import deliveries, deployments, failures, monitoring
from dora_pipeline.intake.web.access import Door, Keys
from dora_pipeline.intake.web.answers import Answer
from dora_pipeline.intake.web.certificates import Certificate, Tls
from dora_pipeline.intake.web.connections import Connections, connection_limit
from dora_pipeline.intake.web.document import document
from dora_pipeline.intake.web.monitoring import Metrics, Monitor
from dora_pipeline.intake.web.operations import Intake
from dora_pipeline.intake.web.refusals import BAD_REQUEST, Refusal, failure, mistakes
from dora_pipeline.intake.web.wire import WireError

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


def make_app(settings: IntakeSettings) -> FastAPI:
    """The app; it opens the store of the home when it starts, and finishes what was accepted when it stops."""
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Connections]]:
        certificate = Certificate(settings.tls) if settings.tls else None
        connections = Connections(connection_limit(), certificate)
        with EventStore.at(Home(settings.home)) as store:
            committer = Committer(store)
            door = Door(settings.keys, settings.requests_per_minute)
            app.state.intake = Intake(store, committer, door, metrics, settings.webhook_secrets)
            _end_with_parent()
            watching = _follow(certificate)
            try:
                # The server gives it to each connection.
                yield {"connections": connections}
            finally:
                if watching is not None:
                    watching.cancel()
                await asyncio.to_thread(committer.close)

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for module in (deployments, failures, deliveries, monitoring):
        app.include_router(module.router)
    _serve_document(app, settings)
    for error, handler in _HANDLERS.items():
        app.add_exception_handler(error, handler)
    app.add_middleware(Monitor, metrics=metrics)
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


def _serve_document(app: FastAPI, settings: IntakeSettings) -> None:
    told = document(app, is_open=settings.keys.is_empty)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        """The OpenAPI document."""
        return JSONResponse(told)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return Answer(error.body, error.status, error.headers)


async def _wrong(_request: Request, error: Exception) -> Response:
    told = error.mistakes if isinstance(error, WireError) else [f'attribute "query": {error}']
    return Answer(mistakes(told), BAD_REQUEST)


async def _unavailable(_request: Request, error: Exception) -> Response:
    _log.error("%s", error)
    message = "The event store does not answer; nothing was stored. Try again"
    return Answer(failure(message), 503, {"Retry-After": _RETRY_SECONDS})


async def _no_route(_request: Request, _error: Exception) -> Response:
    # A method that a path does not have is not found either, as at Datadog.
    return Answer(failure("Not found"), 404)


async def _gone(_request: Request, _error: Exception) -> Response:
    # Nobody is there to read it; the status is for the log.
    return Response(status_code=BAD_REQUEST)


async def _failed(_request: Request, _error: Exception) -> Response:
    return Answer(failure("Internal error"), 500)


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    Refusal: _refused,
    WireError: _wrong,
    QueryError: _wrong,
    DoraError: _unavailable,
    HTTPException: _no_route,
    ClientDisconnect: _gone,
    Exception: _failed,
}
