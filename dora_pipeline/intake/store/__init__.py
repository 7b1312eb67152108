"""The durable store of events that were sent to us.

What does not belong here: HTTP (`intake/web/`), and judging whether an event is usable (`sources/`).
"""

from dora_pipeline.intake.store.event import StoredEvent, StoredType
from dora_pipeline.intake.store.event_store import RAW_COLUMNS, SEARCH_SECONDS, EventStore
from dora_pipeline.intake.store.withdrawals import Withdrawals

__all__ = ["RAW_COLUMNS", "SEARCH_SECONDS", "EventStore", "StoredEvent", "StoredType", "Withdrawals"]
