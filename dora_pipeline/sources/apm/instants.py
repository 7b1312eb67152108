"""Instants of many records at once, by the rules of `timeline.instant`, and the days that they are of.

Values of one form are converted together; the odd ones are looked at one by one.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dora_pipeline.timeline import (
    EPOCH,
    EPOCH_UNITS,
    FUTURE_TOLERANCE,
    NEWEST_INSTANT,
    OLDEST_INSTANT,
    InstantError,
    day_of,
    epoch_microseconds,
    instant,
    start_of,
)

# What can be wrong with a time; 0 means nothing.
REASONS = ("", "time_missing", "time_unreadable", "time_without_zone", "time_out_of_range", "time_in_future")
_MISSING, _UNREADABLE, _NAIVE, _OUT_OF_RANGE, _FUTURE = range(1, 6)

_EPOCH_TEXT = r"^-?[0-9]{1,18}$"
_ISO = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$"
_PER_MICROSECOND = {"s": 10**6, "ms": 10**3, "us": 1}

# So many days are found sooner by comparing with each than by a search for each instant.
_FEW_DAYS = 4

Microseconds = npt.NDArray[np.int64]
Reasons = npt.NDArray[np.uint8]


def instants(times: pa.Array, modified_at: datetime) -> tuple[Microseconds, Reasons]:
    """Microseconds since 1970 of each value, and for each what is wrong with it (its place in REASONS).

    A time more than the tolerance after `modified_at` is in the future: a file cannot tell what is yet to come.
    """
    if pa.types.is_dictionary(times.type):
        times = times.dictionary_decode()
    at, reasons = _converted(times)
    newest = epoch_microseconds(modified_at + FUTURE_TOLERANCE)
    # Most often all are fine, which their extremes tell sooner.
    if len(at) and not (in_range(at[[at.argmin(), at.argmax()]]).all() and at.max() <= newest):
        fine = reasons == 0
        inside = in_range(at)
        reasons[fine & ~inside] = _OUT_OF_RANGE
        reasons[fine & inside & (at > newest)] = _FUTURE
    if times.null_count:
        reasons[times.is_null().to_numpy(zero_copy_only=False)] = _MISSING
    return at, reasons


def _converted(times: pa.Array) -> tuple[Microseconds, Reasons]:
    kind = times.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _from_texts(times)
    reasons = np.zeros(len(times), np.uint8)
    if pa.types.is_timestamp(kind):
        if kind.tz is None:
            reasons[:] = _NAIVE
        return _from_timestamps(times), reasons
    if pa.types.is_decimal(kind):
        return _from_texts(times.cast(pa.string()))
    if pa.types.is_integer(kind):
        small = pc.min_element_wise(times, pa.scalar((1 << 63) - 1, kind)) if kind == pa.uint64() else times
        return _from_epochs(small.cast(pa.int64()).fill_null(0).to_numpy()), reasons
    if pa.types.is_floating(kind):
        numbers = times.cast(pa.float64()).fill_null(0).to_numpy()
        return _from_fractions(numbers), np.where(np.isnan(numbers), _UNREADABLE, reasons).astype(np.uint8)
    reasons[:] = _NAIVE if pa.types.is_date(kind) else _UNREADABLE
    return np.zeros(len(times), np.int64), reasons


def _from_timestamps(times: pa.Array) -> Microseconds:
    numbers: Microseconds = times.cast(pa.int64()).fill_null(0).to_numpy()
    return numbers // 1000 if times.type.unit == "ns" else _scaled(numbers, _PER_MICROSECOND[times.type.unit])


def _scaled(numbers: Microseconds, factor: int) -> Microseconds:
    limit = np.iinfo(np.int64).max // factor
    return np.clip(numbers, -limit, limit) * factor


def _from_epochs(numbers: Microseconds) -> Microseconds:
    size = np.abs(np.maximum(numbers, -np.iinfo(np.int64).max))
    units = [size < limit for limit, _ in EPOCH_UNITS]
    return np.select(units, [_scaled(numbers, factor) for _, factor in EPOCH_UNITS], numbers // 1000)


def _from_fractions(numbers: npt.NDArray[np.float64]) -> Microseconds:
    size = np.abs(numbers)
    units = [size < limit for limit, _ in EPOCH_UNITS]
    # The greatest whole number of 64 bits that is one of these.
    limit = float((1 << 63) - 1024)
    with np.errstate(over="ignore"):
        scaled = np.select(units, [numbers * factor for _, factor in EPOCH_UNITS], 0)
    whole = np.clip(np.nan_to_num(numbers, posinf=limit, neginf=-limit), -limit, limit).astype(np.int64)
    return np.where(size < EPOCH_UNITS[-1][0], scaled.astype(np.int64), whole // 1000)


def _from_texts(times: pa.Array) -> tuple[Microseconds, Reasons]:
    try:
        return _from_iso(times), np.zeros(len(times), np.uint8)
    except pa.ArrowInvalid:
        return _from_mixed_texts(times)


def _from_iso(times: pa.Array) -> Microseconds:
    return _from_timestamps(pc.cast(times, pa.timestamp("ns", "UTC")))


def _from_mixed_texts(times: pa.Array) -> tuple[Microseconds, Reasons]:
    at, reasons = np.zeros(len(times), np.int64), np.zeros(len(times), np.uint8)
    usual = _matches(times, _ISO)
    try:
        at[usual] = _from_iso(times.filter(pa.array(usual)))
    except pa.ArrowInvalid:
        usual[:] = False
    epochs = _matches(times, _EPOCH_TEXT)
    at[epochs] = _from_epochs(times.filter(pa.array(epochs)).cast(pa.int64()).to_numpy())
    rest = ~(usual | epochs)
    odd = times.filter(pa.array(rest)).dictionary_encode()
    values = [_from_odd_text(text) for text in odd.dictionary.to_pylist()]
    table = np.array([*values, (0, _MISSING)], np.int64)[odd.indices.fill_null(len(values)).to_numpy()]
    at[rest], reasons[rest] = table[:, 0], table[:, 1]
    return at, reasons


def _matches(times: pa.Array, pattern: str) -> npt.NDArray[np.bool_]:
    found = pc.match_substring_regex(times, pattern).fill_null(False).to_numpy(zero_copy_only=False)
    return np.array(found)


def _from_odd_text(text: str) -> tuple[int, int]:
    try:
        return epoch_microseconds(instant(text)), 0
    except InstantError as error:
        return 0, REASONS.index(error.reason) if text.strip() else _MISSING


def in_range(at: Microseconds) -> npt.NDArray[np.bool_]:
    """Which moments are of the years in which events can be."""
    return (at >= epoch_microseconds(OLDEST_INSTANT)) & (at < epoch_microseconds(NEWEST_INSTANT))


def day_numbers(at: Microseconds, zone: ZoneInfo) -> npt.NDArray[np.int64]:
    """The calendar day of each instant in the zone, in days since 1970-01-01."""
    if not len(at):
        return np.zeros(0, np.int64)
    first, last = (_day(int(moment), zone) for moment in (at.min(), at.max()))
    starts = [_start(day, zone) for day in range(first + 1, last + 1)]
    if len(starts) < _FEW_DAYS:
        return sum(((at >= start).astype(np.int64) for start in starts), np.full(len(at), first, np.int64))
    return first + np.searchsorted(np.array(starts, np.int64), at, side="right")


def _day(moment: int, zone: ZoneInfo) -> int:
    return (day_of(EPOCH + timedelta(microseconds=moment), zone) - EPOCH.date()).days


@lru_cache(maxsize=100_000)
def _start(day: int, zone: ZoneInfo) -> int:
    return epoch_microseconds(start_of(EPOCH.date() + timedelta(days=day), zone))
