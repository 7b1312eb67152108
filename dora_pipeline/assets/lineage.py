"""Which sources and tables each table is made from, and what that makes of its version."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from hashlib import sha256

import dagster as dg

from dora_pipeline.assets.metadata import asset_key
from dora_pipeline.code_versions import code_version
from dora_pipeline.pipeline.loading import FOLLOWING_TABLES
from dora_pipeline.tables import (
    ApmVersionActivity,
    Daily,
    DeploymentCommits,
    Deployments,
    Failures,
    RejectedEvents,
    Services,
    SourceSelections,
    SourceStates,
    Table,
)


def source_key(name: str) -> dg.AssetKey:
    """The asset of a source."""
    return dg.AssetKey(["sources", name])


_APM = source_key("apm_deployment_tracking")
_DEPLOYMENT_EVENTS = source_key("deployment_event_api")
_FAILURES = [source_key("datadog_incidents"), source_key("pagerduty"), source_key("failure_event_api")]
_REPOSITORIES = source_key("repositories")
_HOME = source_key("home")

SOURCES = [
    dg.AssetSpec(key, group_name="sources", description=text, kinds={kind}, tags={"layer": "sources", "domain": domain})
    for key, kind, domain, text in (
        (
            _APM,
            "json",
            "deployments",
            "Versions seen by APM: exports in the folder exports/apm, or pulled from Datadog.",
        ),
        (_DEPLOYMENT_EVENTS, "api", "deployments", "Deployments sent to the intake, or pulled from Datadog."),
        (_FAILURES[0], "datadog", "failures", "Incidents pulled from Datadog."),
        (_FAILURES[1], "pagerduty", "failures", "Incidents pulled from PagerDuty, or sent by its webhook."),
        (_FAILURES[2], "api", "failures", "Failures sent to the intake, or pulled from Datadog."),
        (_REPOSITORIES, "git", "deployments", "Git repositories named in settings or catalog."),
        (_HOME, "file", "selection", "dora.yaml, source_selections.csv and services/*.yaml."),
    )
]

DEPENDS: Mapping[type[Table], Sequence[dg.AssetKey]] = {
    SourceSelections: [_HOME],
    Services: [_HOME],
    SourceStates: [_APM, _DEPLOYMENT_EVENTS, *_FAILURES],
    ApmVersionActivity: [_APM, asset_key(SourceSelections)],
    Deployments: [
        _DEPLOYMENT_EVENTS,
        _REPOSITORIES,
        asset_key(ApmVersionActivity),
        asset_key(SourceSelections),
        asset_key(Services),
    ],
    Failures: [*_FAILURES, asset_key(SourceSelections), asset_key(Services)],
    DeploymentCommits: [asset_key(Deployments)],
    RejectedEvents: [asset_key(ApmVersionActivity), asset_key(Deployments), asset_key(Failures)],
    Daily: [asset_key(Deployments), asset_key(DeploymentCommits), asset_key(Failures)],
}
WHOLE_TABLES: tuple[type[Table], ...] = (SourceSelections, Services, SourceStates)
DAILY_TABLES: tuple[type[Table], ...] = tuple(table for table in DEPENDS if table not in WHOLE_TABLES)

_TABLES = {asset_key(table): table for table in DEPENDS}
# How Dagster calls the version of what it has not seen, as it has not of sources.
_UNKNOWN = "INITIAL"


def followers(tables: Collection[type[Table]]) -> list[type[Table]]:
    """The following tables that are made from one of the tables."""
    keys = {asset_key(table) for table in tables}
    return [other for other in FOLLOWING_TABLES if keys.intersection(DEPENDS[other])]


def version_tags(table: type[Table], code: str | None = None) -> dict[str, str]:
    """The tags by which a materialization that no step of Dagster made says what made it, as those of steps do.

    Without them Dagster calls a day outdated as soon as a table that it is made from was read again. `code` is the
    code version where it is not today's.
    """
    code = code or code_version(table)
    inputs = {"/".join(key.path): _data_version(key) for key in DEPENDS[table]}
    return {
        "dagster/code_version": code,
        "dagster/data_version": _digest(code, DEPENDS[table]),
        **{f"dagster/input_data_version/{name}": version for name, version in inputs.items()},
        **{f"dagster/input_event_pointer/{name}": "NULL" for name in inputs},
    }


@cache
def _data_version(key: dg.AssetKey) -> str:
    table = _TABLES.get(key)
    return _UNKNOWN if table is None else _digest(code_version(table), DEPENDS[table])


def _digest(code: str, keys: Sequence[dg.AssetKey]) -> str:
    """What Dagster computes from a code version and the versions of the inputs."""
    return sha256("".join([code, *(_data_version(key) for key in sorted(keys, key=str))]).encode()).hexdigest()
