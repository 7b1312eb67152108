"""The events that one writing transaction touches, held in memory between reading and saving.

What does not belong here: opening and closing of transactions.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal
from uuid import uuid4

from sqlalchemy import Column, Connection, RowMapping, bindparam, insert, select, update

from dora_pipeline.intake import schema
from dora_pipeline.intake.event import (
    Attributes,
    EventType,
    StoredEvent,
    Telling,
    amended,
    body_key,
    event_moment,
    json_text,
    merged,
    natural_key,
)
from dora_pipeline.timeline import instant

# Databases limit the parameters of a statement; PostgreSQL's and SQLite's limits are about 32,000.
_LOOKUP = 1_000
_MICROSECOND = timedelta(microseconds=1)


@dataclass
class Held:
    """An event of the transaction; `is_new` and `is_changed` tell what saving has to do."""

    event: StoredEvent
    identity_key: str | None
    first_sequence: int
    is_new: bool
    is_changed: bool

    @property
    def is_untold(self) -> bool:
        """Whether nothing of what was told so far stands."""
        return self.event.is_deleted or self.event.sequence < self.first_sequence


class Batch:
    """Changes of events. The counter's row is locked first, so that sequences are in commit order."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sequence: int = connection.execute(select(schema.state.c.sequence).with_for_update()).scalar_one()
        self._now = datetime.now(UTC)
        self._mark = schema.new_mark()
        self._by_id: dict[tuple[EventType, str], Held] = {}
        self._by_key: dict[tuple[EventType, str], list[Held]] = {}
        self._tellings: list[dict[str, Any]] = []

    def tell(self, told: list[Telling]) -> list[StoredEvent]:
        """The event after each telling, in the order in which they came."""
        keys = [None if telling.event_id else _told_key(telling) for telling in told]
        for event_type in dict.fromkeys(telling.event_type for telling in told):
            of_type = [pair for pair in zip(told, keys, strict=True) if pair[0].event_type == event_type]
            self._load(event_type, schema.events.c.event_id, (one.event_id for one, _ in of_type if one.event_id))
            self._load(event_type, schema.events.c.identity_key, (key for _, key in of_type if key))
        return [self._tell(telling, key) for telling, key in zip(told, keys, strict=True)]

    def find(self, event_type: EventType, event_id: str) -> Held | None:
        """The event, None where it is unknown or deleted."""
        self._load(event_type, schema.events.c.event_id, [event_id])
        held = self._by_id.get((event_type, event_id))
        return None if held is None or held.event.is_deleted else held

    def amend(self, held: Held, changes: Attributes, received_at: datetime | None) -> StoredEvent:
        """The event after changes by its id."""
        attributes = amended(held.event.attributes, changes)
        return self._record(held, "updated", changes, attributes, self._moment(received_at))

    def delete(self, held: Held, received_at: datetime | None) -> None:
        """Leaves a tombstone that keeps what was told."""
        self._record(held, "deleted", {}, held.event.attributes, self._moment(received_at), is_deleted=True)

    @property
    def size(self) -> int:
        """About how many bytes `save` writes."""
        return sum(len(telling["body"]) for telling in self._tellings) + sum(
            len(json_text(held.event.attributes)) for held in self._by_id.values() if held.is_changed
        )

    def save(self) -> None:
        """Writes what changed."""
        changed = [held for held in self._by_id.values() if held.is_changed]
        if not changed:
            return
        new = [_row(held) for held in changed if held.is_new]
        known = [{f"new_{name}": value for name, value in _row(held).items()} for held in changed if not held.is_new]
        table = schema.events
        if new:
            self._connection.execute(insert(table), new)
        if known:
            is_it = (table.c.event_type == bindparam("new_event_type")) & (
                table.c.event_id == bindparam("new_event_id")
            )
            values: dict[str, Any] = {
                column.name: bindparam(f"new_{column.name}") for column in table.c if not column.primary_key
            }
            self._connection.execute(update(table).where(is_it).values(values), known)
        self._connection.execute(insert(schema.tellings), self._tellings)
        self._connection.execute(update(schema.state).values(sequence=self._sequence))

    def _moment(self, received_at: datetime | None) -> datetime:
        if received_at is not None:
            return instant(received_at)
        # A microsecond apart, so that of two events of a batch the first was received first.
        self._now += _MICROSECOND
        return self._now

    def _tell(self, telling: Telling, key: str | None) -> StoredEvent:
        moment = self._moment(telling.received_at)
        if telling.event_id:
            held = self._by_id.get((telling.event_type, telling.event_id))
        else:
            held = self._first_received(telling.event_type, key)
        if held is None:
            held = self._new(telling, key, moment)
        if telling.event_type == "delivery":
            # A delivery is one message: another body under its id is no news of it.
            attributes = telling.body if held.is_untold else held.event.attributes
        else:
            attributes = merged({} if held.event.is_deleted else held.event.attributes, telling.body)
        return self._record(held, "told", telling.body, attributes, moment)

    def _first_received(self, event_type: EventType, key: str | None) -> Held | None:
        candidates = [held for held in self._by_key.get((event_type, key or ""), []) if held.identity_key == key]
        return min(
            candidates,
            key=lambda held: (held.event.is_deleted, held.event.received_at, held.first_sequence),
            default=None,
        )

    def _new(self, telling: Telling, key: str | None, moment: datetime) -> Held:
        event_id = telling.event_id or uuid4().hex
        event = StoredEvent(self._sequence, telling.event_type, event_id, moment, moment, False, {})
        held = Held(event, key, self._sequence + 1, is_new=True, is_changed=True)
        self._hold(held)
        return held

    def _record(
        self,
        held: Held,
        action: Literal["told", "updated", "deleted"],
        body: Attributes,
        attributes: Attributes,
        moment: datetime,
        is_deleted: bool = False,
    ) -> StoredEvent:
        before = held.event
        is_same = json_text(attributes) == json_text(before.attributes)
        if is_same and is_deleted == before.is_deleted and before.sequence >= held.first_sequence:
            return before
        self._sequence += 1
        held.event = replace(
            before,
            sequence=self._sequence,
            changed_at=max(before.changed_at, moment),
            is_deleted=is_deleted,
            attributes=attributes,
        )
        held.is_changed = True
        self._tellings.append(
            {
                "sequence": self._sequence,
                "event_type": before.event_type,
                "event_id": before.event_id,
                "action": action,
                "received_at": moment,
                "body": json.dumps(body, separators=(",", ":")),
                "mark": self._mark,
            }
        )
        key = natural_key(before.event_type, attributes) or held.identity_key
        if key != held.identity_key:
            held.identity_key = key
            self._index(held)
        return held.event

    def _load(self, event_type: EventType, column: Column[Any], values: Iterable[str]) -> None:
        rest = iter(dict.fromkeys(values))
        while chunk := list(islice(rest, _LOOKUP)):
            query = select(schema.events).where(schema.events.c.event_type == event_type, column.in_(chunk))
            for row in self._connection.execute(query).mappings():
                if (event_type, row["event_id"]) not in self._by_id:
                    self._hold(
                        Held(
                            stored_event(row),
                            row["identity_key"],
                            row["first_sequence"],
                            is_new=False,
                            is_changed=False,
                        )
                    )

    def _hold(self, held: Held) -> None:
        self._by_id[held.event.event_type, held.event.event_id] = held
        self._index(held)

    def _index(self, held: Held) -> None:
        if held.identity_key:
            self._by_key.setdefault((held.event.event_type, held.identity_key), []).append(held)


def _told_key(telling: Telling) -> str:
    return natural_key(telling.event_type, telling.body) or body_key(telling.body)


def stored_event(row: RowMapping) -> StoredEvent:
    """The event of a row of the events table."""
    return StoredEvent(
        sequence=row["sequence"],
        event_type=row["event_type"],
        event_id=row["event_id"],
        received_at=row["received_at"],
        changed_at=row["changed_at"],
        is_deleted=row["is_deleted"],
        attributes=json.loads(row["attributes"]),
    )


def _row(held: Held) -> dict[str, Any]:
    event = held.event
    return {
        "event_type": event.event_type,
        "event_id": event.event_id,
        "sequence": event.sequence,
        "first_sequence": held.first_sequence,
        "received_at": event.received_at,
        "changed_at": event.changed_at,
        "is_deleted": event.is_deleted,
        "identity_key": held.identity_key,
        "started_at": event_moment(event.attributes, "started_at"),
        "finished_at": event_moment(event.attributes, "finished_at"),
        "attributes": json_text(event.attributes),
    }
