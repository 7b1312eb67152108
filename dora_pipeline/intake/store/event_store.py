"""The durable store of events sent to our own intake.

Many processes may write at once. What `append` returned is on disk; readers follow with `changed_since`.
What does not belong here: HTTP, and judging whether an event is usable.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from secrets import token_hex
from time import monotonic
from typing import Any, Literal, Self

from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select
from sqlalchemy.engine import URL

from dora_pipeline.config import Home
from dora_pipeline.errors import DoraError
from dora_pipeline.intake.store import database, event_tables
from dora_pipeline.intake.store.batch import Batch
from dora_pipeline.intake.store.conditions import All, Term, matching
from dora_pipeline.intake.store.event import SentEvent, StoredEvent, StoredType, storable, stored_event, usable_id
from dora_pipeline.intake.store.search import condition
from dora_pipeline.intake.store.withdrawals import Withdrawals
from dora_pipeline.timeline import instant

SEARCH_SECONDS = 10.0
# What `rows_changed_since` gives of an event.
RAW_COLUMNS = (
    "sequence",
    "event_id",
    "received_at",
    "changed_at",
    "is_deleted",
    "attributes",
    "is_named",
    "former_id",
    "history",
    "refusal",
)
# Bytes: an ordinary event with its indexes, and many large ones.
_SMALLEST_PROBE = 32 * 1024
_LARGEST_PROBE = 8 * 1024 * 1024


class EventStore:
    """Deployments and failures as they were sent, in SQLite or PostgreSQL.

    Every method raises SourceUnavailable while the database is locked, full or does not answer, and ConfigError where
    it cannot be used at all; messages hold no password. May be shared by threads, not by forked processes.
    """

    def __init__(self, url: str | URL) -> None:
        """Opens `sqlite:////folder/events.sqlite3` or `postgresql+psycopg://host/database`; makes what is missing."""
        self._url = database.store_url(url)
        self.address = database.address_text(self._url)
        self._engine = database.opened(self._url)
        self._writer = database.writer(self._engine)
        self._probe_size = _SMALLEST_PROBE

    @classmethod
    def at(cls, home: Home) -> Self:
        """The store that `DORA_INTAKE_URL` names, else `events.sqlite3` in the home's intake folder."""
        return cls(database.named_store() or URL.create("sqlite", database=str(home.intake / "events.sqlite3")))

    def append(
        self,
        event_type: StoredType,
        attributes: Mapping[str, Any],
        *,
        event_id: str | None = None,
        received_at: datetime | None = None,
    ) -> StoredEvent:
        """The event after this message; a repeated one leaves it as it is.

        An event is known by its own id (`event_id`, else `attributes["id"]`), else by services, env and second of
        `started_at`, else by its whole body. An event without an id takes the one that comes with a later message of
        the same services, env and second, and is known by both; a deployment only where version and commit do not
        differ. Ids are 1 to 256 printable characters; anything else is taken as none.
        A message that can never be used, such as one that ends before it starts, changes no event: it is kept by
        itself, for `changed_since`. `received_at` is now unless given. Raises ValueError for attributes that are not
        JSON, such as NaN.
        """
        return self.commit([SentEvent.of(event_type, attributes, event_id, received_at)])[0]

    def append_many(
        self,
        event_type: StoredType,
        messages: Iterable[Mapping[str, Any]],
        *,
        received_at: datetime | Sequence[datetime] | None = None,
    ) -> list[StoredEvent]:
        """The events after each message, in their order, as `append` would; all in one transaction.

        `received_at` is one moment, or one for each message.
        """
        bodies = list(messages)
        moments = received_at if isinstance(received_at, Sequence) else [received_at] * len(bodies)
        return self.commit(
            [SentEvent.of(event_type, body, None, moment) for body, moment in zip(bodies, moments, strict=True)]
        )

    def commit(self, messages: list[SentEvent]) -> list[StoredEvent]:
        """The events after each message, in the order in which they came; all in one transaction."""
        with self._batch() as batch:
            return batch.add(messages)

    def update(
        self, event_type: StoredType, event_id: str, changes: Mapping[str, Any], *, received_at: datetime | None = None
    ) -> StoredEvent | None:
        """The event after changes by its id; None where it is unknown or deleted.

        Fields merge as in `append`, but an explicit None clears `finished_at`, and `change_failure` false takes the
        remediation away.
        """
        known_id, message = usable_id(event_id), storable(changes)
        if known_id is None:
            return None
        with self._batch() as batch:
            held = batch.find(event_type, known_id)
            return batch.amend(held, message, received_at) if held else None

    def delete(self, event_type: StoredType, event_id: str, *, received_at: datetime | None = None) -> bool:
        """Whether there was such an event. A tombstone stays; sent again, the event comes back with only that."""
        known_id = usable_id(event_id)
        if known_id is None:
            return False
        with self._batch() as batch:
            held = batch.find(event_type, known_id)
            if held:
                batch.delete(held, received_at)
            return held is not None

    def get(self, event_type: StoredType, event_id: str) -> StoredEvent | None:
        """The event; None where it is unknown or deleted."""
        known_id = usable_id(event_id)
        columns = event_tables.events.c
        is_it = or_(columns.event_id == known_id, columns.former_id == known_id) & columns.is_deleted.is_(False)
        found = self._found(event_type, is_it, 1) if known_id else []
        return found[0] if found else None

    def changed_since(self, event_type: StoredType, sequence: int, limit: int = 10_000) -> list[StoredEvent]:
        """Events whose newest change came after `sequence`, deleted ones too, ordered by sequence.

        Messages that could not be used are among them, with ids of their own that no event has.
        Sequences are in commit order: no later answer holds one below the last of this.
        """
        return self._found(event_type, event_tables.events.c.sequence > sequence, limit)

    def rows_changed_since(self, event_type: StoredType, sequence: int, limit: int) -> Sequence[tuple[Any, ...]]:
        """As `changed_since`, but as rows of RAW_COLUMNS as the database stores them.

        Times are microseconds since 1970, JSON is text, and SQLite's truths are 0 and 1.
        """
        columns = event_tables.events.c
        query = select(*(columns[name] for name in RAW_COLUMNS))
        query = query.where(columns.event_type == event_type, columns.sequence > sequence)
        with self._reading() as connection:
            cursor = connection.execute(query.order_by(columns.sequence).limit(limit)).cursor
            assert cursor is not None
            # By the driver: there may be millions, and nothing is to be made of a value.
            rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def mark(self) -> tuple[int, str]:
        """The state that a store with events is in: its newest sequence, and what stands beside that."""
        state, messages = event_tables.state.c, event_tables.messages.c
        newest = select(messages.sequence, messages.mark).where(
            messages.sequence == select(state.sequence).scalar_subquery()
        )
        with self._reading() as connection:
            sequence, mark = connection.execute(newest).one()
            return sequence, mark

    def held_marks(self, marks: Collection[tuple[int, str]]) -> set[tuple[int, str]]:
        """Those of the marks, at most a thousand, whose states this one came of: all that was there then is here."""
        messages = event_tables.messages.c
        query = select(messages.sequence, messages.mark).where(messages.sequence.in_([number for number, _ in marks]))
        with self._reading() as connection:
            return {(number, mark) for number, mark in connection.execute(query)} & {*marks}

    def withdrawals(self, event_type: StoredType, after: int) -> Withdrawals:
        """What was taken back of events after a sequence."""
        with self._reading() as connection:
            return Withdrawals.after(connection, event_type, after)

    def search(
        self,
        event_type: StoredType,
        *,
        first: datetime | None = None,
        last: datetime | None = None,
        query: str = "",
        sort: Literal["started_at", "finished_at"] = "started_at",
        descending: bool = True,
        limit: int = 10,
        seconds: float = SEARCH_SECONDS,
    ) -> list[StoredEvent]:
        """Events that started between `first` and `last` (both included) and that the query finds.

        The query is in the syntax of `search.condition`, which says when SearchSyntaxError is raised. Events come
        in order of the time `sort`, those without one last; equal times are in order of event id. Deleted events are
        left out, and so are events without a readable start where `first` or `last` is given. Raises SearchTooLong
        after `seconds`.
        """
        end = monotonic() + seconds
        columns = event_tables.events.c
        bounds = []
        if first is not None:
            bounds.append(columns.started_at >= instant(first))
        if last is not None:
            bounds.append(columns.started_at <= instant(last))
        moment = columns[sort]
        order = [moment.desc() if descending else moment.asc(), columns.event_id]
        wanted = condition(query)
        with self._reading() as connection:
            found = matching(connection, event_type, wanted, [*bounds, moment.is_not(None)], order, limit, end)
        if len(found) < limit:
            with self._reading() as connection:
                rest = limit - len(found)
                found += matching(connection, event_type, wanted, [*bounds, moment.is_(None)], order, rest, end)
        return found

    def newest_finished(
        self, service: str, env: str, version: str, *, seconds: float = SEARCH_SECONDS
    ) -> StoredEvent | None:
        """The deployment with these values that finished last, None where there is none.

        Of several, it is the one that started last, then the one with the lowest id; those without a readable finish
        are not considered. Raises SearchTooLong after `seconds`.
        """
        end = monotonic() + seconds
        columns = event_tables.events.c
        values = {"service": service, "env": env, "version": version}
        wanted = All(tuple(Term(key, (value.strip(),)) for key, value in values.items()))
        order = [columns.finished_at.desc(), columns.started_at.desc(), columns.event_id]
        with self._reading() as connection:
            found = matching(connection, "deployment", wanted, [columns.finished_at.is_not(None)], order, 1, end)
        return found[0] if found else None

    def ping(self) -> None:
        """Writes as much as the last event that could not be stored.

        Raises as the other methods do where that fails.
        """
        # Of random digits, for PostgreSQL would make few of many that are alike.
        for body in (token_hex(self._probe_size // 2), ""):
            with database.errors_explained(self._url), self._writer.begin() as connection:
                # One at a time, as for events.
                connection.execute(select(event_tables.state.c.sequence).with_for_update())
                connection.execute(delete(event_tables.probes))
                connection.execute(insert(event_tables.probes).values(id=1, body=body))
        self._probe_size = _SMALLEST_PROBE

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _batch(self) -> Iterator[Batch]:
        batch: Batch | None = None
        try:
            with database.errors_explained(self._url), self._writer.begin() as connection:
                batch = Batch(connection)
                yield batch
                batch.save()
        except DoraError:
            size = batch.size if batch else 0
            self._probe_size = min(max(self._probe_size, size), _LARGEST_PROBE)
            raise

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with database.errors_explained(self._url), self._engine.begin() as connection:
            yield connection

    def _found(self, event_type: StoredType, condition: ColumnElement[bool], limit: int) -> list[StoredEvent]:
        table = event_tables.events
        query = select(table).where(table.c.event_type == event_type, condition).order_by(table.c.sequence).limit(limit)
        with self._reading() as connection:
            return [stored_event(row) for row in connection.execute(query).mappings()]
