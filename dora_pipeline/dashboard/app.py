"""The ASGI app of the dashboard: its routes, whom it answers, and what it says where it cannot."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from dora_pipeline.config import Home
from dora_pipeline.dashboard import answers, data, event_pages, explanations, monitoring, names, quality
from dora_pipeline.dashboard.publications import Publications, TooBusy
from dora_pipeline.dashboard.responses import message, with_common_headers
from dora_pipeline.errors import DoraError
from dora_pipeline.identifiers import without_secrets
from dora_pipeline.intake.web.crowding import Connections, connection_limit
from dora_pipeline.report.answer import UnknownName
from dora_pipeline.report.question import WrongQuestion

_log = logging.getLogger("dora_pipeline.dashboard")
# A module with its routes for each kind of page.
_ROUTES = [
    *answers.ROUTES,
    *explanations.ROUTES,
    *event_pages.ROUTES,
    *data.ROUTES,
    *quality.ROUTES,
    *monitoring.ROUTES,
    *names.ROUTES,
]


def dashboard_app(home: Home, names_of_host: Iterable[str] = ()) -> Starlette:
    """The app; it answers requests that name an address, `localhost` or one of the names as its host."""
    allowed = {"localhost", *(name.lower() for name in names_of_host)}

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Connections]]:
        app.state.home = home
        app.state.publications = publications = Publications(home)
        ready = asyncio.create_task(publications.keep_ready(answers.answer_first))
        try:
            # The server gives it to each connection.
            yield {"connections": Connections(connection_limit(), None)}
        finally:
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)
            publications.close()

    async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
        if not _is_ours(request.headers.get("host", ""), allowed):
            text = "This name is not one of the dashboard's; `dora dashboard --allow-host NAME` makes it one."
            return with_common_headers(message(421, "Another host", text))
        return with_common_headers(await call_next(request))

    app = Starlette(
        routes=_ROUTES,
        exception_handlers=_HANDLERS,
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def _is_ours(host: str, allowed: set[str]) -> bool:
    """Whether no other site's name stands for our address, as where a browser was lured into asking us (rebinding)."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name.lower() in allowed:
        return True
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, UnknownName)
    asked = request.query_params.multi_items()
    links = [(name, f"{request.url.path}?{_with(asked, error.parameter, name)}") for name in error.near]
    return message(404, "Nothing of that name", f"{error.unknown}{'; there is' if links else ''}", links)


def _with(asked: Iterable[tuple[str, str]], parameter: str, value: str) -> str:
    return urlencode([(name, value if name == parameter else text) for name, text in asked])


async def _wrong(_request: Request, error: Exception) -> Response:
    return message(400, "This cannot be asked", str(error))


async def _busy(_request: Request, error: Exception) -> Response:
    return message(503, "Not now", str(error), headers={"Retry-After": "5"})


async def _unavailable(_request: Request, error: Exception) -> Response:
    text = without_secrets(str(error))
    _log.error("%s", text)
    return message(503, "There is nothing to show", text, headers={"Retry-After": "5"})


async def _no_page(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return message(405, "Only reading", "The dashboard only shows; it takes GET and HEAD.", headers=error.headers)
    return message(error.status_code, "No such page", "There is no page at this address.")


async def _failed(_request: Request, error: Exception) -> Response:
    _log.error("%s: %s", type(error).__name__, without_secrets(str(error)))
    return with_common_headers(message(500, "A fault of the dashboard", "Its log says what happened."))


_HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    UnknownName: _unknown,
    WrongQuestion: _wrong,
    TooBusy: _busy,
    DoraError: _unavailable,
    HTTPException: _no_page,
    Exception: _failed,
}
