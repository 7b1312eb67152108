"""Compressed exports, unpacked to a temporary file: their readers need to look twice, and in several places at once."""

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from dora_pipeline.sources.apm.faults import Fault

_BLOCK = 1 << 16


def unpacked(packed: Path, target: Path) -> Fault | None:
    """Writes the text of a .gz or .zst file to `target`.

    Of a broken or cut one the whole lines before the break are written, and the fault is returned.
    Raises OSError where the file cannot be read.
    """
    with packed.open("rb") as source, target.open("wb") as sink:
        try:
            if packed.suffix.lower() == ".gz":
                _copy_gzip(source, sink)
            else:
                _copy_zstd(source, sink)
        except (EOFError, gzip.BadGzipFile, zlib.error, pa.ArrowException) as error:
            broken: Exception = error
        except OSError as error:
            if error.errno is not None:
                raise
            broken = error
        else:
            return None
    _cut_half_line(target)
    return Fault("file", "file_unreadable", {"error": str(broken)})


def _copy_gzip(source: BinaryIO, sink: BinaryIO) -> None:
    if source.read(1):
        source.seek(0)
        with gzip.open(source) as text:
            while block := text.read1(_BLOCK):
                sink.write(block)


def _copy_zstd(source: BinaryIO, sink: BinaryIO) -> None:
    if source.read(1):
        source.seek(0)
        with pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd") as text:
            while block := text.read(_BLOCK):
                sink.write(block)


def _cut_half_line(path: Path) -> None:
    with path.open("rb+") as file:
        end = file.seek(0, 2)
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                file.truncate(start + found + 1)
                return
            end = start
        file.truncate(0)
