"""Which records of a source are of one event, whichever door they came through: the intake, a pull or an export.

Identity is the source and the event's own id, else services, canonical env and second of `started_at`. A record without
an id is of the event with one that has the same services, env and second, and both ids name that; of several such
events it is of the one received first; a deployment only where version and commit do not differ. Of the records of one
event the newest wins field by field where it carries a value. A record that cannot be used is rejected by itself.

The intake may run without settings, and they may change: which events are one is decided when records land, from all
that has landed so far, and again whenever one of them changes. So it does not matter in which order they land.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import polars as pl

from dora_pipeline.config import Settings
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
    trouble,
)
from dora_pipeline.intake.store.identity import canonical_key, differ, is_given, plain_key
from dora_pipeline.sources.event_rules import moment_expression
from dora_pipeline.sources.plain_events import FEW, plain_columns
from dora_pipeline.sources.raw import SENT_SCHEMA
from dora_pipeline.sources.source import Normalized
from dora_pipeline.tables import LandedEventRecords
from dora_pipeline.timeline import OLDEST_INSTANT
from dora_pipeline.warehouse.event_records import EventRecords

Normalize = Callable[[pl.DataFrame, Settings], Normalized]
# When something was received, and what decides between two of one moment: the file, and the place in it or in a store.
Receipt = tuple[datetime, str, int]

_COLUMNS = [*SENT_SCHEMA, "input"]
# What a message leaves out another record may have; what stands in a file is a whole state.
_MISSING = ("service_missing", "time_missing", "finish_missing")
_NO_RECEIPT: Receipt = (OLDEST_INSTANT, "", 0)


@dataclass(frozen=True)
class Settled:
    """What new records make of the events of their source.

    `events` are those that may differ now, each once, with the columns of SENT_SCHEMA and `input`: the input of its
    newest record. `ids` are all by which any of them may have landed before. `records` are LandedEventRecords, to be
    put into `known`.
    """

    events: pl.DataFrame
    ids: pl.Series
    records: pl.DataFrame
    known: EventRecords


def settle(
    connection: duckdb.DuckDBPyConnection,
    event_type: EventType,
    source: str,
    records: pl.DataFrame,
    settings: Settings,
    normalize: Normalize,
    files: Sequence[str] | None = None,
) -> Settled:
    """What records of a source (SENT_SCHEMA and `input`) make of its events: all those of `files`, else sent ones.

    `normalize` judges whether a record can be used.
    """
    rules = _Rules(event_type, settings, normalize)
    refused = records.filter(pl.col("refusal").is_not_null())
    new = _landed(source, records.filter(pl.col("refusal").is_null()), is_sent=files is None)
    known = EventRecords(connection, source, _names(new), files)
    replaced = known.replaced()
    others = known.named(_names(pl.concat([new, replaced])))
    changed = rules.with_keys(pl.concat([new, others]))
    keys = pl.concat([frame["identity_key"] for frame in (replaced, others, changed)]).drop_nulls().unique()
    pool = pl.concat([changed, known.alike(keys)])
    return Settled(
        events=pl.concat([rules.events(pool), refused.select(_COLUMNS)]),
        ids=pl.concat([_names(replaced), _names(pool), refused["record_id"]]).unique(),
        records=changed,
        known=known,
    )


def _landed(source: str, records: pl.DataFrame, *, is_sent: bool) -> pl.DataFrame:
    """Records as LandedEventRecords, without identities."""
    given = pl.Series([is_given(record_id) for record_id in records["record_id"]], dtype=pl.Boolean)
    return records.with_columns(
        source=pl.lit(source),
        is_sent=pl.lit(is_sent),
        identity_key=pl.lit(None, dtype=pl.String),
        # Older programs did not tell.
        is_named=pl.coalesce("is_named", ~given),
    ).select(list(LandedEventRecords.columns()))


def _names(records: pl.DataFrame) -> pl.Series:
    return pl.concat([records["record_id"], records["former_id"].drop_nulls().alias("record_id")]).unique()


def _with_event_names(records: pl.DataFrame) -> pl.DataFrame:
    """Records with `event`: the id of the event that their ids name, its own where they have several."""
    named = records.filter(pl.col("former_id").is_not_null())
    links = named.group_by(record_id="former_id").agg(event=pl.col("record_id").min())
    joined = records.join(links, on="record_id", how="left", maintain_order="left")
    return joined.with_columns(event=pl.coalesce("event", "record_id"))


@dataclass(frozen=True)
class _Record:
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


class _Rules:
    """The rules of identity for the events of one type, under the settings."""

    def __init__(self, event_type: EventType, settings: Settings, normalize: Normalize) -> None:
        self._event_type, self._settings, self._normalize = event_type, settings, normalize

    def with_keys(self, records: pl.DataFrame) -> pl.DataFrame:
        """Records with their identities; all with one id have the one of what they say together."""
        named = _with_event_names(records)
        is_alone = pl.len().over("event") == 1
        alone, others = named.filter(is_alone), named.filter(~is_alone)
        keys = self._keys(alone["attributes"])
        usable, _ = self._read(others)
        together = {name: self._key(nested(_fields(event, after=None))) for name, event in _by_event(usable).items()}
        of_others = [together.get(name) for name in others["event"]]
        return pl.concat(
            frame.with_columns(identity_key=pl.Series(found, dtype=pl.String)).drop("event")
            for frame, found in ((alone, keys), (others, of_others))
        )

    def events(self, records: pl.DataFrame) -> pl.DataFrame:
        """The events that records with their identities are of, each once."""
        named = _with_event_names(records).with_columns(refusal=pl.lit(None, dtype=pl.String))
        is_alone = pl.len().over(pl.coalesce("identity_key", "event")) == 1
        usable, unusable = self._read(named.filter(~is_alone))
        alike: dict[str, list[_Record]] = {}
        for record in usable:
            alike.setdefault(record.identity_key or record.event, []).append(record)
        united = [_row(event) for group in alike.values() for event in self._events(group)]
        alone = named.filter(is_alone).select(_COLUMNS)
        return pl.concat([alone, unusable.select(_COLUMNS), pl.DataFrame(united, schema=alone.schema, orient="row")])

    def _keys(self, texts: pl.Series) -> pl.Series:
        """The identities of records that stand alone, by their attributes."""
        if len(texts) < FEW:
            return pl.Series([self._key(_attributes(text)) for text in texts], dtype=pl.String)
        plain = plain_columns(texts, self._event_type).with_columns(moment_expression("started").alias("started_at"))
        named = {env: json_text([self._settings.environment(env)]) for env in plain["env"].drop_nulls().unique()}
        envs = pl.col("env").replace_strict(named, default="[]", return_dtype=pl.String) if named else pl.lit("[]")
        seconds = pl.col("started_at").dt.epoch("us") // 1_000_000
        read = plain.select("is_plain", "service", second=seconds, env=envs)

        def key(text: str, is_plain: bool, service: str, second: int | None, env: str) -> str | None:
            if not is_plain:
                return self._key(_attributes(text))
            return None if second is None else plain_key(service, second, env)

        keys = [key(text, *row) for text, row in zip(texts, read.iter_rows(), strict=True)]
        return pl.Series(keys, dtype=pl.String)

    def _key(self, attributes: Attributes) -> str | None:
        return canonical_key(self._event_type, attributes, self._settings.environment)

    def _read(self, records: pl.DataFrame) -> tuple[list[_Record], pl.DataFrame]:
        """The records that can be used, read, and the others as they are."""
        if records.is_empty():
            return [], records
        numbered = records.select(
            "received_at",
            "changed_at",
            "is_deleted",
            "attributes",
            record_id=pl.int_range(pl.len()).cast(pl.String),
        )
        rejected = self._normalize(numbered, self._settings).rejected
        reasons: dict[str, str] = dict(rejected.select("record", "reason").iter_rows())
        is_usable = [
            row["is_deleted"] or _is_usable(row, reasons.get(str(number)))
            for number, row in enumerate(records.iter_rows(named=True))
        ]
        mask = pl.Series(is_usable, dtype=pl.Boolean)
        return [self._record(row) for row in records.filter(mask).iter_rows(named=True)], records.filter(~mask)

    def _record(self, row: Mapping[str, Any]) -> _Record:
        sent = stored_event({**row, "event_type": self._event_type, "event_id": row["record_id"], "refusal": None})
        deleted: Receipt | None = None
        if row["is_sent"]:
            receipts = {
                name: (received_in(sent, sequence), "", sequence) for name, sequence in sequences_of(sent).items()
            }
            sequence = sent.sequence if sent.is_deleted else sent.history.deleted
            deleted = None if sequence is None else (received_in(sent, sequence), "", sequence)
            fields = flat(sent.attributes)
        else:
            fields = flat(merged({}, sent.attributes))
            receipts = dict.fromkeys(fields, (sent.changed_at, row["input"], sent.sequence))
        names = {name: self._field(name, fields) for name in (*fields, *receipts)}
        return _Record(
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

    def _field(self, name: str, fields: Attributes) -> str:
        """The one name of a field that may have another one."""
        other = {"git.repository_id": "git.repository_url"}
        if self._event_type == "failure":
            other["service"] = "services"
        return name if other.get(name, name) in fields else other.get(name, name)

    def _events(self, records: Sequence[_Record]) -> list[list[_Record]]:
        """Records with one identity, or with one id, by the events that they are of; its own records come first."""
        events = sorted(_by_event(records).values(), key=lambda event: (_received_at(event), event[0].event))
        named = [event for event in events if any(record.is_named for record in event)]
        unnamed = [record for event in events if not any(record.is_named for record in event) for record in event]
        unnamed.sort(key=lambda record: (record.received_at, record.sequence, record.event))
        if not unnamed:
            return named
        mate = next((event for event in named if not self._are_two(unnamed, event)), [])
        return [[*mate, *unnamed], *(event for event in named if event is not mate)]

    def _are_two(self, unnamed: Sequence[_Record], named: Sequence[_Record]) -> bool:
        if self._event_type != "deployment":
            return False
        return differ(*(nested(_fields(_living(event), after=None)) for event in (unnamed, named)))


def _attributes(text: str) -> Attributes:
    attributes = json.loads(text)
    return attributes if isinstance(attributes, dict) else {}


def _is_usable(row: Mapping[str, Any], reason: str | None) -> bool:
    if reason is None or not (row["is_sent"] and reason in _MISSING):
        return reason is None
    attributes = _attributes(row["attributes"])
    return trouble(attributes, attributes, row["changed_at"]) is None


def _by_event(records: Iterable[_Record]) -> dict[str, list[_Record]]:
    events: dict[str, list[_Record]] = {}
    for record in records:
        events.setdefault(record.event, []).append(record)
    return events


def _received_at(event: Sequence[_Record]) -> datetime:
    return min(record.received_at for record in _living(event))


def _living(event: Sequence[_Record]) -> Sequence[_Record]:
    """The records that are not deleted; where all are, the newest deletion."""
    living = [record for record in event if not record.is_deleted]
    return living or [max(event, key=lambda record: record.deleted or _NO_RECEIPT)]


def _newest(event: Sequence[_Record], after: Receipt | None) -> dict[str, tuple[Receipt, _Record]]:
    """The record that says the newest of each field, of what was received after a moment."""
    newest: dict[str, tuple[Receipt, _Record]] = {}
    for record in event:
        for name, receipt in record.receipts.items():
            if (after is None or receipt > after) and (name not in newest or receipt > newest[name][0]):
                newest[name] = (receipt, record)
    return newest


def _fields(event: Sequence[_Record], after: Receipt | None) -> Attributes:
    newest = _newest(event, after)
    fields = {name: record.fields[name] for name, (_, record) in newest.items() if name in record.fields}
    if _is_backwards(fields):
        # Told of two parts of a second: the start is the one that the end was told with.
        starts = [newest["finished_at"][1], *sorted(event, key=lambda one: one.changed_at, reverse=True)]
        told = ({**fields, "started_at": one.fields["started_at"]} for one in starts if "started_at" in one.fields)
        fields = next((one for one in told if not _is_backwards(one)), fields)
    return fields


def _is_backwards(fields: Attributes) -> bool:
    started_at, finished_at = event_moment(fields, "started_at"), event_moment(fields, "finished_at")
    return started_at is not None and finished_at is not None and finished_at < started_at


def _row(event: Sequence[_Record]) -> Mapping[str, Any]:
    """An event as one record (SENT_SCHEMA and `input`) under the id of the first; a deletion is of all before it."""
    if len(event) == 1:
        return {**{name: event[0].row[name] for name in _COLUMNS}, "record_id": event[0].event}
    deleted = max((record.deleted for record in event if record.deleted), default=None)
    fields = _fields([record for record in event if not record.is_deleted], after=deleted)
    newest = max(event, key=lambda record: (record.changed_at, record.input, record.sequence))
    return {
        "record_id": event[0].event,
        "received_at": _received_at(event),
        "changed_at": newest.changed_at,
        "is_deleted": not fields,
        "attributes": json_text(nested(fields)),
        "input": newest.input,
    }
