"""Selecting sources with a moment written as text."""

from collections.abc import Sequence

from dora_pipeline.config import Home
from dora_pipeline.errors import ConfigError
from dora_pipeline.identifiers import EventType
from dora_pipeline.selection import Selection, append_selection
from dora_pipeline.timeline import InstantError, instant


def select(home: Home, event_type: EventType, sources: Sequence[str], at: str | None) -> Selection:
    """Append a selection; `at` is RFC 3339, None for now. Raises ConfigError for what the log refuses."""
    try:
        moment = None if at is None else instant(at)
    except InstantError as error:
        raise ConfigError(f"at: {error}") from error
    return append_selection(home, event_type, sources, moment)
