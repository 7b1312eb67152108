"""How requests carry secrets. An AuthBase is never replaced by `.netrc`, as a header of the session would be."""

from requests import PreparedRequest
from requests.auth import AuthBase


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
