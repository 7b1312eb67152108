"""What was taken back of events, which their newest states alone do not say."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection, select

from dora_pipeline.intake.store import event_tables
from dora_pipeline.intake.store.event import StoredType


@dataclass(frozen=True)
class Withdrawals:
    """The ids of events that were deleted, sent again since or not, and of those whose end was taken back."""

    deleted: Collection[str]
    reopened: Collection[str]

    @classmethod
    def after(cls, connection: Connection, event_type: StoredType, sequence: int) -> Self:
        """Those of the messages after a sequence."""
        messages = event_tables.messages.c
        query = select(messages.event_id, messages.action, messages.body).where(
            messages.sequence > sequence,
            messages.event_type == event_type,
            messages.action.in_(("updated", "deleted")),
        )
        deleted, reopened = set(), set()
        for row in connection.execute(query.order_by(messages.sequence)):
            if row.action == "deleted":
                deleted.add(row.event_id)
            elif json.loads(row.body).get("finished_at", ...) is None:
                reopened.add(row.event_id)
        return cls(deleted, reopened)
