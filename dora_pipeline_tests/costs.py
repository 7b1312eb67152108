"""What a call costs, for tests that compare it with another call of the same process."""

from collections.abc import Callable
from time import process_time


def processor_seconds(call: Callable[[], object]) -> float:
    """The least of three calls: a collection of garbage, or another thread, may fall into one of them."""
    return min(_once(call) for _ in range(3))


def _once(call: Callable[[], object]) -> float:
    began = process_time()
    call()
    return process_time() - began
