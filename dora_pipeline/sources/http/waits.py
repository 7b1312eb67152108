"""How long to wait before the next request: what the server asks for, and what we choose where it says nothing."""

import random
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

# PagerDuty and Datadog give seconds, GitHub and GitLab epochs.
_LIMITS = ("daily-ratelimit", "ratelimit", "x-ratelimit")
_EPOCH_SECONDS = 1e9
_EPOCH_MILLISECONDS = 1e12
_LONGEST_BACKOFF = 300.0


def asked_wait(status: int, headers: Mapping[str, str]) -> float | None:
    """The seconds that the server of a refused request asks us to wait; None where it does not say.

    `Retry-After` in seconds or as a date comes first, then for a 429 the reset of the limit that is used up.
    """
    asked = headers.get("Retry-After", "").strip()
    seconds = _number(asked)
    if seconds is not None:
        return max(seconds, 0.0)
    try:
        moment = parsedate_to_datetime(asked)
        return max(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - _server_time(headers), 0.0)
    except (ValueError, OverflowError):
        pass
    if status != 429:
        return None
    used_up = limit_wait(headers)
    if used_up is not None:
        return used_up
    return next((wait for name in _LIMITS[1:] if (wait := _reset(headers, name)) is not None), None)


def limit_wait(headers: Mapping[str, str]) -> float | None:
    """The seconds until the reset of a limit that is used up or nearly so: 2 percent or less remain."""
    waits = []
    for name in _LIMITS:
        remaining, reset = _number(headers.get(f"{name}-remaining")), _reset(headers, name)
        limit = _number(headers.get(f"{name}-limit")) or 0.0
        if remaining is not None and reset is not None and remaining <= limit // 50:
            waits.append(reset)
    return max(waits, default=None)


def backoff(status: int | None, attempt: int) -> float:
    """Seconds before attempt number `attempt` + 1, with full jitter: from 1 s on, after a 429 from 15 s on."""
    first = 15.0 if status == 429 else 1.0
    return random.uniform(0, min(first * 2 ** (attempt - 1), _LONGEST_BACKOFF))


def _reset(headers: Mapping[str, str], name: str) -> float | None:
    reset = _number(headers.get(f"{name}-reset"))
    if reset is None:
        return None
    if reset > _EPOCH_MILLISECONDS:
        reset = reset / 1000 - _server_time(headers)
    elif reset > _EPOCH_SECONDS:
        reset -= _server_time(headers)
    return max(reset, 0.0)


def _server_time(headers: Mapping[str, str]) -> float:
    try:
        return parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        return time.time()


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) < 1e15 else None
