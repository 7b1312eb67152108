"""Answers that refuse a request, in the two shapes of Datadog's wire.

400 and 404 of an event are errors of JSON:API, a list of objects; all others are a list of texts.
"""

from collections.abc import Iterable, Mapping

BAD_REQUEST = 400
NOT_FOUND = 404
_TITLES = {BAD_REQUEST: "Bad Request", NOT_FOUND: "Not Found"}


class Refusal(Exception):
    """Ends a request with an answer; neither `body` nor `headers` hold a secret."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.body: dict[str, list[str] | list[dict[str, str]]] = {"errors": [message]}
        self.headers = headers


class WrongRequest(Refusal):
    """400, or 404 for an event that is not there: an error for each mistake."""

    def __init__(self, mistakes: Iterable[str], status: int = BAD_REQUEST) -> None:
        details = list(mistakes)
        super().__init__(status, "; ".join(details))
        self.body = {"errors": [{"status": str(status), "title": _TITLES[status], "detail": text} for text in details]}


def unknown(event_type: str, event_id: str) -> WrongRequest:
    """There is no such event."""
    return WrongRequest([f'there is no {event_type} "{event_id[:128]}"'], NOT_FOUND)
