"""Lines of text files, numbered, none of them longer than a limit."""

from collections.abc import Iterator
from typing import BinaryIO

from dora_pipeline.sources.apm.chunks import NotPlain
from dora_pipeline.sources.apm.faults import MOST_TEXT, Fault

MOST_LINE_BYTES = 16 << 20
Block = list[tuple[int, bytes]]
_FOREIGN_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def numbered_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Each line with its number, from 1; of a line that is too long only the start, longer than MOST_LINE_BYTES."""
    number = 0
    while line := stream.readline(MOST_LINE_BYTES + 1):
        number += 1
        rest = line
        while len(rest) > MOST_LINE_BYTES and not rest.endswith(b"\n"):
            rest = stream.readline(MOST_LINE_BYTES + 1)
        yield number, line


def line_blocks(stream: BinaryIO) -> Iterator[Block]:
    """The numbered lines of a file in blocks, so that one bad line slows the reading of its own block only."""
    block, size = [], 0
    for number, line in numbered_lines(stream):
        block.append((number, line))
        size += len(line)
        if size > MOST_LINE_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def text_of(block: Block) -> bytes:
    """The lines of a block. Raises NotPlain where one of them is too long."""
    if any(len(line) > MOST_LINE_BYTES for _, line in block):
        raise NotPlain
    return b"".join(line for _, line in block)


def line_fault(number: int, line: bytes) -> Fault:
    """The fault of a line that is too long, or else cannot be read."""
    reason = "line_too_long" if len(line) > MOST_LINE_BYTES else "line_unreadable"
    text = line[: 4 * MOST_TEXT].decode("utf-8", "replace")[:MOST_TEXT]
    return Fault(f"line {number}", reason, {"line": number, "text": text})


def encoding_fault(stream: BinaryIO) -> Fault | None:
    """The fault of a text that is marked as UTF-16 or UTF-32; the stream stands at its start again."""
    start = stream.read(4)
    stream.seek(0)
    if start.startswith(_FOREIGN_MARKS):
        return Fault("file", "file_unreadable", {"error": "the text is UTF-16 or UTF-32; export it as UTF-8"})
    return None
