"""CSV exports. The first line names the columns; separators are commas, semicolons or tabs.

Arrow reads blocks of usual lines at speed. One with rows that are too long or too short, stray quotes or wrong bytes is
read by Python instead, row by row, which knows where each mistake stands.
"""

import csv
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

from dora_pipeline.sources.apm.chunks import (
    NAMES,
    REQUIRED,
    Chunk,
    NotPlain,
    Part,
    Sighting,
    chunk_of_columns,
    gathered,
)
from dora_pipeline.sources.apm.faults import Fault, Place, missing_columns
from dora_pipeline.sources.apm.lines import MOST_LINE_BYTES, Block, line_blocks, line_fault, numbered_lines

_BLOCK = 1 << 20
_CODES = pa.dictionary(pa.int32(), pa.string())

# Lines with quotes in them that one row can have; the search for the end of a stray quote has to end.
_MOST_QUOTED_LINES = 100
_OPEN_QUOTE = "unexpected end of data"

# The module's own limit would refuse cells that Arrow reads.
csv.field_size_limit(MOST_LINE_BYTES)


@dataclass(frozen=True)
class Header:
    """The names of a file's columns, trimmed, the separator of its cells, and the number of its line."""

    names: Sequence[str]
    separator: str
    line: int


def header(stream: BinaryIO) -> Header | Fault | None:
    """The header of a file, None for an empty one, or why the file cannot hold sightings. The stream is then behind."""
    for number, line in numbered_lines(stream):
        try:
            text = line.decode("utf-8-sig").strip("\r\n")
            separator = max(",;\t", key=text.count)
            names = [name.strip() for name in next(csv.reader([text], delimiter=separator), [])]
        except (ValueError, csv.Error):
            return line_fault(number, line)
        if any(names):
            missing = [name for name in REQUIRED if name not in names]
            if missing:
                return missing_columns((("line", number),), missing, names)
            return Header(names, separator, number)
    return None


def row_parts(stream: BinaryIO, head: Header, path: Path) -> Iterator[Part]:
    """What the rows after the header of the file at `path` tell, block by block.

    Raises NotPlain, possibly after some parts, for a quoted file with anything odd: a row of it may have many lines, so
    that the file has to be read as a whole by `quoted_row_parts`.
    """
    # It is asked of files with something odd alone.
    is_quoted = cache(lambda: _has_quotes(path))
    for block in line_blocks(stream, head.line + 1):
        yield partial(_read, block, head, is_quoted)


def quoted_row_parts(stream: BinaryIO, head: Header) -> Iterator[Part]:
    """What the rows after the header tell, where a row may have many lines."""
    lines = ((head.line + number, line) for number, line in numbered_lines(stream))
    for entry in gathered(_row_entries(lines, head)):
        yield partial(iter, [entry])


def _has_quotes(path: Path) -> bool:
    """Whether the file has any quotes; without them each line is a row."""
    with path.open("rb") as stream:
        return any(b'"' in block for block in iter(partial(stream.read, _BLOCK), b""))


def _read(block: Block, head: Header, is_quoted: Callable[[], bool]) -> Iterator[Chunk | Fault]:
    try:
        yield _plain_chunk(block, head)
    except NotPlain:
        if is_quoted():
            raise
        yield from gathered(_row_entries(block.lines(), head))


def _plain_chunk(block: Block, head: Header) -> Chunk:
    """The records of lines each of which has all cells. Raises NotPlain for other lines, or such as may be others."""
    text = block.text
    names = list(head.names)
    is_odd = len(text) > MOST_LINE_BYTES or text.startswith(BOM_UTF8) or _has_bare_returns(text)
    if is_odd or len(set(names)) < len(names) or not _is_utf8(text):
        raise NotPlain
    is_quoted = b'"' in text
    if is_quoted and not _is_well_quoted(text, head.separator):
        raise NotPlain
    keys_of = {name: [key for key in keys if key in names] for name, keys in NAMES.items()}
    wanted = [name for name in names if is_quoted or name in _wanted(keys_of)]
    try:
        found = read_csv(
            BytesIO(text),
            ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=names),
            ParseOptions(delimiter=head.separator, quote_char='"' if is_quoted else False),
            ConvertOptions(
                column_types={name: pa.string() if name == "timestamp" else _CODES for name in wanted},
                include_columns=wanted,
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowException as error:
        raise NotPlain from error
    columns = {name: found[name].combine_chunks() for name in wanted}
    if len(found) != block.height:
        raise NotPlain
    if is_quoted and any(map(_may_have_lost_quotes, columns.values())):
        raise NotPlain
    lines = cache(lambda: list(block.lines()))

    def origin(position: int) -> tuple[Place, object]:
        number, line = lines()[position]
        cells = _decoded(line, head.separator)[0]
        if cells is None or len(cells) != len(names):
            raise NotPlain
        return (("line", number),), dict(zip(names, cells, strict=True))

    texts = {name: [columns[key] for key in keys] for name, keys in keys_of.items()}
    return chunk_of_columns(columns["timestamp"], texts, columns.get("hits"), origin)


def _wanted(keys_of: Mapping[str, Sequence[str]]) -> set[str]:
    return {"timestamp", "hits", *(key for keys in keys_of.values() for key in keys)}


def _has_bare_returns(text: bytes) -> bool:
    return b"\r" in text and text.count(b"\r") != text.count(b"\r\n")


def _is_utf8(text: bytes) -> bool:
    try:
        return text.isascii() or bool(text.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _is_well_quoted(text: bytes, separator: str) -> bool:
    """Whether each cell with quotes begins and ends with them, since Arrow also takes what follows the last."""
    cell = rf'(?:"(?:[^"]|"")*"|[^"{separator}\r\n]*)'
    rows = pc.match_substring_regex(pa.array([text], pa.binary()), rf"^(?:{cell}(?:{separator}|\r?\n))*{cell}$")
    return bool(rows[0].as_py())


def _may_have_lost_quotes(column: pa.Array) -> bool:
    """Whether a cell has quotes or line ends in it, which is how Arrow takes a quote that is never closed."""
    texts = column.dictionary if pa.types.is_dictionary(column.type) else column
    return bool(pc.any(pc.match_substring_regex(texts, r'["\n]')).as_py())


def _row_entries(lines: Iterable[tuple[int, bytes]], head: Header) -> Iterator[Sighting | Fault]:
    """What each row tells, in its order; blank lines tell nothing.

    Where a row cannot be read, or has not as many cells as the header, its first line is left out and the reading
    goes on with the next, so that a stray quote costs one line.
    """
    places = {name: [head.names.index(key) for key in names if key in head.names] for name, names in NAMES.items()}
    places |= {name: [head.names.index(name)] for name in ("timestamp", "hits") if name in head.names}
    ahead = _Lines(lines)
    for number, line in ahead:
        if not line.strip():
            continue
        cells = _cells(line, ahead, head.separator) if len(line) <= MOST_LINE_BYTES else None
        if cells is not None and len(cells) == len(head.names):
            ahead.taken()
            fields = {
                name: next((cells[place] for place in found if cells[place]), None) for name, found in places.items()
            }
            yield Sighting((("line", number),), fields, dict(zip(head.names, cells, strict=True)))
        else:
            ahead.give_back()
            yield line_fault(number, line)


class _Lines:
    """Numbered lines; those taken after the one that a loop gave out can be given back."""

    def __init__(self, lines: Iterable[tuple[int, bytes]]) -> None:
        self._lines = iter(lines)
        self._back: deque[tuple[int, bytes]] = deque()
        self._taken: list[tuple[int, bytes]] = []

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        while (line := self._next()) is not None:
            yield line

    def _next(self) -> tuple[int, bytes] | None:
        return self._back.popleft() if self._back else next(self._lines, None)

    def take(self) -> bytes | None:
        """One more line for the same row; None at the end."""
        line = self._next()
        if line is None:
            return None
        self._taken.append(line)
        return line[1]

    def taken(self) -> None:
        """The row is complete."""
        self._taken.clear()

    def give_back(self) -> None:
        """The lines taken for the row are read again."""
        self._back.extendleft(reversed(self._taken))
        self._taken.clear()


def _cells(line: bytes, lines: _Lines, separator: str) -> list[str] | None:
    row = line
    for _ in range(_MOST_QUOTED_LINES):
        cells, is_open = _decoded(row, separator)
        if not is_open:
            return cells
        more = b""
        while b'"' not in more:
            next_line = lines.take()
            if next_line is None or len(row) + len(more) + len(next_line) > MOST_LINE_BYTES:
                return None
            more += next_line
        row += more
    return None


def _decoded(row: bytes, separator: str) -> tuple[list[str] | None, bool]:
    """The cells of a row, if it can be read, and whether it ends inside of quotes."""
    try:
        text = row.decode("utf-8").removesuffix("\n").removesuffix("\r")
        if '"' not in text:
            return text.split(separator), False
        return next(csv.reader([text], delimiter=separator, strict=True)), False
    except UnicodeDecodeError:
        return None, False
    except csv.Error as error:
        return None, str(error) == _OPEN_QUOTE
