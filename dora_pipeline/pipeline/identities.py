"""Which records of a source are of one event, whichever door they came through: the intake, a pull or an export.

Identity is the source and the event's own id, else services, canonical env and second of `started_at`. A record without
an id is of the event with one that has the same services, env and second, and both ids name that; of several such
events it is of the one received first; a deployment only where version and commit do not differ. Of the records of one
event the newest wins field by field where it carries a value. A record that cannot be used is rejected by itself.

The intake may run without settings, and they may change: which events are one is decided when records land, from all
that has landed so far, and again whenever one of them changes. So it does not matter in which order they land.

Two sources may use one id. In the warehouse an id is of one event: an `apm:d1` that the intake was sent stands behind
the name of its source.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.identifiers import EventType
from dora_pipeline.intake.store.event import Attributes, json_text, nested, trouble
from dora_pipeline.intake.store.identity import GIVEN_ID, canonical_key, differ
from dora_pipeline.pipeline.united_records import (
    EVENT_COLUMNS,
    Record,
    by_event,
    living,
    read_record,
    received_at,
    united_fields,
    united_row,
)
from dora_pipeline.sources.event_rules import moment_expression
from dora_pipeline.sources.plain_events import plain_structs
from dora_pipeline.sources.registry import SOURCES, sources_of
from dora_pipeline.sources.source import Normalized
from dora_pipeline.tables import LandedEventRecords
from dora_pipeline.warehouse.event_records import EventRecords, plain_keys

Normalize = Callable[[pl.DataFrame, Settings], Normalized]

# What a message leaves out another record may have; what stands in a file is a whole state.
_MISSING = ("service_missing", "time_missing", "finish_missing")


@dataclass(frozen=True)
class Settled:
    """What new records make of the events of their source.

    `events` are those that may differ now, each once, with the columns of SENT_SCHEMA, `input`: the input of its
    newest record, and `plain`: what was read of it already. `ids` are all by which any of them may have landed before.
    `records` are LandedEventRecords, to be put into `known`.
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
    rules = _Rules(connection, event_type, settings, normalize)
    records = records.with_columns(record_id=_event_id(event_type, source))
    refused = records.filter(pl.col("refusal").is_not_null())
    new = _landed(source, records.filter(pl.col("refusal").is_null()), is_sent=files is None)
    known = EventRecords(connection, source, _names(new), files)
    replaced = known.replaced()
    others = known.named(_names(pl.concat([new, replaced])))
    changed = rules.with_keys(pl.concat([new, others]))
    keys = pl.concat([frame["identity_key"] for frame in (replaced, others, changed)]).drop_nulls().unique()
    pool = pl.concat([changed, known.alike(keys)], how="diagonal")
    return Settled(
        events=pl.concat([rules.events(pool), refused.select(EVENT_COLUMNS)], how="diagonal"),
        ids=pl.concat([_names(replaced), _names(pool), refused["record_id"]]).unique(),
        records=changed.drop("plain"),
        known=known,
    )


def _event_id(event_type: EventType, source: str) -> pl.Expr:
    """The id of a record, behind the name of its source where it begins as those of another source do."""
    prefixes = {SOURCES[name].event_prefix() for name in sources_of(event_type) if name != source}
    prefixes = {prefix for prefix in prefixes if prefix} | {f"{source}:"}
    is_anothers = pl.any_horizontal(pl.col("record_id").str.starts_with(prefix) for prefix in sorted(prefixes))
    return pl.when(is_anothers).then(pl.lit(f"{source}:") + pl.col("record_id")).otherwise("record_id")


def _landed(source: str, records: pl.DataFrame, *, is_sent: bool) -> pl.DataFrame:
    """Records as LandedEventRecords, without identities."""
    is_given = pl.col("record_id").str.contains(f"^{GIVEN_ID}$")
    return records.with_columns(
        source=pl.lit(source),
        is_sent=pl.lit(is_sent),
        identity_key=pl.lit(None, dtype=pl.String),
        # Older programs did not tell.
        is_named=pl.coalesce("is_named", ~is_given),
    ).select(list(LandedEventRecords.columns()))


def _names(records: pl.DataFrame) -> pl.Series:
    return pl.concat([records["record_id"], records["former_id"].drop_nulls().alias("record_id")]).unique()


def _with_event_names(records: pl.DataFrame) -> pl.DataFrame:
    """Records with `event`: the id of the event that their ids name, its own where they have several."""
    named = records.filter(pl.col("former_id").is_not_null())
    links = named.group_by(record_id="former_id").agg(event=pl.col("record_id").min())
    joined = records.join(links, on="record_id", how="left", maintain_order="left")
    return joined.with_columns(event=pl.coalesce("event", "record_id"))


class _Rules:
    """The rules of identity for the events of one type, under the settings."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, event_type: EventType, settings: Settings, normalize: Normalize
    ) -> None:
        self._connection = connection
        self._event_type, self._settings, self._normalize = event_type, settings, normalize

    def with_keys(self, records: pl.DataFrame) -> pl.DataFrame:
        """Records with their identities; all with one id have the one of what they say together.

        `plain` is what was read of those that stand alone (`plain_structs`).
        """
        named = _with_event_names(records)
        is_alone = pl.len().over("event") == 1
        alone, others = named.filter(is_alone), named.filter(~is_alone)
        plain = plain_structs(alone["attributes"], self._event_type)
        keys = self._keys(alone["attributes"], plain)
        usable, _ = self._read(others)
        together = {
            name: self._key(nested(united_fields(event, after=None))) for name, event in by_event(usable).items()
        }
        of_others = [together.get(name) for name in others["event"]]
        found = (
            alone.with_columns(keys.alias("identity_key"), plain),
            others.with_columns(identity_key=pl.Series(of_others, dtype=pl.String)),
        )
        return pl.concat(found, how="diagonal").drop("event")

    def events(self, records: pl.DataFrame) -> pl.DataFrame:
        """The events that records with their identities are of, each once."""
        named = _with_event_names(records).with_columns(refusal=pl.lit(None, dtype=pl.String))
        is_alone = pl.len().over(pl.coalesce("identity_key", "event")) == 1
        usable, unusable = self._read(named.filter(~is_alone))
        alike: dict[str, list[Record]] = {}
        for record in usable:
            alike.setdefault(record.identity_key or record.event, []).append(record)
        united = [united_row(event) for group in alike.values() for event in self._events(group)]
        alone, unusable = named.filter(is_alone).select(*EVENT_COLUMNS, "plain"), unusable.select(EVENT_COLUMNS)
        return pl.concat([alone, unusable, pl.DataFrame(united, schema=unusable.schema, orient="row")], how="diagonal")

    def _keys(self, texts: pl.Series, plain: pl.Series) -> pl.Series:
        """The identities of records that stand alone, by their attributes, and what was read of these."""
        if plain.null_count():
            return pl.Series([self._key(_attributes(text)) for text in texts], dtype=pl.String)
        read = plain.struct.unnest().with_columns(moment_expression("started").alias("started_at"))
        named = {env: json_text([self._settings.environment(env)]) for env in read["env"].drop_nulls().unique()}
        envs = pl.col("env").replace_strict(named, default="[]", return_dtype=pl.String) if named else pl.lit("[]")
        seconds = pl.col("started_at").dt.epoch("us") // 1_000_000
        read = read.select("is_plain", "service", second=seconds, env=envs, text=texts).with_row_index("number")
        keys = plain_keys(self._connection, read.filter("is_plain").drop("text", "is_plain"))
        others = read.filter(~pl.col("is_plain")).select("number", "text")
        of_others = pl.Series([self._key(_attributes(text)) for text in others["text"]], dtype=pl.String)
        return pl.concat([keys, others.select("number", identity_key=of_others)]).sort("number")["identity_key"]

    def _key(self, attributes: Attributes) -> str | None:
        return canonical_key(self._event_type, attributes, self._settings.environment)

    def _read(self, records: pl.DataFrame) -> tuple[list[Record], pl.DataFrame]:
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
        return [
            read_record(row, self._event_type) for row in records.filter(mask).iter_rows(named=True)
        ], records.filter(~mask)

    def _events(self, records: Sequence[Record]) -> list[list[Record]]:
        """Records with one identity, or with one id, by the events that they are of; its own records come first."""
        events = sorted(by_event(records).values(), key=lambda event: (received_at(event), event[0].event))
        named = [event for event in events if any(record.is_named for record in event)]
        unnamed = [record for event in events if not any(record.is_named for record in event) for record in event]
        unnamed.sort(key=lambda record: (record.received_at, record.sequence, record.event))
        if not unnamed:
            return named
        mate = next((event for event in named if not self._are_two(unnamed, event)), [])
        return [[*mate, *unnamed], *(event for event in named if event is not mate)]

    def _are_two(self, unnamed: Sequence[Record], named: Sequence[Record]) -> bool:
        if self._event_type != "deployment":
            return False
        return differ(*(nested(united_fields(living(event), after=None)) for event in (unnamed, named)))


def _attributes(text: str) -> Attributes:
    attributes = json.loads(text)
    return attributes if isinstance(attributes, dict) else {}


def _is_usable(row: Mapping[str, Any], reason: str | None) -> bool:
    if reason is None or not (row["is_sent"] and reason in _MISSING):
        return reason is None
    attributes = _attributes(row["attributes"])
    return trouble(attributes, attributes, row["changed_at"]) is None
