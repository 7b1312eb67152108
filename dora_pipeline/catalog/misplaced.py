"""Service definitions that lie where none are read from: beside `services/`, or in it under another ending."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dora_pipeline.config import Home
from dora_pipeline.errors import ConfigError
from dora_pipeline.yaml_files import read_yaml

# As Datadog's own integrations look for them at the root of a repository.
NAMES_IN_REPOSITORIES = tuple(
    f"{name}.datadog.{ending}" for name in ("service", "entity") for ending in ("yaml", "yml")
)
# Larger ones are something else, which takes long to read.
_MOST_BYTES = 100_000


def misplaced_definitions(home: Home) -> list[str]:
    """The files of the home with a definition that is not read, by their paths below it, sorted.

    Looked at are the home, the folders in it that are none of the pipeline's own, and `services/` with all below.
    """
    return sorted(path.relative_to(home.path).as_posix() for path in _candidates(home) if _holds_definition(path))


def _candidates(home: Home) -> Iterator[Path]:
    own = {home.settings_file, home.services, home.git, home.work, home.raw, home.intake}
    folders = [home.path]
    with suppress(OSError):
        folders += [path for path in home.path.iterdir() if path.is_dir() and path not in own]
    for folder in folders:
        with suppress(OSError):
            yield from (
                path for path in folder.iterdir() if path.suffix.lower() in (".yaml", ".yml") and path not in own
            )
    # YAML knows JSON, so that the content would do.
    yield from (path for path in home.services.rglob("*") if path.suffix.lower() == ".json")


def _holds_definition(path: Path) -> bool:
    with suppress(OSError, ConfigError):
        if not path.name.startswith(".") and path.is_file() and path.stat().st_size <= _MOST_BYTES:
            return any(_is_definition(document) for document in read_yaml(path))
    return False


def _is_definition(document: object) -> bool:
    return isinstance(document, dict) and (
        "dd-service" in document or (document.get("apiVersion") == "v3" and document.get("kind") == "service")
    )
