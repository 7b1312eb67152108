"""The tables of the event store, how they are made, and how those of an older version are brought up to date.

What does not belong here: connections, and rules about events.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Engine,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    TypeDecorator,
    bindparam,
    func,
    insert,
    inspect,
    select,
    text,
    true,
    update,
)
from sqlalchemy.schema import CreateColumn

from dora_pipeline.errors import ConfigError
from dora_pipeline.intake.store.event import event_moment, usable_id
from dora_pipeline.intake.store.identity import GIVEN_ID, natural_key
from dora_pipeline.timeline import EPOCH, epoch_microseconds

SCHEMA_VERSION = 4
UPGRADE_SECONDS = 600
_SCHEMA_LOCK = 0x0D0FA
_CHUNK = 500


def stored_microseconds(moment: datetime | None) -> int | None:
    """An instant as the store has it: whole microseconds since 1970."""
    return None if moment is None else epoch_microseconds(moment)


class Moment(TypeDecorator[datetime]):
    """A UTC instant as whole microseconds since 1970: exact, and the same in both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return stored_microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=value)


metadata = MetaData()

state = Table(
    "intake_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("schema_version", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)

events = Table(
    "intake_events",
    metadata,
    Column("event_type", String(16), primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("first_sequence", BigInteger, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("is_deleted", Boolean, nullable=False),
    Column("identity_key", String(64)),
    Column("attributes", Text, nullable=False),
    # The times that the attributes hold; NULL where they cannot be read.
    Column("started_at", Moment),
    Column("finished_at", Moment),
    # Whether its id is its own, and the one that it was given until then.
    Column("is_named", Boolean, nullable=False, server_default=true()),
    Column("former_id", Text),
    # When the fields were sent, as JSON (`event.History`).
    Column("history", Text),
    # Why it could not be used: then this is no event, but one message of one.
    Column("refusal", String(32)),
    Index("intake_events_by_sequence", "event_type", "sequence", unique=True),
    Index("intake_events_by_identity", "event_type", "identity_key"),
)

# The id makes the order whole; without it SQLite reads all events to find those without a time.
_BY_TIME = (
    Index("intake_events_by_start", events.c.event_type, events.c.started_at, events.c.event_id),
    Index("intake_events_by_finish", events.c.event_type, events.c.finished_at, events.c.event_id),
)

_BY_FORMER_ID = Index("intake_events_by_former_id", events.c.event_type, events.c.former_id)

# Stores have had it under this name from the first.
messages = Table(
    "intake_tellings",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("event_type", String(16), nullable=False),
    Column("event_id", Text, nullable=False),
    Column("action", String(16), nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("body", Text, nullable=False),
    # Random, the same for all of a transaction. A store that holds the mark at a sequence holds all that was there when
    # it was written: it is that store, or came of it.
    Column("mark", String(16), nullable=False),
)

# What `EventStore.ping` writes, to know that an event could be.
probes = Table(
    "intake_probes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)


def new_mark() -> str:
    """A mark that no other transaction has."""
    return uuid4().hex[:16]


def prepare(engine: Engine, patient: Engine, store: str) -> None:
    """Make the tables where they are missing, and bring older ones up to date in one transaction.

    `patient` begins writing transactions and waits long for the process that does the same; `store` is the name for
    messages. Raises ConfigError for a newer schema.
    """
    version = _version(engine)
    if version is None or version < SCHEMA_VERSION:
        with patient.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL lock_timeout = '{UPGRADE_SECONDS}s'"))
                connection.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            if not inspect(connection).has_table(state.name):
                metadata.create_all(connection)
                connection.execute(insert(state).values(id=1, schema_version=SCHEMA_VERSION, sequence=0))
            else:
                known = connection.scalar(select(state.c.schema_version).with_for_update())
                if known == 1:
                    _add_times(connection)
                if known in (1, 2):
                    _add_marks(connection)
                    _add_identities(connection)
                # Schema 3 did not keep the times of earlier changes in `history`, which its programs cannot read.
                if known in (1, 2, 3):
                    connection.execute(update(state).values(schema_version=SCHEMA_VERSION))
        version = _version(engine)
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"the event store {store} has schema {version}, this version of dora knows {SCHEMA_VERSION}; update dora"
        )


def _version(engine: Engine) -> int | None:
    with engine.begin() as connection:
        is_made = inspect(connection).has_table(state.name)
        return connection.scalar(select(state.c.schema_version)) if is_made else None


def _add_times(connection: Connection) -> None:
    """Schema 1 had no times of its own: the attributes hold them."""
    _add_columns(connection, events.c.started_at, events.c.finished_at)
    fill = (
        update(events)
        .where(events.c.event_type == bindparam("of_type"), events.c.sequence == bindparam("of_sequence"))
        .values(started_at=bindparam("started"), finished_at=bindparam("finished"))
    )
    for event_type in ("deployment", "failure"):
        for times in _times(connection, event_type):
            connection.execute(fill, times)
    for index in _BY_TIME:
        index.create(connection)


def _add_marks(connection: Connection) -> None:
    """Schema 2 had no marks: all that is there has one, and so has what an intake of the older program still adds."""
    definition = CreateColumn(messages.c.mark).compile(dialect=connection.dialect)
    connection.execute(text(f"ALTER TABLE {messages.name} ADD COLUMN {definition} DEFAULT '{new_mark()}'"))
    probes.create(connection)


def _add_columns(connection: Connection, *columns: Column[Any]) -> None:
    for column in columns:
        definition = CreateColumn(column).compile(dialect=connection.dialect)
        connection.execute(text(f"ALTER TABLE {events.name} ADD COLUMN {definition}"))


def _add_identities(connection: Connection) -> None:
    """Schema 2 knew an event without an id by its env too, and did not say which ids were its own."""
    _add_columns(connection, events.c.is_named, events.c.former_id, events.c.history, events.c.refusal)
    _BY_FORMER_ID.create(connection)
    is_it = (events.c.event_type == bindparam("of_type")) & (events.c.event_id == bindparam("of_id"))
    fill = update(events).where(is_it).values(identity_key=bindparam("key"), is_named=bindparam("named"))
    first = select(events, messages.c.body).outerjoin(messages, messages.c.sequence == events.c.first_sequence)
    chunk = first.where(events.c.sequence > bindparam("after")).order_by(events.c.sequence).limit(_CHUNK)
    last = -1
    while rows := connection.execute(chunk, {"after": last}).all():
        connection.execute(fill, [_identity(row) for row in rows])
        last = rows[-1].sequence


def _identity(row: Row[Any]) -> dict[str, Any]:
    key = natural_key(row.event_type, json.loads(row.attributes))
    first = json.loads(row.body) if row.body else {}
    return {
        "of_type": row.event_type,
        "of_id": row.event_id,
        "key": key.digest if key else row.identity_key,
        "named": usable_id(first.get("id")) == row.event_id or not re.fullmatch(GIVEN_ID, row.event_id),
    }


def _times(connection: Connection, event_type: str) -> Iterator[list[dict[str, Any]]]:
    """The times of a type's events, in chunks."""
    chunk = (
        select(events.c.sequence, events.c.attributes)
        .where(events.c.event_type == event_type, events.c.sequence > bindparam("after"))
        .order_by(events.c.sequence)
        .limit(_CHUNK)
    )
    last = -1
    while rows := connection.execute(chunk, {"after": last}).all():
        times = []
        for sequence, attributes in rows:
            body = json.loads(attributes)
            started, finished = event_moment(body, "started_at"), event_moment(body, "finished_at")
            times.append({"of_type": event_type, "of_sequence": sequence, "started": started, "finished": finished})
        yield times
        last = rows[-1].sequence
