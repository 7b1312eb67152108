"""CSV exports. The first line names the columns; separators are commas, semicolons or tabs.

Polars reads the usual file at speed. One with rows that are too long or too short, stray quotes or wrong bytes is read
by Python instead, row by row, which knows where each mistake stands.
"""

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import polars as pl

from dora_pipeline.sources.apm.chunks import (
    CHUNK_RECORDS,
    NAMES,
    REQUIRED,
    Chunk,
    NotPlain,
    Part,
    chunk_of_categories,
)
from dora_pipeline.sources.apm.documents import Sighting
from dora_pipeline.sources.apm.faults import Fault, missing_columns
from dora_pipeline.sources.apm.lines import MOST_LINE_BYTES, Block, line_fault, numbered_lines, text_of

_BLOCK = 1 << 20
_ARROW = pl.CompatLevel.oldest()

# Lines with quotes in them that one row can have; the search for the end of a stray quote has to end.
_MOST_QUOTED_LINES = 100
_OPEN_QUOTE = "unexpected end of data"

# The module's own limit would refuse cells that Polars reads.
csv.field_size_limit(MOST_LINE_BYTES)


@dataclass(frozen=True)
class Header:
    """The names of a file's columns, trimmed, the separator of its cells, and the number of the line where they stand.

    `is_first` where that is the first line and the names needed no trimming.
    """

    names: Sequence[str]
    separator: str
    line: int
    is_first: bool


def header(stream: BinaryIO) -> Header | Fault | None:
    """The header of a file, None for an empty one, or why the file cannot hold sightings."""
    for number, line in numbered_lines(stream):
        try:
            text = line.decode("utf-8-sig").strip("\r\n")
            separator = max(",;\t", key=text.count)
            told = next(csv.reader([text], delimiter=separator), [])
            names = [name.strip() for name in told]
        except (ValueError, csv.Error):
            return line_fault(number, line)
        if any(names):
            missing = [name for name in REQUIRED if name not in names]
            return (
                missing_columns(missing, names)
                if missing
                else Header(names, separator, number, number == 1 and names == told)
            )
    return None


def plain_rows(path: Path, head: Header) -> Iterator[Part]:
    """The records of a file in which each row has all cells, quotes come in pairs, and all is UTF-8.

    Raises NotPlain, possibly after some parts, for any other file, and for some that only might be another.
    """
    if not head.is_first:
        raise NotPlain
    return _parts(path, head, has_quotes=has_quotes(path), has_all_cells=False)


def _parts(path: Path, head: Header, *, has_quotes: bool, has_all_cells: bool) -> Iterator[Part]:
    names, last = list(head.names), head.names[-1]
    texts = {name: [key for key in keys if key in names] for name, keys in NAMES.items()}
    if not all(names) or len(set(names)) < len(names) or any(len(keys) > 1 for keys in texts.values()):
        raise NotPlain
    told = {name: keys[0] for name, keys in texts.items() if keys}
    kinds = dict.fromkeys(told.values(), pl.Categorical(pl.Categories.random()))
    wanted = {*told.values(), "timestamp", *({"hits"} & set(names)), last}
    try:
        rows = pl.scan_csv(
            path, separator=head.separator, infer_schema=False, schema_overrides=kinds, glob=False
        ).select(names if has_quotes else wanted)
        for batch in rows.collect_batches(chunk_size=CHUNK_RECORDS, maintain_order=False, engine="streaming"):
            # A cell that a row lacks looks like an empty one; the last column shows whether there can be any.
            may_lack_cells = not has_all_cells and batch[last].null_count() > 0
            if may_lack_cells or (has_quotes and _may_have_lost_lines(batch)):
                raise NotPlain
            yield partial(_plain_chunk, batch, told)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise NotPlain from error


def has_quotes(path: Path) -> bool:
    """Whether the file has any quotes; without them each line is a row."""
    with path.open("rb") as stream:
        return any(b'"' in block for block in iter(partial(stream.read, _BLOCK), b""))


def _may_have_lost_lines(batch: pl.DataFrame) -> bool:
    """Whether a cell has quotes or line ends in it, which is how Polars takes a quote that is never closed."""
    return any(batch.select(pl.all().cast(pl.String).str.contains(r'["\n]').any()).row(0))


def _plain_chunk(batch: pl.DataFrame, told: Mapping[str, str]) -> list[Chunk]:
    texts = {name: batch[key] for name, key in told.items()}
    hits = batch["hits"].to_arrow(compat_level=_ARROW) if "hits" in batch.columns else None
    return [chunk_of_categories(batch["timestamp"].to_arrow(compat_level=_ARROW), texts, hits)]


def plain_block(block: Block, head: Header, path: Path) -> list[Chunk]:
    """The records of lines without quotes, each with all cells, by way of a file at `path`.

    Raises NotPlain for other lines.
    """
    text = text_of(block)
    separator = head.separator.encode()
    if b'"' in text or text.count(separator) != len(block) * (len(head.names) - 1):
        raise NotPlain
    path.write_bytes(separator.join(name.encode() for name in head.names) + b"\n" + text)
    return [chunk for part in _parts(path, head, has_quotes=False, has_all_cells=True) for chunk in part()]


def row_entries(lines: Iterable[tuple[int, bytes]], head: Header) -> Iterator[Sighting | Fault]:
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
            yield {
                name: next((cells[place] for place in found if cells[place]), None) for name, found in places.items()
            }
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
