"""The parts that we read of Datadog's service definitions, schema v2, v2.1, v2.2 and v3.

The files are shared with Datadog, so keys that are not named here are left alone.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from dora_pipeline.catalog.source_patterns import checked_pattern
from dora_pipeline.identifiers import without_credentials

Text = Annotated[str, StringConstraints(strip_whitespace=True)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _absent_as_empty(value: object) -> object:
    return [] if value is None else value


def _in_an_object(value: object) -> object:
    # Schema v2 writes `pagerduty: <URL>`.
    return {"service-url": value} if isinstance(value, str) else value


Pattern = Annotated[Name, AfterValidator(checked_pattern)]
Texts = Annotated[tuple[Name, ...], BeforeValidator(_absent_as_empty), Field(strict=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Link(_Part):
    """`links`: only those of type `repo` are used."""

    name: Text = ""
    type: Text = "other"
    url: Text = ""

    @property
    def is_repository(self) -> bool:
        """Whether it leads to source code."""
        return self.type.lower() == "repo"


Links = Annotated[tuple[Link, ...], BeforeValidator(_absent_as_empty), Field(strict=False)]


class PagerDuty(_Part):
    """`integrations.pagerduty`: `service-url` of v2.x, `serviceURL` of v3."""

    service_url: Text = Field(default="", validation_alias=AliasChoices("service-url", "serviceURL"))


class Integrations(_Part):
    """`integrations`."""

    pagerduty: Annotated[PagerDuty | None, BeforeValidator(_in_an_object)] = None


class DoraExtension(_Part):
    """`extensions."datadoghq.com/dora-metrics"`: globs relative to the root of the repository."""

    source_patterns: Annotated[tuple[Pattern, ...] | None, Field(strict=False)] = None


class Extensions(_Part):
    """`extensions`: those of other products are left alone."""

    dora: DoraExtension | None = Field(default=None, alias="datadoghq.com/dora-metrics")


class CodeLocation(_Part):
    """An entry of `datadog.codeLocations` of v3: a repository, and globs relative to its root; none: all files."""

    url: Text = Field(default="", alias="repositoryURL")
    paths: Annotated[tuple[Name, ...], BeforeValidator(_absent_as_empty), Field(strict=False)] = ()


class DatadogPart(_Part):
    """`datadog` of v3."""

    code_locations: Annotated[tuple[CodeLocation, ...], BeforeValidator(_absent_as_empty), Field(strict=False)] = Field(
        default=(), alias="codeLocations"
    )


class _Definition(_Part):
    integrations: Integrations | None = None
    extensions: Extensions | None = None

    @property
    def pagerduty_service_url(self) -> str | None:
        """The URL of the PagerDuty service, without credentials."""
        pagerduty = self.integrations.pagerduty if self.integrations else None
        return (without_credentials(pagerduty.service_url) or None) if pagerduty else None

    @property
    def source_patterns(self) -> tuple[str, ...] | None:
        """The globs of the extension; None where the definition leaves them to its links."""
        return self.extensions.dora.source_patterns if self.extensions and self.extensions.dora else None


class DefinitionV2(_Definition):
    """A definition of schema v2, v2.1 or v2.2; `repos` is of v2 alone."""

    name: Name = Field(alias="dd-service")
    team: Text | None = None
    links: Links = ()
    repos: Links = ()
    languages: Texts = ()
    tags: Texts = ()

    @property
    def repository_links(self) -> tuple[Link, ...]:
        """The links to repositories, in the order of the file."""
        return (*(link for link in self.links if link.is_repository), *self.repos)

    @property
    def code_locations(self) -> Sequence[CodeLocation]:
        """There are none before v3."""
        return ()


class Metadata(_Part):
    """`metadata` of v3."""

    name: Name
    owner: Text | None = None
    links: Links = ()
    tags: Texts = ()


class Spec(_Part):
    """`spec` of v3, kind service."""

    languages: Texts = ()


class DefinitionV3(_Definition):
    """A definition of schema v3, kind service."""

    metadata: Metadata
    spec: Spec | None = None
    datadog: DatadogPart | None = None

    @property
    def name(self) -> str:
        """The service."""
        return self.metadata.name

    @property
    def team(self) -> str | None:
        """The team that owns it."""
        return self.metadata.owner

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""
        return self.metadata.tags

    @property
    def languages(self) -> tuple[str, ...]:
        """Its programming languages."""
        return self.spec.languages if self.spec else ()

    @property
    def repository_links(self) -> tuple[Link, ...]:
        """The links to repositories, in the order of the file."""
        return tuple(link for link in self.metadata.links if link.is_repository)

    @property
    def code_locations(self) -> Sequence[CodeLocation]:
        """Where its code is, in the order of the file."""
        return self.datadog.code_locations if self.datadog else ()
