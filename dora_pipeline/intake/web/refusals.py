"""Answers that refuse a request, in the two shapes of Datadog's wire.

400 and 404 of an event are errors of JSON:API, a list of objects; all others are a list of texts.
"""

from collections.abc import Iterable, Mapping
from typing import Any

BAD_REQUEST = 400
NOT_FOUND = 404
_TITLES = {BAD_REQUEST: "Bad Request", NOT_FOUND: "Not Found"}


class Refusal(Exception):
    """Ends a request with an answer; neither body nor headers hold a secret."""

    def __init__(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.headers = headers


def failure(message: str) -> dict[str, list[str]]:
    """The body of most refusals."""
    return {"errors": [message]}


def mistakes(details: Iterable[str], status: int = BAD_REQUEST) -> dict[str, list[dict[str, str]]]:
    """The body of 400 and 404: an error for each mistake."""
    return {"errors": [{"status": str(status), "title": _TITLES[status], "detail": detail} for detail in details]}


def unknown(event_type: str, event_id: str) -> Refusal:
    """There is no such event."""
    return Refusal(NOT_FOUND, mistakes([f'there is no {event_type} "{event_id[:128]}"'], NOT_FOUND))
