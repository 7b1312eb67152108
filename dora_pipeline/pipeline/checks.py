"""Checks that tell whether the warehouse can be trusted, by the table that they look at.

A check that warns looks at what the sources gave, and names who can mend it; one that fails looks at what the pipeline
made. All look at every day of the warehouse, whatever was loaded last: a run of a quiet day turns nothing green.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb
import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.identifiers import EventType, plain_environment
from dora_pipeline.pipeline.glimpses import Shown, shown_rows
from dora_pipeline.pipeline.landing import microseconds
from dora_pipeline.tables import (
    TABLES,
    ApmVersionActivity,
    Daily,
    DeploymentCommits,
    Deployments,
    FailedChanges,
    FailureLinks,
    Failures,
    RejectedEvents,
    SourceSelections,
    Table,
)
from dora_pipeline.timeline import day_of
from dora_pipeline.warehouse.checks import Finding, accounts, check, repeated_keys

# A failure that is open for longer is more likely forgotten than failing.
_OPEN_FOR = timedelta(days=30)
# Clocks that are kept by NTP differ by less.
_CLOCK_TOLERANCE = timedelta(minutes=1)
# Rebases and cherry-picks make some commits younger than the deployment that brought them.
_NEGATIVE_SHARE = 0.05
# Some subjects name an issue as squash merges name their request.
_UNEXPANDED_SHARE = 0.05
# Years of good history may not hide that something broke last week, so shares are those of these days as well.
_RECENT = timedelta(days=30)
_NAMED_EXAMPLES = 3
_EVENT_TYPES: Mapping[type[Table], EventType] = {Deployments: "deployment", Failures: "failure"}


@dataclass(frozen=True)
class CheckResult:
    """What a check found: the number of rows against it, some of them, one sentence, and what to do about it."""

    table: type[Table]
    name: str
    passed: bool
    wrong: int
    examples: list[dict[str, Shown]]
    is_warning: bool
    sentence: str
    advice: str

    @property
    def line(self) -> str:
        """What was found, and where it stands, in one line."""
        return f"{self.sentence} [{self.table.table_name} {self.name}]"


_Look = Callable[[duckdb.DuckDBPyConnection, type[Table], Settings], Finding]


@dataclass(frozen=True)
class _Check:
    """`rule` is what holds where it passes; `finding` and `example` say what was found, `example` of one row."""

    rule: str
    advice: str
    finding: str
    example: str
    look: _Look
    is_warning: bool = True

    @property
    def description(self) -> str:
        return f"{self.rule} If it {'warns' if self.is_warning else 'fails'}: {self.advice}."

    def result(self, table: type[Table], name: str, found: Finding) -> CheckResult:
        examples = shown_rows(found.examples)
        named = ", ".join(_printable(self.example.format_map(row)) for row in examples[:_NAMED_EXAMPLES])
        more = ", …" if len(examples) > _NAMED_EXAMPLES else ""
        sentence = f"{self.finding} ({found.wrong:,}): {named}{more}"
        return CheckResult(table, name, found.wrong == 0, found.wrong, examples, self.is_warning, sentence, self.advice)


def _printable(text: str) -> str:
    # Names come from outside; a line of them stays one line.
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _query(name: str) -> _Look:
    return lambda connection, table, settings: check(connection, name)


def _query_of_events(name: str) -> _Look:
    return lambda connection, table, settings: check(connection, name, {"event_type": _EVENT_TYPES[table]})


def _recent_day(settings: Settings) -> dict[str, object]:
    return {"recent_day": day_of(datetime.now(UTC) - _RECENT, settings.zone)}


def _rejected_shares(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    shares = check(connection, "rejected_share", _recent_day(settings)).rows
    much = shares.filter(pl.col("share") > settings.rejected_share)
    # Those of all days come first; the last days are told only where all days hide it.
    much = much.unique(["source", "reason"], keep="first", maintain_order=True)
    # Where none is too large, all are shown, to be looked at.
    return Finding(much if much.height else shares, wrong=int(much["rejected"].sum()))


def _missing_commits(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    reasons = check(connection, "commits_known", _recent_day(settings)).rows
    periods = reasons.partition_by("period", maintain_order=True)
    for period in periods:
        lacking = period.filter("is_lacking")
        if float(lacking["share"].sum()) > settings.missing_commits_share:
            return Finding(lacking, wrong=int(lacking["deployments"].sum()))
    return Finding(periods[0] if periods else reasons, wrong=0)


def _unlinked_failures(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    reasons = check(connection, "failures_linked", _recent_day(settings)).rows
    periods = reasons.partition_by("period", maintain_order=True)
    for period in periods:
        unlinked = int(period["failures"].sum())
        if unlinked / period["all_failures"][0] > settings.unlinked_share:
            return Finding(period, wrong=unlinked)
    return Finding(periods[0] if periods else reasons, wrong=0)


def _views(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    # Disagreement is a figure, not an error: the rows are shown, and nothing is wrong.
    return Finding(check(connection, "views_agree").rows, wrong=0)


def _late_sources(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    options = {
        "event_type": _EVENT_TYPES[table],
        "now": datetime.now(UTC),
        "stale_after_us": microseconds(settings.sources_stale_after),
    }
    return check(connection, "sources_fresh", options)


def _unknown_environments(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    if not settings.environments:
        return Finding(pl.DataFrame(), wrong=0)
    options = {"event_type": _EVENT_TYPES[table], "environments": list(settings.environments)}
    return check(connection, "environments_known", options)


def _environments_apart(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Environments whose names look like one, where no setting says which are: a row for each such group."""
    if settings.environments:
        return Finding(pl.DataFrame(), wrong=0)
    counted = check(connection, "environments_apart").rows
    alike: dict[str, list[str]] = {}
    for name in counted["env"]:
        alike.setdefault(plain_environment(name), []).append(name)
    rows = [
        {
            "envs": " and ".join(names),
            "setting": f"environments: {json.dumps({names[0]: names[1:]}, ensure_ascii=False)}",
        }
        for names in alike.values()
        if names[1:]
    ]
    return Finding(pl.DataFrame(rows, schema={"envs": pl.String, "setting": pl.String}), wrong=len(rows))


def _early_events(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    options = {"event_type": _EVENT_TYPES[table], "tolerance_us": microseconds(_CLOCK_TOLERANCE)}
    return check(connection, "clocks_agree", options)


def _negative_lead_times(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    return check(connection, "negative_lead_times", {"share": _NEGATIVE_SHARE})


def _unexpanded_squash_merges(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    found = check(connection, "squash_merges_expanded").rows
    much = found.filter(pl.col("share") > _UNEXPANDED_SHARE)
    return Finding(much if much.height else found, wrong=int(much["unexpanded"].sum()))


def _redeliveries(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    return Finding(check(connection, "delivered_once").rows, wrong=0)


def _long_open_failures(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    return check(connection, "open_for_long", {"now": datetime.now(UTC), "open_for_us": microseconds(_OPEN_FOR)})


def _idle_rules(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    # The rules that stand by default need not fit everybody.
    rules = settings.change_failure_rules if "change_failure_rules" in settings.model_fields_set else ()
    found = [
        check(connection, "rules_matched", {"name": rule.name, "field": rule.field, "pattern": rule.matches}).rows
        for rule in rules
    ]
    rows = pl.concat(found) if found else pl.DataFrame()
    return Finding(rows, rows.height)


_KEYS = _Check(
    "No two rows have the same key.",
    "a fault of the pipeline; rebuild with `dora run --rebuild`",
    "keys that stand more than once",
    "{key} ({times} times)",
    lambda connection, table, settings: repeated_keys(connection, table),
    is_warning=False,
)
_TYPES = _Check(
    "Both event types have a source that is selected now.",
    "select one with `dora select deployments SOURCE…` or `dora select failures SOURCE…`; until then what is made from "
    "both, as the change failure rate, has no value",
    "event types without a selected source",
    "{event_type}s",
    _query("types_selected"),
)
_SELECTED = _Check(
    "No event counts before its source was first selected.",
    "load its day again with `dora run --from --to`",
    "events that count too early",
    "{event_id} of {source}",
    _query("before_first_selection"),
    is_warning=False,
)
_RECOUNT = _Check(
    "Counts and rates equal a recount of core.",
    "load the days again with `dora run --from --to`",
    "days whose figures differ from a recount",
    "{day}",
    _query("recount"),
    is_warning=False,
)
_LOADED = _Check(
    "Every day shows what has been read.",
    "`dora run` loads them; one that it refuses says why",
    "days that have changed and are not loaded",
    "{day} of {tables}",
    _query("days_loaded"),
)
_REJECTED = _Check(
    "Of each source and reason, no larger share of events is rejected than rejected_share allows, over all days and "
    "over the last 30.",
    "look at reason and payload in core.rejected_events, which tell the record and its place, and mend the sender",
    "rejected events",
    "{source} {reason} ({rejected:,}, {share:.1%}, {period})",
    _rejected_shares,
)
_SOURCES = _Check(
    "Every source selected now could be read and gave something within sources_stale_after.",
    "see that what feeds the source still runs; one that only has nothing to give may want a longer "
    "sources_stale_after; where all is older than the first selection, correct selected_at in source_selections.csv",
    "sources without news",
    "{source} ({finding})",
    _late_sources,
)
_SERVICES = _Check(
    "Every service is in the catalog, if there is one.",
    "add a definition in services/, or correct the name at the sender; until then the service has no team and no "
    "repository",
    "services that the catalog does not know",
    "{service} ({events:,} events)",
    _query_of_events("services_known"),
)
_ENVIRONMENTS = _Check(
    "Every environment is one of the setting environments, if that names any.",
    "add the name there, as an environment or an alias of one; until then it counts apart",
    "environments that the settings do not know",
    "{env} ({events:,} events)",
    _unknown_environments,
)
_APART = _Check(
    "Where no setting names environments, no two have names that look like one, as prod and production do.",
    "if they are one, write that setting into dora.yaml, the name to keep before its aliases; if they are not, name "
    "each there, as in environments: {prod: [], production: []}; until then each has figures of its own, and failures "
    "of one meet no deployments of the other",
    "environments that look like one",
    "{envs} ({setting})",
    _environments_apart,
)
_COMMITS = _Check(
    "No larger share of deployments lacks its commits than missing_commits_share allows, over all days and over the "
    "last 30.",
    "no_commit: send the commit with the deployment; no_repository and repository_not_configured: name the repository "
    "in services/ or in repositories; *_missing: see that the repository can be fetched and still has the commit",
    "deployments that lack their commits",
    "{reason} ({deployments:,}, {share:.0%}, {period})",
    _missing_commits,
)
_REPOSITORIES = _Check(
    "Every repository that deployments name is configured.",
    "add it to repositories in dora.yaml, or to its service in services/; only then is it cloned",
    "repositories that are not configured",
    "{repository_id} ({deployments:,} deployments without a lead time)",
    _query("repositories_configured"),
)
_PATTERNS = _Check(
    "The source patterns of every service match a file of its repository.",
    "correct source_patterns, paths or the link of the service in services/; until then its deployments bring no "
    "commits",
    "services whose source patterns match no file",
    "{service} ({patterns} in {repository_id})",
    _query("patterns_matched"),
)
_CLOCKS = _Check(
    "No event was received more than a minute before it happened.",
    "set the clock of the sender",
    "clocks that are fast",
    "{service} of {source} ({events:,} events, up to {most_seconds_early:,.0f} s)",
    _early_events,
)
_NEGATIVE = _Check(
    "At most 5 % of the commits of a service and environment were authored after they went live.",
    "see the clocks of those who commit and deploy; cherry-picks and amended commits are the other cause",
    "commits that are younger than their deployment",
    "{service} in {env} ({negative:,} of {commits:,})",
    _negative_lead_times,
)
_SQUASHED = _Check(
    "Of each repository, at most 5 % of the squash commits lack the ref of their pull or merge request.",
    "see that the repository is the one whose requests they are, and that it offers refs/pull/*/head or "
    "refs/merge-requests/*/head; until then the squash commit counts in the place of the original ones, and lead times "
    "look shorter than they are",
    "squash commits that count themselves",
    "{repository_id} ({unexpanded:,} of {squash_merges:,})",
    _unexpanded_squash_merges,
)
_REDELIVERED = _Check(
    "Says how many commits came that an earlier deployment of the service and environment had, as after rollbacks; no "
    "figure uses them.",
    "nothing is to be done",
    "commits that came again",
    "{service} in {env} ({redelivered:,} of {commits:,})",
    _redeliveries,
)
_OPEN = _Check(
    "No failure is open for more than 30 days.",
    "resolve it at its source, or take it back; open failures have no time to restore, so the medians look better than "
    "they are",
    "failures that are open for long",
    "{failure_id} of {service} ({open_days:,.0f} days)",
    _long_open_failures,
)
_LINKS = _Check(
    "No larger share of failures is linked to no deployment than unlinked_share allows, over all days and over the "
    "last 30.",
    "no_service and unknown_service: name a service that is deployed, or define it in services/; no_deployment: see "
    "that its deployments are sent, and with the same env; too_long_ago: send version, commit or a tag "
    "deployment_id:<id> with the failure, or set a longer link_window",
    "failures that are linked to no deployment",
    "{reason} ({failures:,}, {share:.0%}, {period})",
    _unlinked_failures,
)
_ENVS = _Check(
    "Every failure of a service that is deployed to an environment has one.",
    "send it with the failure, or set env of its source in dora.yaml; until then the change failure rate of an "
    "environment is not known",
    "services whose failures have no environment",
    "{service} ({failures:,} failures; set sources.{source}.env)",
    _query("failures_with_env"),
)
_VIEWS = _Check(
    "How failed changes and linked failures disagree, by service; a figure, which never warns.",
    "see metrics.deployment_outcomes",
    "services of which the two views disagree",
    "{service} in {env} ({failure_only:,} with failures alone, {change_only:,} failed changes alone)",
    _views,
)
_FILES = _Check(
    "Every file in the folder of exports is read, but for hidden files, README and temporary ones.",
    "give it an ending that fits what it holds, or move it away",
    "files that are left out",
    "{name}: {reason}",
    _query("files_read"),
)
_FOUND = _Check(
    "The folder of exports is there and holds some, if the source is selected and is not pulled.",
    "correct the setting sources.apm_deployment_tracking.path, or drop exports into the folder",
    "folders without exports",
    "{name}: {reason}",
    _query("exports_found"),
)
_ACCOUNTS = _Check(
    "Of each source, what was read is here, rejected, or from before its first selection.",
    "a fault of the pipeline; rebuild with `dora run --rebuild`",
    "figures that do not add up",
    "{measure} of {source} ({expected:,} expected, {found:,} found, from {first_day} on)",
    lambda connection, table, settings: accounts(connection, table),
    is_warning=False,
)
_RULES = _Check(
    "Every rule that stands in change_failure_rules matches something.",
    "correct `matches` or `field` of the rule in dora.yaml; it is looked for anywhere in the text, and sees capitals",
    "rules that match nothing",
    "{name}: {matches} in {field}",
    _idle_rules,
)
_CHECKS: Mapping[type[Table], Mapping[str, _Check]] = {
    SourceSelections: {"types_selected": _TYPES},
    ApmVersionActivity: {"files_read": _FILES, "exports_found": _FOUND, "loads_add_up": _ACCOUNTS},
    Deployments: {
        "keys_unique": _KEYS,
        "loads_add_up": _ACCOUNTS,
        "nothing_before_first_selection": _SELECTED,
        "sources_fresh": _SOURCES,
        "services_known": _SERVICES,
        "environments_known": _ENVIRONMENTS,
        "repositories_configured": _REPOSITORIES,
        "commits_known": _COMMITS,
        "patterns_matched": _PATTERNS,
        "clocks_agree": _CLOCKS,
    },
    DeploymentCommits: {
        "keys_unique": _KEYS,
        "lead_times_not_negative": _NEGATIVE,
        "squash_merges_expanded": _SQUASHED,
        "delivered_once": _REDELIVERED,
    },
    Failures: {
        "keys_unique": _KEYS,
        "loads_add_up": _ACCOUNTS,
        "nothing_before_first_selection": _SELECTED,
        "sources_fresh": _SOURCES,
        "services_known": _SERVICES,
        "environments_known": _ENVIRONMENTS,
        "clocks_agree": _CLOCKS,
        "nothing_open_for_long": _OPEN,
        "failures_with_env": _ENVS,
    },
    FailureLinks: {"keys_unique": _KEYS, "failures_linked": _LINKS},
    FailedChanges: {"keys_unique": _KEYS, "rules_match": _RULES, "views_agree": _VIEWS},
    RejectedEvents: {"rejected_share": _REJECTED, "loads_add_up": _ACCOUNTS},
    Daily: {
        "keys_unique": _KEYS,
        "rates_equal_recount": _RECOUNT,
        "days_loaded": _LOADED,
        "environments_apart": _APART,
    },
}


def check_descriptions(table: type[Table]) -> dict[str, str]:
    """The checks of a table and what each means."""
    return {name: item.description for name, item in _CHECKS.get(table, {}).items()}


def check_results(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> list[CheckResult]:
    """Run the checks of a table over the whole warehouse."""
    return _results(connection, table, settings, _CHECKS.get(table, {}))


def all_results(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[CheckResult]:
    """Run every check over the whole warehouse; what fails comes first, then what warns, then the others."""
    found = [result for table in TABLES for result in check_results(connection, table, settings)]
    return sorted(found, key=lambda result: (result.passed, result.is_warning))


def warnings(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[CheckResult]:
    """What warns now. Checks of what the pipeline made are left out: they cost more, and each load proves itself."""
    chosen = {
        table: {name: item for name, item in items.items() if item.is_warning} for table, items in _CHECKS.items()
    }
    found = [result for table, items in chosen.items() for result in _results(connection, table, settings, items)]
    return [result for result in found if not result.passed]


def _results(
    connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings, items: Mapping[str, _Check]
) -> list[CheckResult]:
    return [item.result(table, name, item.look(connection, table, settings)) for name, item in items.items()]
