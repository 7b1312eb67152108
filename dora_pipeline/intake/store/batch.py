"""What the messages of one writing transaction make of the events that they are about.

What does not belong here: opening and closing of transactions, and looking for events (`loaded`).
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

from sqlalchemy import Connection, bindparam, insert, select, update

from dora_pipeline.intake.store import event_tables
from dora_pipeline.intake.store.event import (
    Attributes,
    History,
    SentEvent,
    StoredEvent,
    StoredType,
    amended,
    history_after,
    json_text,
    merged,
    message_text,
    sequences_of,
    trouble,
)
from dora_pipeline.intake.store.identity import NaturalKey, body_key, differ, natural_key, refusal_key
from dora_pipeline.intake.store.loaded import LoadedEvent, LoadedEvents
from dora_pipeline.intake.store.statements import PreparedStatement
from dora_pipeline.timeline import instant

_MICROSECOND = timedelta(microseconds=1)
# What a message that cannot be used takes from its event, to show what it is about.
_SHOWN = ("service", "services", "team", "env", "started_at", "finished_at")
# No id holds it.
_AFTER_ID = "\t"
# Made once: to put a statement together costs as much as to execute it.
_LOCK = PreparedStatement(select(event_tables.state.c.sequence).with_for_update())
_LOG = PreparedStatement(insert(event_tables.messages))
_ADVANCE = PreparedStatement(update(event_tables.state).values(sequence=bindparam("newest")))


class Batch:
    """Changes of events. The counter's row is locked first, so that sequences are in commit order."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sequence: int
        [[self._sequence]] = _LOCK.found(connection, {})
        self._now = datetime.now(UTC)
        self._mark = event_tables.new_mark()
        self._events = LoadedEvents(connection)
        self._messages: list[dict[str, Any]] = []

    def add(self, messages: list[SentEvent]) -> list[StoredEvent]:
        """The event after each message, in the order in which they came."""
        keys = [natural_key(message.event_type, message.body) for message in messages]
        for event_type in dict.fromkeys(message.event_type for message in messages):
            of_type = [pair for pair in zip(messages, keys, strict=True) if pair[0].event_type == event_type]
            self._events.load(event_type, (one.event_id for one, _ in of_type if one.event_id))
            digests = [_digest(message, key) for message, key in of_type]
            known = self._events.keys(event_type)
            self._events.load_alike(event_type, (key for key in [*digests, *known] if key))
        return [self._add(message, key) for message, key in zip(messages, keys, strict=True)]

    def find(self, event_type: StoredType, event_id: str) -> LoadedEvent | None:
        """The event, None where it is unknown or deleted."""
        self._events.load(event_type, [event_id])
        held = self._events.by_id(event_type, event_id)
        if held is not None and held.identity_key:
            self._events.load_alike(event_type, [held.identity_key])
        return None if held is None or held.event.is_deleted else held

    def amend(self, held: LoadedEvent, changes: Attributes, received_at: datetime | None) -> StoredEvent:
        """The event after changes by its id."""
        moment, before = self._moment(received_at), held.event
        attributes = amended(held.standing, changes)
        reason = trouble(changes, attributes, moment)
        if reason and not held.trouble:
            self._refuse(before.event_id, held, changes, attributes, moment, reason)
            return before
        return self._record(held, "updated", changes, attributes, moment)

    def delete(self, held: LoadedEvent, received_at: datetime | None) -> None:
        """Leaves a tombstone that keeps what was sent."""
        self._record(held, "deleted", {}, held.event.attributes, self._moment(received_at), is_deleted=True)

    @property
    def size(self) -> int:
        """About how many bytes `save` writes."""
        return sum(len(message["body"]) for message in self._messages) + sum(
            len(json_text(held.event.attributes)) for held in self._events.changed()
        )

    def save(self) -> None:
        """Writes what changed."""
        if not self._messages:
            return
        self._events.save()
        _LOG.execute(self._connection, self._messages)
        _ADVANCE.execute(self._connection, [{"newest": self._sequence}])

    def _moment(self, received_at: datetime | None) -> datetime:
        if received_at is not None:
            return instant(received_at)
        # A microsecond apart, so that of two events of a batch the first was received first.
        self._now += _MICROSECOND
        return self._now

    def _add(self, message: SentEvent, key: NaturalKey | None) -> StoredEvent:
        moment = self._moment(message.received_at)
        held = self._known(message, key)
        if held is None:
            return self._begin(message, key, moment)
        if message.event_type == "delivery":
            # A delivery is one message: another body under its id is no news of it.
            attributes = message.body if held.event.is_deleted else held.event.attributes
        else:
            former_trouble = held.trouble
            # What cannot be used is no part of what is sent after it.
            attributes = merged({} if former_trouble else held.standing, message.body)
            if reason := trouble(message.body, attributes, moment):
                return self._refuse(message.event_id, held, message.body, attributes, moment, reason)
            if former_trouble:
                self._set_aside(held, former_trouble)
        is_named_now = message.event_id is not None and not held.event.is_named
        if is_named_now and message.event_id:
            self._events.rename(held, message.event_id)
        return self._record(held, "told", message.body, attributes, moment, is_named_now=is_named_now)

    def _known(self, message: SentEvent, key: NaturalKey | None) -> LoadedEvent | None:
        """The event that a message is about, None where it is a new one."""
        event_type, digest = message.event_type, _digest(message, key)
        if message.event_id and (held := self._events.by_id(event_type, message.event_id)):
            return held
        alike = self._events.alike(event_type, digest)
        if key is not None:
            alike = [held for held in alike if _env(held) == key.env]
        if message.event_id:
            # An event with an id of its own is another one, and a deleted one is none.
            alike = [held for held in alike if not (held.event.is_named or held.event.is_deleted)]
        if event_type == "deployment":
            alike = [held for held in alike if not self._is_another(held, message)]
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

    def _is_another(self, held: LoadedEvent, message: SentEvent) -> bool:
        """Whether a deployment is not the one that is sent, where one of the two has an id and the other has none."""
        return (
            held.event.is_named != bool(message.event_id)
            and not held.trouble
            and differ(held.event.attributes, message.body)
        )

    def _begin(self, message: SentEvent, key: NaturalKey | None, moment: datetime) -> StoredEvent:
        """A new event of its first message."""
        event_type, body = message.event_type, message.body
        attributes = body if event_type == "delivery" else merged({}, body)
        self._sequence += 1
        event = StoredEvent(
            sequence=self._sequence,
            event_type=event_type,
            event_id=message.event_id or uuid4().hex,
            received_at=moment,
            changed_at=moment,
            is_deleted=False,
            attributes=attributes,
            is_named=message.event_id is not None,
        )
        digest = _digest(message, key)
        # Of a message that is the event as a whole, the key is known and there is no history.
        if attributes != body:
            event = replace(event, history=history_after(event, {}, body, attributes, self._sequence))
            standing = natural_key(event_type, attributes)
            digest = standing.digest if standing else digest
        self._events.add(LoadedEvent(event, digest, self._sequence, True, True, event.event_id))
        self._log("told", event, message.text, moment)
        return event

    def _refuse(
        self,
        event_id: str | None,
        held: LoadedEvent,
        body: Attributes,
        attributes: Attributes,
        moment: datetime,
        reason: str,
    ) -> StoredEvent:
        """Keep a message that cannot be used by itself; the event stays as it was.

        `attributes` is what it would have made of the event.
        """
        event = held.event
        is_known = bool(held.trouble) and json_text(attributes) == json_text(event.attributes)
        key = refusal_key(event.event_id, body)
        self._events.load_alike(event.event_type, [key])
        if not is_known and not self._events.alike(event.event_type, key):
            shown = {name: value for name, value in attributes.items() if name in _SHOWN} | merged({}, body)
            self._keep_by_itself(held, key, shown, moment, reason)
            self._log("refused", replace(event, sequence=self._sequence), message_text(body), moment)
        return replace(event, event_id=event_id) if event_id else event

    def _set_aside(self, held: LoadedEvent, reason: str) -> None:
        """Keep by itself what could not be used, before the event becomes another."""
        event = held.event
        self._keep_by_itself(
            held, refusal_key(event.event_id, event.attributes), event.attributes, event.changed_at, reason
        )
        text = message_text(event.attributes)
        self._log("refused", replace(event, sequence=self._sequence), text, event.changed_at)

    def _keep_by_itself(
        self, held: LoadedEvent, key: str, attributes: Attributes, moment: datetime, reason: str
    ) -> None:
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
        self._events.add(LoadedEvent(kept, key, self._sequence, True, True, kept.event_id))

    def _record(
        self,
        held: LoadedEvent,
        action: Literal["told", "updated", "deleted"],
        body: Attributes,
        attributes: Attributes,
        moment: datetime,
        *,
        is_deleted: bool = False,
        is_named_now: bool = False,
    ) -> StoredEvent:
        before = held.event
        is_same = is_deleted == before.is_deleted and json_text(attributes) == json_text(before.attributes)
        if is_same and not (is_named_now or self._may_come_under_another_name(held)):
            return before
        was_unusable = held.trouble is not None
        known = {} if before.is_deleted or was_unusable else sequences_of(before)
        self._sequence += 1
        if is_deleted:
            history = History(deleted=self._sequence)
        else:
            history = history_after(before, known, body, attributes, self._sequence)
        held.event = replace(
            before,
            sequence=self._sequence,
            received_at=moment if was_unusable else before.received_at,
            changed_at=max(before.changed_at, moment),
            is_deleted=is_deleted,
            attributes=attributes,
            history=history,
        )
        held.is_changed = True
        self._log(action, held.event, message_text(body), moment)
        if key := natural_key(before.event_type, attributes):
            self._events.identify(held, key.digest)
        return held.event

    def _may_come_under_another_name(self, held: LoadedEvent) -> bool:
        """Whether settings may find another event to be this one: then also a message without news may be newer."""
        alike = self._events.alike(held.event.event_type, held.identity_key)
        return any(other is not held and other.event.refusal is None for other in alike)

    def _log(self, action: str, event: StoredEvent, text: str, moment: datetime) -> None:
        self._messages.append(
            {
                "sequence": event.sequence,
                "event_type": event.event_type,
                "event_id": event.event_id,
                "action": action,
                "received_at": event_tables.stored_microseconds(moment),
                "body": text,
                "mark": self._mark,
            }
        )


def _digest(message: SentEvent, key: NaturalKey | None) -> str | None:
    """What an event is known by of this message; None where only its id names it."""
    if key is not None:
        return key.digest
    return None if message.event_id else body_key(message.body)


def _env(held: LoadedEvent) -> tuple[str, ...] | None:
    key = natural_key(held.event.event_type, held.event.attributes)
    return None if key is None else key.env
