"""The tables of a storage for readers of Delta Lake, which know no manifest of ours: Trino, Athena, Databricks, Spark.

Each table's folder has a log beside its files. What does not belong here: writing and removing those.
"""

import json
import time
from collections.abc import Sequence
from typing import Any

from dora_pipeline.config import missing_packages
from dora_pipeline.tables import Table
from dora_pipeline.warehouse.schema import duckdb_type, table_comment
from dora_pipeline.warehouse.storage.places import FILES, Place
from dora_pipeline.warehouse.storage.stored_state import DELTA_LOG, ParquetFile

try:
    from deltalake import DeltaTable, Field, Schema
    from deltalake.exceptions import DeltaError, TableNotFoundError
    from deltalake.schema import ArrayType, PrimitiveType
    from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions
except ImportError as error:
    raise missing_packages("engine.delta", error, "delta") from error

_TEXT = PrimitiveType("string")
_TYPES = {
    "VARCHAR": _TEXT,
    # As text, as it is in the files.
    "JSON": _TEXT,
    "VARCHAR[]": ArrayType(_TEXT, contains_null=True),
    "TIMESTAMPTZ": PrimitiveType("timestamp"),
    "DATE": PrimitiveType("date"),
    "BOOLEAN": PrimitiveType("boolean"),
    "BIGINT": PrimitiveType("long"),
    "DOUBLE": PrimitiveType("double"),
}


def commit_table(place: Place, table: type[Table], files: Sequence[ParquetFile]) -> int:
    """Switch the log of a table to these files, all of which are there, in one commit: the version that has them.

    Where it has them already nothing is written. The log follows the files, whatever it said before; where that cannot
    be told in one commit it is made anew. Raises OSError.
    """
    folder = f"{FILES}/{table.table_name}"
    wanted = {file.path.rpartition("/")[2]: file for file in files}
    schema = _schema(table)
    try:
        known = _known(place, folder)
        listed = _sizes(known) if known else {}
        is_former = not known or _columns(known.schema()) != _columns(schema)
        if known and (_is_of_others(known) or (is_former and listed.keys() & wanted.keys())):
            place.remove_folder(f"{folder}/{DELTA_LOG}")
            known, listed = None, {}
        added = [_added(name, file) for name, file in wanted.items() if listed.get(name) != file.bytes]
        if known is None:
            create_table_with_add_actions(
                f"{place.address}/{folder}",
                schema,
                added,
                "error",
                [],
                table.table_name,
                table_comment(table),
                storage_options=place.options,
            )
            return 0
        if is_former:
            # Then no file is as it was.
            known.create_write_transaction(added, "overwrite", schema)
        elif added or listed.keys() - wanted.keys():
            moment = time.time_ns() // 1_000_000
            removed = [RemoveAction(name, True, moment) for name in listed.keys() - wanted.keys()]
            known.create_write_transaction([*added, *removed], "append", schema)
        known.update_incremental()
        version: int = known.version()
        return version
    except DeltaError as error:
        reason = str(error).strip().partition("\n")[0]
        raise OSError(
            f"the table {table.table_name} of Delta Lake: {reason}; if its log was damaged or changed, remove "
            f"{place.address}/{folder}/{DELTA_LOG}, which the next run makes anew"
        ) from error


def _known(place: Place, folder: str) -> DeltaTable | None:
    try:
        return DeltaTable(f"{place.address}/{folder}", storage_options=place.options)
    except TableNotFoundError:
        return None


def _sizes(known: DeltaTable) -> dict[str, int]:
    """The bytes of each file as the log has them, by its name."""
    added: Any = known.get_add_actions()
    return dict(zip(added["path"].to_pylist(), added["size_bytes"].to_pylist(), strict=True))


def _is_of_others(known: DeltaTable) -> bool:
    """Whether it has partitions, or what newer readers see otherwise: rows that are masked, columns of other names."""
    return bool(known.metadata().partition_columns) or known.protocol().min_reader_version > 1


def _schema(table: type[Table]) -> Schema:
    """All may be NULL: a column that may not cannot become one that may."""
    return Schema(
        [
            Field(name, _TYPES[duckdb_type(column)], metadata={"comment": column.description or ""})
            for name, column in table.columns().items()
        ]
    )


def _columns(schema: Schema) -> list[tuple[str, str]]:
    return [(field.name, field.type.to_json()) for field in schema.fields]


def _added(name: str, file: ParquetFile) -> AddAction:
    return AddAction(name, file.bytes, {}, time.time_ns() // 1_000_000, True, json.dumps({"numRecords": file.rows}))
