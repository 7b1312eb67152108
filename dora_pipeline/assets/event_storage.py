"""Dagster's storage in SQLite, where the events of many partitions are stored together.

Dagster tells its storage which events belong together, where `DAGSTER_EVENT_BATCH_SIZE` is set; its storage in SQLite
stores each by itself all the same, in three transactions. A backfill of a year is some 6,000 of them.
"""

from collections.abc import Sequence
from typing import Any

from dagster._core.events import ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

from dora_pipeline.assets.event_log import insert_asset_events, insert_entries, is_tried_version


class Storage(DagsterSqliteStorage):
    """What Dagster keeps in SQLite by default, in the same files."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = EventLog(self._event_log_storage._base_dir)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "Storage":
        """The storage as dagster.yaml names it."""
        return cls.from_local(inst_data=inst_data, **config_value)


class EventLog(SqliteEventLogStorage):
    """The event log, which takes the events of a batch in two transactions: its run's, and the index of all runs."""

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store the events of one run; one by one with a version of Dagster that this was not tried with."""
        if not is_tried_version():
            super().store_event_batch(events)
            return
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
