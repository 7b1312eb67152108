"""What the values of settings are: durations, time zones, environments, addresses, and how each is checked."""

import re
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cache
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field

from dora_pipeline.identifiers import repository_id

# What Dagster takes for the owner of an asset.
_OWNER = r"team:\S.*|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}"
# A domain name with at least one dot.
_HOST_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}", re.IGNORECASE)
_DURATION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"(\d+)\s*([smhd])", value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a duration; write it as 90s, 10m, 1h or 7d")
    try:
        return timedelta(seconds=int(match[1]) * _DURATION_UNITS[match[2]])
    except (OverflowError, ValueError):
        raise ValueError("is longer than any duration can be") from None


def written_duration(value: timedelta) -> str:
    """A duration as settings write it, in the largest unit that divides it."""
    seconds = value // timedelta(seconds=1)
    unit = next(unit for unit in "dhms" if seconds % _DURATION_UNITS[unit] == 0)
    return f"{seconds // _DURATION_UNITS[unit]}{unit}"


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than 0s")
    return value


def _half_a_day(value: timedelta) -> timedelta:
    if value > timedelta(hours=12):
        raise ValueError("must not be longer than 12h")
    return value


def _ten_years(value: timedelta) -> timedelta:
    # What is far longer reaches beyond the times that a warehouse knows.
    if value > timedelta(days=3650):
        raise ValueError("must not be longer than 3650d")
    return value


def _zone_name(value: str) -> str:
    # The first is what the machine's clock shows, the second that nobody has set one.
    if value not in available_timezones() - {"localtime", "Factory"}:
        raise ValueError(f"{value!r} is not an IANA time zone such as Europe/Berlin")
    return value


def _environments(value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    wrong = []
    owners: dict[str, str] = {}
    for name, aliases in value.items():
        for alias in (name, *aliases):
            if alias != alias.strip() or not alias:
                wrong.append(f"{alias!r} of {name!r} is blank or begins or ends with a space")
            elif owners.setdefault(alias, name) != name:
                wrong.append(f"{alias!r} belongs to both {owners[alias]!r} and {name!r}")
    wrong += _shadowed(value)
    if wrong:
        raise ValueError("; ".join(wrong))
    return value


def is_glob(alias: str) -> bool:
    """Whether an alias stands for all names that look so."""
    return re.search(r"[*?[]", alias) is not None


def _shadowed(environments: dict[str, tuple[str, ...]]) -> list[str]:
    """Globs that match nothing which one of an environment above does not match first."""
    wrong = []
    # What `*` alone spans, as far as it is text; sets and single letters are not looked into.
    above: list[tuple[str, str]] = []
    for name, aliases in environments.items():
        globs = [alias for alias in aliases if is_glob(alias)]
        for glob in globs:
            first = next(((one, owner) for one, owner in above if one != glob and fnmatchcase(glob, one)), None)
            if first is not None:
                wrong.append(
                    f"{glob!r} of {name!r} never matches, for {first[0]!r} of {first[1]!r} above it matches all of it; "
                    f"write {name!r} above {first[1]!r}"
                )
        above += [(glob, name) for glob in globs if not re.search(r"[?[]", glob)]
    return wrong


def _repositories(value: dict[str, str]) -> dict[str, str]:
    wrong = []
    for name, clone_url in value.items():
        wanted = repository_id(name)
        if wanted is None:
            # A key that cannot be read may hold a password, so only its end is shown.
            wrong.append(f"...{name.rpartition('@')[2]!r} is not a repository; write host/path")
        elif wanted != name:
            wrong.append(f"write {wanted!r}: host/path in lower case, without scheme, user and .git")
        elif _lacks_host(name) and repository_id(clone_url) != name:
            host = (repository_id(clone_url) or "").partition("/")[0]
            meant = f"{host if '.' in host else 'github.com'}/{name}"
            wrong.append(f"{name!r} names no host; write host/path, such as {meant!r}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return value


def _lacks_host(name: str) -> bool:
    """Whether it is `organization/name`. Hosts without a dot are known by a longer path, or by their clone URL."""
    host, _, path = name.partition("/")
    return "." not in host and ":" not in host and host != "localhost" and "/" not in path


def _owners(value: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [repr(owner) for owner in value if not re.fullmatch(_OWNER, owner)]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} is neither an e-mail address nor a team, as in team:platform")
    return value


@cache
def _pattern(value: str) -> str:
    # Starting DuckDB takes a while: only those who write patterns wait for it, once for each.
    import duckdb

    try:
        with duckdb.connect() as connection:
            connection.execute("SELECT REGEXP_MATCHES('', ?)", [value]).fetchall()
    except duckdb.Error as error:
        reason = str(error).removeprefix("Invalid Input Error: ").splitlines()[0]
        raise ValueError(f"{value!r} is not a regular expression as RE2 has them: {reason}") from None
    return value


def absent_as_empty(value: object) -> object:
    """An empty mapping for null, else the value."""
    # `sources:` with all its lines commented out is YAML's null.
    return {} if value is None else value


def is_address(value: str) -> bool:
    """Whether it is an http(s) address with a host, without user, password, query and fragment."""
    try:
        parts = urlsplit(value)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    is_plain = parts.username is None and not parts.query and not parts.fragment
    return parts.scheme in ("https", "http") and has_host and is_plain


def _address(value: str) -> str:
    # What cannot be read may hold a password, so it is shown only where nothing of the kind can be in it.
    if is_address(value):
        return value
    example = f"https://{value}" if _HOST_NAME.fullmatch(value) else "https://api.example.com"
    raise ValueError(f"is not an address; write it with its scheme, as {example}, without user, password and query")


def _site(value: str) -> str:
    if not _HOST_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a site; write a domain such as datadoghq.com or datadoghq.eu")
    for prefix in ("app.", "api.", "www."):
        if value.startswith(prefix):
            raise ValueError(f"{value!r} is the address of a page or an API; write {value.removeprefix(prefix)!r}")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
HalfADay = Annotated[Duration, AfterValidator(_half_a_day)]
TenYears = Annotated[Duration, AfterValidator(_ten_years)]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Share = Annotated[float, Field(ge=0, le=1)]
Texts = Annotated[tuple[str, ...], Field(strict=False)]
Folder = Annotated[str, Field(min_length=1)]
Address = Annotated[str, AfterValidator(_address)]
Site = Annotated[str, AfterValidator(_site)]
ZoneName = Annotated[str, AfterValidator(_zone_name)]
Pattern = Annotated[str, Field(min_length=1), AfterValidator(_pattern)]
Owners = Annotated[Texts, AfterValidator(_owners)]
Environments = Annotated[dict[str, Texts], BeforeValidator(absent_as_empty), AfterValidator(_environments)]
Repositories = Annotated[dict[str, str], BeforeValidator(absent_as_empty), AfterValidator(_repositories)]
