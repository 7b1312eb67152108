"""The raw layer: what was sent to the intake, as it came, in files that are written once and never changed.

A segment is `raw/<source>/<first>-<last>.<branch>.<sequence>-<mark>.jsonl.gz`: the records with the sequence numbers
from `first` to `last`, one JSON object a line, and the state of the intake's store after they were read (its mark). A
branch is what was read without a break: where a store was set back, or is another one, the next segment begins a new
branch. The names say where the next fetch goes on, so there is no other state to lose. Segments of older programs have
neither branch nor mark.
"""

import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.files import whole_file

RECORD_SCHEMA = {
    "record_id": pl.String(),
    "received_at": pl.Datetime("us", "UTC"),
    "changed_at": pl.Datetime("us", "UTC"),
    "is_deleted": pl.Boolean(),
    "attributes": pl.String(),
}
# A record that was pulled: `body` is its JSON, `state` whether the source still shows it (`source.RecordState`).
PULLED_SCHEMA = {
    "record_id": pl.String(),
    "occurred_at": pl.Datetime("us", "UTC"),
    "fetched_at": pl.Datetime("us", "UTC"),
    "state": pl.String(),
    "body": pl.String(),
}
# What else is known of an event that was sent to the intake; `history` is JSON text.
SENT_SCHEMA = {
    **RECORD_SCHEMA,
    "refusal": pl.String(),
    "sequence": pl.Int64(),
    "is_named": pl.Boolean(),
    "former_id": pl.String(),
    "history": pl.String(),
}
# What older programs did not write.
_WHERE_KNOWN = ("is_named", "former_id", "history", "refusal")
# The branch of segments that older programs wrote, and of those that go on from them.
FIRST_BRANCH = "00000000"

_NAME = re.compile(r"(\d+)-(\d+)(?:\.([0-9a-f]{8})\.(\d+)-([0-9a-f]+))?\.jsonl\.gz")
# What stands in a string of JSON as it is.
_PLAIN = r"^[ !#-\[\]-~]*$"
# To save an eighth of the size would take five times as long.
_COMPRESSION = 4
_LINES_AT_ONCE = 1_000
_RECORD_ID = re.compile(rb'"record_id":("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class RawRecord:
    """One event as it stood after one of its changes, or one message that could not be used, with the `refusal`.

    Times are UTC; `attributes` are in the words of the source. `is_named` says whether the id is the event's own, None
    where an older program did not say; `former_id` is the one that it was given until then. `history` says when the
    fields were sent, in sequences.
    `is_begun_anew`: it was deleted before, and what was known until then is no part of it.
    """

    sequence: int
    record_id: str
    received_at: datetime
    changed_at: datetime
    is_deleted: bool
    attributes: dict[str, Any]
    is_begun_anew: bool = False
    is_named: bool | None = None
    former_id: str | None = None
    history: dict[str, Any] | None = None
    refusal: str | None = None


@dataclass(frozen=True)
class Segment:
    """A file of the raw layer with the records from `first` to `last`.

    `mark` is the state of the store after they were read: its newest sequence then, and what stood beside that.
    """

    path: Path
    first: int
    last: int
    branch: str = FIRST_BRANCH
    mark: tuple[int, str] | None = None


def segments(folder: Path) -> list[Segment]:
    """The segments below a source's folder, in order."""
    found = [segment for path in folder.glob("*.jsonl.gz") if (segment := segment_at(path))]
    return sorted(found, key=lambda segment: (segment.first, segment.path.name))


def segment_at(path: Path) -> Segment | None:
    """The segment that a path names; None where it names none."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    first, last, branch, sequence, text = match.groups()
    if branch is None:
        return Segment(path, int(first), int(last))
    return Segment(path, int(first), int(last), branch, (int(sequence), text))


def write_segment(folder: Path, records: pl.DataFrame, branch: str, mark: tuple[int, str]) -> Segment:
    """Keep records, ordered by sequence, in a new segment; it is there whole or not at all.

    They have the columns of SENT_SCHEMA, and `is_begun_anew`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first, last = records["sequence"][0], records["sequence"][-1]
    path = folder / f"{first:012}-{last:012}.{branch}.{mark[0]:012}-{mark[1]}.jsonl.gz"
    lines = records.select(_line(records)).to_series()
    with (
        whole_file(path) as file,
        gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=_COMPRESSION) as packed,
    ):
        for some in lines.to_frame("line").iter_slices(_LINES_AT_ONCE):
            packed.write("".join(some["line"]).encode())
    return Segment(path, first, last, branch, mark)


def read_segment(source: str, segment: Segment, ids: Collection[str] | None = None) -> list[RawRecord]:
    """The records of a segment, or those of them with certain ids.

    Raises SourceUnavailable for a segment that cannot be read, or does not hold what its name says.
    """
    try:
        return list(_records(segment, ids))
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise SourceUnavailable(
            source, f"{segment.path}: cannot be read ({error}); restore the file from a backup and run again"
        ) from error


def record_frame(records: Sequence[RawRecord]) -> pl.DataFrame:
    """Records as rows, with the columns of SENT_SCHEMA; `attributes` is JSON text."""
    return pl.DataFrame([_row(record) for record in records], schema=SENT_SCHEMA, orient="row")


def _row(record: RawRecord) -> tuple[object, ...]:
    return (
        record.record_id,
        record.received_at,
        record.changed_at,
        record.is_deleted,
        json.dumps(record.attributes, separators=(",", ":")),
        record.refusal,
        record.sequence,
        record.is_named,
        record.former_id,
        json.dumps(record.history or {}, separators=(",", ":")),
    )


def _records(segment: Segment, ids: Collection[str] | None) -> Iterator[RawRecord]:
    # As a line spells them: reading every line as JSON takes five times as long.
    wanted = None if ids is None else {json.dumps(record_id).encode() for record_id in ids}
    first = last = None
    with gzip.open(segment.path) as lines:
        for line in lines:
            first, last = first or line, line
            match = None if wanted is None else _RECORD_ID.search(line)
            if match is None or wanted is None or match[1] in wanted:
                yield _record(json.loads(line))
    # The checksum of no bytes at all holds.
    ends = [json.loads(line)["sequence"] for line in (first, last) if line]
    if ends != [segment.first, segment.last]:
        raise ValueError(f"it holds the records {'-'.join(map(str, ends)) or 'of nothing'}")


def _line(records: pl.DataFrame) -> pl.Expr:
    """The line of each record, as `json.dumps` without blanks spells it."""

    def moment(name: str) -> pl.Expr:
        return pl.col(name).dt.strftime('"%Y-%m-%dT%H:%M:%S%.6f+00:00"')

    def flag(name: str) -> pl.Expr:
        return pl.when(name).then(pl.lit("true")).otherwise(pl.lit("false"))

    def where_known(name: str, value: pl.Expr) -> pl.Expr:
        return (
            pl.when(pl.col(name).is_not_null()).then(pl.concat_str(pl.lit(f',"{name}":'), value)).otherwise(pl.lit(""))
        )

    texts = {name: pl.lit(_json_strings(records[name])) for name in ("record_id", "former_id", "refusal")}
    return pl.concat_str(
        pl.lit('{"sequence":'),
        pl.col("sequence"),
        pl.lit(',"record_id":'),
        texts["record_id"],
        pl.lit(',"received_at":'),
        moment("received_at"),
        pl.lit(',"changed_at":'),
        moment("changed_at"),
        pl.lit(',"is_deleted":'),
        flag("is_deleted"),
        pl.lit(',"attributes":'),
        pl.col("attributes"),
        pl.when("is_begun_anew").then(pl.lit(',"is_begun_anew":true')).otherwise(pl.lit("")),
        where_known("is_named", flag("is_named")),
        where_known("former_id", texts["former_id"]),
        where_known("history", pl.col("history")),
        where_known("refusal", texts["refusal"]),
        pl.lit("}\n"),
    )


def _json_strings(texts: pl.Series) -> pl.Series:
    """Texts as strings of JSON in ASCII."""
    frame = texts.alias("text").to_frame()
    plain = pl.format('"{}"', pl.col("text"))
    others = frame.filter(~pl.col("text").str.contains(_PLAIN))["text"].unique()
    spelled = pl.col("text").replace_strict(
        others, [json.dumps(text) for text in others], return_dtype=pl.String, default=plain
    )
    return frame.select(spelled if len(others) else plain).to_series()


def _record(fields: dict[str, Any]) -> RawRecord:
    return RawRecord(
        fields["sequence"],
        fields["record_id"],
        datetime.fromisoformat(fields["received_at"]),
        datetime.fromisoformat(fields["changed_at"]),
        fields["is_deleted"],
        fields["attributes"],
        fields.get("is_begun_anew", False),
        **{name: fields.get(name) for name in _WHERE_KNOWN},
    )
