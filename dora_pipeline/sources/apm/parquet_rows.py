"""Parquet exports: the columns of a CSV export (dotted, with underscores, or nested), of whatever types they are.

Dictionaries of texts are taken over from the file as they are, which makes this the fastest format.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dora_pipeline.sources.apm.chunks import CHUNK_RECORDS, NAMES, REQUIRED, TEXTS, Chunk, Part, chunk_of_columns
from dora_pipeline.sources.apm.faults import Damaged, Fault, Place, missing_columns

_FLAT_NAMES = {"timestamp", "hits", *(name for names in NAMES.values() for name in names)}
_NESTED = ("git", "git.commit")
_VIEWS = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


@dataclass(frozen=True)
class Layout:
    """What a file says of itself: its columns that are of use, and the leaves of them that are texts."""

    metadata: pq.FileMetaData
    columns: Sequence[str]
    texts: Sequence[str]


def layout(path: Path) -> Layout | Fault:
    """The layout of a file, or why it cannot hold sightings. Raises Damaged where it cannot be read."""
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.metadata
            columns = [name for name in file.schema_arrow.names if name in {*_FLAT_NAMES, *_NESTED}]
            texts = [leaf.path for leaf in map(file.schema.column, range(len(file.schema))) if _is_text(leaf)]
    except (pa.ArrowException, OSError) as error:
        raise _damage(error) from error
    if missing := [name for name in REQUIRED if name not in columns]:
        return missing_columns((), missing, columns)
    return Layout(metadata, columns, texts)


def parquet_parts(path: Path, layout: Layout) -> Iterator[Part]:
    """The records of the file by row groups. A part that cannot be read raises Damaged."""
    before = 0
    for group in range(layout.metadata.num_row_groups):
        yield partial(_chunks, path, layout, group, before)
        before += layout.metadata.row_group(group).num_rows


def _is_text(leaf: pq.ColumnSchema) -> bool:
    return bool(leaf.physical_type == "BYTE_ARRAY") and leaf.path.startswith(tuple(_FLAT_NAMES - {"timestamp"}))


def _chunks(path: Path, layout: Layout, group: int, before: int) -> Iterator[Chunk]:
    metadata, texts = layout.metadata, list(layout.texts)
    try:
        with pq.ParquetFile(
            path, metadata=metadata, read_dictionary=texts, pre_buffer=False, page_checksum_verification=True
        ) as file:
            alone = metadata.num_row_groups == 1
            for batch in file.iter_batches(CHUNK_RECORDS, [group], list(layout.columns), use_threads=alone):
                yield _chunk(batch, before)
                before += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise _damage(error) from error


def _chunk(batch: pa.RecordBatch, before: int) -> Chunk:
    columns = dict(leaf for name in batch.schema.names for leaf in _leaves(batch[name], name))
    texts = {name: [columns[key] for key in NAMES[name] if key in columns] for name in TEXTS}

    def origin(position: int) -> tuple[Place, object]:
        record = {name: _shown(batch[name][position]) for name in batch.schema.names}
        return (("row", before + position + 1),), record

    return chunk_of_columns(columns["timestamp"], texts, columns.get("hits"), origin)


def _shown(value: pa.Scalar) -> object:
    try:
        return value.as_py()
    except (ValueError, OverflowError):
        # A time that Python does not know, of nanoseconds or of a far year.
        return value.value if pa.types.is_temporal(value.type) else repr(value)


def _leaves(array: pa.Array, name: str) -> Iterator[tuple[str, pa.Array]]:
    if not pa.types.is_struct(array.type):
        # Arrow cannot take rows of views.
        yield name, array.cast(_VIEWS[array.type]) if array.type in _VIEWS else array
        return
    for field in array.type:
        yield from _leaves(pc.struct_field(array, field.name), f"{name}.{field.name}")


def _damage(error: Exception) -> Damaged:
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    return Damaged(error)
