"""Export files made by tests: the same three sightings in every format, and how they are written and read."""

import csv
import io
import json
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dora_pipeline.config import Settings
from dora_pipeline.sources.apm.export_files import export_files
from dora_pipeline.sources.apm.export_reading import ExportReading, read_export

MODIFIED_AT = datetime(2026, 6, 1, tzinfo=UTC)
SHA = "66adc9350f2cc9b250b69abddab733dd55e1a588"
URL = "https://user:secret@github.com/Organization/Shop.git"
RECORDS: list[dict[str, object]] = [
    {
        "timestamp": "2026-03-01T10:00:00Z",
        "service": "shop",
        "env": "prod",
        "version": "1.0",
        "git.commit.sha": SHA,
        "git.repository_url": URL,
        "team": "web",
        "hits": 3,
    },
    {
        "timestamp": "2026-03-01T10:30:00.25Z",
        "service": "shop",
        "env": "prod",
        "version": "1.0",
        "git.commit.sha": SHA,
        "git.repository_url": URL,
        "team": "web",
        "hits": 2,
    },
    {
        "timestamp": "2026-03-01T12:00:00+01:00",
        "service": " cart ",
        "env": "prod",
        "version": "v7",
        "git.commit.sha": None,
        "git.repository_url": None,
        "team": None,
        "hits": 1,
    },
]
_FIRST = datetime(2026, 3, 1, 10, tzinfo=UTC)
_LAST = datetime(2026, 3, 1, 10, 30, 0, 250_000, UTC)
_HOUR = datetime(2026, 3, 1, 11, tzinfo=UTC)
ACTIVITY = [
    ("cart", "prod", "v7", _HOUR, _HOUR, None, None, None, 1, date(2026, 3, 1)),
    ("shop", "prod", "1.0", _FIRST, _LAST, SHA, "github.com/organization/shop", "web", 5, date(2026, 3, 1)),
]


def reading(path: Path, settings: Settings | None = None, modified_at: datetime = MODIFIED_AT) -> ExportReading:
    os.utime(path, (modified_at.timestamp(), modified_at.timestamp()))
    found = {file.path: file for file in export_files(path.parent)}
    return read_export(found[path], settings or Settings())


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def jsonl(*records: object) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def csv_bytes(*records: dict[str, object], names: list[str] | None = None) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, names or list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def parquet_bytes(table: pa.Table, **options: bool) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def zst(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def reasons(found: ExportReading) -> list[str]:
    return sorted(found.rejected["reason"])
