"""The database below the event store: its connections, and its errors in plain words.

SQLite and PostgreSQL behave alike through here. What does not belong here: rules about events.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import uniform
from time import monotonic, sleep

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from dora_pipeline.config import missing_packages
from dora_pipeline.errors import ConfigError, DoraError, SourceUnavailable
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.intake.store import event_tables

LOCK_SECONDS = 30
_WAL_ATTEMPTS = 10
_SECONDS_BETWEEN_TRIES = (0.0005, 0.0015)
_PROGRESS = 10_000  # steps of SQLite's machine, some 0.1 ms
_CANCELED = "57014"  # PostgreSQL's code of a statement that took too long
_SQLITE_LASTING = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_NOTADB", "SQLITE_CORRUPT")


class SearchTooLong(DoraError):
    """A search was ended, since it took longer than it may."""


def named_store() -> str | None:
    """The address that DORA_INTAKE_URL names; None where the home's own file is the store."""
    return os.environ.get("DORA_INTAKE_URL", "").strip() or None


def address_text(url: URL) -> str:
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
    raise ConfigError(f"DORA_INTAKE_URL: {address_text(url)} is neither a file of SQLite nor postgresql+psycopg://")


def opened(url: URL) -> Engine:
    """An engine on the store, its tables made where they are missing and brought up to date where they are older.

    Raises ConfigError for a folder that cannot be written, a missing driver and a newer schema; SourceUnavailable
    while the database is locked or does not answer.
    """
    if url.get_backend_name() == "sqlite":
        _make_folder(url)
    try:
        engine = create_engine(url, hide_parameters=True, pool_pre_ping=url.get_backend_name() != "sqlite")
    except ArgumentError as error:
        raise ConfigError(
            f"DORA_INTAKE_URL: {address_text(url)} names an unknown driver; write sqlite or postgresql+psycopg"
        ) from error
    except ImportError as error:
        raise missing_packages(f"the event store {address_text(url)}", error, "postgresql") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    patient = writer(engine).execution_options(lock_seconds=event_tables.UPGRADE_SECONDS)
    try:
        with errors_explained(url):
            event_tables.prepare(engine, patient, address_text(url))
    except DoraError:
        engine.dispose()
        raise
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
    options = connection.get_execution_options()
    if options.get("begin") == "IMMEDIATE":
        limit = float(str(connection.engine.url.query["timeout"]))
        driver = _sqlite_connection(connection)
        # SQLite's own waiting sleeps up to 100 ms at a time, so that one busy process starves the others.
        driver.execute("PRAGMA busy_timeout = 0")
        try:
            _begin_writing(connection, driver, monotonic() + options.get("lock_seconds", limit))
        finally:
            driver.execute(f"PRAGMA busy_timeout = {round(limit * 1000)}")
    else:
        connection.exec_driver_sql("BEGIN")


def _sqlite_connection(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _begin_writing(connection: Connection, driver: sqlite3.Connection, end: float) -> None:
    begin = "BEGIN IMMEDIATE"
    while monotonic() < end:
        try:
            driver.execute(begin)
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY"):
                break
        sleep(uniform(*_SECONDS_BETWEEN_TRIES))
    # Its error is one of SQLAlchemy's.
    connection.exec_driver_sql(begin)


@contextmanager
def errors_explained(url: URL) -> Iterator[None]:
    """Errors of the database inside the block become ConfigError or SourceUnavailable, without secrets."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _explanation(url, error) from error


@contextmanager
def limited(connection: Connection, end: float) -> Iterator[None]:
    """What is read inside the block may last until `end`, a moment of `time.monotonic`.

    Raises SearchTooLong. On PostgreSQL each statement has the time that is left at the beginning of the block.
    """
    if connection.dialect.name == "sqlite":
        driver = _sqlite_connection(connection)
        driver.set_progress_handler(lambda: monotonic() > end, _PROGRESS)
        try:
            yield
        except OperationalError as error:
            if getattr(error.orig, "sqlite_errorname", "") != "SQLITE_INTERRUPT":
                raise
            raise SearchTooLong from error
        finally:
            driver.set_progress_handler(None, 0)
    else:
        milliseconds = max(1, round((end - monotonic()) * 1000))
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
        try:
            yield
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", "") != _CANCELED:
                raise
            raise SearchTooLong from error


def _explanation(url: URL, error: SQLAlchemyError | sqlite3.Error) -> DoraError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    reason = without_credentials(" ".join(str(cause).split()))
    if url.password:
        reason = reason.replace(str(url.password), "***")
    code = getattr(cause, "sqlite_errorname", "")
    where = f"the event store {address_text(url)}"
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
