"""Events that the intake keeps apart and that settings find to be one: one environment may be told under several names.

The intake may run without settings, and they may change: which events are one is decided when they land, from all that
the intake has told so far, and again whenever one of them changes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb
import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.identifiers import EventType
from dora_pipeline.intake.store.event import (
    Attributes,
    History,
    StoredEvent,
    event_moment,
    flat,
    nested,
    sequences_of,
    stored_event,
    trouble,
)
from dora_pipeline.intake.store.identity import canonical_key, differ, is_given
from dora_pipeline.pipeline.segments import raw_record
from dora_pipeline.sources.raw import SENT_SCHEMA, RawRecord, record_frame
from dora_pipeline.tables import LandedSentEvents
from dora_pipeline.warehouse import landing


@dataclass(frozen=True)
class Settled:
    """What changed events of the intake make of each other.

    `records` has the columns of SENT_SCHEMA, an event that others are part of once; `ids` are all by which any of it
    may have landed before; `events` are the changed ones (LandedSentEvents), and `gone` the ids that they replace.
    """

    records: pl.DataFrame
    ids: pl.Series
    events: pl.DataFrame
    gone: pl.Series


def settle(
    connection: duckdb.DuckDBPyConnection,
    event_type: EventType,
    source: str,
    records: pl.DataFrame,
    settings: Settings,
) -> Settled:
    """What records of the intake (SENT_SCHEMA) make of the events that have landed, and of each other."""
    refused = records.filter(pl.col("refusal").is_not_null()).select(list(SENT_SCHEMA))
    changed = _with_keys(event_type, source, records.filter(pl.col("refusal").is_null()), settings)
    known = landing.sent_events_like(connection, source, changed.select("record_id", "former_id", "identity_key"))
    gone = _names(changed)
    pool = pl.concat([changed, known.select(changed.columns).filter(~pl.col("record_id").is_in(gone.implode()))])
    shared = pool.filter(pl.col("identity_key").is_not_null()).group_by("identity_key").len().filter(pl.col("len") > 1)
    is_shared = pl.col("identity_key").is_in(shared["identity_key"].implode()).fill_null(False)
    groups = pool.filter(is_shared).partition_by("identity_key")
    united = [record for group in groups for record in _united(event_type, group)]
    alone = pool.filter(~is_shared).with_columns(refusal=pl.lit(None, dtype=pl.String)).select(list(SENT_SCHEMA))
    return Settled(
        records=pl.concat([alone, record_frame(united), refused]),
        ids=pl.concat([_names(pool), refused["record_id"]]).unique(),
        events=changed,
        gone=gone,
    )


def _with_keys(event_type: EventType, source: str, records: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Records as LandedSentEvents."""
    keys = [canonical_key(event_type, json.loads(text), settings.environment) for text in records["attributes"]]
    given = pl.Series([is_given(record_id) for record_id in records["record_id"]], dtype=pl.Boolean)
    return records.with_columns(
        source=pl.lit(source),
        identity_key=pl.Series(keys, dtype=pl.String),
        # Older programs did not tell.
        is_named=pl.coalesce("is_named", ~given),
    ).select(list(LandedSentEvents.columns()))


def _names(events: pl.DataFrame) -> pl.Series:
    return pl.concat([events["record_id"], events["former_id"].drop_nulls().alias("record_id")]).unique()


def _united(event_type: EventType, group: pl.DataFrame) -> list[RawRecord]:
    """The records of events with one identity: of those without an id, and the one with an id that they are, one.

    Of several with an id that one is the first received; a deployment only where version and commit do not differ.
    """
    events = sorted(
        (_event(event_type, row) for row in group.iter_rows(named=True)),
        key=lambda event: (event.received_at, event.sequence, event.event_id),
    )
    usable = [event for event in events if event.is_deleted or not _trouble(event)]
    unnamed = [event for event in usable if not event.is_named]
    mates = [event for event in usable if event.is_named and unnamed and not _are_two(unnamed, event)][:1]
    parts = [*mates, *unnamed]
    rest = [event for event in events if event not in parts]
    return [raw_record(event) for event in ([_union(parts)] if parts else []) + rest]


def _trouble(event: StoredEvent) -> str | None:
    return trouble(event.attributes, event.attributes, event.changed_at)


def _are_two(unnamed: Sequence[StoredEvent], named: StoredEvent) -> bool:
    if named.event_type != "deployment":
        return False
    living = [event for event in unnamed if not event.is_deleted]
    told = _union(living) if living else max(unnamed, key=lambda event: event.sequence)
    return differ(told.attributes, named.attributes)


def _union(events: Sequence[StoredEvent]) -> StoredEvent:
    """Events as one, under the id of the first: the newest telling wins field by field, and a deletion is of all."""
    deleted = max((_deletion(event) for event in events), default=-1)
    newest: dict[str, tuple[int, StoredEvent]] = {}
    for event in events:
        for name, sequence in {} if event.is_deleted else sequences_of(event).items():
            if sequence > max(deleted, newest.get(name, (-1, event))[0]):
                newest[name] = (sequence, event)
    fields = {
        name: flat(event.attributes)[name] for name, (_, event) in newest.items() if name in flat(event.attributes)
    }
    if _is_backwards(fields):
        # Told of two parts of a second: the start is the one that the end was told with.
        fields["started_at"] = newest["finished_at"][1].attributes["started_at"]
    living = [event for event in events if not event.is_deleted] or events
    return replace(
        events[0],
        sequence=max(event.sequence for event in events),
        received_at=min(event.received_at for event in living),
        changed_at=max(event.changed_at for event in events),
        is_deleted=not fields,
        attributes=nested(fields),
        history=History(),
    )


def _deletion(event: StoredEvent) -> int:
    known = -1 if event.history.deleted is None else event.history.deleted
    return max(known, event.sequence) if event.is_deleted else known


def _is_backwards(fields: Attributes) -> bool:
    started_at, finished_at = event_moment(fields, "started_at"), event_moment(fields, "finished_at")
    return started_at is not None and finished_at is not None and finished_at < started_at


def _event(event_type: EventType, row: Mapping[str, object]) -> StoredEvent:
    return stored_event({**row, "event_type": event_type, "event_id": row["record_id"], "refusal": None})
