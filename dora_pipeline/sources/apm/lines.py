"""Lines of text files, numbered from 1, none of them longer than a limit."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import BinaryIO

import numpy as np

from dora_pipeline.sources.apm.faults import MOST_TEXT, Damaged, Fault, fault_at

MOST_LINE_BYTES = 16 << 20
_BLOCK_BYTES = 4 << 20
_FOREIGN_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


@dataclass(frozen=True)
class Block:
    """Whole lines that follow each other; `first` is the number of the first.

    A line that is too long stands alone, and only its start, of more than MOST_LINE_BYTES.
    """

    first: int
    text: bytes

    @cached_property
    def height(self) -> int:
        """The number of lines."""
        return occurrences(self.text, b"\n") + (not self.text.endswith(b"\n"))

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Each line with its number."""
        return enumerate(BytesIO(self.text), start=self.first)


def numbered_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Each line of a file with its number; of a line that is too long the start, as in a block."""
    number = 0
    while line := stream.readline(MOST_LINE_BYTES + 1):
        number += 1
        _pass_rest(stream, line)
        yield number, line


def line_blocks(stream: BinaryIO, first: int = 1) -> Iterator[Block]:
    """The lines of a file, the next of which has the number `first`.

    In blocks, so that one bad line slows the reading of its own block only.
    """
    rest = b""
    while part := stream.read(_BLOCK_BYTES):
        end = part.rfind(b"\n") + 1
        if end:
            # What is joined so is copied once.
            block = Block(first, b"".join((rest, memoryview(part)[:end])))
            yield block
            first += block.height
            rest = b""
        rest += part[end:]
        if len(rest) > MOST_LINE_BYTES:
            start, rest = rest[: MOST_LINE_BYTES + 1], b""
            _pass_rest(stream, start)
            yield Block(first, start)
            first += 1
    if rest:
        yield Block(first, rest)


def occurrences(text: bytes, byte: bytes) -> int:
    """How often a byte stands in a text; NumPy counts several times as fast as Python."""
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(byte)))


def _pass_rest(stream: BinaryIO, line: bytes) -> None:
    while len(line) > MOST_LINE_BYTES and not line.endswith(b"\n"):
        line = stream.readline(MOST_LINE_BYTES + 1)


def line_fault(number: int, line: bytes) -> Fault:
    """The fault of a line that is too long, or else cannot be read."""
    reason = "line_too_long" if len(line) > MOST_LINE_BYTES else "line_unreadable"
    text = line[: 4 * MOST_TEXT].decode("utf-8", "replace").rstrip("\r\n")
    return fault_at((("line", number),), reason, text=text)


def check_encoding(stream: BinaryIO) -> None:
    """Raises Damaged for a text that is marked as UTF-16 or UTF-32; the stream stands at its start again."""
    start = stream.read(4)
    stream.seek(0)
    if start.startswith(_FOREIGN_MARKS):
        raise Damaged("the text is UTF-16 or UTF-32; export it as UTF-8")
