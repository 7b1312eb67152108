"""What checks look at: questions to the whole warehouse, with the bounds that settings and experience give."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby

import duckdb

from dora_pipeline.config import Settings
from dora_pipeline.identifiers import EventType, plain_environment, suggestion
from dora_pipeline.setting_types import is_glob
from dora_pipeline.tables import Deployments, Failures, Table
from dora_pipeline.timeline import day_of, microseconds
from dora_pipeline.warehouse.checks import Finding, Row, check, check_rows

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


def _recent_day(settings: Settings) -> dict[str, object]:
    return {"recent_day": day_of(datetime.now(UTC) - _RECENT, settings.zone)}


def rejected_shares(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """The reasons of sources of which too large a share is rejected."""
    shares = check_rows(connection, "rejected_share", _recent_day(settings))
    much: dict[tuple[str, str], Row] = {}
    for row in shares:
        if row["share_of_source"] > settings.rejected_share:
            # Those of all days come first; the last days are told only where all days hide it.
            much.setdefault((row["source"], row["reason"]), row)
    wrong, rejected = _sum(much.values(), "rejected"), _sum((row for row in shares if row["place"] == 1), "rejected")
    # Where none is too large, all are shown, to be looked at.
    return Finding(list(much.values()) or shares, wrong, f"{rejected:,} in all" if wrong < rejected else "")


def missing_commits(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Reasons why deployments lack their commits, where too many do."""
    rows = check_rows(connection, "commits_known", _recent_day(settings))
    periods = _periods([{**row, "where": _repositories_of(row)} for row in rows])
    for period in periods:
        lacking = [row for row in period if row["is_lacking"]]
        if sum(row["share"] for row in lacking) > settings.missing_commits_share:
            trouble = next((str(row["error"]) for row in lacking if row["error"]), "")
            return Finding(lacking, wrong=_sum(lacking, "deployments"), remark=trouble)
    return Finding(periods[0] if periods else (), wrong=0)


def _repositories_of(row: Row) -> str:
    if not row["repositories"]:
        return ""
    more = row["repositories"] - 1
    return f" of {row['repository_id']}" + (f" and {more:,} other{'s' if more > 1 else ''}" if more else "")


def unlinked_failures(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Reasons why failures are linked to none, where too many are."""
    periods = _periods(check_rows(connection, "failures_linked", _recent_day(settings)))
    for period in periods:
        unlinked = _sum(period, "failures")
        if unlinked / period[0]["all_failures"] > settings.unlinked_share:
            return Finding(period, wrong=unlinked)
    return Finding(periods[0] if periods else (), wrong=0)


def late_sources(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Selected sources without news."""
    options = {
        "event_type": _EVENT_TYPES[table],
        "now": datetime.now(UTC),
        "stale_after_us": microseconds(settings.sources_stale_after),
    }
    return check(connection, "sources_fresh", options)


def unknown_services(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Services that the catalog has no definition of; `near` asks of each whether another one was meant."""
    found = check(connection, "services_known", {"event_type": _EVENT_TYPES[table]})
    known = [row["service"] for row in check_rows(connection, "services_defined")] if found.rows else []
    return Finding([{**row, "near": suggestion(row["service"], known)} for row in found.rows], found.wrong)


def unknown_environments(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Environments that the settings do not name; `setting` names each, as an alias of one that looks like it;
    `near` asks whether another one was meant."""
    if not settings.environments:
        return Finding((), wrong=0)
    options = {"event_type": _EVENT_TYPES[table], "environments": list(settings.environments)}
    found = check(connection, "environments_known", options)
    names = (name for env, aliases in settings.environments.items() for name in (env, *aliases))
    known = [name for name in names if not is_glob(name)]
    rows = [
        {**row, "setting": _line_of_environment(row["env"], settings), "near": suggestion(row["env"], known)}
        for row in found.rows
    ]
    return Finding(rows, found.wrong)


def _line_of_environment(env: str, settings: Settings) -> str:
    for name, aliases in settings.environments.items():
        if plain_environment(env) in {plain_environment(known) for known in (name, *aliases)}:
            return f"{json.dumps(name, ensure_ascii=False)}: {json.dumps([*aliases, env], ensure_ascii=False)}"
    return f"{json.dumps(env, ensure_ascii=False)}: []"


def environments_apart(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Environments whose names look like one, where no setting says which are: a row for each such group."""
    if settings.environments:
        return Finding((), wrong=0)
    alike: dict[str, list[str]] = {}
    for row in check_rows(connection, "environments_apart"):
        alike.setdefault(plain_environment(row["env"]), []).append(row["env"])
    rows = [
        {
            "envs": " and ".join(names),
            "setting": f"environments: {json.dumps({names[0]: names[1:]}, ensure_ascii=False)}",
        }
        for names in alike.values()
        if names[1:]
    ]
    return Finding(rows, wrong=len(rows))


def early_events(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Sources whose clocks are fast."""
    options = {"event_type": _EVENT_TYPES[table], "tolerance_us": microseconds(_CLOCK_TOLERANCE)}
    return check(connection, "clocks_agree", options)


def negative_lead_times(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Services with too many commits that are younger than their deployment."""
    return check(connection, "negative_lead_times", {"share": _NEGATIVE_SHARE})


def unexpanded_squash_merges(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Repositories with too many squash commits that count themselves."""
    found = check_rows(connection, "squash_merges_expanded", _recent_day(settings))
    much: dict[str, Row] = {}
    for row in found:
        if row["share"] > _UNEXPANDED_SHARE:
            much.setdefault(row["repository_id"], row)
    return Finding(list(much.values()) or found, wrong=_sum(much.values(), "unexpanded"))


def long_open_failures(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Failures that are open for too long."""
    return check(connection, "open_for_long", {"now": datetime.now(UTC), "open_for_us": microseconds(_OPEN_FOR)})


def idle_rules(connection: duckdb.DuckDBPyConnection, table: type[Table], settings: Settings) -> Finding:
    """Rules of the settings that match nothing."""
    # The rules that stand by default need not fit everybody.
    rules = settings.change_failure_rules if "change_failure_rules" in settings.model_fields_set else ()
    options = [{"name": rule.name, "field": rule.field, "pattern": rule.matches} for rule in rules]
    rows = [row for option in options for row in check_rows(connection, "rules_matched", option)]
    return Finding(rows, len(rows))


def _periods(rows: Iterable[Row]) -> list[list[Row]]:
    return [list(group) for _, group in groupby(rows, key=lambda row: row["period"])]


def _sum(rows: Iterable[Row], name: str) -> int:
    return sum(row[name] for row in rows)
