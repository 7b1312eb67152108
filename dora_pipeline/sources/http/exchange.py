"""One request and its answer over a `requests` session, with faults as values; bodies, read within bounds.

Nothing of requests' own errors is kept: they hold headers and addresses.
"""

import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3

from dora_pipeline.json_values import lax_json_value

# urllib3 logs header lines that it cannot read, and a server may echo our secrets in them.
logging.getLogger("urllib3.connection").addFilter(lambda record: "parse headers" not in str(record.msg))

# What OpenSSL says, by its version, of an answer that is no TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")

_LARGEST_BODY = 64 * 1024 * 1024

_PIECE = 64 * 1024
_WORDS = ("message", "detail", "title", "error", "errors", "error_description")


@dataclass(frozen=True)
class Response:
    """A whole answer, whatever it says."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class FailedAttempt:
    """Why there is no usable answer; `asked` is the wait in seconds that the server asks for."""

    reason: str
    status: int | None = None
    asked: float | None = None
    lasts: bool = False


class _BodyTooLarge(Exception):
    """The body is larger than any answer can be."""


class TimeIsUp(Exception):
    """The time of the run is over while an answer is still coming in."""


class PlainSession(requests.Session):
    """A session that knows no redirects: requests reads the body of one without bounds, even if it is not followed."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None."""
        return None


def exchanged(
    session: PlainSession,
    method: str,
    url: str,
    *,
    params: dict[str, Any],
    body: Mapping[str, Any] | None,
    timeout: tuple[float, float],
    authority: str | None,
    check_time: Callable[[], None],
) -> Response | FailedAttempt:
    """The answer to a request, or why there is none. `check_time` may raise TimeIsUp while the body comes in.

    `authority` is a file of certificates to trust; without one, those of the environment or of the package certifi.
    """
    silence = f"nothing came for {timeout[1]:.0f} s"
    try:
        response = session.request(
            method,
            url,
            params=params,
            json=body,
            timeout=timeout,
            verify=authority,
            stream=True,
            allow_redirects=False,
        )
    except requests.exceptions.ConnectTimeout:
        return FailedAttempt(f"no connection within {timeout[0]:.0f} s")
    except requests.exceptions.ReadTimeout:
        return FailedAttempt(silence)
    except requests.exceptions.ProxyError:
        return FailedAttempt("the proxy that the environment names does not let us through")
    except ValueError:
        reason = "the address of the API, that of the proxy or a secret is malformed; correct it"
        return FailedAttempt(reason, lasts=True)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return _lost(error, authority)
    try:
        with response:
            return Response(response.status_code, response.headers, _read_body(response, check_time))
    except TimeIsUp:
        return FailedAttempt(f"the answer, HTTP {response.status_code}, was still coming in")
    except _BodyTooLarge:
        return FailedAttempt("the answer is larger than 64 MiB", lasts=True)
    except urllib3.exceptions.TimeoutError:
        return FailedAttempt(silence)
    except (urllib3.exceptions.HTTPError, OSError, ValueError):
        return FailedAttempt("the answer was cut or broken on the way")


def _lost(error: BaseException, authority: str | None) -> FailedAttempt:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            advice = f"see {authority}" if authority else "name your authority in REQUESTS_CA_BUNDLE"
            return FailedAttempt(f"the certificate is not trusted ({cause.verify_message}); {advice}", lasts=True)
        if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
            return FailedAttempt(
                "the server does not speak TLS there; write http:// in place of https://, or have it serve TLS",
                lasts=True,
            )
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            return FailedAttempt(f"no connection ({cause.strerror})")
        cause = cause.__cause__ or cause.__context__
    return FailedAttempt("the connection was lost")


def _read_body(response: requests.Response, check_time: Callable[[], None]) -> bytes:
    """The decoded body; `check_time` is called at each piece that arrives, and may raise.

    Raises _BodyTooLarge above 64 MiB, and urllib3's errors where it is cut or broken.
    """
    body = bytearray()
    # `read1` gives what has arrived; `read` and `iter_content` would wait until a whole piece is there.
    while piece := response.raw.read1(_PIECE, decode_content=True):
        body += piece
        if len(body) > _LARGEST_BODY:
            raise _BodyTooLarge
        check_time()
    return bytes(body)


def is_html(body: bytes) -> bool:
    """Whether it is a page for people, as proxies and sign-in walls send."""
    return body.lstrip()[:1] == b"<"


def complaint(body: bytes) -> tuple[str, int | None]:
    """What the vendor says is wrong, and its code: `error` or `errors` as object, list or text, or neither."""
    try:
        answer = lax_json_value(body)
    except ValueError:
        text = "an HTML page" if is_html(body) else body.decode("utf-8", "replace")
        return text.strip() or "no reason given", None
    code = _code(answer)
    texts = list(dict.fromkeys(_texts(answer)))
    return "; ".join(texts) or "no reason given", code


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value[:10]:
            yield from _texts(item)
    elif isinstance(value, dict):
        for word in _WORDS:
            yield from _texts(value.get(word))


def _code(answer: Any) -> int | None:
    error = answer.get("error") if isinstance(answer, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if type(code) is int else None
