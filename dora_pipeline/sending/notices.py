"""Notices to a webhook, such as those of Slack, Mattermost or Teams. Its address is a secret."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import requests
import urllib3

from dora_pipeline.errors import DoraError

_SECONDS = 10


class NotDelivered(DoraError):
    """The webhook did not take a notice. The message does not hold its address."""


def post_notice(address: str, notice: Mapping[str, str | None]) -> None:
    """POST a notice as JSON. Raises NotDelivered for any answer but 2xx; redirects are not followed."""
    reason = _reason(address, notice)
    if reason is not None:
        raise NotDelivered(f"the webhook in DORA_FAILURE_WEBHOOK_URL {reason}")


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


def _reason(address: str, notice: Mapping[str, str | None]) -> str | None:
    """Why a notice was not taken. Nothing of the errors of requests is kept: they hold the address."""
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
    return None if answer.ok and not answer.is_redirect else f"answered {answer.status_code}"
