"""The raw layer: what sources told, as it came, in files that are written once and never changed.

A segment is `raw/<source>/<first>-<last>.jsonl.gz`: the records with these sequence numbers, one JSON object a line.
The name of the last segment says where the next fetch goes on, so there is no other state to lose.
"""

import gzip
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from dora_pipeline.errors import SourceUnavailable

RECORD_SCHEMA = {
    "record_id": pl.String(),
    "received_at": pl.Datetime("us", "UTC"),
    "changed_at": pl.Datetime("us", "UTC"),
    "is_deleted": pl.Boolean(),
    "attributes": pl.String(),
}


@dataclass(frozen=True)
class RawRecord:
    """One event as it stood after one of its changes. Times are UTC; `attributes` are in the words of the source."""

    sequence: int
    record_id: str
    received_at: datetime
    changed_at: datetime
    is_deleted: bool
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Segment:
    """A file of the raw layer with the records from `first` to `last`."""

    path: Path
    first: int
    last: int


def segments(folder: Path) -> list[Segment]:
    """The segments below a source's folder, in order."""
    found = []
    for path in folder.glob("*.jsonl.gz"):
        first, _, last = path.name.removesuffix(".jsonl.gz").partition("-")
        if first.isdigit() and last.isdigit():
            found.append(Segment(path, int(first), int(last)))
    return sorted(found, key=lambda segment: segment.first)


def write_segment(folder: Path, records: Sequence[RawRecord]) -> Segment:
    """Keep records, ordered by sequence, in a new segment; it is there whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    first, last = records[0].sequence, records[-1].sequence
    path = folder / f"{first:012}-{last:012}.jsonl.gz"
    temporary = folder / f".{path.name}.{os.getpid()}"
    with temporary.open("wb") as handle:
        with gzip.GzipFile(fileobj=handle, mode="wb", filename="", mtime=0) as packed:
            for record in records:
                packed.write(_line(record))
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)
    return Segment(path, first, last)


def read_segment(source: str, segment: Segment) -> pl.DataFrame:
    """The records of a segment, one row each, with the columns of RECORD_SCHEMA; `attributes` is JSON text.

    Raises SourceUnavailable for a segment that cannot be read.
    """
    try:
        with gzip.open(segment.path, "rt", encoding="utf-8") as lines:
            rows = [_row(json.loads(line)) for line in lines]
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise SourceUnavailable(
            source, f"{segment.path}: cannot be read ({error}); restore the file from a backup and run again"
        ) from error
    return pl.DataFrame(rows, schema=RECORD_SCHEMA, orient="row")


def _line(record: RawRecord) -> bytes:
    told = {
        "sequence": record.sequence,
        "record_id": record.record_id,
        "received_at": record.received_at.isoformat(),
        "changed_at": record.changed_at.isoformat(),
        "is_deleted": record.is_deleted,
        "attributes": record.attributes,
    }
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def _row(told: dict[str, Any]) -> tuple[str, datetime, datetime, bool, str]:
    return (
        told["record_id"],
        datetime.fromisoformat(told["received_at"]),
        datetime.fromisoformat(told["changed_at"]),
        told["is_deleted"],
        json.dumps(told["attributes"]),
    )
