"""The durable store of events sent to our own intake.

Many processes may write at once. What `append` returned is on disk; readers follow with `changed_since`.
What does not belong here: HTTP, and judging whether an event is usable.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Self

from sqlalchemy import ColumnElement, select
from sqlalchemy.engine import URL

from dora_pipeline.config import Home
from dora_pipeline.intake import database
from dora_pipeline.intake.batch import Batch, Telling, stored_event
from dora_pipeline.intake.event import EventType, StoredEvent, storable, usable_id

__all__ = ["EventStore", "EventType", "StoredEvent"]


class EventStore:
    """Deployments and failures as they were told, in SQLite or PostgreSQL.

    Every method raises SourceUnavailable while the database is locked, full or does not answer, and ConfigError where
    it cannot be used at all; messages hold no password. May be shared by threads, not by forked processes.
    """

    def __init__(self, url: str | URL) -> None:
        """Opens `sqlite:////folder/events.sqlite3` or `postgresql+psycopg://host/database`; makes what is missing."""
        self._url = database.store_url(url)
        self._engine = database.opened(self._url)
        self._writer = database.writer(self._engine)

    @classmethod
    def at(cls, home: Home) -> Self:
        """The store that `DORA_INTAKE_URL` names, else `events.sqlite3` in the home's intake folder."""
        named = os.environ.get("DORA_INTAKE_URL", "").strip()
        return cls(named or URL.create("sqlite", database=str(home.intake / "events.sqlite3")))

    def append(
        self,
        event_type: EventType,
        attributes: Mapping[str, Any],
        *,
        event_id: str | None = None,
        received_at: datetime | None = None,
    ) -> StoredEvent:
        """The event after this telling; a retelling that adds nothing leaves it as it is.

        An event is known by its own id (`event_id`, else `attributes["id"]`), else by services, env and second of
        `started_at`, else by its whole body. Ids are 1 to 256 printable characters; anything else is taken as none.
        `received_at` is now unless told. Raises ValueError for attributes that are not JSON, such as NaN.
        """
        own_id = usable_id(event_id) or usable_id(attributes.get("id"))
        telling = Telling(own_id, storable(attributes), received_at)
        with self._batch(event_type) as batch:
            return batch.tell([telling])[0]

    def append_many(
        self,
        event_type: EventType,
        tellings: Iterable[Mapping[str, Any]],
        *,
        received_at: datetime | Sequence[datetime] | None = None,
    ) -> list[StoredEvent]:
        """The events after each telling, in their order, as `append` would; all in one transaction.

        `received_at` is one moment, or one for each telling.
        """
        bodies = list(tellings)
        moments = received_at if isinstance(received_at, Sequence) else [received_at] * len(bodies)
        told = [
            Telling(usable_id(body.get("id")), storable(body), moment)
            for body, moment in zip(bodies, moments, strict=True)
        ]
        with self._batch(event_type) as batch:
            return batch.tell(told)

    def update(
        self, event_type: EventType, event_id: str, changes: Mapping[str, Any], *, received_at: datetime | None = None
    ) -> StoredEvent | None:
        """The event after changes by its id; None where it is unknown or deleted.

        Fields merge as in `append`, but an explicit None clears `finished_at`.
        """
        known_id, telling = usable_id(event_id), storable(changes)
        if known_id is None:
            return None
        with self._batch(event_type) as batch:
            held = batch.find(known_id)
            return batch.amend(held, telling, received_at) if held else None

    def delete(self, event_type: EventType, event_id: str, *, received_at: datetime | None = None) -> bool:
        """Whether there was such an event. A tombstone stays; told again, the event comes back with only that."""
        known_id = usable_id(event_id)
        if known_id is None:
            return False
        with self._batch(event_type) as batch:
            held = batch.find(known_id)
            if held:
                batch.delete(held, received_at)
            return held is not None

    def get(self, event_type: EventType, event_id: str) -> StoredEvent | None:
        """The event; None where it is unknown or deleted."""
        known_id = usable_id(event_id)
        columns = database.events.c
        is_it = (columns.event_id == known_id) & columns.is_deleted.is_(False)
        found = self._found(event_type, is_it, 1) if known_id else []
        return found[0] if found else None

    def changed_since(self, event_type: EventType, sequence: int, limit: int = 10_000) -> list[StoredEvent]:
        """Events whose newest change came after `sequence`, deleted ones too, ordered by sequence.

        Sequences are in commit order: no later answer holds one below the last of this.
        """
        return self._found(event_type, database.events.c.sequence > sequence, limit)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _batch(self, event_type: EventType) -> Iterator[Batch]:
        with database.explained(self._url), self._writer.begin() as connection:
            batch = Batch(connection, event_type)
            yield batch
            batch.save()

    def _found(self, event_type: EventType, condition: ColumnElement[bool], limit: int) -> list[StoredEvent]:
        table = database.events
        query = select(table).where(table.c.event_type == event_type, condition).order_by(table.c.sequence).limit(limit)
        with database.explained(self._url), self._engine.begin() as connection:
            return [stored_event(row) for row in connection.execute(query).mappings()]
