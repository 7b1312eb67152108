"""Checks that tell whether loaded days can be trusted, by the table that they look at.

A check that warns looks at what was told, and names who can mend it; one that fails looks at what the pipeline made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.pipeline.glimpses import Shown, shown_rows
from dora_pipeline.pipeline.landing import microseconds
from dora_pipeline.selection import EventType
from dora_pipeline.tables import Daily, DeploymentCommits, Deployments, Failures, RejectedEvents, Table
from dora_pipeline.warehouse.checks import Finding, check, repeated_keys
from dora_pipeline.warehouse.writer import Writer

# A failure that is open for longer is more likely forgotten than failing.
_OPEN_FOR = timedelta(days=30)
# Clocks that are kept by NTP differ by less.
_CLOCK_TOLERANCE = timedelta(minutes=1)
# Rebases and cherry-picks make some commits younger than the deployment that brought them.
_NEGATIVE_SHARE = 0.05
_EVENT_TYPES: Mapping[type[Table], EventType] = {Deployments: "deployment", Failures: "failure"}


@dataclass(frozen=True)
class CheckResult:
    """Whether a check passed on the days, the number of rows against it, some of them, and whether it only warns."""

    name: str
    passed: bool
    wrong: int
    examples: list[dict[str, Shown]]
    is_warning: bool


_Look = Callable[[Writer, type[Table], Sequence[date], Settings], Finding]


@dataclass(frozen=True)
class _Check:
    description: str
    look: _Look
    is_warning: bool = True


def _query(name: str) -> _Look:
    return lambda writer, table, days, settings: check(writer, name, days)


def _query_of_events(name: str) -> _Look:
    return lambda writer, table, days, settings: check(writer, name, days, {"event_type": _EVENT_TYPES[table]})


def _rejected_shares(writer: Writer, table: type[Table], days: Sequence[date], settings: Settings) -> Finding:
    found = check(writer, "rejected_share", days)
    # All of them are shown, to be looked at.
    return Finding(found.examples.filter(pl.col("share") > settings.rejected_share).height, found.examples)


def _late_sources(writer: Writer, table: type[Table], days: Sequence[date], settings: Settings) -> Finding:
    told = {
        "event_type": _EVENT_TYPES[table],
        "now": datetime.now(UTC),
        "stale_after_us": microseconds(settings.sources_stale_after),
    }
    return check(writer, "sources_fresh", days, told)


def _unknown_environments(writer: Writer, table: type[Table], days: Sequence[date], settings: Settings) -> Finding:
    if not settings.environments:
        return Finding(0, pl.DataFrame())
    told = {"event_type": _EVENT_TYPES[table], "environments": list(settings.environments)}
    return check(writer, "environments_known", days, told)


def _missing_commits(writer: Writer, table: type[Table], days: Sequence[date], settings: Settings) -> Finding:
    found = check(writer, "commits_known", days).examples
    lacking = found.filter("is_lacking")
    # Every reason is shown, so that the share can be judged.
    is_much = float(lacking["share"].sum()) > settings.missing_commits_share
    return Finding(int(lacking["deployments"].sum()) if is_much else 0, found)


def _early_events(writer: Writer, table: type[Table], days: Sequence[date], settings: Settings) -> Finding:
    told = {"event_type": _EVENT_TYPES[table], "tolerance_us": microseconds(_CLOCK_TOLERANCE)}
    return check(writer, "clocks_agree", days, told)


def _negative_lead_times(writer: Writer, table: type[Table], days: Sequence[date], settings: Settings) -> Finding:
    return check(writer, "negative_lead_times", days, {"share": _NEGATIVE_SHARE})


def _long_open_failures(writer: Writer, table: type[Table], days: Sequence[date], settings: Settings) -> Finding:
    return check(writer, "open_for_long", days, {"now": datetime.now(UTC), "open_for_us": microseconds(_OPEN_FOR)})


_KEYS = _Check(
    "No two rows have the same key. If it fails: a fault of the pipeline; rebuild with `dora run --rebuild`.",
    lambda writer, table, days, settings: repeated_keys(writer, table, days),
    is_warning=False,
)
_SELECTED = _Check(
    "No event counts before its source was first selected. If it fails: load the days again.",
    _query("before_first_selection"),
    is_warning=False,
)
_RECOUNT = _Check(
    "Counts and rates equal a recount of core. If it fails: load the days again.", _query("recount"), is_warning=False
)
_REJECTED = _Check(
    "Of each source and reason, no larger share of events is rejected than rejected_share allows. If it warns: look at "
    "the payloads in core.rejected_events and mend the sender.",
    _rejected_shares,
)
_SOURCES = _Check(
    "Every source selected now could be read and told something within sources_stale_after. If it warns: see that what "
    "feeds the source still runs; one that only has nothing to tell may want a longer sources_stale_after.",
    _late_sources,
)
_SERVICES = _Check(
    "Every service is in the catalog, if there is one. If it warns: add a definition in services/, or correct the name "
    "at the sender; until then the service has no team and no repository.",
    _query_of_events("services_known"),
)
_ENVIRONMENTS = _Check(
    "Every environment is one of the setting environments, if that names any. If it warns: add the name there, as an "
    "environment or an alias of one; until then it counts apart.",
    _unknown_environments,
)
_COMMITS = _Check(
    "No larger share of deployments lacks its commits than missing_commits_share allows. If it warns: no_commit: send "
    "the commit with the deployment; no_repository and repository_not_configured: name the repository in services/ or "
    "in repositories; *_missing: see that the repository can be fetched and still has the commit.",
    _missing_commits,
)
_CLOCKS = _Check(
    "No event was told more than a minute before it happened. If it warns: set the clock of the sender.",
    _early_events,
)
_NEGATIVE = _Check(
    "At most 5 % of the commits of a service and environment were authored after they went live. If it warns: see the "
    "clocks of those who commit and deploy; cherry-picks and amended commits are the other cause.",
    _negative_lead_times,
)
_OPEN = _Check(
    "No failure is open for more than 30 days. If it warns: resolve it at its source, or take it back; open failures "
    "have no time to restore, so the medians look better than they are.",
    _long_open_failures,
)
_CHECKS: Mapping[type[Table], Mapping[str, _Check]] = {
    Deployments: {
        "keys_unique": _KEYS,
        "nothing_before_first_selection": _SELECTED,
        "sources_fresh": _SOURCES,
        "services_known": _SERVICES,
        "environments_known": _ENVIRONMENTS,
        "commits_known": _COMMITS,
        "clocks_agree": _CLOCKS,
    },
    DeploymentCommits: {"keys_unique": _KEYS, "lead_times_not_negative": _NEGATIVE},
    Failures: {
        "keys_unique": _KEYS,
        "nothing_before_first_selection": _SELECTED,
        "sources_fresh": _SOURCES,
        "services_known": _SERVICES,
        "environments_known": _ENVIRONMENTS,
        "clocks_agree": _CLOCKS,
        "nothing_open_for_long": _OPEN,
    },
    RejectedEvents: {"rejected_share": _REJECTED},
    Daily: {"keys_unique": _KEYS, "rates_equal_recount": _RECOUNT},
}


def check_descriptions(table: type[Table]) -> dict[str, str]:
    """The checks of a table and what each means."""
    return {name: item.description for name, item in _CHECKS.get(table, {}).items()}


def check_results(writer: Writer, table: type[Table], days: Sequence[date], settings: Settings) -> list[CheckResult]:
    """Run the checks of a table on the days; those of sources and of open failures look at all days."""
    results = []
    for name, item in _CHECKS.get(table, {}).items():
        found = item.look(writer, table, days, settings)
        results.append(CheckResult(name, found.wrong == 0, found.wrong, shown_rows(found.examples), item.is_warning))
    return results
