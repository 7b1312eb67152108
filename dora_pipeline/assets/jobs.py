"""Jobs: what schedules and sensors start, and what people start from the page."""

from datetime import datetime
from typing import Literal

import dagster as dg

from dora_pipeline.assets.lineage import DAILY_TABLES
from dora_pipeline.assets.metadata import asset_key
from dora_pipeline.config import default_home
from dora_pipeline.errors import DoraError
from dora_pipeline.pipeline.loading import WHOLE_TABLES
from dora_pipeline.selection import append_selection
from dora_pipeline.timeline import InstantError, instant

_WHOLE = dg.AssetSelection.assets(*(asset_key(table) for table in WHOLE_TABLES))
_DAILY = dg.AssetSelection.assets(*(asset_key(table) for table in DAILY_TABLES))

read_sources = dg.define_asset_job("read_sources", _WHOLE, description="Read what is new at the sources; load no day.")
load_days = dg.define_asset_job("load_days", _DAILY, description="Load days from what was read.")
refresh = dg.define_asset_job(
    "refresh", _WHOLE | _DAILY, description="Load days; fails at its end where a source could not be read."
)


class SelectionConfig(dg.Config):
    """Which sources to select: `deployment` or `failure`, the sources, and optionally from when (RFC 3339)."""

    event_type: Literal["deployment", "failure"]
    sources: list[str]
    at: str | None = None


@dg.op
def append_to_selection_log(context: dg.OpExecutionContext, config: SelectionConfig) -> None:
    """Append one selection to source_selections.csv, as `dora select` does."""
    try:
        at = None if config.at is None else instant(config.at)
        selection = append_selection(default_home(), config.event_type, config.sources, at)
    except InstantError as error:
        raise dg.Failure(description=f"at: {error}", allow_retries=False) from None
    except DoraError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    moment: datetime = selection.selected_at
    context.log.info(f"{selection.event_type}: {', '.join(selection.sources)} since {moment.isoformat()}")


@dg.job(description="Select the sources of deployments or failures, as `dora select` does.")
def select_sources() -> None:
    """Select sources."""
    append_to_selection_log()
