"""Many events of no run, put into Dagster's event log together.

Dagster's public call takes each by itself, in three transactions and some 20 ms: minutes for a home of ten years. Its
storages can do better by calls that are not public, so these are made with the version of Dagster that they were tried
with; with any other, and for other storages, everything goes the public way.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from dagster._core.events.log import EventLogEntry
    from dagster._core.storage.event_log import SqlEventLogStorage

# Raise it together with the lock files, once the tests of this module pass.
TRIED_VERSION = "1.13.27"


def store_materializations(
    instance: dg.DagsterInstance, events: Sequence[tuple[dg.AssetMaterialization, datetime]]
) -> None:
    """Store materializations, each as of its moment; SQLite stores all or none of them.

    The public way gives them the moment at which they are stored.
    """
    storage = _sql_storage(instance)
    if storage is None or not events:
        for event, _ in events:
            instance.report_runless_asset_event(event)
        return
    from dagster._core.events import DagsterEventType, StepMaterializationData

    kind = DagsterEventType.ASSET_MATERIALIZATION
    entries = [_entry(kind, StepMaterializationData(event), moment) for event, moment in events]
    if not _is_sqlite(storage):
        # A storage takes the last event for that of the asset, so each has a batch of its own.
        for _, batch in groupby(zip(events, entries, strict=True), key=lambda pair: pair[0][0].asset_key):
            storage.store_event_batch([entry for _, entry in batch])
        return
    with storage.index_transaction() as connection:
        insert_asset_events(storage, connection, entries)


def store_evaluations(instance: dg.DagsterInstance, evaluations: Sequence[dg.AssetCheckEvaluation]) -> None:
    """Store evaluations of checks as of now."""
    storage = _sql_storage(instance)
    if storage is None or not _is_sqlite(storage) or not evaluations:
        for evaluation in evaluations:
            instance.report_runless_asset_event(evaluation)
        return
    from dagster._core.events import DagsterEventType
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
    from dagster._serdes import serialize_value

    entries = [_entry(DagsterEventType.ASSET_CHECK_EVALUATION, each, datetime.now(UTC)) for each in evaluations]
    with storage.index_transaction() as connection:
        ids = insert_entries(storage, connection, entries)
        rows = [
            {
                "asset_key": each.asset_key.to_string(),
                "check_name": each.check_name,
                "run_id": entry.run_id,
                "execution_status": (Status.SUCCEEDED if each.passed else Status.FAILED).value,
                "evaluation_event": serialize_value(entry),
                "evaluation_event_timestamp": datetime.fromtimestamp(entry.timestamp, UTC).replace(tzinfo=None),
                "evaluation_event_storage_id": number,
                "materialization_event_storage_id": (
                    each.target_materialization_data.storage_id if each.target_materialization_data else None
                ),
            }
            for each, entry, number in zip(evaluations, entries, ids, strict=True)
        ]
        connection.execute(AssetCheckExecutionsTable.insert(), rows)


def insert_asset_events(storage: "SqlEventLogStorage", connection: Any, entries: Sequence["EventLogEntry"]) -> None:
    """Insert events of assets into the index of all runs, with their tags; the last of each asset is its newest."""
    ids = insert_entries(storage, connection, entries)
    storage._store_asset_event_tags(connection, entries, ids)
    newest = {
        (entry.get_dagster_event().asset_key, entry.dagster_event_type): (entry, number)
        for entry, number in zip(entries, ids, strict=True)
    }
    for entry, number in newest.values():
        storage._store_asset_event(connection, entry, number)


def insert_entries(storage: "SqlEventLogStorage", connection: Any, entries: Sequence["EventLogEntry"]) -> list[int]:
    """Insert events into a run's log, or into the index, which holds what the page asks for; their ids, in order."""
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Table

    statement = Table.insert().returning(Table.c.id, sort_by_parameter_order=True)
    return [row[0] for row in connection.execute(statement, [storage._event_to_row(entry) for entry in entries])]


def is_tried_version() -> bool:
    """Whether what is not public is known to work with the version of Dagster that is installed."""
    return version("dagster") == TRIED_VERSION


def _sql_storage(instance: dg.DagsterInstance) -> "SqlEventLogStorage | None":
    """The storage of an instance, where what is not public is known to work."""
    if not is_tried_version():
        return None
    from dagster._core.storage.event_log import SqlEventLogStorage

    storage = instance.event_log_storage
    return storage if isinstance(storage, SqlEventLogStorage) else None


def _is_sqlite(storage: "SqlEventLogStorage") -> bool:
    from dagster._core.storage.event_log import SqliteEventLogStorage

    return isinstance(storage, SqliteEventLogStorage)


def _entry(kind: Any, data: Any, moment: datetime) -> "EventLogEntry":
    from dagster._core.events import DagsterEvent
    from dagster._core.events.log import EventLogEntry
    from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID

    event = DagsterEvent(event_type_value=kind.value, event_specific_data=data, job_name=RUNLESS_JOB_NAME)
    return EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        user_message="",
        level="INFO",
        run_id=RUNLESS_RUN_ID,
        timestamp=moment.timestamp(),
        job_name=RUNLESS_JOB_NAME,
        dagster_event=event,
    )
