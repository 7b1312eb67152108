"""Waiting for what happens in another thread or process."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

# Seconds after which what has not ended hangs, however busy the machine is.
PATIENCE = 600


def eventually(ask: Callable[[], Result | None], what: str, seconds: float = PATIENCE, pause: float = 0.5) -> Result:
    """The first answer that is neither None nor False; asked again after each pause, in seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = ask()
        if answer is not None and answer is not False:
            return answer
        time.sleep(pause)
    raise AssertionError(f"{what}: not within {seconds} s")
