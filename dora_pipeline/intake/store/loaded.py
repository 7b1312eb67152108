"""The events that a writing transaction has loaded, by id and by natural key, and how those that changed are saved.

What does not belong here: what becomes of an event.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import islice
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, insert, select, update

from dora_pipeline.intake.store import event_tables
from dora_pipeline.intake.store.event import (
    Attributes,
    History,
    StoredEvent,
    StoredType,
    event_moment,
    json_text,
    stored_event,
    trouble,
)
from dora_pipeline.intake.store.event_tables import stored_microseconds
from dora_pipeline.intake.store.statements import PreparedStatement

# Databases limit the parameters of a statement; PostgreSQL's and SQLite's limits are about 32,000.
_LOOKUP = 1_024
_EVENTS = event_tables.events.c
# Made once: to put a statement together costs as much as to execute it.
_LOOK = select(event_tables.events).where(
    _EVENTS.event_type == bindparam("of_type"), _EVENTS.event_id.in_(bindparam("wanted", expanding=True))
)
_ADD = PreparedStatement(insert(event_tables.events))
_CHANGE = PreparedStatement(
    update(event_tables.events)
    .where(_EVENTS.event_type == bindparam("new_event_type"), _EVENTS.event_id == bindparam("stored_event_id"))
    .values({column.name: bindparam(f"new_{column.name}") for column in _EVENTS})
)


@dataclass
class LoadedEvent:
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
    def trouble(self) -> str | None:
        """Why what was sent cannot be used; None where it can, and where nothing of it stands anyway."""
        attributes = self.standing
        return trouble(attributes, attributes, self.event.changed_at)

    @property
    def standing(self) -> Attributes:
        """What stands of all that was sent."""
        return {} if self.event.is_deleted else self.event.attributes


class LoadedEvents:
    """The events that were looked for and found, and new ones. One with two ids is there under both."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._by_id: dict[tuple[StoredType, str], LoadedEvent] = {}
        self._by_key: dict[tuple[StoredType, str], list[LoadedEvent]] = {}

    def by_id(self, event_type: StoredType, event_id: str) -> LoadedEvent | None:
        """The event with this id, which was looked for."""
        return self._by_id.get((event_type, event_id))

    def alike(self, event_type: StoredType, key: str | None) -> list[LoadedEvent]:
        """The events with this natural key, which was looked for; none without a key."""
        return [held for held in self._by_key.get((event_type, key or ""), []) if held.identity_key == key]

    def keys(self, event_type: StoredType) -> list[str]:
        """The natural keys of all that is there."""
        return [held.identity_key for (of, _), held in self._by_id.items() if of == event_type and held.identity_key]

    def changed(self) -> Iterator[LoadedEvent]:
        """Each event that changed, once."""
        for (_, name), held in self._by_id.items():
            if held.is_changed and name == held.event.event_id:
                yield held

    def load(self, event_type: StoredType, event_ids: Iterable[str]) -> None:
        """Look for the events of ids, those that were given to them included."""
        names = list(event_ids)
        for column in ("event_id", "former_id"):
            self._load(event_type, column, names)

    def load_alike(self, event_type: StoredType, keys: Iterable[str]) -> None:
        """Look for the events with these natural keys."""
        self._load(event_type, "identity_key", keys)

    def _load(self, event_type: StoredType, column: str, values: Iterable[str]) -> None:
        rest = iter(dict.fromkeys(values))
        while chunk := list(islice(rest, _LOOKUP)):
            # Most are of no event yet.
            known = _known_ids(self._connection, event_type, column, chunk)
            if not known:
                continue
            for row in self._connection.execute(_LOOK, {"of_type": event_type, "wanted": known}).mappings():
                if (event_type, row["event_id"]) not in self._by_id:
                    self.add(
                        LoadedEvent(
                            stored_event(row),
                            row["identity_key"],
                            row["first_sequence"],
                            is_new=False,
                            is_changed=False,
                            stored_id=row["event_id"],
                        )
                    )

    def add(self, held: LoadedEvent) -> None:
        """One more event."""
        for name in (held.event.event_id, held.event.former_id):
            if name:
                self._by_id[held.event.event_type, name] = held
        self._index(held)

    def _index(self, held: LoadedEvent) -> None:
        if held.identity_key:
            self._by_key.setdefault((held.event.event_type, held.identity_key), []).append(held)

    def identify(self, held: LoadedEvent, key: str) -> None:
        """Know an event by this natural key, and no longer by a former one."""
        if key != held.identity_key:
            held.identity_key = key
            self._index(held)

    def rename(self, held: LoadedEvent, event_id: str) -> None:
        """Give an event an id of its own; the one that it was given keeps naming it."""
        held.event = replace(held.event, event_id=event_id, former_id=held.event.event_id, is_named=True)
        self._by_id[held.event.event_type, event_id] = held

    def save(self) -> None:
        """Write what changed."""
        changed = list(self.changed())
        new = [_row(held) for held in changed if held.is_new]
        known = [
            {f"new_{name}": value for name, value in _row(held).items()} | {"stored_event_id": held.stored_id}
            for held in changed
            if not held.is_new
        ]
        if new:
            _ADD.execute(self._connection, new)
        if known:
            _CHANGE.execute(self._connection, known)


def _known_ids(connection: Connection, event_type: StoredType, column: str, values: list[str]) -> list[str]:
    """The ids of the events that have one of these values."""
    # By sizes of few kinds, so that few statements are put together.
    size = 1 << (len(values) - 1).bit_length()
    wanted = values + values[-1:] * (size - len(values))
    parameters = {"of_type": event_type} | {f"value_{number}": value for number, value in enumerate(wanted)}
    return [event_id for (event_id,) in _ids(column, size).found(connection, parameters)]


@cache
def _ids(column: str, size: int) -> PreparedStatement:
    values: list[BindParameter[str]] = [bindparam(f"value_{number}") for number in range(size)]
    return PreparedStatement(
        select(_EVENTS.event_id).where(_EVENTS.event_type == bindparam("of_type"), _EVENTS[column].in_(values))
    )


def _row(held: LoadedEvent) -> dict[str, Any]:
    event = held.event
    return {
        "event_type": event.event_type,
        "event_id": event.event_id,
        "sequence": event.sequence,
        "first_sequence": held.first_sequence,
        "received_at": stored_microseconds(event.received_at),
        "changed_at": stored_microseconds(event.changed_at),
        "is_deleted": event.is_deleted,
        "identity_key": held.identity_key,
        "started_at": stored_microseconds(event_moment(event.attributes, "started_at")),
        "finished_at": stored_microseconds(event_moment(event.attributes, "finished_at")),
        "attributes": json_text(event.attributes),
        "is_named": event.is_named,
        "former_id": event.former_id,
        "history": None if event.history == History() else json_text(asdict(event.history)),
        "refusal": event.refusal,
    }
