"""Settings: the home folder, what stands in `dora.yaml`, and secrets.

What does not belong here: the section of each source, which it declares (`sources/source.py`) and `settings.py` puts
together; reading YAML (`yaml_files.py`); service definitions (`catalog/`) and the selection log (`selection.py`).
"""

import os
import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dora_pipeline.errors import ConfigError
from dora_pipeline.setting_types import (
    Address,
    Duration,
    Environments,
    HalfADay,
    Owners,
    Pattern,
    PositiveDuration,
    Repositories,
    Share,
    Site,
    TenYears,
    ZoneName,
    absent_as_empty,
)


class Shapes(StrEnum):
    """What a setting shapes, and what its change makes stale; it stands in the annotation of the field."""

    LANDING = "all that has landed: everything is read again"
    LINKS = "which deployments failures are linked to: all are linked again"
    RECORDS = "what the records of sources become: those that are kept are normalized again"
    PULLED = "what is asked of a source: it is pulled from the beginning again"


class Section(BaseModel):
    """Keys of `dora.yaml` that belong together: strict, frozen, and without unknown ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _accept_an_empty_section(cls, value: object) -> object:
        return absent_as_empty(value)


class FailureSection(Section):
    """The section of a source of failures. `env` is the environment of failures that name none."""

    env: Annotated[str | None, Shapes.RECORDS] = None


SectionType = TypeVar("SectionType", bound=Section)


class DatadogSettings(Section):
    """`datadog`: the site, or a whole address in its place."""

    site: Annotated[Site, Shapes.RECORDS, Shapes.PULLED] = "datadoghq.com"
    api_url: Address | None = None


class ChangeFailureRule(Section):
    """One of `change_failure_rules`: a deployment of which a text matches failed, or the one right before it did.

    `matches` is a regular expression as RE2 has them, found anywhere in the version, in the subject of a commit, in the
    value of a tag `branch:` or `git.branch:`, or in a whole tag `key:value`.
    """

    name: Annotated[str, Field(min_length=1)]
    field: Literal["version", "commit_subject", "branch_tag", "custom_tag"]
    matches: Pattern
    fails: Literal["previous", "itself"]


_BUCKET = r"s3://[a-z\d][a-z\d.-]+(/[\w.=-]+)*/?"


class EngineSettings(Section):
    """`engine`: where the transformation runs, and where the published state is put as Parquet files, if anywhere.

    `storage` is a folder, or `s3://bucket/prefix`. With `spark` tables pass through it, so that both must see it. With
    `delta` the tables there are those of Delta Lake, too.
    """

    kind: Literal["duckdb", "spark"] = "duckdb"
    url: str | None = None
    storage: str | None = None
    delta: bool = False

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"sc://([\w.-]+|\[[\da-fA-F:]+\])(:\d{1,5})?", value):
            raise ValueError("must be sc://HOST or sc://HOST:PORT; a token stands in DORA_SPARK_TOKEN")
        return value

    @field_validator("storage")
    @classmethod
    def _check_storage(cls, value: str | None) -> str | None:
        if value is None or re.fullmatch(_BUCKET, value):
            return value
        if not Path(value).is_absolute():
            raise ValueError("must be an absolute path, or s3://BUCKET or s3://BUCKET/PREFIX")
        # Readers take these for patterns or escapes, and could find the files of another folder.
        if re.search(r"[*?\[\]{}%\\]", value):
            raise ValueError("must be a path without any of *?[]{}%\\")
        return value

    @model_validator(mode="after")
    def _check_kind(self) -> "EngineSettings":
        if self.kind == "spark" and not (self.url and self.storage):
            raise ValueError("kind spark needs url and storage")
        if self.kind == "duckdb" and self.url:
            raise ValueError("url is of kind spark")
        if self.delta and not self.storage:
            raise ValueError("delta needs storage")
        return self


class Settings(Section):
    """Everything in `dora.yaml`. An empty file is valid.

    `sources` has a section for each source in the settings of a home (`settings.HomeSettings`), none here.
    """

    timezone: Annotated[ZoneName, Shapes.LANDING] = "UTC"
    environments: Annotated[Environments, Shapes.LANDING] = {}
    squash_merges: Literal["expand", "landed"] = "expand"
    merge_window: Annotated[HalfADay, Shapes.LANDING] = timedelta(minutes=10)
    link_window: Annotated[TenYears, Shapes.LINKS] = timedelta(days=7)
    link_slack: Annotated[HalfADay, Shapes.LINKS] = timedelta(minutes=5)
    change_failure_rules: Annotated[tuple[ChangeFailureRule, ...], Field(strict=False)] = (
        ChangeFailureRule.model_construct(name="hotfix", field="version", matches="(?i)hotfix", fails="previous"),
        ChangeFailureRule.model_construct(
            name="hotfix", field="commit_subject", matches="(?i)hotfix", fails="previous"
        ),
    )
    reread: Duration = timedelta(days=7)
    rejected_share: Share = 0.05
    missing_commits_share: Share = 0.2
    unlinked_share: Share = 0.5
    shrink_share: Share = 0.5
    sources_stale_after: PositiveDuration = timedelta(days=7)
    lock_timeout: PositiveDuration = timedelta(minutes=30)
    owners: Owners = ()
    engine: EngineSettings = EngineSettings()
    sources: Section = Section()
    datadog: DatadogSettings = DatadogSettings()
    repositories: Repositories = {}

    @property
    def zone(self) -> ZoneInfo:
        """The time zone whose calendar days are the partitions."""
        return ZoneInfo(self.timezone)

    def section(self, source: str, kind: type[SectionType]) -> SectionType:
        """The section of a source, by the model that it declares; its defaults where there is none."""
        section = getattr(self.sources, source, None)
        return section if isinstance(section, kind) else kind()

    def env_of_failures(self, source: str) -> str | None:
        """The canonical name of the environment of a source's failures that name none; None where it is not set."""
        return self.environment(self.section(source, FailureSection).env)

    def environment(self, name: str | None) -> str | None:
        """The canonical name of an environment: exact aliases first, then globs in the order of the file.

        A name that no alias matches stays as it is; a blank one is None.
        """
        name = (name or "").strip()
        if not name:
            return None
        for canonical, aliases in self.environments.items():
            if name == canonical or name in aliases:
                return canonical
        for canonical, aliases in self.environments.items():
            if any(fnmatchcase(name, alias) for alias in aliases):
                return canonical
        return name


# The name of the log of selections in a home.
SELECTION_LOG = "source_selections.csv"


class Home:
    """The folder with all that the pipeline reads and writes (`DORA_HOME`). Paths are absolute."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.settings_file = self.path / "dora.yaml"
        self.selection_log = self.path / SELECTION_LOG
        self.services = self.path / "services"
        self.raw = self.path / "raw"
        self.intake = self.path / "intake"
        self.git = self.path / "git"
        self.warehouse = self.path / "warehouse.duckdb"
        self.work = self.path / "work"


def default_home() -> Home:
    """`$DORA_HOME`, or `data/` of the project."""
    named = os.environ.get("DORA_HOME", "").strip()
    return Home(Path(named) if named else project_folder() / "data")


def project_folder() -> Path:
    """The folder that holds `pyproject.toml` and the bundled sample."""
    return Path(__file__).resolve().parent.parent


def missing_packages(needed_by: str, error: ImportError, extra: str) -> ConfigError:
    """That packages of an extra are not installed, with the command that brings them."""
    command = f"{sys.executable} -m pip install --editable '{project_folder()}[{extra}]'"
    return ConfigError(f"{needed_by} needs packages that are not installed ({error.name}); `{command}` brings them")


def shaping(settings: Section, shapes: Shapes, above: str = "") -> dict[str, object]:
    """The settings that shape this, by their dotted keys, as JSON knows their values."""
    found: dict[str, object] = {}
    values = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        inner = getattr(settings, name)
        if isinstance(inner, Section):
            found |= shaping(inner, shapes, f"{above}{name}.")
        elif shapes in field.metadata:
            found[above + name] = values[name]
    return found


def secrets(names: Sequence[str], needed_by: str, instead: str | None = None) -> list[str]:
    """The secrets in environment variables, which the source `needed_by` cannot do without.

    Raises ConfigError with every name whose variable is missing, and what will do `instead`, or whose variable holds
    what cannot stand in a header.
    """
    values = [os.environ.get(name, "").strip() for name in names]
    missing = [name for name, value in zip(names, values, strict=True) if not value]
    otherwise = f"; {instead}" if instead else ""
    if len(missing) == 1:
        raise ConfigError(
            f"{needed_by}: the environment variable {missing[0]} is not set; it holds the secret of this source"
            f"{otherwise}"
        )
    if missing:
        raise ConfigError(
            f"{needed_by}: the environment variables {' and '.join(missing)} are not set; they hold the secrets of "
            f"this source{otherwise}"
        )
    wrong = [name for name, value in zip(names, values, strict=True) if not re.fullmatch("[!-~]+", value)]
    if wrong:
        held = f"{wrong[0]} holds" if len(wrong) == 1 else f"{' and '.join(wrong)} hold"
        raise ConfigError(f"{needed_by}: {held} a space, a line break or a letter beyond ASCII; set it again")
    return values


def secret(name: str, needed_by: str) -> str:
    """As `secrets`, for one."""
    return secrets([name], needed_by)[0]
