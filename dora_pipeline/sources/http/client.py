"""The HTTP client of one source: a `requests` session with one retry loop around request, body, JSON and envelope.

Errors are raised outside of `except` blocks: those of requests hold headers and addresses, and must not be chained.
"""

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

from requests.auth import AuthBase

from dora_pipeline.errors import ConfigError, SourceRejected, SourceUnavailable
from dora_pipeline.json_values import lax_json_value
from dora_pipeline.sources.http.exchange import (
    FailedAttempt,
    PlainSession,
    Response,
    TimeIsUp,
    complaint,
    exchanged,
    is_html,
)
from dora_pipeline.sources.http.secrets import redaction
from dora_pipeline.sources.http.waits import asked_wait, backoff, limit_wait

Parameters = Mapping[str, str | int | Sequence[str]]
Check = Callable[[Any], str | None]

_SHORTEST_NOTED_WAIT = 5.0


class Refused(SourceRejected):
    """A 4xx that lasts: `status` is the HTTP status, `code` the number that the vendor gives the error."""

    def __init__(self, source: str, message: str, status: int, code: int | None) -> None:
        super().__init__(source, message)
        self.status = status
        self.code = code


class NotFound(Refused):
    """404: the record is not there, or not any more."""


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    params: Parameters
    body: Mapping[str, Any] | None
    check: Check


@dataclass(frozen=True)
class _Value:
    value: Any


class HttpClient:
    """Requests of one source, one after the other, until `deadline_seconds` after it was made.

    `base_url` may have a path. `secrets` are taken out of every text that leaves the client; `note` is told of waits.
    `headers` go with every request; `advice` says by HTTP status which secret or scope to check. `attempts` are those
    of one request; a wait that the server asks for is cut at `maximum_wait_seconds`. `timeout` is that of connecting
    and that of silence, in seconds. `passing` are the 4xx after which a request is sent again; `authority` is a file of
    the certificates to trust in place of the usual ones; `consequence` ends the message of what passes and did not pass
    in time. Raises ConfigError where `base_url` is not an http(s) address.
    """

    def __init__(
        self,
        source: str,
        base_url: str,
        auth: AuthBase,
        *,
        secrets: Sequence[str],
        note: Callable[[str], None],
        headers: Mapping[str, str] | None = None,
        advice: Mapping[int, str] | None = None,
        timeout: tuple[float, float] = (10, 60),
        deadline_seconds: float = 1800,
        attempts: int = 6,
        maximum_wait_seconds: float = 300,
        passing: Collection[int] = (408, 429),
        authority: str | None = None,
        consequence: str = "what was known before is kept; run again later",
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._base = base_url.rstrip("/")
        self._redacted = redaction(secrets)
        self._shown_base = self._redacted(_address(source, self._base))
        self._note = note
        self._advice = advice or {}
        self._timeout = timeout
        self._deadline_seconds = deadline_seconds
        self._attempts = attempts
        self._maximum_wait = maximum_wait_seconds
        self._passing = frozenset(passing)
        self._authority = authority
        self._consequence = consequence
        self._sleep = sleep
        self._clock = clock
        self.renew()
        self._pause_until: float | None = None
        self._answers = 0
        self._session = PlainSession()
        self._session.auth = auth
        self._session.headers.update(
            {"Accept": "application/json", **(headers or {}), "User-Agent": f"dora-pipeline/{version('dora-pipeline')}"}
        )

    def get(self, path: str, params: Parameters | None = None, *, check: Check) -> Any:
        """The JSON that answers a GET of `path`; `check` says what is wrong with it, or None.

        Raises SourceUnavailable when attempts or time are used up, NotFound for a 404, Refused for every other
        lasting 4xx, and SourceRejected for a redirect.
        """
        return self._ask(_Request("GET", path, params or {}, None, check))

    def post(self, path: str, body: Mapping[str, Any], *, check: Check) -> Any:
        """As `get`, for a POST that may come twice: one that only reads, or tells what has an identity."""
        return self._ask(_Request("POST", path, {}, body, check))

    def renew(self) -> None:
        """Start the time until the deadline anew."""
        self._deadline = self._clock() + self._deadline_seconds

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _ask(self, request: _Request) -> Any:
        place = f"{request.method} {self._shown_base}{self._redacted(request.path)}"
        for attempt in count(1):
            self._wait_for_the_limit(place)
            outcome = self._attempt(request, place)
            if isinstance(outcome, _Value):
                self._answers += 1
                return outcome.value
            if outcome.lasts:
                raise SourceRejected(self._source, f"{place}: {outcome.reason}")
            if attempt >= self._attempts:
                raise SourceUnavailable(
                    self._source, f"{place}: {outcome.reason}, tried {attempt} times; {self._consequence}"
                )
            self._wait(self._pause(outcome, attempt, place), place, outcome.reason)

    def _attempt(self, request: _Request, place: str) -> _Value | FailedAttempt:
        left = max(self._deadline - self._clock(), 1.0)
        connecting, silence = self._timeout
        outcome = exchanged(
            self._session,
            request.method,
            self._base + request.path,
            params=dict(request.params),
            body=request.body,
            timeout=(min(connecting, left), min(silence, left)),
            authority=self._authority,
            check_time=self._check_time,
        )
        return self._judged(outcome, request, place) if isinstance(outcome, Response) else outcome

    def _judged(self, answer: Response, request: _Request, place: str) -> _Value | FailedAttempt:
        pause = limit_wait(answer.headers)
        if pause is not None:
            self._pause_until = self._clock() + min(pause, self._maximum_wait)
        status = answer.status
        if status in self._passing or status >= 500:
            said = self._redacted(complaint(answer.body)[0])
            return FailedAttempt(f"HTTP {status}: {said}", status, asked_wait(status, answer.headers))
        if status >= 400:
            self._refuse(answer, place)
        if status >= 300:
            self._refuse_redirect(answer, place)
        try:
            value = lax_json_value(answer.body)
        except ValueError:
            kind = "an HTML page" if is_html(answer.body) else f"{len(answer.body)} bytes of something else"
            return FailedAttempt(f"HTTP {status} with {kind} in place of JSON", status)
        wrong = request.check(value)
        if wrong is not None:
            return FailedAttempt(f"HTTP {status} with an answer that cannot be: {self._redacted(wrong)}", status)
        return _Value(value)

    def _refuse(self, answer: Response, place: str) -> NoReturn:
        said, code = complaint(answer.body)
        message = f"{place}: HTTP {answer.status}: {self._redacted(said)}"
        if answer.status in self._advice:
            message += f"; {self._advice[answer.status]}"
        kind = NotFound if answer.status == 404 else Refused
        raise kind(self._source, message, answer.status, code)

    def _refuse_redirect(self, answer: Response, place: str) -> NoReturn:
        host = _host(self._base, self._redacted(answer.headers.get("Location", "")))
        raise SourceRejected(
            self._source,
            f"{place}: HTTP {answer.status} sends us to {host}; secrets are not sent there: "
            "set the address of the API itself",
        )

    def _pause(self, failed: FailedAttempt, attempt: int, place: str) -> float:
        """Seconds before the next attempt. Raises SourceUnavailable where the server asks for more than there is."""
        chosen = backoff(failed.status if failed.asked is None else None, attempt)
        if failed.asked is None:
            return chosen
        if self._clock() + failed.asked > self._deadline:
            raise SourceUnavailable(
                self._source,
                f"{place}: {failed.reason}; the wait of {failed.asked:.0f} s that it asks for is more than this run "
                f"has left; {self._consequence}",
            )
        return max(min(failed.asked, self._maximum_wait) + random.random(), chosen)

    def _wait_for_the_limit(self, place: str) -> None:
        if self._pause_until is not None:
            seconds, self._pause_until = self._pause_until - self._clock(), None
            if seconds > 0:
                self._wait(seconds, place, "the rate limit is used up")
        if self._clock() >= self._deadline:
            self._give_up(place)

    def _wait(self, seconds: float, place: str, reason: str) -> None:
        if self._clock() + seconds >= self._deadline:
            self._give_up(f"{place}: {reason}")
        if seconds >= _SHORTEST_NOTED_WAIT:
            self._note(f"{self._source}: waits {seconds:.0f} s ({reason})")
        self._sleep(seconds)

    def _check_time(self) -> None:
        if self._clock() >= self._deadline:
            raise TimeIsUp

    def _give_up(self, where: str) -> NoReturn:
        raise SourceUnavailable(
            self._source,
            f"{where}: the {self._deadline_seconds:.0f} s that a run may take are over after {self._answers} answers; "
            f"{self._consequence}",
        )


def _address(source: str, base_url: str) -> str:
    """Scheme, host, port and path, for messages."""
    try:
        parts = urlsplit(base_url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"{source}: the address of its API must be written as https://host; correct api_url")
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _host(base_url: str, location: str) -> str:
    try:
        return urlsplit(urljoin(base_url, location)).hostname or "an unnamed place"
    except ValueError:
        return "an unreadable address"
