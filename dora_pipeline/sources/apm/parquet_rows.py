"""Parquet exports: the columns of a CSV export (dotted, with underscores, or nested), of whatever types they are.

Dictionaries of texts are taken over from the file as they are, which makes this the fastest format.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dora_pipeline.sources.apm.chunks import CHUNK_RECORDS, NAMES, REQUIRED, TEXTS, Chunk, Part, chunk_of_columns
from dora_pipeline.sources.apm.faults import Fault, Faults, missing_columns

_FLAT_NAMES = {"timestamp", "hits", *(name for names in NAMES.values() for name in names)}
_NESTED = "git"
_VIEWS = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


def parquet_parts(path: Path, faults: Faults) -> Iterator[Part]:
    """The records of the file by row groups. What cannot be read is added to the faults."""
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.metadata
            columns = [name for name in file.schema_arrow.names if name in {*_FLAT_NAMES, _NESTED}]
            texts = [leaf.path for leaf in map(file.schema.column, range(len(file.schema))) if _is_text(leaf)]
    except (pa.ArrowException, OSError) as error:
        _add_unreadable(error, "file", faults)
        return
    if missing := [name for name in REQUIRED if name not in columns]:
        faults.add(missing_columns(missing, columns), records=0)
        return
    for group in range(metadata.num_row_groups):
        yield partial(_chunks, path, metadata, columns, texts, group, faults)


def _is_text(leaf: pq.ColumnSchema) -> bool:
    return bool(leaf.physical_type == "BYTE_ARRAY") and leaf.path.startswith(tuple(_FLAT_NAMES - {"timestamp"}))


def _chunks(
    path: Path, metadata: pq.FileMetaData, columns: list[str], texts: list[str], group: int, faults: Faults
) -> Iterator[Chunk]:
    try:
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=texts, pre_buffer=False) as file:
            alone = metadata.num_row_groups == 1
            for batch in file.iter_batches(CHUNK_RECORDS, [group], columns, use_threads=alone):
                yield _chunk(batch)
    except (pa.ArrowException, OSError) as error:
        _add_unreadable(error, f"row group {group}", faults)


def _chunk(batch: pa.RecordBatch) -> Chunk:
    columns = dict(leaf for name in batch.schema.names for leaf in _leaves(batch[name], name))
    texts = {name: [columns[key] for key in NAMES[name] if key in columns] for name in TEXTS}
    return chunk_of_columns(columns["timestamp"], texts, columns.get("hits"))


def _leaves(array: pa.Array, name: str) -> Iterator[tuple[str, pa.Array]]:
    if not pa.types.is_struct(array.type):
        # Arrow cannot take rows of views.
        yield name, array.cast(_VIEWS[array.type]) if array.type in _VIEWS else array
        return
    for field in array.type:
        yield from _leaves(pc.struct_field(array, field.name), f"{name}.{field.name}")


def _add_unreadable(error: Exception, place: str, faults: Faults) -> None:
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    faults.add(Fault(place, "file_unreadable", {"error": str(error)}), records=0)
