"""Types of options that several commands have."""

import re
from datetime import date, datetime
from typing import Any

import click

from dora_pipeline.timeline import InstantError, instant


class Instant(click.ParamType[datetime]):
    """A time with a zone, or a Unix time in seconds, milliseconds, microseconds or nanoseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The instant in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            return instant(value)
        except InstantError as error:
            self.fail(str(error), param, ctx)


class InstantOrDay(click.ParamType[datetime | date]):
    """A time as `Instant` has them, or a day, as 2024-05-06, for its beginning in the configured time zone."""

    name = "time|day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime | date:
        """The instant in UTC, or the day."""
        if isinstance(value, date):
            return value
        if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            return Day().convert(value, param, ctx)
        try:
            return instant(value)
        except InstantError as error:
            is_form = error.reason != "time_out_of_range"
            self.fail(f"{error}, or a day as 2024-05-06" if is_form else str(error), param, ctx)


class Text(click.ParamType[str]):
    """Text that is not blank, and all of it of a form where one is given; `expected` says in words what form."""

    def __init__(self, name: str = "text", form: str = ".+", expected: str = "text") -> None:
        self.name = name
        self._form = re.compile(form, re.DOTALL)
        self._expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text, trimmed. Messages do not repeat it: it may hold a password."""
        text = str(value).strip()
        if not text:
            self.fail("it is blank; give a value or leave the option out", param, ctx)
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            self.fail("it is not UTF-8 text", param, ctx)
        if self._form.fullmatch(text) is None:
            self.fail(f"it is not {self._expected}", param, ctx)
        return text


class Day(click.ParamType[date]):
    """A day, as 2024-05-06."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """The day."""
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a day; write it as 2024-05-06", param, ctx)


class Days(click.ParamType[tuple[date, date]]):
    """A day, or a first and a last one, as 2024-05-06..2024-05-12."""

    name = "days"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[date, date]:
        """The first and the last day."""
        if isinstance(value, tuple):
            return value
        first, _, last = value.partition("..")
        found = Day().convert(first, param, ctx), Day().convert(last or first, param, ctx)
        if found[1] < found[0]:
            self.fail(f"{found[1]} is before {found[0]}", param, ctx)
        return found
