"""`dora init`: the files that a home begins with."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import yaml

from dora_pipeline.cli.display import console
from dora_pipeline.config import Home, default_home
from dora_pipeline.errors import ConfigError
from dora_pipeline.setting_types import written_duration
from dora_pipeline.sources.registry import SOURCES
from dora_pipeline.sources.source import Source

_SETTINGS = """\
# Settings of the DORA pipeline. Everything is optional. What stands here in comments are defaults and examples.

# timezone: UTC                 # whose calendar days are counted
# environments:                 # canonical name: its aliases, globs allowed
#   production: [prod, Production, "prod-*"]
# squash_merges: expand         # a squash merge counts by its original commits; landed: by the squash commit
# merge_window: 10m             # two sources that tell one deployment within this time count it once; at most 12h
# link_window: 7d               # a failure is linked to the latest deployment that finished within this time before it,
# link_slack: 5m                # or so soon after it, where neither tag, commit nor version names one
# change_failure_rules:         # which deployments failed: RE2 in version, commit_subject, branch_tag or custom_tag
#   - {name: hotfix, field: version, matches: "(?i)hotfix", fails: previous}        # previous, or itself
#   - {name: hotfix, field: commit_subject, matches: "(?i)hotfix", fails: previous}
# reread: 7d                    # recent days in which what was missing is looked for again
# rejected_share: 0.05          # a check warns when a larger share of a source's events is rejected
# missing_commits_share: 0.2    # a check warns when a larger share of deployments lacks its commits
# unlinked_share: 0.5           # a check warns when a larger share of failures is linked to no deployment
# shrink_share: 0.5             # a day that would lose a larger share of a source's rows waits until that is accepted
# sources_stale_after: 7d       # a check warns of a selected source that told nothing for longer
# lock_timeout: 30m             # how long a run waits for another
# engine: {kind: duckdb}        # with storage: /shared/folder or s3://bucket/dora as Parquet files there, too,
#                               # with delta: true as tables of Delta Lake;
#                               # or {kind: spark, url: "sc://host:15002", storage: /shared/folder}
# owners: ["team:platform"]     # whom Dagster's page names as owners: teams and e-mail addresses; none without it
# sources:
{sources}
# datadog: {site: datadoghq.com}
# repositories:                 # only repositories named here or in services/ are ever cloned
#   github.com/organization/example: https://github.com/organization/example.git
"""
_SELECTIONS = "event_type,selected_at,sources\n"
_SERVICE = """\
# A service definition, as Datadog's catalog has it: copy it to a file for each of your services, without the signs of
# comments. It gives a service its team, and the repository in which lead times are looked up.

# apiVersion: v3
# kind: service
# metadata:
#   name: example
#   owner: example-team
#   links:
#     - name: Source
#       type: repo
#       url: https://github.com/organization/example
# extensions:
#   datadoghq.com/dora-metrics:
#     source_patterns: []         # for a repository with several services: globs such as src/example/**
"""


_NEXT = (
    "next: dora select deployments SOURCE… and dora select failures SOURCE… (dora select --help lists them), dora run;",
    "      dora check says what is missing, at any time",
)


@click.command("init")
def init_command() -> None:
    """Write commented settings, an empty selection log and an example service definition. Never overwrites."""
    for path, written in write_example_home(default_home()):
        console.print(f"{'wrote' if written else 'kept '} {path}", markup=False, soft_wrap=True)
    for line in _NEXT:
        console.print(line, markup=False, soft_wrap=True)


def write_example_home(home: Home) -> list[tuple[Path, bool]]:
    """Write the files that are not there yet. Each file, and whether it was written."""
    files = {
        home.settings_file: _SETTINGS.replace("{sources}", "\n".join(map(_section_line, SOURCES.values()))),
        home.selection_log: _SELECTIONS,
        home.services / "example.yaml": _SERVICE,
    }
    try:
        (home.path / "exports" / "apm").mkdir(parents=True, exist_ok=True)
        return [(path, _write(path, text)) for path, text in files.items()]
    except OSError as error:
        raise ConfigError(
            f"{error.filename or home.path}: cannot be written: {error.strerror}; check the space, and the folder's "
            "owner and mode"
        ) from error


def _section_line(source: Source[Any]) -> str:
    """The defaults of a source, as a comment."""
    section = source.settings()
    values = {name: _plain(getattr(section, name)) for name in source.settings.model_fields}
    return f"#   {source.name}: {yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=1000).strip()}"


def _plain(value: object) -> object:
    if isinstance(value, timedelta):
        return written_duration(value)
    return list(value) if isinstance(value, tuple) else value


def _write(path: Path, text: str) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as handle:
            handle.write(text)
    except FileExistsError:
        return False
    except OSError:
        # Half of it would stay, as what was there before.
        path.unlink(missing_ok=True)
        raise
    return True
