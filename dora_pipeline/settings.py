"""The settings of a home: those of `config.py`, with the section that each source declares."""

import os
from typing import Any

from pydantic import ValidationError, create_model

from dora_pipeline.config import Home, Section, Settings
from dora_pipeline.errors import ConfigError
from dora_pipeline.sources.registry import SOURCES
from dora_pipeline.yaml_files import mistakes, read_yaml

_declared: dict[str, Any] = {source.name: (source.settings, source.settings()) for source in SOURCES.values()}
_Sections = create_model("_Sections", __base__=Section, __doc__="`sources`: one section a source.", **_declared)
HomeSettings = create_model(
    "HomeSettings", __base__=Settings, __doc__="Everything in `dora.yaml`.", sources=(_Sections, _Sections())
)


def read_settings(home: Home) -> Settings:
    """The settings of a home; defaults where the file is missing or empty.

    Raises ConfigError with every mistake in one message, and where they stand under the other ending of YAML.
    """
    path = home.settings_file
    unread = path.with_suffix(".yml")
    if unread.exists():
        raise ConfigError(f"{unread}: settings are read from {path.name}; rename it, or move it away if both exist")
    # A link to what is not there is no missing file: what it names may not be mounted.
    documents = read_yaml(path) if os.path.lexists(path) else []
    if len(documents) > 1:
        raise ConfigError(f"{path}: holds {len(documents)} YAML documents in place of one; take out the lines '---'")
    document = documents[0] if documents else None
    if document is None:
        return HomeSettings()
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: the file must hold settings (key: value), not {type(document).__name__}")
    try:
        return HomeSettings.model_validate(document)
    except ValidationError as error:
        raise ConfigError(mistakes(str(path), error, HomeSettings)) from None
