"""Values in the words of the page. None is `no data`; what is 0 says 0."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from dora_pipeline.identifiers import without_credentials
from dora_pipeline.report.question import COLUMNS, NONE, Question

NO_DATA = "no data"
# Name and size in seconds of each unit, and how many of it make the next one.
_UNITS = (("s", 1, 60), ("min", 60, 60), ("h", 3600, 24), ("d", 86400, float("inf")))
_LONGEST = 200
_LONGEST_LINK = 2000
# Why a deployment has no lead time, in the words of core.deployments and of the page.
REASONS = {
    "no_commit": "the event names no commit",
    "first_deployment": "first deployment: there is none before it to count from",
    "previous_too_old": "the deployment before it is more than 60 days older",
    "no_commits": "no commit lies between the two deployments: a rollback, or the same commit again",
    "no_author_time": "no commit that it brought has an author time that can be used",
    "redelivered": "earlier deployments brought all of its commits already",
    "no_repository": "neither the event nor the catalog names a repository",
    "repository_not_configured": "its repository is not in settings or catalog",
    "repository_missing": "its repository could not be fetched",
    "commit_missing": "its commit is not in the repository",
    "previous_commit_missing": "the commit of the deployment before it is not in the repository",
}
_ODDITIES = {
    "negative_lead_time": "commits with a negative lead time: wrong clocks or cherry-picks; they are in the medians",
    "duplicate": "deployments that two sources have: counted once, the other row is marked",
    "deployment_without_env": "deployments without an environment: in the figures of no named one",
    "failure_without_env": "failures without an environment: while there are any, rates over failures are not known",
    "failure_without_service": "failures without a service: with a team only",
}


def count_text(number: int | None) -> str:
    """A number with its thousands marked."""
    return NO_DATA if number is None else f"{number:,}"


def counted(number: int | None, noun: str) -> str:
    """A number and what it counts: 1 deployment, 2 deployments."""
    return NO_DATA if number is None else f"{number:,} {noun}{'' if number == 1 else 's'}"


def some_of(names: Sequence[str], total: int) -> str:
    """Some names of `total`, and how many others there are: shop, till and 3 others."""
    others = total - len(names)
    return ", ".join(names) + (f" and {counted(others, 'other')}" if others > 0 else "")


def tenths(value: float, percent: bool = False) -> float:
    """A value, or a share in percent, with one decimal; what lies in the middle is rounded up, as in a spreadsheet."""
    # The shortest text of a float is what people would compute with: 0.2875 is 28.75 %, not 28.749999999999996.
    exact = Decimal(repr(value)) * (100 if percent else 1)
    return float(exact.quantize(Decimal("0.1"), ROUND_HALF_UP)) + 0


def duration_text(seconds: float | None) -> str:
    """Seconds as people say them: 42.0 s, 3.5 min, 7.1 h, 2.3 d."""
    if seconds is None:
        return NO_DATA
    sizes = ((tenths(abs(seconds) / size), unit, most) for unit, size, most in _UNITS)
    # What rounds to 60.0 s is 1.0 min.
    number, unit = next((number, unit) for number, unit, most in sizes if number < most)
    sign = "−" if seconds < 0 and number else ""
    return f"{sign}{number:,.1f} {unit}"


def duration_unit(most: float) -> tuple[float, str]:
    """How many seconds the unit of an axis has that goes up to `most` seconds, and the unit's name."""
    return next((unit for unit in ((86400, " d"), (3600, " h"), (60, " min")) if most >= unit[0]), (1, " s"))


def share_text(rate: float | None) -> str:
    """A rate as a percentage."""
    return NO_DATA if rate is None else f"{tenths(rate, percent=True):,.1f} %"


def frequency_text(number: int, days: int) -> str:
    """A number in so many days, by day, or by week where that is less than one a day."""
    return f"{number / days:,.1f} a day" if number >= days else f"{number / days * 7:,.1f} a week"


def day_text(day: date) -> str:
    """A day as 2024-05-06."""
    return day.isoformat()


def moment_text(moment: datetime | None, zone: ZoneInfo) -> str:
    """An instant in the time zone, with its offset."""
    return NO_DATA if moment is None else moment.astimezone(zone).isoformat(" ", "seconds")


def brief(text: str | None) -> str:
    """A text that came from outside, at most 200 characters of it, empty for None."""
    text = text or ""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def named(name: str | None, what: str) -> str:
    """A name, or `no env` where there is none."""
    return f"no {what}" if name is None else brief(name)


def question_text(question: Question) -> str:
    """Which events a question is about: `production, team sales`."""
    named = {name: value for name in (*COLUMNS, "tag") if (value := getattr(question, name)) is not None}
    texts = [named_text(name, value) for name, value in named.items()]
    return ", ".join(texts)


def named_text(parameter: str, value: str) -> str:
    """A value of a parameter: `team sales`, `no team`; an environment by its name alone."""
    if value == NONE:
        return f"no {parameter}"
    return brief(value) if parameter == "env" else f"{parameter} {brief(value)}"


def reason_text(reason: str) -> str:
    """Why there is no lead time."""
    return REASONS.get(reason, brief(reason).replace("_", " "))


def oddity_text(kind: str) -> str:
    """What an oddity is, and what it does to the figures."""
    return _ODDITIES.get(kind, kind.replace("_", " "))


def web_address(url: str | None) -> str | None:
    """The address without credentials; None if it is longer than 2,000 characters, or not of the web (a program)."""
    if url is None or len(url) > _LONGEST_LINK or not re.match(r"https?://", url, re.IGNORECASE):
        return None
    return without_credentials(url)


def left_out(shown: int, total: int, what: str) -> str:
    """What a table that was cut says under it; empty where it is whole."""
    return "" if shown >= total else f"{shown:,} of {total:,} {what} are shown; {total - shown:,} are left out."
