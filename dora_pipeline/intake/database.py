"""The database below the event store: its tables, its connections, and its errors in plain words.

SQLite and PostgreSQL behave alike through here. What does not belong here: rules about events.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

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
    String,
    Table,
    Text,
    TypeDecorator,
    create_engine,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from dora_pipeline.errors import ConfigError, DoraError, SourceUnavailable
from dora_pipeline.identifiers import without_credentials

SCHEMA_VERSION = 1
LOCK_SECONDS = 30
_SCHEMA_LOCK = 0x0D0FA
_WAL_ATTEMPTS = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SQLITE_LASTING = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_NOTADB", "SQLITE_CORRUPT")


class Moment(TypeDecorator[datetime]):
    """A UTC instant as whole microseconds since 1970: exact, and the same in both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


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
    Index("intake_events_by_sequence", "event_type", "sequence", unique=True),
    Index("intake_events_by_identity", "event_type", "identity_key"),
)

tellings = Table(
    "intake_tellings",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("event_type", String(16), nullable=False),
    Column("event_id", Text, nullable=False),
    Column("action", String(16), nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("body", Text, nullable=False),
)


def shown(url: URL) -> str:
    """The address of a store as messages show it: without user, password and options."""
    return without_credentials(url.set(query={}).render_as_string())


def store_url(text: str | URL) -> URL:
    """The address of a store, with a limit to waiting for locks where it names none.

    Raises ConfigError for an address that cannot be read or names another database.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError("DORA_INTAKE_URL: not a database address; write sqlite:////folder/events.sqlite3") from None
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database:
        return url if "timeout" in url.query else url.update_query_dict({"timeout": str(LOCK_SECONDS)})
    if backend == "postgresql":
        options = f"-c lock_timeout={LOCK_SECONDS}s"
        return url if "options" in url.query else url.update_query_dict({"options": options})
    raise ConfigError(f"DORA_INTAKE_URL: {shown(url)} is neither a file of SQLite nor postgresql+psycopg://")


def opened(url: URL) -> Engine:
    """An engine on the store, its tables made where they are missing.

    Raises ConfigError for a folder that cannot be written, a missing driver and a newer schema; SourceUnavailable
    while the database is locked or does not answer.
    """
    if url.get_backend_name() == "sqlite":
        _make_folder(url)
    try:
        engine = create_engine(url, hide_parameters=True, pool_pre_ping=True)
    except ArgumentError as error:
        raise ConfigError(
            f"DORA_INTAKE_URL: {shown(url)} names an unknown driver; write sqlite or postgresql+psycopg"
        ) from error
    except ImportError as error:
        raise ConfigError(f"the event store {shown(url)} needs the Python package {error.name}; install it") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    with explained(url):
        _create_tables(engine, url)
    return engine


def writer(engine: Engine) -> Engine:
    """The engine for transactions that write: on SQLite they take the write lock at their start."""
    return engine.execution_options(begin="IMMEDIATE")


def _make_folder(url: URL) -> None:
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: the intake's folder cannot be made: {error.strerror}; check its owner") from error


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver would begin transactions late, at their first write; _begin_sqlite does it in its place.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous = FULL")
    for attempt in range(_WAL_ATTEMPTS):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if attempt == _WAL_ATTEMPTS - 1:
                raise
            # Two processes that make a new file's journal at once: SQLite refuses one of them without waiting.
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}")


def _create_tables(engine: Engine, url: URL) -> None:
    with engine.begin() as connection:
        is_made = inspect(connection).has_table(state.name)
    if not is_made:
        with writer(engine).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            metadata.create_all(connection)
            if connection.scalar(select(state.c.id)) is None:
                connection.execute(insert(state).values(id=1, schema_version=SCHEMA_VERSION, sequence=0))
    with engine.begin() as connection:
        version = connection.scalar(select(state.c.schema_version))
    if version != SCHEMA_VERSION:
        engine.dispose()
        raise ConfigError(
            f"the event store {shown(url)} has schema {version}, this version of dora knows {SCHEMA_VERSION}; "
            "update dora"
        )


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Errors of the database inside the block become ConfigError or SourceUnavailable, without secrets."""
    try:
        yield
    except SQLAlchemyError as error:
        raise _explanation(url, error) from error


def _explanation(url: URL, error: SQLAlchemyError) -> DoraError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    reason = without_credentials(" ".join(str(cause).split()))
    if url.password:
        reason = reason.replace(str(url.password), "***")
    code = getattr(cause, "sqlite_errorname", "")
    where = f"the event store {shown(url)}"
    if code.startswith(_SQLITE_LASTING):
        return ConfigError(f"{where} cannot be used: {reason}; check the path, its owner and its mode")
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        seconds = url.query["timeout"]
        return SourceUnavailable("intake", f"{where} stayed locked for {seconds} s by another process; try again")
    if code.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return SourceUnavailable("intake", f"{where} cannot be written: {reason}; check the space on its disk")
    if isinstance(error, DBAPIError) and not isinstance(error, OperationalError):
        return ConfigError(f"{where} cannot be used: {reason}")
    return SourceUnavailable("intake", f"{where} does not answer: {reason}; check that it runs, then try again")
