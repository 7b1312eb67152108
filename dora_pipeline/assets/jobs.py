"""Jobs that people start from the UI."""

from datetime import datetime
from typing import Literal

import dagster as dg

from dora_pipeline.config import default_home
from dora_pipeline.pipeline.selections import select


class SelectionConfig(dg.Config):
    """Which sources to select: `deployment` or `failure`, the sources, and optionally from when (RFC 3339)."""

    event_type: Literal["deployment", "failure"]
    sources: list[str]
    at: str | None = None


@dg.op
def append_to_selection_log(context: dg.OpExecutionContext, config: SelectionConfig) -> None:
    """Append one selection to source_selections.csv, as `dora select` does."""
    selection = select(default_home(), config.event_type, config.sources, config.at)
    moment: datetime = selection.selected_at
    context.log.info(f"{selection.event_type}: {', '.join(selection.sources)} since {moment.isoformat()}")


@dg.job(description="Select the sources of deployments or failures, as `dora select` does.")
def select_sources() -> None:
    """Select sources."""
    append_to_selection_log()
