"""Landing of webhooks: what their deliveries tell of records goes beside what was pulled of them, in the day files."""

import os
from pathlib import Path
from typing import Any

from dora_pipeline.config import Home
from dora_pipeline.pipeline.events import day_files, land_segment
from dora_pipeline.pipeline.segments import fresh_segments
from dora_pipeline.pipeline.session import Session
from dora_pipeline.sources.raw import segments
from dora_pipeline.sources.source import Normalized, Source
from dora_pipeline.tables import LandedFailures, empty_frame


def land_deliveries(session: Session, source: Source[Any]) -> None:
    """Bring the deliveries since the last time into segments of the raw layer, and their changes into the day files.

    A segment that is read again, after a kill or for a rebuild, changes nothing.
    """
    files = day_files(session, source)
    webhook_changes = source.reader().webhook_changes
    assert webhook_changes is not None
    nothing = empty_frame(LandedFailures).drop("input")
    for entry, records in fresh_segments(session, "delivery", source.name, _folder(session.home, source)):
        changes = webhook_changes(records, session.settings)
        files.deliver(changes.changes)
        land_segment(session, source, entry, records, Normalized(nothing, changes.rejected))


def missing_secrets(session: Session, source: Source[Any]) -> list[str]:
    """The secrets without which a source cannot be pulled, and need not be, for deliveries have come; else none."""
    missing = [name for name in source.secrets if not os.environ.get(name, "").strip()]
    return missing if segments(_folder(session.home, source)) else []


def _folder(home: Home, source: Source[Any]) -> Path:
    return home.raw / source.name / "deliveries"
