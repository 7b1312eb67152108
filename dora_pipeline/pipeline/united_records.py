"""Records of one event read, and united field by field: the newest that carries a value says it.

What does not belong here: which records are of one event (`identities.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dora_pipeline.identifiers import EventType
from dora_pipeline.intake.store.event import (
    Attributes,
    event_moment,
    flat,
    json_text,
    merged,
    nested,
    received_in,
    sequences_of,
    stored_event,
)
from dora_pipeline.sources.raw import SENT_SCHEMA
from dora_pipeline.timeline import OLDEST_INSTANT

# When something was received, and what decides between two of one moment: the file, and the place in it or in a store.
Receipt = tuple[datetime, str, int]

EVENT_COLUMNS = [*SENT_SCHEMA, "input"]
_NO_RECEIPT: Receipt = (OLDEST_INSTANT, "", 0)


@dataclass(frozen=True)
class Record:
    """A record of an event, read: when each of its fields was received, those that were taken back included."""

    row: Mapping[str, Any]
    event: str
    identity_key: str | None
    is_named: bool
    input: str
    sequence: int
    received_at: datetime
    changed_at: datetime
    is_deleted: bool
    fields: Attributes
    receipts: Mapping[str, Receipt]
    deleted: Receipt | None


def read_record(row: Mapping[str, Any], event_type: EventType) -> Record:
    """A record (LandedEventRecords) with the `event` that its ids name."""
    sent = stored_event({**row, "event_type": event_type, "event_id": row["record_id"], "refusal": None})
    deleted: Receipt | None = None
    if row["is_sent"]:
        receipts = {name: (received_in(sent, sequence), "", sequence) for name, sequence in sequences_of(sent).items()}
        sequence = sent.sequence if sent.is_deleted else sent.history.deleted
        deleted = None if sequence is None else (received_in(sent, sequence), "", sequence)
        fields = flat(sent.attributes)
    else:
        fields = flat(merged({}, sent.attributes))
        receipts = dict.fromkeys(fields, (sent.changed_at, row["input"], sent.sequence))
    names = {name: _field(name, fields, event_type) for name in (*fields, *receipts)}
    return Record(
        row=row,
        event=row["event"],
        identity_key=row["identity_key"],
        is_named=sent.is_named,
        input=row["input"],
        sequence=sent.sequence,
        received_at=sent.received_at,
        changed_at=sent.changed_at,
        is_deleted=sent.is_deleted,
        fields={names[name]: value for name, value in fields.items()},
        receipts={names[name]: receipt for name, receipt in receipts.items()},
        deleted=deleted,
    )


def _field(name: str, fields: Attributes, event_type: EventType) -> str:
    """The one name of a field that may have another one."""
    other = {"git.repository_id": "git.repository_url"}
    if event_type == "failure":
        other["service"] = "services"
    return name if other.get(name, name) in fields else other.get(name, name)


def by_event(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Records by the event that their ids name."""
    events: dict[str, list[Record]] = {}
    for record in records:
        events.setdefault(record.event, []).append(record)
    return events


def received_at(event: Sequence[Record]) -> datetime:
    """When an event came first."""
    return min(record.received_at for record in living(event))


def living(event: Sequence[Record]) -> Sequence[Record]:
    """The records that are not deleted; where all are, the newest deletion."""
    kept = [record for record in event if not record.is_deleted]
    return kept or [max(event, key=lambda record: record.deleted or _NO_RECEIPT)]


def _newest(event: Sequence[Record], after: Receipt | None) -> dict[str, tuple[Receipt, Record]]:
    """The record that says the newest of each field, of what was received after a moment."""
    newest: dict[str, tuple[Receipt, Record]] = {}
    for record in event:
        for name, receipt in record.receipts.items():
            if (after is None or receipt > after) and (name not in newest or receipt > newest[name][0]):
                newest[name] = (receipt, record)
    return newest


def united_fields(event: Sequence[Record], after: Receipt | None) -> Attributes:
    """What the records of one event say together of each field (`git.commit_sha`), received after a moment."""
    newest = _newest(event, after)
    fields = {name: record.fields[name] for name, (_, record) in newest.items() if name in record.fields}
    if _is_backwards(fields):
        # Told of two parts of a second: the start is the one that the end was told with.
        starts = [newest["finished_at"][1], *sorted(event, key=lambda one: one.changed_at, reverse=True)]
        moved = ({**fields, "started_at": one.fields["started_at"]} for one in starts if "started_at" in one.fields)
        fields = next((one for one in moved if not _is_backwards(one)), fields)
    return fields


def _is_backwards(fields: Attributes) -> bool:
    started_at, finished_at = event_moment(fields, "started_at"), event_moment(fields, "finished_at")
    return started_at is not None and finished_at is not None and finished_at < started_at


def united_row(event: Sequence[Record]) -> Mapping[str, Any]:
    """An event as one record (SENT_SCHEMA and `input`) under the id of the first; a deletion is of all before it."""
    if len(event) == 1:
        return {**{name: event[0].row[name] for name in EVENT_COLUMNS}, "record_id": event[0].event}
    deleted = max((record.deleted for record in event if record.deleted), default=None)
    fields = united_fields([record for record in event if not record.is_deleted], after=deleted)
    newest = max(event, key=lambda record: (record.changed_at, record.input, record.sequence))
    return {
        "record_id": event[0].event,
        "received_at": received_at(event),
        "changed_at": newest.changed_at,
        "is_deleted": not fields,
        "attributes": json_text(nested(fields)),
        "input": newest.input,
    }
