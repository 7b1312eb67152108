"""Notices to a webhook, such as those of Slack, Mattermost or Teams. Its address is a secret."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import requests
import urllib3

from dora_pipeline.errors import DoraError

_SECONDS = 10


# Answers that the same notice would get again.
_LASTING = (400, 413, 422)


class NotDelivered(DoraError):
    """The webhook did not take a notice. The message does not hold its address.

    `is_lasting`: it never will take this one; others it may.
    """

    def __init__(self, message: str, *, is_lasting: bool) -> None:
        super().__init__(message)
        self.is_lasting = is_lasting


def post_notice(address: str, notice: Mapping[str, str | None]) -> None:
    """POST a notice as JSON. Raises NotDelivered for any answer but 2xx; redirects are not followed."""
    answer = _answer(address, notice)
    if answer not in range(200, 300):
        reason = f"answered {answer}" if isinstance(answer, int) else answer
        raise NotDelivered(f"the webhook in DORA_FAILURE_WEBHOOK_URL {reason}", is_lasting=answer in _LASTING)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep urllib3 from logging the path of the address, as it does at level DEBUG."""
    logger = logging.getLogger("urllib3.connectionpool")
    logger.addFilter(_refusal)
    try:
        yield
    finally:
        logger.removeFilter(_refusal)


def _refusal(record: logging.LogRecord) -> bool:
    return False


def _answer(address: str, notice: Mapping[str, str | None]) -> int | str:
    """The status of the answer, or why there is none. Errors of requests hold the address, and are not kept."""
    try:
        with _unlogged(), requests.Session() as session:
            # `.netrc` would add credentials of its own.
            answer = session.post(
                address, json=notice, timeout=_SECONDS, allow_redirects=False, auth=lambda request: request
            )
    except requests.Timeout:
        return f"did not answer within {_SECONDS} s"
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema):
        return "is not an address; it must begin with https:// or http://"
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError):
        return "cannot be reached"
    return answer.status_code
