"""Compressed exports, unpacked to a temporary file: their readers need to look twice, and in several places at once."""

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from dora_pipeline.sources.apm.faults import Damaged

_BLOCK = 1 << 16


def unpack(packed: Path, target: Path) -> None:
    """Writes the text of a .gz or .zst file to `target`.

    Raises Damaged for a broken or cut one: a checksum is known at its end only, so that nothing before it is sure.
    Raises OSError where the file cannot be read.
    """
    with packed.open("rb") as source, target.open("wb") as sink:
        try:
            if packed.suffix.lower() == ".gz":
                _copy_gzip(source, sink)
            else:
                _copy_zstd(source, sink)
        except (EOFError, gzip.BadGzipFile, zlib.error, pa.ArrowException) as error:
            raise Damaged(error) from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise Damaged(error) from error


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
