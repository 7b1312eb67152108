"""Instants of many records at once: each form of a time, what is wrong with a time, and the days of a zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from dora_pipeline.sources.apm.instants import REASONS, day_numbers, in_range, instants
from dora_pipeline.timeline import epoch_microseconds

MODIFIED = datetime(2026, 3, 2, tzinfo=UTC)
# 2026-03-01T10:00:00Z
SECONDS = 1_772_359_200
AT = SECONDS * 10**6


def read(times: pa.Array) -> list[tuple[int, str]]:
    at, reasons = instants(times, MODIFIED)
    return [(int(moment), REASONS[reason]) for moment, reason in zip(at, reasons, strict=True)]


@pytest.mark.parametrize(
    "times",
    [
        pa.array([SECONDS, SECONDS * 10**3, SECONDS * 10**6, SECONDS * 10**9]),
        pa.array([float(SECONDS), SECONDS * 1e3]),
        pa.array([str(SECONDS), f"{SECONDS}000"]),
        pa.array(["2026-03-01T10:00:00Z", "2026-03-01T11:00:00+01:00", "2026-03-01 10:00:00.000000Z"]),
        pa.array(["2026-03-01t10:00:00z", str(SECONDS)]),
        pa.array([datetime(2026, 3, 1, 10, tzinfo=UTC)]),
        pa.array(["2026-03-01T10:00:00Z"] * 2).dictionary_encode(),
    ],
    ids=["whole numbers", "fractions", "numbers as text", "ISO", "mixed texts", "timestamps", "dictionary"],
)
def test_every_form_of_a_time_is_the_same_instant(times: pa.Array) -> None:
    assert read(times) == [(AT, "")] * len(times)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "time_missing"),
        (None, "time_missing"),
        ("yesterday", "time_unreadable"),
        ("2026-03-01T10:00:00", "time_without_zone"),
        ("1999-12-31T23:59:59Z", "time_out_of_range"),
        ("2026-03-02T00:05:00.000001Z", "time_in_future"),
        ("2026-03-02T00:05:00Z", ""),
    ],
)
def test_what_is_wrong_with_a_time_has_a_name(value: str | None, reason: str) -> None:
    assert [found for _, found in read(pa.array([value], pa.string()))] == [reason]


def test_the_years_of_events_are_2000_to_2199() -> None:
    ends = [datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)]
    at = np.array([epoch_microseconds(end) + shift for end in ends for shift in (-1, 0)], np.int64)
    assert in_range(at).tolist() == [False, True, True, False]


def test_days_are_those_of_the_zone_where_clocks_change() -> None:
    # In Berlin 29 March 2026 lasts from 23:00 UTC to 22:00 UTC.
    moments = [datetime(2026, 3, day, hour, 59, tzinfo=UTC) for day, hour in ((28, 22), (28, 23), (29, 21), (29, 22))]
    at = np.array([epoch_microseconds(moment) for moment in moments], np.int64)
    day = (datetime(2026, 3, 28) - datetime(1970, 1, 1)).days
    assert day_numbers(at, ZoneInfo("Europe/Berlin")).tolist() == [day, day + 1, day + 1, day + 2]
