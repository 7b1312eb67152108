"""Settings of deployments that APM sees: `sources.apm_deployment_tracking`."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field

from dora_pipeline.config import Home, Settings, Shapes
from dora_pipeline.setting_types import Folder, PositiveDuration
from dora_pipeline.sources.datadog.settings import AlsoOnDatadog

SOURCE = "apm_deployment_tracking"
# Of the ids of its deployments.
ID_PREFIX = "apm:"


class ApmSettings(AlsoOnDatadog):
    """The folder of exports, relative to the home, and the quiet gap.

    `follow_links_to`: folders outside of it that links in it may lead to.
    """

    path: Annotated[str, Shapes.LANDING] = "exports/apm"
    follow_links_to: tuple[Folder, ...] = Field(default=(), strict=False)
    quiet_gap: Annotated[PositiveDuration, Shapes.LANDING] = timedelta(hours=1)


def apm_settings(settings: Settings) -> ApmSettings:
    """The section of this source."""
    return settings.section(SOURCE, ApmSettings)


def export_folder(home: Home, settings: Settings) -> Path:
    """The folder of exports; a relative path in the settings starts at the home."""
    return home.path / apm_settings(settings).path


def link_targets(home: Home, settings: Settings) -> list[Path]:
    """The folders that links among the exports may lead to; relative paths start at the home."""
    return [home.path / folder for folder in apm_settings(settings).follow_links_to]
