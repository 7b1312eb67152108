"""Dagster's storage in SQLite, with connections that stay open, and the events of many partitions stored together.

Dagster opens a connection for each transaction. It compiles the statements anew for each, and the last one of a file
writes all that is new into it when it is closed: half of what Dagster takes for a run of one day. Dagster tells its
storage which events belong together, where `DAGSTER_EVENT_BATCH_SIZE` is set; its storage in SQLite stores each by
itself all the same, in three transactions. A backfill of a year is some 6,000 of them.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from dagster._core.events import ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sql import create_engine
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

from dora_pipeline.assets.event_log import insert_asset_events, insert_entries, is_tried_version

# As Dagster waits for another process.
_BUSY_SECONDS = 60
# The page looks at many runs, each of which has a file.
_FILES_OPEN = 8


class Storage(DagsterSqliteStorage):
    """What Dagster keeps in SQLite by default, in the same files."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        super().__init__(base_dir, inst_data)
        if is_tried_version():
            self._run_storage = Runs(self._run_storage._conn_string)
            self._schedule_storage = Schedules(self._schedule_storage._conn_string)
            self._event_log_storage = EventLog(self._event_log_storage._base_dir)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "Storage":
        """The storage as dagster.yaml names it."""
        return cls.from_local(inst_data=inst_data, **config_value)


class _OneFile:
    """A storage of one file, with connections that stay open."""

    _conn_string: str

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._file = _File(self._conn_string)

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """A transaction."""
        with self._file.engine().begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close the file."""
        self._file.close()


class Runs(_OneFile, SqliteRunStorage):
    """The runs."""


class Schedules(_OneFile, SqliteScheduleStorage):
    """The ticks of schedules and sensors."""


class EventLog(SqliteEventLogStorage):
    """The event log: a file for each run, and an index of all.

    It takes the events of a batch in two transactions: its run's, and the index of all runs.
    """

    def __init__(self, base_dir: str) -> None:
        # Those that were asked for last at the end.
        self._files: OrderedDict[str, _File] = OrderedDict()
        super().__init__(base_dir)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Any]:
        with self._db_lock, self._opened(shard).begin() as connection:
            before = _changes(connection)
            yield connection
            has_changed = _changes(connection) != before
        if has_changed:
            # Who follows a run looks for changes of its file, which come much later where it stays open.
            with suppress(FileNotFoundError):
                os.utime(self.path_for_shard(shard))

    def _opened(self, shard: str) -> Any:
        if shard not in self._files:
            file = _File(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                self._initdb(file.engine())
                self._initialized_dbs.add(shard)
            self._files[shard] = file
            if len(self._files) > _FILES_OPEN:
                self._files.popitem(last=False)[1].close()
        self._files.move_to_end(shard)
        return self._files[shard].engine()

    def wipe(self) -> None:
        """Remove the events of all runs, and their files."""
        self._close()
        super().wipe()

    def dispose(self) -> None:
        """Close the files."""
        super().dispose()
        self._close()

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store the events of one run."""
        of_assets: list[EventLogEntry] = []
        for event in events:
            if event.dagster_event_type in ASSET_EVENTS:
                of_assets.append(event)
            else:
                self.store_event(event)
        if of_assets:
            with self.run_connection(of_assets[0].run_id) as connection:
                insert_entries(self, connection, of_assets)
            with self.index_transaction() as connection:
                insert_asset_events(self, connection, of_assets)

    def _close(self) -> None:
        with self._db_lock:
            while self._files:
                self._files.popitem()[1].close()


class _File:
    """A file with connections that stay open as long as it is the one of its name.

    What was removed, or has given way to a backup, would take all that is told, and nobody else would see it.
    """

    def __init__(self, address: str) -> None:
        # As many as there are threads, as without a pool.
        self._engine = create_engine(address, connect_args={"timeout": _BUSY_SECONDS}, max_overflow=-1)
        self._opened: tuple[int, int] | None = None

    def engine(self) -> Any:
        """What gives its connections."""
        now = self._now()
        if now != self._opened:
            self._engine.dispose()
            self._opened = now
        return self._engine

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()

    def _now(self) -> tuple[int, int] | None:
        with suppress(FileNotFoundError):
            status = os.stat(str(self._engine.url.database))
            return status.st_dev, status.st_ino
        return None


def _changes(connection: Any) -> int:
    """How many rows it has ever changed."""
    changes: int = connection.connection.driver_connection.total_changes
    return changes
