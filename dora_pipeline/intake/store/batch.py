"""The events that one writing transaction touches, held in memory between reading and saving.

What does not belong here: opening and closing of transactions.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal
from uuid import uuid4

from sqlalchemy import Column, Connection, bindparam, insert, select, update

from dora_pipeline.intake.store import schema
from dora_pipeline.intake.store.event import (
    Attributes,
    EventType,
    History,
    StoredEvent,
    Telling,
    amended,
    event_moment,
    flat,
    json_text,
    merged,
    stored_event,
    told_in,
    trouble,
)
from dora_pipeline.intake.store.identity import NaturalKey, body_key, differ, natural_key, refusal_key
from dora_pipeline.timeline import instant

# Databases limit the parameters of a statement; PostgreSQL's and SQLite's limits are about 32,000.
_LOOKUP = 1_000
_MICROSECOND = timedelta(microseconds=1)
# What a telling that cannot be used takes from its event, to show what it is about.
_SHOWN = ("service", "services", "team", "env", "started_at", "finished_at")
# No id holds it.
_AFTER_ID = "\t"


@dataclass
class Held:
    """An event of the transaction; `is_new` and `is_changed` tell what saving has to do.

    `stored_id` is the id that its row has until then.
    """

    event: StoredEvent
    identity_key: str | None
    first_sequence: int
    is_new: bool
    is_changed: bool
    stored_id: str

    @property
    def is_untold(self) -> bool:
        """Whether nothing of what was told so far stands."""
        return self.event.is_deleted or self.event.sequence < self.first_sequence

    @property
    def trouble(self) -> str | None:
        """Why what was told cannot be used; None where it can, and where nothing of it stands anyway."""
        attributes = self.standing
        return trouble(attributes, attributes, self.event.changed_at)

    @property
    def standing(self) -> Attributes:
        """What stands of all that was told."""
        return {} if self.event.is_deleted else self.event.attributes


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
        keys = [natural_key(telling.event_type, telling.body) for telling in told]
        for event_type in dict.fromkeys(telling.event_type for telling in told):
            of_type = [pair for pair in zip(told, keys, strict=True) if pair[0].event_type == event_type]
            self._load_named(event_type, (one.event_id for one, _ in of_type if one.event_id))
            known = [held.identity_key for (of, _), held in self._by_id.items() if of == event_type]
            digests = [_digest(telling, key) for telling, key in of_type]
            self._load(event_type, schema.events.c.identity_key, (key for key in [*digests, *known] if key))
        return [self._tell(telling, key) for telling, key in zip(told, keys, strict=True)]

    def find(self, event_type: EventType, event_id: str) -> Held | None:
        """The event, None where it is unknown or deleted."""
        self._load_named(event_type, [event_id])
        held = self._by_id.get((event_type, event_id))
        if held is not None and held.identity_key:
            self._load(event_type, schema.events.c.identity_key, [held.identity_key])
        return None if held is None or held.event.is_deleted else held

    def amend(self, held: Held, changes: Attributes, received_at: datetime | None) -> StoredEvent:
        """The event after changes by its id."""
        moment, before = self._moment(received_at), held.event
        attributes = amended(held.standing, changes)
        reason = trouble(changes, attributes, moment)
        if reason and not held.trouble:
            self._refuse(before.event_id, held, changes, attributes, moment, reason)
            return before
        return self._record(held, "updated", changes, attributes, moment)

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
        # An event with two ids stands here under both.
        changed = [held for (_, name), held in self._by_id.items() if held.is_changed and name == held.event.event_id]
        if not changed:
            return
        new = [_row(held) for held in changed if held.is_new]
        known = [
            {f"new_{name}": value for name, value in _row(held).items()} | {"stored_event_id": held.stored_id}
            for held in changed
            if not held.is_new
        ]
        table = schema.events
        if new:
            self._connection.execute(insert(table), new)
        if known:
            is_it = (table.c.event_type == bindparam("new_event_type")) & (
                table.c.event_id == bindparam("stored_event_id")
            )
            values: dict[str, Any] = {column.name: bindparam(f"new_{column.name}") for column in table.c}
            self._connection.execute(update(table).where(is_it).values(values), known)
        self._connection.execute(insert(schema.tellings), self._tellings)
        self._connection.execute(update(schema.state).values(sequence=self._sequence))

    def _moment(self, received_at: datetime | None) -> datetime:
        if received_at is not None:
            return instant(received_at)
        # A microsecond apart, so that of two events of a batch the first was received first.
        self._now += _MICROSECOND
        return self._now

    def _tell(self, telling: Telling, key: NaturalKey | None) -> StoredEvent:
        moment = self._moment(telling.received_at)
        held = self._known(telling, key)
        if held is None:
            attributes = telling.body if telling.event_type == "delivery" else merged({}, telling.body)
            return self._record(self._new(telling, key, moment), "told", telling.body, attributes, moment)
        if telling.event_type == "delivery":
            # A delivery is one message: another body under its id is no news of it.
            attributes = telling.body if held.is_untold else held.event.attributes
        else:
            former_trouble = held.trouble
            # What cannot be used is no part of what is told after it.
            attributes = merged({} if former_trouble else held.standing, telling.body)
            if reason := trouble(telling.body, attributes, moment):
                return self._refuse(telling.event_id, held, telling.body, attributes, moment, reason)
            if former_trouble:
                self._set_aside(held, former_trouble)
        is_named_now = telling.event_id is not None and not held.event.is_named
        if is_named_now and telling.event_id:
            self._name(held, telling.event_id)
        return self._record(held, "told", telling.body, attributes, moment, is_named_now=is_named_now)

    def _known(self, telling: Telling, key: NaturalKey | None) -> Held | None:
        """The event that a telling is about, None where it is a new one."""
        event_type, digest = telling.event_type, _digest(telling, key)
        if telling.event_id and (held := self._by_id.get((event_type, telling.event_id))):
            return held
        alike = [held for held in self._by_key.get((event_type, digest or ""), []) if held.identity_key == digest]
        if key is not None:
            alike = [held for held in alike if _env(held) == key.env]
        if telling.event_id:
            # An event with an id of its own is another one, and a deleted one is none.
            alike = [held for held in alike if not (held.event.is_named or held.event.is_deleted)]
        if event_type == "deployment":
            alike = [held for held in alike if not self._is_another(held, telling)]
        return min(
            alike,
            key=lambda held: (
                held.event.is_deleted,
                held.event.is_named,
                held.event.received_at,
                held.first_sequence,
            ),
            default=None,
        )

    def _is_another(self, held: Held, telling: Telling) -> bool:
        """Whether a deployment is not the one that is told, where one of the two has an id and the other has none."""
        return (
            held.event.is_named != bool(telling.event_id)
            and not held.trouble
            and differ(held.event.attributes, telling.body)
        )

    def _new(self, telling: Telling, key: NaturalKey | None, moment: datetime) -> Held:
        event_id = telling.event_id or uuid4().hex
        is_named = telling.event_id is not None
        event = StoredEvent(self._sequence, telling.event_type, event_id, moment, moment, False, {}, is_named=is_named)
        held = Held(event, _digest(telling, key), self._sequence + 1, True, True, event_id)
        self._hold(held)
        return held

    def _name(self, held: Held, event_id: str) -> None:
        """Give an event an id of its own; the one that it was given keeps naming it."""
        held.event = replace(held.event, event_id=event_id, former_id=held.event.event_id, is_named=True)
        self._by_id[held.event.event_type, event_id] = held

    def _refuse(
        self, event_id: str | None, held: Held, body: Attributes, attributes: Attributes, moment: datetime, reason: str
    ) -> StoredEvent:
        """Keep a telling that cannot be used by itself; the event stays as it was.

        `attributes` is what it would have made of the event.
        """
        event = held.event
        is_known = bool(held.trouble) and json_text(attributes) == json_text(event.attributes)
        key = refusal_key(event.event_id, body)
        self._load(event.event_type, schema.events.c.identity_key, [key])
        if not is_known and not self._by_key.get((event.event_type, key)):
            shown = {name: value for name, value in attributes.items() if name in _SHOWN} | merged({}, body)
            self._keep_by_itself(held, key, shown, moment, reason)
            self._log("refused", replace(event, sequence=self._sequence), body, moment)
        return replace(event, event_id=event_id) if event_id else event

    def _set_aside(self, held: Held, reason: str) -> None:
        """Keep by itself what could not be used, before the event becomes another."""
        event = held.event
        self._keep_by_itself(
            held, refusal_key(event.event_id, event.attributes), event.attributes, event.changed_at, reason
        )
        self._log("refused", replace(event, sequence=self._sequence), event.attributes, event.changed_at)

    def _keep_by_itself(self, held: Held, key: str, attributes: Attributes, moment: datetime, reason: str) -> None:
        self._sequence += 1
        event_type, name = held.event.event_type, held.event.event_id
        kept = StoredEvent(
            sequence=self._sequence,
            event_type=event_type,
            event_id=f"{name}{_AFTER_ID}{uuid4().hex}",
            received_at=moment,
            changed_at=moment,
            is_deleted=False,
            attributes={"id": name, **attributes},
            refusal=reason,
        )
        self._hold(Held(kept, key, self._sequence, True, True, kept.event_id))

    def _record(
        self,
        held: Held,
        action: Literal["told", "updated", "deleted"],
        body: Attributes,
        attributes: Attributes,
        moment: datetime,
        *,
        is_deleted: bool = False,
        is_named_now: bool = False,
    ) -> StoredEvent:
        before = held.event
        is_same = (
            json_text(attributes) == json_text(before.attributes)
            and is_deleted == before.is_deleted
            and before.sequence >= held.first_sequence
        )
        if is_same and not (is_named_now or self._may_be_told_under_another_name(held)):
            return before
        known = {} if before.is_deleted or held.trouble else told_in(before)
        self._sequence += 1
        if is_deleted:
            history = History(deleted=self._sequence)
        else:
            history = _history(before, known, body, attributes, self._sequence)
        held.event = replace(
            before,
            sequence=self._sequence,
            changed_at=max(before.changed_at, moment),
            is_deleted=is_deleted,
            attributes=attributes,
            history=history,
        )
        held.is_changed = True
        self._log(action, held.event, body, moment)
        key = natural_key(before.event_type, attributes)
        if key is not None and key.digest != held.identity_key:
            held.identity_key = key.digest
            self._index(held)
        return held.event

    def _may_be_told_under_another_name(self, held: Held) -> bool:
        """Whether settings may find another event to be this one: then also a telling without news may be newer."""
        key = (held.event.event_type, held.identity_key or "")
        return any(
            other is not held and other.identity_key == held.identity_key and other.event.refusal is None
            for other in self._by_key.get(key, [])
        )

    def _log(self, action: str, event: StoredEvent, body: Attributes, moment: datetime) -> None:
        self._tellings.append(
            {
                "sequence": event.sequence,
                "event_type": event.event_type,
                "event_id": event.event_id,
                "action": action,
                "received_at": moment,
                "body": json.dumps(body, separators=(",", ":")),
                "mark": self._mark,
            }
        )

    def _load_named(self, event_type: EventType, event_ids: Iterable[str]) -> None:
        """Load the events of ids, those that were given to them included."""
        names = list(event_ids)
        for column in (schema.events.c.event_id, schema.events.c.former_id):
            self._load(event_type, column, names)

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
                            stored_id=row["event_id"],
                        )
                    )

    def _hold(self, held: Held) -> None:
        for name in (held.event.event_id, held.event.former_id):
            if name:
                self._by_id[held.event.event_type, name] = held
        self._index(held)

    def _index(self, held: Held) -> None:
        if held.identity_key:
            self._by_key.setdefault((held.event.event_type, held.identity_key), []).append(held)


def _digest(telling: Telling, key: NaturalKey | None) -> str | None:
    """What an event is known by that this telling makes; None where only its id names it."""
    if key is not None:
        return key.digest
    return None if telling.event_id else body_key(telling.body)


def _env(held: Held) -> tuple[str, ...] | None:
    key = natural_key(held.event.event_type, held.event.attributes)
    return None if key is None else key.env


def _history(
    before: StoredEvent, known: Mapping[str, int], body: Attributes, attributes: Attributes, sequence: int
) -> History:
    """When the fields of an event were told, after a change with this sequence; `known` is that of what still stood."""
    fields = flat(attributes)
    told = {
        *flat(merged({}, body)),
        *(name for name in known if name in flat(before.attributes) and name not in fields),
    }
    if body.get("finished_at", ...) is None and "finished_at" not in fields:
        told.add("finished_at")
    told_in_sequence = {**known, **dict.fromkeys(told, sequence)}
    older = {name: when for name, when in told_in_sequence.items() if when != sequence or name not in fields}
    return History(older, before.history.deleted)


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
        "is_named": event.is_named,
        "former_id": event.former_id,
        "history": None if event.history == History() else json_text(asdict(event.history)),
        "refusal": event.refusal,
    }
