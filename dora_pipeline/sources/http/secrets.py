"""How requests carry secrets, and how text that came from outside loses them.

An AuthBase is never replaced by `.netrc`, as a header of the session would be.
"""

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote

from requests import PreparedRequest
from requests.auth import AuthBase

from dora_pipeline.identifiers import without_credentials

LONGEST_TEXT = 300


class PagerDutyToken(AuthBase):
    """`Authorization: Token token=…`."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign the request."""
        request.headers["Authorization"] = f"Token token={self._token}"
        return request


class DatadogKeys(AuthBase):
    """`DD-API-KEY`, and `DD-APPLICATION-KEY` where there is one: sending events needs none."""

    def __init__(self, api_key: str, application_key: str | None = None) -> None:
        self._api_key = api_key
        self._application_key = application_key

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign the request."""
        request.headers["DD-API-KEY"] = self._api_key
        if self._application_key is not None:
            request.headers["DD-APPLICATION-KEY"] = self._application_key
        return request


def redaction(secrets: Sequence[str]) -> Callable[[str], str]:
    """A function that gives text of a vendor as one line of at most 300 characters without the secrets."""
    spellings = {spelling for secret in secrets if secret for spelling in (secret, quote(secret, ""))}
    # Hosts come back in lower case.
    planted = re.compile("|".join(map(re.escape, spellings)) or "(?!)", re.IGNORECASE)

    def redacted(text: str) -> str:
        line = "".join(letter if letter.isprintable() else " " for letter in planted.sub("***", text))
        return without_credentials(" ".join(line.split()))[:LONGEST_TEXT]

    return redacted
