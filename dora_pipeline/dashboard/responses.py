"""Responses, with the headers that all have."""

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dora_pipeline.report.page import Page, message_page

_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def html(page: Page, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A page."""
    policy = {"Content-Security-Policy": page.policy}
    return HTMLResponse(page.html, status, {**policy, **(headers or {})})


def message(
    status: int, title: str, text: str, links: Sequence[tuple[str, str]] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """A page that says why there is no other one."""
    return html(message_page(title, text, links), status, headers)


def redirection(address: str) -> Response:
    """To another address of the dashboard."""
    return RedirectResponse(address, 302)


def with_common_headers(response: Response) -> Response:
    """The response with the headers that all have, where it has no others of the name."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def unchanged(request: Request, tag: str) -> Response | None:
    """That the reader has the page of this tag already, where it says so."""
    known = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    return Response(status_code=304, headers={"ETag": tag}) if tag in known else None
