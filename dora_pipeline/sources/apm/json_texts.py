"""JSON exports: one value a line, or one document, of which an array of sightings is the usual.

DuckDB reads blocks of usual lines at speed. One with anything else in it (a broken line, an answer of Datadog's) is
read by Python instead, line by line, which knows where each mistake stands.
"""

import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from dora_pipeline.json_values import is_deeper
from dora_pipeline.sources.apm.chunks import (
    CHUNK_RECORDS,
    FORGIVEN,
    NUMBERED,
    TEXTS,
    Chunk,
    NotPlain,
    Origin,
    Part,
    Sighting,
    gathered,
)
from dora_pipeline.sources.apm.documents import ReadyEvent, entries
from dora_pipeline.sources.apm.faults import MOST_TEXT, Damaged, Fault, Place
from dora_pipeline.sources.apm.lines import MOST_LINE_BYTES, Block, line_blocks, line_fault, numbered_lines, occurrences
from dora_pipeline.sources.apm.texts import Texts, first_texts, texts_of_json, value_of_json

MOST_DOCUMENT_BYTES = 256 << 20
DEEPEST = 100
# Fewer are read by Python before DuckDB has begun.
_FEW_BYTES = 1 << 16
_QUERY = (Path(__file__).parent / "json_texts.sql").read_text(encoding="utf-8")
_READER: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    "memory_limit": "1GB",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_directory": "",
}
# What DuckDB reads although it is no JSON: NaN, infinities, commas before an end. It may stand in texts as well, so
# that a match tells nothing for sure. Each begins with one letter, for which RE2 looks many times faster.
_NO_NUMBER = r"[-+]?(?:[nN][aA][nN]|[iI][nN][fF])"
_LENIENT = (rf",\s*(?:[\]}}]|{_NO_NUMBER})", rf":\s*{_NO_NUMBER}", rf"\[\s*{_NO_NUMBER}")
_FOREIGN_SPACE = (b"\x0b", b"\x0c")
_DEEP_LINE = rf"(?:[\[{{][^\[{{\n]*){{{DEEPEST + 1}}}"

# What DuckDB raises for text that it cannot read: also where its message ends in half a character, or passes Arrow.
_NOT_READ = (duckdb.Error, OSError, UnicodeDecodeError)

Entry = ReadyEvent | Fault


def plain_parts(path: Path) -> Iterator[Part]:
    """The sightings of a file whose lines hold nothing else. The path must not hold wildcards.

    Raises NotPlain, then or when a part is read, for any other file, and for one that is too small to be worth it.
    """
    if path.stat().st_size < _FEW_BYTES:
        raise NotPlain
    with path.open("rb") as stream:
        for block in line_blocks(stream):
            yield partial(_check, block)
    try:
        with duckdb.connect(config=_READER) as connection:
            for batch in _query(connection, path).to_arrow_reader(CHUNK_RECORDS):
                yield partial(_chunks, batch)
    except _NOT_READ as error:
        raise NotPlain from error


def line_parts(stream: BinaryIO, folder: Path) -> Iterator[Part]:
    """What the lines of a file tell, block by block; files are made in the folder."""
    database: duckdb.DuckDBPyConnection | None = None
    for block in line_blocks(stream):
        if len(block.text) < _FEW_BYTES:
            yield partial(_read_with_care, block)
        else:
            database = database or duckdb.connect(config=_READER)
            yield partial(_read, block, folder, database)


def _read(block: Block, folder: Path, database: duckdb.DuckDBPyConnection) -> Iterator[Chunk | Entry]:
    try:
        yield _plain_chunk(block, folder / f"lines-{block.first}", database)
    except NotPlain:
        yield from _read_with_care(block)


def _read_with_care(block: Block) -> Iterator[Chunk | Entry]:
    return gathered(_line_entries(block.lines()))


def _check(block: Block) -> Iterator[Chunk]:
    if len(block.text) > MOST_LINE_BYTES or _may_be_no_json(block.text, block.height):
        raise NotPlain
    return iter(())


def _query(connection: duckdb.DuckDBPyConnection, path: Path) -> duckdb.DuckDBPyRelation:
    return connection.sql(_QUERY, params={"path": str(path), "most_bytes": MOST_LINE_BYTES})


def _chunks(batch: pa.RecordBatch) -> Iterator[Chunk]:
    def origin(position: int) -> tuple[Place, object]:
        # Where it stands is known of blocks only.
        raise NotPlain

    yield _chunk({name: batch[name] for name in batch.schema.names}, origin)


def _plain_chunk(block: Block, path: Path, database: duckdb.DuckDBPyConnection) -> Chunk:
    """The sightings of lines that hold nothing else, by way of a file at `path`. Raises NotPlain for other lines."""
    text = block.text.removeprefix(BOM_UTF8) if block.first == 1 else block.text
    if len(text) > MOST_LINE_BYTES or text.startswith(BOM_UTF8) or _may_be_no_json(text, block.height):
        raise NotPlain
    path.write_bytes(text)
    try:
        with database.cursor() as cursor:
            found = _query(cursor, path).to_arrow_table()
    except _NOT_READ as error:
        raise NotPlain from error
    finally:
        path.unlink()
    lines = cache(lambda: [line for line in block.lines() if line[1].strip()])
    if len(found) != block.height and len(found) != len(lines()):
        raise NotPlain

    def origin(position: int) -> tuple[Place, object]:
        number, line = lines()[position]
        return (("line", number),), _parsed_line(number, line)

    return _chunk({name: found[name].combine_chunks() for name in found.column_names}, origin)


def _chunk(columns: Mapping[str, pa.Array], origin: Origin) -> Chunk:
    if pc.any(columns["is_odd"]).as_py():
        raise NotPlain
    texts = {name: _texts(columns, name) for name in TEXTS}
    return Chunk(columns["times"], texts, columns["hits"], pa.nulls(len(columns["times"]), pa.string()), origin)


def _may_be_no_json(text: bytes, height: int) -> bool:
    """Whether DuckDB may read something that Python refuses, in a text of so many lines."""
    whole = pa.array([text], pa.binary())
    if any(space in text for space in _FOREIGN_SPACE):
        return True
    if any(pc.match_substring_regex(whole, pattern)[0].as_py() for pattern in _LENIENT):
        return True
    openings = occurrences(text, b"{") + (occurrences(text, b"[") if b"[" in text else 0)
    is_flat = openings - height < DEEPEST
    return not is_flat and bool(pc.match_substring_regex(whole, _DEEP_LINE)[0].as_py())


def _texts(columns: Mapping[str, pa.Array], name: str) -> Texts:
    found: list[Texts] = []
    for column in (columns[each] for each in columns if each.startswith(name)):
        if column.null_count < len(column) or not found:
            texts, is_lost = texts_of_json(column, whole_numbers=name == NUMBERED)
            if name not in FORGIVEN and is_lost.any():
                raise NotPlain
            found.append(texts)
    return first_texts(found)


def _line_entries(lines: Iterable[tuple[int, bytes]]) -> Iterator[Sighting | Entry]:
    """What each line tells, in its order; blank lines tell nothing."""
    for number, line in lines:
        if not line.strip():
            continue
        value = _parsed_line(number, line)
        if isinstance(value, dict | list):
            yield from entries(value, (("line", number),))
        else:
            yield line_fault(number, line)


def _parsed_line(number: int, line: bytes) -> object:
    """The value of a line; None where there is none."""
    try:
        text = (line.removeprefix(BOM_UTF8) if number == 1 else line).decode("utf-8")
        return None if len(line) > MOST_LINE_BYTES else parsed(text)
    except ValueError:
        return None


def is_a_line_each(path: Path) -> bool:
    """Whether a .json file holds several values, one a line, and no document."""
    with path.open("rb") as stream:
        for number, line in numbered_lines(stream):
            text = line.removeprefix(BOM_UTF8).strip() if number == 1 else line.strip()
            if text:
                is_whole = not text.startswith(b"[") and _parsed_line(number, line) is not None
                return is_whole and any(more.strip() for _, more in numbered_lines(stream))
    return True


def document_parts(stream: BinaryIO) -> Iterator[Part]:
    """What a document tells. It is read whole, so one of more than MOST_DOCUMENT_BYTES is refused.

    Raises Damaged for that, and for what is no JSON.
    """
    document = stream.read(MOST_DOCUMENT_BYTES + 1)
    if len(document) > MOST_DOCUMENT_BYTES:
        size = f"larger than {MOST_DOCUMENT_BYTES >> 20} MiB"
        raise Damaged(f"one document {size}; export it as JSONL, a record a line", reason="document_too_large")
    try:
        text = document.decode("utf-8-sig")
        # An array of records nests each as deeply as a line of its own.
        value = parsed(text, DEEPEST + text.lstrip().startswith("["))
    except ValueError as error:
        raise Damaged(error, text=document[: 4 * MOST_TEXT].decode("utf-8", "replace")) from error
    for entry in gathered(entries(value, ())):
        yield partial(iter, [entry])


def parsed(text: str, deepest: int = DEEPEST) -> object:
    """The JSON value of a text.

    Raises ValueError also for what is no JSON to others: NaN, halves of characters, and more than so many levels.
    """
    value: object = value_of_json(text)
    if is_deeper(text, value, deepest):
        raise ValueError("nested too deeply")
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value
