"""Instants, days and windows."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_pipeline.timeline import InstantError, Window, day_of, day_offsets, epoch_moment, instant, start_of

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
    )
]
MOMENT = datetime(2023, 8, 31, 14, 26, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1693491984, MOMENT),
        (1693491984000, MOMENT),
        (1693491984000000, MOMENT),
        (1693491984000000000, MOMENT),
        ("1693491984", MOMENT),
        (" 1693491984000 ", MOMENT),
        (1693491984.25, MOMENT + timedelta(milliseconds=250)),
        (1693491984.123457, MOMENT + timedelta(microseconds=123457)),
        (1693491984123, MOMENT + timedelta(milliseconds=123)),
        (1693491984123456789, MOMENT + timedelta(microseconds=123456)),
        ("2023-08-31T14:26:24Z", MOMENT),
        ("2023-08-31 16:26:24+02:00", MOMENT),
        ("2023-08-31T14:26:24.123456789Z", MOMENT + timedelta(microseconds=123456)),
        ("2023-08-31t14:26:24z", MOMENT),
        ("2023-08-31T14:26:24,5Z", MOMENT + timedelta(milliseconds=500)),
        ("2023-08-31T14:26:24.123456789+0000", MOMENT + timedelta(microseconds=123456)),
        ("1693491984.25", MOMENT + timedelta(milliseconds=250)),
        ("1.693491984e9", MOMENT),
        (datetime(2023, 8, 31, 9, 26, 24, tzinfo=timezone(timedelta(hours=-5))), MOMENT),
    ],
)
def test_a_time_is_read_by_its_magnitude_or_its_offset(value: object, expected: datetime) -> None:
    assert instant(value) == expected
    assert instant(value).tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("2023-08-31T14:26:24", "time_without_zone"),
        ("2023-08-31", "time_without_zone"),
        (datetime(2023, 8, 31), "time_without_zone"),
        (0, "time_out_of_range"),
        (-1693491984, "time_out_of_range"),
        (10**40, "time_out_of_range"),
        (1e300, "time_out_of_range"),
        (float("inf"), "time_out_of_range"),
        (float("nan"), "time_out_of_range"),
        ("1999-12-31T23:59:59Z", "time_out_of_range"),
        ("2200-01-01T00:00:00Z", "time_out_of_range"),
        ("0001-01-01T00:00:00+14:00", "time_out_of_range"),
        ("9999-12-31T23:59:59-14:00", "time_out_of_range"),
        ("55634-05-12T00:00:00Z", "time_unreadable"),
        ("2023-02-30T00:00:00Z", "time_unreadable"),
        ("yesterday", "time_unreadable"),
        ("", "time_unreadable"),
        (None, "time_unreadable"),
        (True, "time_unreadable"),
        ([], "time_unreadable"),
        ("9" * 5000, "time_unreadable"),
        ("1e400", "time_out_of_range"),
        ("+1693491984", "time_unreadable"),
        ("0x64f0a1d0", "time_unreadable"),
        ("\u0661\u0666\u0669\u0663\u0664\u0669\u0661\u0669\u0668\u0664", "time_unreadable"),
        ("2023-08-31T14:26:60Z", "time_unreadable"),
        ("2023-08-31T14:26:24 UTC", "time_unreadable"),
    ],
)
def test_what_is_not_an_instant_has_a_reason_and_a_short_message(value: object, reason: str) -> None:
    with pytest.raises(InstantError) as caught:
        instant(value)
    assert caught.value.reason == reason
    assert len(str(caught.value)) < 200


def test_milliseconds_are_not_taken_for_seconds_of_the_year_55634() -> None:
    assert instant(1693491984000).year == 2023


@given(st.one_of(st.text(), st.integers(), st.floats(), st.datetimes(timezones=st.none() | st.timezones())))
def test_any_value_is_an_instant_or_an_instant_error(value: object) -> None:
    try:
        moment = instant(value)
    except InstantError:
        return
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("day", "start", "hours"),
    [
        (date(2024, 3, 30), datetime(2024, 3, 29, 23, tzinfo=UTC), 24),
        (date(2024, 3, 31), datetime(2024, 3, 30, 23, tzinfo=UTC), 23),
        (date(2024, 10, 27), datetime(2024, 10, 26, 22, tzinfo=UTC), 25),
    ],
)
def test_a_day_is_23_24_or_25_hours_long(day: date, start: datetime, hours: int) -> None:
    assert start_of(day, BERLIN) == start
    assert start_of(day + timedelta(days=1), BERLIN) - start == timedelta(hours=hours)


def test_a_day_without_midnight_starts_when_the_clocks_have_moved() -> None:
    assert start_of(date(2018, 11, 4), ZoneInfo("America/Sao_Paulo")) == datetime(2018, 11, 4, 3, tzinfo=UTC)


def test_the_hour_that_comes_twice_belongs_to_one_day() -> None:
    assert day_of(datetime(2024, 10, 27, 0, 30, tzinfo=UTC), BERLIN) == date(2024, 10, 27)
    assert day_of(datetime(2024, 10, 27, 1, 30, tzinfo=UTC), BERLIN) == date(2024, 10, 27)
    assert day_of(datetime(2024, 10, 26, 21, 59, 59, tzinfo=UTC), BERLIN) == date(2024, 10, 26)


def test_the_offsets_at_the_beginning_of_days_hold_until_the_clocks_change() -> None:
    assert day_offsets(ZoneInfo("UTC")) == ((date.min, 0),)
    assert day_offsets(ZoneInfo("Asia/Kathmandu")) == ((date.min, 20700),)
    berlin = day_offsets(BERLIN)
    assert berlin[:3] == ((date.min, 3600), (date(2000, 3, 27), 7200), (date(2000, 10, 30), 3600))
    assert len(berlin) == 401


@given(st.dates(date(2000, 1, 2), date(2199, 12, 30)), st.sampled_from(ZONES))
def test_an_offset_leads_to_the_instant_at_which_its_day_starts(day: date, zone: ZoneInfo) -> None:
    ahead = [seconds for first, seconds in day_offsets(zone) if first <= day][-1]
    assert datetime.combine(day, time(), UTC) - timedelta(seconds=ahead) == start_of(day, zone)


@given(st.datetimes(datetime(2000, 1, 2), datetime(2199, 12, 30)), st.sampled_from(ZONES))
def test_an_instant_lies_within_its_day(naive: datetime, zone: ZoneInfo) -> None:
    moment = naive.replace(tzinfo=UTC)
    day = day_of(moment, zone)
    assert start_of(day, zone) <= moment < start_of(day + timedelta(days=1), zone)


def test_a_window_holds_both_its_ends() -> None:
    window = Window(date(2024, 2, 28), date(2024, 3, 1))
    assert list(window) == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
    assert len(window) == 3
    assert date(2024, 3, 1) in window
    assert date(2024, 3, 2) not in window
    assert str(window) == "2024-02-28 to 2024-03-01"
    assert str(Window(date(2024, 3, 1), date(2024, 3, 1))) == "2024-03-01"


def test_a_window_cannot_end_before_it_begins() -> None:
    with pytest.raises(ValueError, match="cannot end"):
        Window(date(2024, 3, 1), date(2024, 2, 28))


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (99_999_999_999, datetime(5138, 11, 16, 9, 46, 39, tzinfo=UTC)),
        (100_000_000_000, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
        (-86_400, datetime(1969, 12, 31, tzinfo=UTC)),
        (1_714_996_800_123_456_789, datetime(2024, 5, 6, 12, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_the_moment_of_a_number_may_be_of_any_year(number: int, moment: datetime) -> None:
    assert epoch_moment(number) == moment


def test_a_number_that_is_no_moment_at_all_is_out_of_range() -> None:
    with pytest.raises(InstantError) as caught:
        epoch_moment(10**30)
    assert caught.value.reason == "time_out_of_range"
