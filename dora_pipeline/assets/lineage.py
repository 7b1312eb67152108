"""Which sources and tables each table is made from, and what that makes of its version."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

import dagster as dg

from dora_pipeline.assets.metadata import asset_key
from dora_pipeline.code_versions import code_version
from dora_pipeline.pipeline.loading import FOLLOWING_TABLES, WHOLE_TABLES
from dora_pipeline.sources.apm import APM_DEPLOYMENT_TRACKING
from dora_pipeline.sources.registry import SOURCES as DECLARED
from dora_pipeline.sources.registry import sources_of
from dora_pipeline.sources.source import Source
from dora_pipeline.tables import (
    ApmVersionActivity,
    Daily,
    DeploymentCommits,
    Deployments,
    FailedChanges,
    FailureLinks,
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


def _sentence(source: Source[Any]) -> str:
    return f"{source.event_type.capitalize()}s, {source.lineage}."


_APM = source_key(APM_DEPLOYMENT_TRACKING.name)
_DEPLOYMENTS = [source_key(name) for name in sources_of("deployment")]
_FAILURES = [source_key(name) for name in sources_of("failure")]
_REPOSITORIES = source_key("repositories")
_HOME = source_key("home")

SOURCES = [
    dg.AssetSpec(key, group_name="sources", description=text, kinds={kind}, tags={"layer": "sources", "domain": domain})
    for key, kind, domain, text in (
        *(
            (source_key(source.name), source.kind, f"{source.event_type}s", _sentence(source))
            for source in DECLARED.values()
        ),
        (_REPOSITORIES, "git", "deployments", "Git repositories named in settings or catalog."),
        (_HOME, "file", "selection", "dora.yaml, source_selections.csv and services/*.yaml."),
    )
]

DEPENDS: Mapping[type[Table], Sequence[dg.AssetKey]] = {
    SourceSelections: [_HOME],
    Services: [_HOME],
    SourceStates: [*_DEPLOYMENTS, *_FAILURES],
    ApmVersionActivity: [_APM, asset_key(SourceSelections)],
    Deployments: [
        # What APM has seen comes through its own table.
        *(key for key in _DEPLOYMENTS if key != _APM),
        _REPOSITORIES,
        asset_key(ApmVersionActivity),
        asset_key(SourceSelections),
        asset_key(Services),
    ],
    Failures: [*_FAILURES, asset_key(SourceSelections), asset_key(Services)],
    DeploymentCommits: [asset_key(Deployments)],
    FailureLinks: [asset_key(Deployments), asset_key(Failures)],
    FailedChanges: [asset_key(Deployments), asset_key(DeploymentCommits)],
    RejectedEvents: [asset_key(ApmVersionActivity), asset_key(Deployments), asset_key(Failures)],
    Daily: [
        asset_key(Deployments),
        asset_key(DeploymentCommits),
        asset_key(Failures),
        asset_key(FailureLinks),
        asset_key(FailedChanges),
    ],
}
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
