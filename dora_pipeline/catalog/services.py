"""Services read from `$DORA_HOME/services`: Datadog service definitions, several documents a file."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
from pydantic import ValidationError

from dora_pipeline.catalog.repository_links import RepositoryLink, repository_link
from dora_pipeline.catalog.service_definitions import CodeLocation, DefinitionV2, DefinitionV3, Link
from dora_pipeline.catalog.source_patterns import branch_length, checked_pattern, folder_patterns
from dora_pipeline.config import Home
from dora_pipeline.errors import ConfigError
from dora_pipeline.tables import Services, empty_frame
from dora_pipeline.yaml_files import mistake_lines, mistakes_text, read_yaml

_VERSIONS = ("v2", "v2.1", "v2.2")


@dataclass(frozen=True)
class Service:
    """A service of the catalog. No `source_patterns` means all files; `defined_in` is relative to the home.

    `repository_url` is as written and may hold credentials, so it is for cloning alone. `browsed` is set where the
    patterns are those of a link whose branch ends nobody knows where (see RepositoryLink).
    """

    name: str
    team: str | None
    repository_id: str | None
    repository_url: str | None = field(repr=False)
    source_patterns: tuple[str, ...]
    languages: tuple[str, ...]
    tags: tuple[str, ...]
    pagerduty_service_url: str | None
    defined_in: str
    browsed: tuple[str, ...] = ()

    def names_one_of(self, refs: Collection[str]) -> bool:
        """Whether the link begins with one of the branches and tags."""
        return branch_length(self.browsed, refs) is not None

    def with_refs(self, refs: Collection[str]) -> "Service":
        """The service with the patterns of its link as the branches and tags of its repository read it."""
        return replace(self, source_patterns=folder_patterns(self.browsed, refs)) if self.browsed else self


@dataclass(frozen=True)
class Catalog:
    """All services by name."""

    services: Mapping[str, Service]

    def frame(self) -> pl.DataFrame:
        """The rows of `core.services`, sorted by service."""
        rows = [
            {
                "service": service.name,
                "team": service.team,
                "repository_id": service.repository_id,
                "source_patterns": list(service.source_patterns),
                "languages": list(service.languages),
                "tags": list(service.tags),
            }
            for service in self.services.values()
        ]
        return pl.DataFrame(rows, schema=empty_frame(Services).schema).sort("service")

    def with_refs(self, refs: Callable[[Service], Collection[str]]) -> "Catalog":
        """The catalog whose links are read by the branches and tags of their repositories, which `refs` gives."""
        return Catalog(
            {
                name: service.with_refs(refs(service)) if service.browsed else service
                for name, service in self.services.items()
            }
        )

    def repositories(self) -> dict[str, str]:
        """The clone URL of each repository that a service names, by repository id.

        URLs are as written, credentials included. Where services write one repository differently, that of the
        first service by name is taken.
        """
        urls: dict[str, str] = {}
        for _, service in sorted(self.services.items()):
            if service.repository_id is not None and service.repository_url is not None:
                urls.setdefault(service.repository_id, service.repository_url)
        return urls


def read_catalog(home: Home) -> Catalog:
    """The services that the YAML files below `services/` define; none where the folder is missing.

    Raises ConfigError with every mistake of every file in one message: file, document, key and reason.
    """
    services: dict[str, Service] = {}
    places: dict[str, str] = {}
    mistakes: list[str] = []
    for path in _files(home.services, mistakes):
        file = path.relative_to(home.path).as_posix()
        try:
            documents = read_yaml(path)
        except ConfigError as error:
            mistakes.append(str(error))
            continue
        for number, document in enumerate(documents, start=1):
            where = f"{path}, document {number}"
            try:
                service = _service(document, file)
            except ValidationError as error:
                mistakes += mistake_lines(where, error)
                continue
            except ValueError as error:
                mistakes.append(f"{where}: {error}")
                continue
            if service is None:
                continue
            if service.name in services:
                mistakes.append(f"{where}: the service {service.name!r} is defined in {places[service.name]} already")
                continue
            services[service.name] = service
            places[service.name] = where
    if mistakes:
        raise ConfigError(mistakes_text(mistakes))
    return Catalog(services)


def _files(folder: Path, mistakes: list[str]) -> list[Path]:
    """The files below a folder, sorted; of a folder that cannot be read, or is a link, `mistakes` gets a line."""

    def note(error: OSError) -> None:
        # A link to what is not there is no missing folder: what it names may not be mounted.
        if os.path.lexists(error.filename):
            mistakes.append(f"{error.filename}: cannot be read: {error.strerror}; check the folder's owner and mode")

    found = []
    for place, folders, files in os.walk(folder, onerror=note):
        # Mounted configuration keeps its older copies in hidden folders; editors keep theirs in hidden files.
        folders[:] = [name for name in folders if not name.startswith(".")]
        mistakes += [
            f"{path}: is a link to a folder, which no run follows; move the definitions into {folder}"
            for path in (Path(place, name) for name in folders)
            if path.is_symlink()
        ]
        found += [Path(place, name) for name in files if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in {".yaml", ".yml"})


def _service(document: object, file: str) -> Service | None:
    """The service of a document; None for an empty one and for v3 kinds other than service.

    Raises ValueError (ValidationError is one) for a document that is not a service definition.
    """
    if document is None:
        return None
    if not isinstance(document, dict):
        raise ValueError(f"must be a service definition (key: value), not {type(document).__name__}")
    if "apiVersion" in document:
        if document["apiVersion"] != "v3":
            raise ValueError(f"apiVersion: {document['apiVersion']!r} is not known; write v3")
        if not isinstance(document.get("kind"), str):
            raise ValueError("kind: must be text, such as service")
        return _described(DefinitionV3.model_validate(document), file) if document["kind"] == "service" else None
    if "schema-version" not in document:
        raise ValueError("has neither schema-version (v2.2) nor apiVersion (v3)")
    if document["schema-version"] not in _VERSIONS:
        raise ValueError(f"schema-version: {document['schema-version']!r} is not known; write v2.2, or apiVersion: v3")
    return _described(DefinitionV2.model_validate(document), file)


def _described(definition: DefinitionV2 | DefinitionV3, file: str) -> Service:
    repository = _linked(definition.name, definition.repository_links) or _located(definition.code_locations)
    patterns = definition.source_patterns
    browsed: tuple[str, ...] = ()
    if patterns is None:
        patterns = tuple(map(checked_pattern, repository.patterns)) if repository else ()
        browsed = repository.browsed if repository else ()
    return Service(
        name=definition.name,
        team=definition.team or None,
        repository_id=repository.repository_id if repository else None,
        repository_url=repository.url if repository else None,
        source_patterns=patterns,
        languages=definition.languages,
        tags=definition.tags,
        pagerduty_service_url=definition.pagerduty_service_url,
        defined_in=file,
        browsed=browsed,
    )


def _linked(service: str, links: Sequence[Link]) -> RepositoryLink | None:
    """The link named "Source" or like the service, else the first one (reference: Datadog's setup page)."""
    if not links:
        return None
    chosen = next((link for link in links if link.name in ("Source", service)), links[0])
    return _repository(chosen.url, f"links: the url of {chosen.name!r}")


def _located(locations: Sequence[CodeLocation]) -> RepositoryLink | None:
    """The repository of the first code location, with the paths of all that are in it; those of others are left out."""
    found = [_repository(location.url, "datadog.codeLocations: a repositoryURL") for location in locations]
    if not found:
        return None
    same = [
        (location.paths, link)
        for location, link in zip(locations, found, strict=True)
        if link.repository_id == found[0].repository_id
    ]
    globs = [paths or link.patterns for paths, link in same]
    # One of them without paths means all files, whatever the others say.
    patterns = tuple(dict.fromkeys(glob for each in globs for glob in each)) if all(globs) else ()
    return replace(found[0], patterns=patterns, browsed=() if len(same) > 1 or same[0][0] else found[0].browsed)


def _repository(url: str, where: str) -> RepositoryLink:
    repository = repository_link(url)
    if repository is None:
        # A URL that cannot be read may hold a password in any place, so it is not shown.
        raise ValueError(f"{where} is not that of a repository, such as https://host/org/app")
    return repository
