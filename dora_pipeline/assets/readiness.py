"""Whether schedules and sensors can start anything: settings are right, a source is selected, days are known."""

import dagster as dg

from dora_pipeline.config import Home, Settings, default_home
from dora_pipeline.errors import ConfigError, DoraError
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.selection import read_selection_log
from dora_pipeline.settings import read_settings

# What keeps a tick from starting a run, and is shown as the reason for which it was skipped.
OBSTACLES = (DoraError, OSError)


def ready_home(partitions: dg.DailyPartitionsDefinition) -> tuple[Home, Settings]:
    """The home and its settings. Raises ConfigError with what there is to do first."""
    home = default_home()
    settings = read_settings(home)
    if not read_selection_log(home).entries:
        raise ConfigError(
            "no source is selected yet; select some with the job select_sources, or with `dora select deployments "
            "SOURCE…` and `dora select failures SOURCE…`"
        )
    if settings.timezone != partitions.timezone:
        raise ConfigError(
            f"the timezone is now {settings.timezone}, the partitions are days of {partitions.timezone}; "
            "reload the code location (Deployment → Code locations → Reload)"
        )
    return home, settings


def skipped(error: Exception) -> dg.SkipReason:
    """The obstacle in words."""
    return dg.SkipReason(without_credentials(str(error)))
