"""Landing of webhooks: what their deliveries tell of records goes beside what was pulled of them, in the day files."""

import os
from pathlib import Path

from dora_pipeline.config import Home
from dora_pipeline.pipeline.events import land_segment
from dora_pipeline.pipeline.segments import fresh_segments
from dora_pipeline.pipeline.session import Session
from dora_pipeline.sources.day_files import DayFiles
from dora_pipeline.sources.event_rules import Normalized
from dora_pipeline.sources.raw import segments
from dora_pipeline.sources.source import PullSource, Webhook
from dora_pipeline.tables import LandedFailures, empty_frame


def land_deliveries(session: Session, source: PullSource, webhook: Webhook) -> None:
    """Bring the deliveries since the last time into segments of the raw layer, and their changes into the day files.

    A segment that is read again, after a kill or for a rebuild, changes nothing.
    """
    files = DayFiles(session.home.raw / source.name, source.name, session.settings.zone)
    nothing = empty_frame(LandedFailures).drop("input")
    for told, records in fresh_segments(session, "delivery", source.name, _folder(session.home, source)):
        changes = webhook.changes(records, session.settings)
        files.deliver(changes.changes)
        land_segment(session, "failure", source.name, told, records, Normalized(nothing, changes.rejected))


def lacks_token(session: Session, source: PullSource, webhook: Webhook) -> bool:
    """Whether the source cannot be pulled and need not be: its token is not set, and deliveries have come."""
    return not os.environ.get(webhook.token, "").strip() and bool(segments(_folder(session.home, source)))


def _folder(home: Home, source: PullSource) -> Path:
    return home.raw / source.name / "deliveries"
