"""One request and its answer over a `requests` session, with faults as values.

Nothing of requests' own errors is kept: they hold headers and addresses.
"""

import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3

from dora_pipeline.sources.http.answers import BodyTooLarge, read_body

# urllib3 logs header lines that it cannot read, and a server may echo our secrets in them.
logging.getLogger("urllib3.connection").addFilter(lambda record: "parse headers" not in str(record.msg))

# What OpenSSL says, by its version, of an answer that is no TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")


@dataclass(frozen=True)
class Answer:
    """A whole answer, whatever it says."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Fault:
    """Why there is no usable answer; `asked` is the wait in seconds that the server asks for."""

    reason: str
    status: int | None = None
    asked: float | None = None
    lasts: bool = False


class TimeIsUp(Exception):
    """The time of the run is over while an answer is still coming in."""


class Session(requests.Session):
    """A session that knows no redirects: requests reads the body of one without bounds, even if it is not followed."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None."""
        return None


def exchanged(
    session: Session,
    method: str,
    url: str,
    *,
    params: dict[str, Any],
    body: Mapping[str, Any] | None,
    timeout: tuple[float, float],
    authority: str | None,
    check_time: Callable[[], None],
) -> Answer | Fault:
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
        return Fault(f"no connection within {timeout[0]:.0f} s")
    except requests.exceptions.ReadTimeout:
        return Fault(silence)
    except requests.exceptions.ProxyError:
        return Fault("the proxy that the environment names does not let us through")
    except ValueError:
        return Fault("the address of the API, that of the proxy or a secret is malformed; correct it", lasts=True)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return _lost(error, authority)
    try:
        with response:
            return Answer(response.status_code, response.headers, read_body(response, check_time))
    except TimeIsUp:
        return Fault("the answer was still coming in")
    except BodyTooLarge:
        return Fault("the answer is larger than 64 MiB", lasts=True)
    except urllib3.exceptions.TimeoutError:
        return Fault(silence)
    except (urllib3.exceptions.HTTPError, OSError, ValueError):
        return Fault("the answer was cut or broken on the way")


def _lost(error: BaseException, authority: str | None) -> Fault:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            advice = f"see {authority}" if authority else "name your authority in REQUESTS_CA_BUNDLE"
            return Fault(f"the certificate is not trusted ({cause.verify_message}); {advice}", lasts=True)
        if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
            return Fault(
                "the server does not speak TLS there; write http:// in place of https://, or have it serve TLS",
                lasts=True,
            )
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            return Fault(f"no connection ({cause.strerror})")
        cause = cause.__cause__ or cause.__context__
    return Fault("the connection was lost")
