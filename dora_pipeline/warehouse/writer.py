"""The one writer of the warehouse.

Whoever writes holds an operating-system lock, so runs that are started by the scheduler, the UI and the command line
queue up. The lock goes when its process ends, however it ends.
"""

import contextlib
import errno
import importlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import filelock

from dora_pipeline.config import EngineSettings, Home, Settings
from dora_pipeline.errors import ConfigError, WarehouseBusy, WarehouseError
from dora_pipeline.files import NO_SPACE
from dora_pipeline.warehouse.engines import Engine, open_engine
from dora_pipeline.warehouse.publication import (
    is_published,
    publish,
    remove_companions,
    remove_remains,
    was_changed,
    working_file,
)
from dora_pipeline.warehouse.queries import quoted
from dora_pipeline.warehouse.schema import ensure_schema
from dora_pipeline.warehouse.storage.generations import publish_generation
from dora_pipeline.warehouse.storage.last_publication import LastPublication
from dora_pipeline.warehouse.storage.places import Place, open_place
from dora_pipeline.warehouse.upgrades import is_outdated, refuse_newer_publication
from dora_pipeline.warehouse.version import SCHEMA_VERSION

# Files of this storage version are readable by DuckDB 1.2 and later.
STORAGE_VERSION = "v1.2.0"
_FULL = (*NO_SPACE, errno.EFBIG)
# What DuckDB raises when it, and not a statement or a value, is at fault.
_BROKEN = (duckdb.OperationalError, duckdb.InternalError, duckdb.FatalException, duckdb.InterruptException)
# Of fewer rows a join reads all sooner than it makes a filter of what it looks for.
_ROWS_WORTH_A_FILTER = 100_000
_MAKE_SPACE = "the disk is full; make space and run `dora run` again, nothing that was published is lost"


class Writer:
    """An open working database. Made by `open_writer` only."""

    def __init__(
        self,
        home: Home,
        connection: duckdb.DuckDBPyConnection,
        engine: Engine,
        settings: EngineSettings,
        on_note: Callable[[str], None],
        *,
        anew: bool,
    ) -> None:
        self._home = home
        self._settings = settings
        self._on_note = on_note
        self._anew = anew
        self.connection = connection
        self.engine = engine

    @contextlib.contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """All or nothing of what is executed inside."""
        self.connection.execute("BEGIN")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            # The error to report is the one that led here; a database that is out of space may refuse this too.
            with contextlib.suppress(duckdb.Error):
                self.connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def published(self) -> Iterator[bool]:
        """What people see, attached for reading as `published`; False where no warehouse can be read there.

        Raises WarehouseError where another program holds it open to write.
        """
        try:
            self.connection.execute(f"ATTACH {quoted(str(self._home.warehouse))} AS published (READ_ONLY)")
        except duckdb.Error as error:
            # A published file that cannot be read is replaced.
            if isinstance(error, duckdb.ResourceInUseException) or " lock " in str(error):
                raise WarehouseError(
                    f"{self._home.warehouse}: another program has it open to write, so that the warehouse that is made "
                    "anew cannot be compared with it; close that program and run again"
                ) from error
            yield False
            return
        try:
            yield True
        finally:
            self.connection.execute("DETACH published")

    def plan_for(self, rows: int) -> None:
        """Have the following statements planned for a warehouse in which about so many rows have landed."""
        optimizers = "join_filter_pushdown" if rows < _ROWS_WORTH_A_FILTER else ""
        self.connection.execute(f"SET disabled_optimizers = '{optimizers}'")

    def drop_former(self) -> None:
        """Give up the database that this one was made in the place of; before, any error brings it back."""
        _remove(_former_file(self._home))

    def is_published(self) -> bool:
        """Whether people see the database as it is now, in a file that nobody has changed."""
        self.connection.execute("CHECKPOINT")
        return is_published(self._home)

    def publish(self) -> None:
        """Put a copy of the database where people query it, and its state as Parquet files into the storage, if any.

        Raises WarehouseError where there is no space; what was published before then stays. Raises StorageUnavailable
        where the copy is in place, and the storage does not take the files.
        """
        self.connection.execute("CHECKPOINT")
        publish(self._home)
        if self._settings.storage is not None:
            self._store(open_place(self._settings.storage))

    def _store(self, place: Place) -> None:
        last = LastPublication(self._home.work / "stored.json", place.address)
        if not publish_generation(self.connection, place, last, delta=self._settings.delta, anew=self._anew):
            self._on_note(
                f"engine.storage {place.address}: was not as the last run of this home left it (another home writes "
                "there, too, it was brought back from a copy, or its disk is not mounted); it has the state of this "
                "home now. Give each home a place of its own"
            )


@contextlib.contextmanager
def open_writer(
    home: Home,
    settings: Settings,
    purpose: str,
    on_wait: Callable[[str], None] = lambda message: None,
    *,
    anew: bool = False,
) -> Iterator[Writer]:
    """The writer, alone: take the lock, and open the working database for as long as the block lasts.

    `purpose` names the run for those who wait. `on_wait` hears once for whom this one waits, where a warehouse of an
    older program gives way to an empty one, and where others wrote to what was published. `anew` starts from an empty
    database, and the former one comes back where the block ends, or is killed, before `drop_former`. Raises
    WarehouseError when the lock is not free within `lock_timeout`, the disk is full, or a newer program made the
    warehouse, and ConfigError where the settings need packages that are not installed.
    """
    if settings.engine.delta:
        # A package that is missing is told before anything is done.
        importlib.import_module("dora_pipeline.warehouse.storage.delta_tables")
    with (
        _full_disk_explained(home),
        held_lock(home, settings, purpose, on_wait),
        open_engine(settings.engine) as engine,
    ):
        remove_remains(home)
        _mend_publication(home, on_wait)
        _bring_back_former(home)
        if anew:
            _rename(working_file(home), _former_file(home))
        else:
            refuse_newer_publication(home)
        connection = _opened(home)
        try:
            if is_outdated(connection):
                on_wait(
                    f"the warehouse is of an older version: it is made anew in version {SCHEMA_VERSION} from the raw "
                    "layer; what is published stays until that is whole"
                )
                connection.close()
                _remove(working_file(home))
                connection = _opened(home)
            ensure_schema(connection, replaces=home.warehouse.exists())
            yield Writer(home, connection, engine, settings.engine, on_wait, anew=anew)
        except duckdb.Error as error:
            raise _explained(home, error) from error
        finally:
            with contextlib.suppress(duckdb.Error):
                connection.close()
            _bring_back_former(home)


def concerns_all(error: Exception) -> bool:
    """Whether an error of landing one source says that the warehouse itself, or its disk, does not work."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    return isinstance(error, (WarehouseError, *_BROKEN))


def make_folder(home: Home) -> None:
    """Make the working folder. Raises ConfigError where the home cannot be written."""
    try:
        home.work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{home.work}: cannot be made: {error.strerror}; DORA_HOME must be a folder that this user can write"
        ) from error


def _mend_publication(home: Home, on_wait: Callable[[str], None]) -> None:
    left = " and ".join(path.name for path in remove_companions(home.warehouse))
    if left:
        on_wait(f"{left} removed: a client opened the warehouse to write; clients should open it read-only")
    elif was_changed(home):
        on_wait(
            f"{home.warehouse}: is not as the last run left it (copied, or changed by another program: clients should "
            "open it read-only); this run puts it right"
        )


def _former_file(home: Home) -> Path:
    return working_file(home).with_name("warehouse.duckdb.former")


def _bring_back_former(home: Home) -> None:
    former = _former_file(home)
    if former.exists():
        _remove(working_file(home))
        _rename(former, working_file(home))
    # The log of one that was brought back without it: what it says is read again.
    _remove(former)


def _rename(database: Path, target: Path) -> None:
    for path, other in zip(_files(database), _files(target), strict=True):
        with contextlib.suppress(FileNotFoundError):
            path.replace(other)


def _remove(database: Path) -> None:
    for path in _files(database):
        path.unlink(missing_ok=True)


def _files(database: Path) -> tuple[Path, Path]:
    return database, database.with_name(database.name + ".wal")


def _opened(home: Home) -> duckdb.DuckDBPyConnection:
    working = working_file(home)
    if not working.exists():
        # Those of a database that is gone.
        remove_companions(working)
    try:
        connection = duckdb.connect(
            str(working),
            config={"storage_compatibility_version": STORAGE_VERSION, "autoinstall_known_extensions": False},
        )
    except duckdb.Error as error:
        raise _explained(home, error) from error
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET temp_directory = '{str(home.work / 'spill').replace(chr(39), chr(39) * 2)}'")
    return connection


@contextlib.contextmanager
def _full_disk_explained(home: Home) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise WarehouseError(f"{error.filename or home.path}: {error.strerror}; {_MAKE_SPACE}") from error


def _explained(home: Home, error: duckdb.Error) -> WarehouseError:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    lowered = text.lower()
    if "no space left" in lowered or "could not write" in lowered or "disk quota" in lowered:
        advice = _MAKE_SPACE
    elif "lock" in lowered:
        advice = "another program has the working file open; close it and run again"
    else:
        advice = "if it persists, `dora run --rebuild` makes the warehouse again from the raw layer"
    return WarehouseError(f"{working_file(home)}: {text}; {advice}")


@contextlib.contextmanager
def held_lock(home: Home, settings: Settings, purpose: str, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of everything that writes the warehouse and the raw layer, as `open_writer` does."""
    make_folder(home)
    lock = filelock.FileLock(home.work / "warehouse.lock", thread_local=False)
    holder = home.work / "warehouse.lock.holder"
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        named = _holder_name(home)
        on_wait(f"waiting for {named} to finish with the warehouse")
        try:
            lock.acquire(timeout=settings.lock_timeout.total_seconds(), poll_interval=0.2)
        except filelock.Timeout:
            raise WarehouseBusy(
                f"{home.warehouse}: {_holder_name(home)} has held the warehouse for longer than lock_timeout "
                f"({settings.lock_timeout}); wait for it to end, or end it, and run again"
            ) from None
    except OSError as error:
        raise ConfigError(
            f"{home.work}: the lock cannot be taken: {error.strerror}; check the folder's owner and mode"
        ) from error
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        holder.write_text(json.dumps({"purpose": purpose, "pid": os.getpid(), "since": since}), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _holder_name(home: Home) -> str:
    try:
        held = json.loads((home.work / "warehouse.lock.holder").read_text(encoding="utf-8"))
        return f"{held['purpose']} (process {held['pid']}, since {held['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"
