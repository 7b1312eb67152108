"""Limits of requests: how many a minute, and how large and slow a body may be.

Counts are those of one process. What does not belong here: who may ask at all.
"""

import asyncio
import math
import time
import zlib
from collections import OrderedDict

from starlette.requests import ClientDisconnect, Request

from dora_pipeline.intake.web.refusals import Refusal, WrongRequest
from dora_pipeline.intake.web.wire import LARGEST_BODY

BODY_SECONDS = 30
_MOST_BUCKETS = 10_000
_JSON_TYPES = ("application/json", "application/vnd.api+json")
_ANY_ZLIB = 47


class Allowances:
    """A token bucket for each name: `per_minute` at once, refilled evenly; 0 is no limit.

    The names used least lately are forgotten beyond 10,000, so that strangers cannot fill the memory.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> float:
        """0 where there was one to take, else the seconds until there is."""
        if not self.per_minute:
            return 0.0
        now = time.monotonic()
        left, since = self._buckets.pop(name, (float(self.per_minute), now))
        left = min(float(self.per_minute), left + (now - since) * self.per_minute / 60)
        is_allowed = left >= 1
        self._buckets[name] = (left - 1 if is_allowed else left, now)
        if len(self._buckets) > _MOST_BUCKETS:
            self._buckets.popitem(last=False)
        return 0.0 if is_allowed else (1 - left) * 60 / self.per_minute

    def refusal(self, wait: float, message: str) -> Refusal:
        """The answer 429, with the headers that Datadog's clients read."""
        seconds = str(max(1, math.ceil(wait)))
        headers = {
            "Retry-After": seconds,
            "X-RateLimit-Limit": str(self.per_minute),
            "X-RateLimit-Period": "60",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": seconds,
        }
        return Refusal(429, message, headers)


async def body_of(request: Request) -> bytes:
    """The body, unpacked. Raises Refusal for another type, above 1 MiB as sent or unpacked, and after 30 seconds."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in _JSON_TYPES:
        raise Refusal(415, "Content-Type must be application/json")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "deflate"):
        raise Refusal(415, "Content-Encoding must be gzip or deflate, or none")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            sent = await _sent(request)
    except TimeoutError:
        message = f"the body did not arrive within {BODY_SECONDS} seconds"
        raise Refusal(408, message, {"Connection": "close"}) from None
    return sent if encoding == "identity" else _unpacked(sent, encoding)


async def _sent(request: Request) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > LARGEST_BODY:
        raise _too_large()
    body = b""
    is_whole = False
    while not is_whole:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message["body"]
        is_whole = not message["more_body"]
        if len(body) > LARGEST_BODY:
            raise _too_large()
    return body


def _unpacked(sent: bytes, encoding: str) -> bytes:
    # Some clients send deflate without the header of zlib, which the first byte tells.
    has_header = encoding == "gzip" or sent[:1] == b"\x78"
    unpacking = zlib.decompressobj(_ANY_ZLIB if has_header else -zlib.MAX_WBITS)
    try:
        body = unpacking.decompress(sent, LARGEST_BODY + 1)
    except zlib.error:
        raise WrongRequest([f"the body is not {encoding}, as Content-Encoding says"]) from None
    if len(body) > LARGEST_BODY:
        raise _too_large()
    if not unpacking.eof or unpacking.unused_data:
        raise WrongRequest([f"the {encoding} of the body is cut, or goes on after its end"])
    return body


def _too_large() -> Refusal:
    return Refusal(413, f"the body is larger than {LARGEST_BODY:,} bytes")
