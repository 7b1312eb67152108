"""What checks look at: questions to the whole warehouse, with the bounds that settings and experience give."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import duckdb
import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.identifiers import EventType, plain_environment
from dora_pipeline.pipeline.landing import microseconds
from dora_pipeline.tables import Deployments, Failures, Table
from dora_pipeline.timeline import day_of
from dora_pipeline.warehouse.checks import Finding, check

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
_EVENT_TYPES: Mapping[type[Table], EventType] = {Deployments: "deployment", Failures: "failure"}

Look = Callable[[duckdb.DuckDBPyConnection, type[Table], Settings], Finding]


def query(name: str) -> Look:
    """What a query of `sql/checks/` finds."""
    return lambda connection, table, settings: check(connection, name)


def query_of_events(name: str) -> Look:
    """The same of deployments or failures, by the table."""
    return lambda connection, table, settings: check(connection, name, {"event_type": _EVENT_TYPES[table]})


def _recent_day(settings: Settings) -> dict[str, object]:
    return {"recent_day": day_of(datetime.now(UTC) - _RECENT, settings.zone)}


def rejected_shares(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Sources and reasons of which too large a share is rejected."""
    shares = check(connection, "rejected_share", _recent_day(settings)).rows
    much = shares.filter(pl.col("share") > settings.rejected_share)
    # Those of all days come first; the last days are told only where all days hide it.
    much = much.unique(["source", "reason"], keep="first", maintain_order=True)
    # Where none is too large, all are shown, to be looked at.
    return Finding(much if much.height else shares, wrong=int(much["rejected"].sum()))


def missing_commits(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Reasons why deployments lack their commits, where too many do."""
    reasons = check(connection, "commits_known", _recent_day(settings)).rows
    periods = reasons.partition_by("period", maintain_order=True)
    for period in periods:
        lacking = period.filter("is_lacking")
        if float(lacking["share"].sum()) > settings.missing_commits_share:
            return Finding(lacking, wrong=int(lacking["deployments"].sum()))
    return Finding(periods[0] if periods else reasons, wrong=0)


def unlinked_failures(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Reasons why failures are linked to none, where too many are."""
    reasons = check(connection, "failures_linked", _recent_day(settings)).rows
    periods = reasons.partition_by("period", maintain_order=True)
    for period in periods:
        unlinked = int(period["failures"].sum())
        if unlinked / period["all_failures"][0] > settings.unlinked_share:
            return Finding(period, wrong=unlinked)
    return Finding(periods[0] if periods else reasons, wrong=0)


def views(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Services of which linked failures and failed changes disagree."""
    # Disagreement is a figure, not an error: the rows are shown, and nothing is wrong.
    return Finding(check(connection, "views_agree").rows, wrong=0)


def late_sources(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Selected sources without news."""
    options = {
        "event_type": _EVENT_TYPES[table],
        "now": datetime.now(UTC),
        "stale_after_us": microseconds(settings.sources_stale_after),
    }
    return check(connection, "sources_fresh", options)


def unknown_environments(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Environments that the settings do not name; `setting` names each, as an alias of one that looks like it."""
    if not settings.environments:
        return Finding(pl.DataFrame(), wrong=0)
    options = {"event_type": _EVENT_TYPES[table], "environments": list(settings.environments)}
    found = check(connection, "environments_known", options)
    lines = [_line_of_environment(str(env), settings) for env in found.rows["env"]]
    return Finding(found.rows.with_columns(pl.Series("setting", lines, pl.String)), found.wrong)


def _line_of_environment(env: str, settings: Settings) -> str:
    for name, aliases in settings.environments.items():
        if plain_environment(env) in {plain_environment(known) for known in (name, *aliases)}:
            return f"{json.dumps(name, ensure_ascii=False)}: {json.dumps([*aliases, env], ensure_ascii=False)}"
    return f"{json.dumps(env, ensure_ascii=False)}: []"


def environments_apart(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
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


def early_events(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Sources whose clocks are fast."""
    options = {"event_type": _EVENT_TYPES[table], "tolerance_us": microseconds(_CLOCK_TOLERANCE)}
    return check(connection, "clocks_agree", options)


def negative_lead_times(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Services with too many commits that are younger than their deployment."""
    return check(connection, "negative_lead_times", {"share": _NEGATIVE_SHARE})


def unexpanded_squash_merges(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Repositories with too many squash commits that count themselves."""
    found = check(connection, "squash_merges_expanded").rows
    much = found.filter(pl.col("share") > _UNEXPANDED_SHARE)
    return Finding(much if much.height else found, wrong=int(much["unexpanded"].sum()))


def redeliveries(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Services and environments whose commits came again."""
    return Finding(check(connection, "delivered_once").rows, wrong=0)


def long_open_failures(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Failures that are open for too long."""
    return check(connection, "open_for_long", {"now": datetime.now(UTC), "open_for_us": microseconds(_OPEN_FOR)})


def idle_rules(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Rules of the settings that match nothing."""
    # The rules that stand by default need not fit everybody.
    rules = settings.change_failure_rules if "change_failure_rules" in settings.model_fields_set else ()
    found = [
        check(connection, "rules_matched", {"name": rule.name, "field": rule.field, "pattern": rule.matches}).rows
        for rule in rules
    ]
    rows = pl.concat(found) if found else pl.DataFrame()
    return Finding(rows, rows.height)
