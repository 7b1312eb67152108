"""Instants, days and windows of days.

Instants are UTC with microseconds. A day is a calendar day of the configured time zone, so it has 23 or 25
hours where the clocks change. What does not belong here: anything that knows of events or tables.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OLDEST_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)
NEWEST_INSTANT = datetime(2200, 1, 1, tzinfo=UTC)
FUTURE_TOLERANCE = timedelta(minutes=5)

# Upper ends of the magnitudes of epoch numbers: seconds, milliseconds, microseconds, nanoseconds.
EPOCH_UNITS: tuple[tuple[int, int], ...] = ((10**11, 10**6), (10**14, 10**3), (10**17, 1))

_MICROSECOND = timedelta(microseconds=1)
_WEEK = timedelta(weeks=1)
_NUMBER = re.compile(r"-?[0-9]{1,30}(?P<fraction>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")


class InstantError(ValueError):
    """A value that is not an instant; `reason` is the word that `core.rejected_events` shows."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def microseconds(duration: timedelta) -> int:
    """A duration in whole microseconds."""
    return duration // _MICROSECOND


def epoch_microseconds(moment: datetime) -> int:
    """An instant as whole microseconds since 1970."""
    return microseconds(moment - EPOCH)


def instant(value: object) -> datetime:
    """The UTC instant that a value from outside means.

    Numbers (and text that is a number) are seconds, milliseconds, microseconds or nanoseconds since 1970, by
    magnitude; other text is as for `moment_of`. Nanoseconds are cut to microseconds.
    Raises InstantError with reason `time_without_zone` for a naive time, `time_out_of_range` for one before 2000 or
    after 2200, and `time_unreadable` for all else.
    """
    if isinstance(value, datetime):
        moment = _zoned(value, value)
    elif isinstance(value, bool) or value is None:
        raise InstantError("time_unreadable", f"{_shown(value)} is not a time")
    elif isinstance(value, int | float):
        moment = epoch_moment(value)
    else:
        text = str(value).strip()
        number = _NUMBER.fullmatch(text)
        moment = epoch_moment(float(text) if number["fraction"] else int(text)) if number else moment_of(text)
    if not OLDEST_INSTANT <= moment < NEWEST_INSTANT:
        raise _out_of_range(value)
    return moment.astimezone(UTC)


def moment_of(text: str, zone: tzinfo | None = None) -> datetime:
    """The moment, of any year, that a text of RFC 3339 or ISO 8601 means, in letters of any case.

    A naive one is of `zone`; without `zone` InstantError is raised with reason `time_without_zone`, and for all else
    with reason `time_unreadable`.
    """
    try:
        moment = datetime.fromisoformat(re.sub(r"([.,][0-9]{6})[0-9]+", r"\1", text.strip().upper()))
    except (ValueError, OverflowError) as error:
        message = f"{_shown(text)} is not a time; write it as 2024-05-06T07:08:09Z"
        raise InstantError("time_unreadable", message) from error
    return _zoned(moment if moment.tzinfo or zone is None else moment.replace(tzinfo=zone), text)


def _zoned(moment: datetime, value: object) -> datetime:
    if moment.tzinfo is None:
        raise InstantError("time_without_zone", f"{_shown(value)} has no time zone; write it as 2024-05-06T07:08:09Z")
    return moment


def _shown(value: object) -> str:
    return repr(value)[:80]


def _out_of_range(value: object) -> InstantError:
    return InstantError("time_out_of_range", f"{_shown(value)} is not between the years 2000 and 2200")


def epoch_moment(number: int | float) -> datetime:
    """The UTC moment, of any year, of seconds, milliseconds, microseconds or nanoseconds since 1970, by magnitude.

    Raises InstantError with reason `time_out_of_range` where Python has no such time.
    """
    try:
        size = abs(number)
        for limit, unit in EPOCH_UNITS:
            if size < limit:
                return EPOCH + timedelta(microseconds=int(number * unit))
        return EPOCH + timedelta(microseconds=int(number) // 1000)
    except (OverflowError, ValueError) as error:
        raise _out_of_range(number) from error


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """The calendar day of an instant in the zone."""
    return moment.astimezone(zone).date()


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a day, in UTC."""
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


@lru_cache
def day_offsets(zone: ZoneInfo) -> tuple[tuple[date, int], ...]:
    """How many seconds the clocks of a zone are ahead of UTC where days start, oldest first.

    Each number holds for a first day and those after it: from the beginning of time to the year 2200.
    """
    last, end = OLDEST_INSTANT.date() - _WEEK, NEWEST_INSTANT.date()
    offsets = [(date.min, _offset(last, zone))]
    # No zone has changed its clocks twice within a week.
    while last < end:
        if _offset(last + _WEEK, zone) != offsets[-1][1]:
            days = (last + timedelta(number) for number in range(1, 8))
            offsets.append(next((day, found) for day in days if (found := _offset(day, zone)) != offsets[-1][1]))
        last += _WEEK
    return tuple(offsets)


def _offset(day: date, zone: ZoneInfo) -> int:
    ahead = datetime.combine(day, time(), tzinfo=zone).utcoffset() or timedelta()
    return int(ahead.total_seconds())


@dataclass(frozen=True)
class Window:
    """Days from `first` to `last`, both included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"a window cannot end ({self.last}) before it begins ({self.first})")

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.first <= day <= self.last

    def __iter__(self) -> Iterator[date]:
        for offset in range((self.last - self.first).days + 1):
            yield self.first + timedelta(days=offset)

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"
