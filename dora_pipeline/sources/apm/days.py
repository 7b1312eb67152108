"""Calendar days of many instants at once."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from dora_pipeline.sources.apm.instants import Microseconds, microseconds
from dora_pipeline.timeline import day_of, start_of

# So many days are found sooner by comparing with each than by a search for each instant.
_FEW = 4


def day_numbers(at: Microseconds, zone: ZoneInfo) -> npt.NDArray[np.int64]:
    """The calendar day of each instant in the zone, in days since 1970-01-01."""
    if not len(at):
        return np.zeros(0, np.int64)
    first, last = (_day(int(moment), zone) for moment in (at.min(), at.max()))
    starts = [_start(day, zone) for day in range(first + 1, last + 1)]
    if len(starts) < _FEW:
        return sum(((at >= start).astype(np.int64) for start in starts), np.full(len(at), first, np.int64))
    return first + np.searchsorted(np.array(starts, np.int64), at, side="right")


def _day(moment: int, zone: ZoneInfo) -> int:
    return (day_of(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment), zone) - date(1970, 1, 1)).days


@lru_cache(maxsize=100_000)
def _start(day: int, zone: ZoneInfo) -> int:
    return microseconds(start_of(date(1970, 1, 1) + timedelta(days=day), zone))
