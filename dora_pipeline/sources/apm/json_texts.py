"""JSON exports: one value a line, or one document, of which an array of sightings is the usual.

DuckDB reads the usual file at speed. One with anything else in it (a broken line, an answer of Datadog's) is read by
Python instead, line by line, which knows where each mistake stands.
"""

import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dora_pipeline.sources.apm.chunks import CHUNK_RECORDS, TEXTS, Chunk, NotPlain, Part, chunk_of_json
from dora_pipeline.sources.apm.documents import Sighting, Told, entries
from dora_pipeline.sources.apm.faults import MOST_TEXT, Fault
from dora_pipeline.sources.apm.lines import MOST_LINE_BYTES, Block, line_fault, numbered_lines, text_of

MOST_DOCUMENT_BYTES = 256 << 20
_QUERY = (Path(__file__).parent / "json_texts.sql").read_text(encoding="utf-8")
_READER: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    "memory_limit": "1GB",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_directory": "",
}


def plain_parts(path: Path, layout: str) -> Iterator[Part]:
    """The sightings of a file that holds nothing else; `layout` is `newline_delimited` or `array`.

    Raises NotPlain, possibly after some parts, where the file holds anything else. The path must not hold wildcards.
    """
    with duckdb.connect(config=_READER) as connection:
        try:
            query = connection.sql(_QUERY, params={"path": str(path), "format": layout, "most_bytes": MOST_LINE_BYTES})
            for batch in query.to_arrow_reader(CHUNK_RECORDS):
                yield partial(_plain_chunk, batch)
        except (duckdb.Error, OSError) as error:
            raise NotPlain from error


def _plain_chunk(batch: pa.RecordBatch) -> list[Chunk]:
    if np.any(batch["is_odd"].to_numpy(zero_copy_only=False)):
        raise NotPlain
    texts = {name: _first(batch, name) for name in TEXTS}
    told = {name: array for name, array in texts.items() if array is not None}
    return [chunk_of_json(batch["times"], told, batch["hits"])]


def _first(batch: pa.RecordBatch, name: str) -> pa.Array | None:
    columns = [batch[column] for column in batch.schema.names if column.endswith(name)]
    told = [column for column in columns if column.null_count < len(batch)]
    return pc.coalesce(*told) if len(told) > 1 else next(iter(told), None)


def plain_block(block: Block, path: Path) -> list[Chunk]:
    """The sightings of lines that hold nothing else, by way of a file at `path`. Raises NotPlain for other lines."""
    path.write_bytes(text_of(block))
    return [chunk for part in plain_parts(path, "newline_delimited") for chunk in part()]


def line_entries(lines: Iterable[tuple[int, bytes]]) -> Iterator[Sighting | Told | Fault]:
    """What each line tells, in its order; blank lines tell nothing."""
    for number, line in lines:
        if not line.strip():
            continue
        value = _value(line.removeprefix(BOM_UTF8) if number == 1 else line)
        if isinstance(value, dict | list):
            yield from entries(value, f"line {number}")
        else:
            yield line_fault(number, line)


def json_layout(path: Path) -> str:
    """How a .json file is laid out: `array`, `newline_delimited` (several values, one a line) or `document`."""
    with path.open("rb") as stream:
        for number, line in numbered_lines(stream):
            text = line.removeprefix(BOM_UTF8).strip() if number == 1 else line.strip()
            if text.startswith(b"["):
                return "array"
            if text:
                is_whole = _value(text) is not None and any(more.strip() for _, more in numbered_lines(stream))
                return "newline_delimited" if is_whole else "document"
    return "newline_delimited"


def _value(line: bytes) -> object:
    try:
        return None if len(line) > MOST_LINE_BYTES else parsed(line.decode("utf-8"))
    except ValueError:
        return None


def document_entries(stream: BinaryIO) -> Iterator[Sighting | Told | Fault]:
    """What a document tells. It is read whole, so one of more than MOST_DOCUMENT_BYTES is refused."""
    document = stream.read(MOST_DOCUMENT_BYTES + 1)
    if len(document) > MOST_DOCUMENT_BYTES:
        size = f"larger than {MOST_DOCUMENT_BYTES >> 20} MiB"
        yield Fault(
            "file", "document_too_large", {"error": f"one document {size}; export it as JSONL, a record a line"}
        )
        return
    try:
        text = document.decode("utf-8-sig")
        yield from entries(parsed(text), "document")
    except ValueError as error:
        yield Fault(
            "file",
            "file_unreadable",
            {"error": str(error), "text": document[: 4 * MOST_TEXT].decode("utf-8", "replace")},
        )


def parsed(text: str) -> object:
    """The JSON value of a text. Raises ValueError also for what is no JSON to others: NaN, halves of characters."""
    try:
        value: object = json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
