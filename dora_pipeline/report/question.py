"""What a page is asked: which events, which days, how they are divided, and what they are compared with.

A question is a query string, such as `env=production&team=sales&period=90d&compare=year`. What does not belong here:
what the warehouse knows, such as whether there is such a team.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from dora_pipeline.errors import DoraError
from dora_pipeline.report import ranking
from dora_pipeline.timeline import Window

# Stands for events that name no team, env, and so on.
NONE = "(none)"
PERIODS: Mapping[str, str] = {
    "7d": "last 7 days",
    "30d": "last 30 days",
    "90d": "last 90 days",
    "365d": "last 365 days",
    "quarter": "this quarter so far",
    "year": "this year so far",
}
GRAINS = ("day", "week", "month", "quarter", "year")
COMPARISONS: Mapping[str, str] = {
    "previous": "the days before",
    "year": "the same days a year before",
    "none": "nothing",
}
MEMBERS = ("service", "team")
# Those of the report of 2024; what a later one says of clusters is not here.
CLUSTERS = ("2024",)
# The columns of metrics.measures that a question can name a value of, by their parameter.
COLUMNS: Mapping[str, str] = {
    "env": "env",
    "team": "team",
    "service": "service",
    "repository": "repository_id",
    "source": "source",
    "severity": "severity",
}
_DAYS_OF_GRAINS = {"day": 1, "week": 7, "month": 28, "quarter": 90, "year": 365}
_MOST_POINTS = 400
_MOST_DAYS = 3660
_LONGEST = 500
_FIRST_DAY, _LAST_DAY = date(2000, 1, 1), date(2199, 12, 31)


class WrongQuestion(DoraError):
    """A parameter of a question that cannot be used; `parameter` is its name."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(f"{parameter}: {message}")
        self.parameter = parameter


@dataclass(frozen=True)
class Question:
    """The parameters of a page, by their names in its URL but for `from` and `to`; None is what was not given.

    `from_day` and `to_day` are both included, and take the place of `period`; without `to_day` they end with the data.
    `rank` is that of the first row of the ranking that is shown.
    """

    env: str | None = None
    team: str | None = None
    service: str | None = None
    repository: str | None = None
    source: str | None = None
    severity: str | None = None
    tag: str | None = None
    period: str | None = None
    from_day: date | None = None
    to_day: date | None = None
    grain: str | None = None
    compare: str = "previous"
    by: str = "service"
    sort: str = "failure_rate"
    rank: int = 1
    clusters: str | None = None

    @classmethod
    def of(cls, parameters: Sequence[tuple[str, str]]) -> "Question":
        """The question of the names and values of a query string; blank values count as not given, and `period` beside
        `from`.

        Raises WrongQuestion for a name that there is not, stands twice, or has a value that cannot be meant.
        """
        given: dict[str, str] = {}
        for name, text in parameters:
            if name not in _NAMES:
                raise WrongQuestion(_brief(name), f"is no parameter; there are {', '.join(_NAMES)}")
            value = text.strip()
            if value and given.setdefault(name, value) != value:
                raise WrongQuestion(name, "stands twice, with different values")
            if len(value) > _LONGEST:
                raise WrongQuestion(name, f"is longer than {_LONGEST} characters")
            if not value.isprintable():
                raise WrongQuestion(name, "holds a character that cannot be printed")
        for name, choices in _CHOICES.items():
            if name in given and given[name] not in choices:
                raise WrongQuestion(name, f"{_brief(given[name])!r} is none of {', '.join(choices)}")
        if "tag" in given and ":" not in given["tag"]:
            raise WrongQuestion("tag", f"{_brief(given['tag'])!r} is not key:value")
        values: dict[str, Any] = {_NAMES[name]: value for name, value in given.items()}
        for name in ("from", "to"):
            if name in given:
                values[_NAMES[name]] = _day(name, given[name])
        if "rank" in given:
            values["rank"] = whole_number("rank", given["rank"])
        if "from" in given:
            values.pop("period", None)
        question = cls(**values)
        question._check_days()
        return question

    def _check_days(self) -> None:
        if self.from_day is None and self.to_day is not None:
            raise WrongQuestion("from", "is missing; `to` says only where the days end")
        if self.from_day is not None and self.to_day is not None and self.to_day < self.from_day:
            raise WrongQuestion("to", f"{self.to_day} is before {self.from_day}, which `from` says")

    @property
    def query(self) -> str:
        """The query string, names in one order, without what was not given or is so by default."""
        texts = {name: getattr(self, attribute) for name, attribute in _NAMES.items()}
        return urlencode({name: str(text) for name, text in texts.items() if text != _DEFAULTS[_NAMES[name]]})

    def but(self, **changes: Any) -> "Question":
        """The same question with other values of these attributes, its ranking from the first row on."""
        return replace(self, **{"rank": 1, **changes})

    @property
    def values(self) -> dict[str, str | None]:
        """The columns of metrics.measures that must have a value, and the value; None is NULL."""
        named = {column: getattr(self, name) for name, column in COLUMNS.items()}
        return {column: None if value == NONE else value for column, value in named.items() if value is not None}

    def window(self, newest_day: date) -> Window:
        """The days that are asked for, where the data ends with that day.

        Raises WrongQuestion where they begin after it, or are more than ten years.
        """
        if self.from_day is not None:
            last = self.to_day or newest_day
            if last < self.from_day:
                raise WrongQuestion("from", f"{self.from_day} is after {newest_day}, the newest day of the data")
            window = Window(self.from_day, last)
        else:
            window = Window(_first_day(self.period or "90d", newest_day), newest_day)
        if len(window) > _MOST_DAYS:
            raise WrongQuestion("from", f"{window} is more than {_MOST_DAYS:,} days; ask for fewer")
        return window

    def compared(self, window: Window) -> Window | None:
        """The days that those of the window are compared with."""
        if self.compare == "none":
            return None
        if self.compare == "year":
            return Window(_year_before(window.first), _year_before(window.last))
        return Window(window.first - timedelta(days=len(window)), window.first - timedelta(days=1))

    def points(self, window: Window) -> str:
        """The grain in which the days of the window are divided. Raises WrongQuestion where that makes too many."""
        days = len(window)
        if self.grain is None:
            return next(
                (grain for grain, most in (("day", 31), ("week", 190), ("month", 1500)) if days <= most), "year"
            )
        if days / _DAYS_OF_GRAINS[self.grain] > _MOST_POINTS:
            raise WrongQuestion("grain", f"{days:,} days by {self.grain} are too many to draw; take a longer one")
        return self.grain


_CHOICES: Mapping[str, Collection[str]] = {
    "period": PERIODS,
    "grain": GRAINS,
    "compare": COMPARISONS,
    "by": MEMBERS,
    "sort": ranking.COLUMNS,
    "clusters": CLUSTERS,
}
_DEFAULTS = {field.name: field.default for field in fields(Question)}
# The name of each parameter in a URL, and the attribute that has it.
_NAMES = {{"from_day": "from", "to_day": "to"}.get(field.name, field.name): field.name for field in fields(Question)}


def _first_day(period: str, newest_day: date) -> date:
    if period == "quarter":
        return newest_day.replace(month=(newest_day.month - 1) // 3 * 3 + 1, day=1)
    if period == "year":
        return newest_day.replace(month=1, day=1)
    return newest_day - timedelta(days=int(period.removesuffix("d")) - 1)


def whole_number(name: str, text: str) -> int:
    """The number from 1 that the value of a parameter is. Raises WrongQuestion."""
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
        raise WrongQuestion(name, f"{_brief(text)!r} is no number from 1 on")
    return int(text)


def _year_before(day: date) -> date:
    if (day.month, day.day) == (2, 29):
        return date(day.year - 1, 2, 28)
    return day.replace(year=day.year - 1)


def _day(name: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise WrongQuestion(name, f"{_brief(text)!r} is not a day; write it as 2024-05-06")
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise WrongQuestion(name, f"{text} is not between {_FIRST_DAY} and {_LAST_DAY}")
    return day


def _brief(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
