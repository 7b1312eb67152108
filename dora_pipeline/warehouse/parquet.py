"""Tables and views as Parquet files, for other engines."""

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb

from dora_pipeline.errors import WarehouseError
from dora_pipeline.tables import TABLES, VIEWS
from dora_pipeline.warehouse.queries import count, quoted

_SCHEMAS = ("core", "metrics")


def export_tables(
    connection: duckdb.DuckDBPyConnection, folder: Path, step: Callable[[str, int, int], None]
) -> list[tuple[Path, int]]:
    """Write each table and view of core and metrics to folder/schema/name.parquet: the files, and their rows.

    They take the place of a former export at once, when all is written; `step` is told how many of them are. Raises
    WarehouseError for a folder that holds anything else, and where it cannot be written; then what was there stays.
    """
    # A link stays a link, and what it names is replaced.
    target = folder.resolve()
    _require_export(folder, target)
    part, former = (target.with_name(f"{target.name}.{ending}") for ending in ("part", "former"))
    names = [table.table_name for table in (*TABLES, *VIEWS) if table.table_name.partition(".")[0] in _SCHEMAS]
    try:
        shutil.rmtree(part, ignore_errors=True)
        for schema in _SCHEMAS:
            (part / schema).mkdir(parents=True)
        written = []
        for done, name in enumerate(names):
            step("export", done, len(names))
            written.append((_file(folder, name), write_parquet(connection, name, str(_file(part, name)))))
        step("export", len(names), len(names))
        shutil.rmtree(former, ignore_errors=True)
        if target.exists():
            target.rename(former)
        part.rename(target)
        shutil.rmtree(former, ignore_errors=True)
    except (OSError, duckdb.IOException) as error:
        raise WarehouseError(
            f"{folder}: the export cannot be written: {error}; check the space, owner and mode of {target.parent}"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return written


def _file(folder: Path, name: str) -> Path:
    schema, _, table = name.partition(".")
    return folder / schema / f"{table}.parquet"


def write_parquet(connection: duckdb.DuckDBPyConnection, rows: str, target: str) -> int:
    """Write the rows of a table, or of what else may stand behind FROM, to a Parquet file: their number.

    JSON is text there.
    """
    described = connection.execute(f"DESCRIBE FROM {rows}").fetchall()
    # Of Parquet's own type for it, readers such as Polars make bytes.
    texts = ", ".join(f"CAST({name} AS VARCHAR) AS {name}" for name, kind, *_ in described if kind == "JSON")
    query = f"SELECT * REPLACE ({texts}) FROM {rows}" if texts else f"FROM {rows}"
    return count(connection, f"COPY ({query}) TO {quoted(target)} (FORMAT parquet, COMPRESSION zstd)")


def _require_export(folder: Path, target: Path) -> None:
    if target.is_mount():
        raise WarehouseError(f"{folder}: a disk is mounted there, so that it cannot be replaced; name a folder in it")
    if not target.exists():
        return
    strangers = [
        path
        for path in target.rglob("*")
        if path.relative_to(target).parts[0] not in _SCHEMAS or (path.is_file() and path.suffix != ".parquet")
    ]
    if strangers:
        raise WarehouseError(f"{folder}: holds {strangers[0].name}, which is no export; name an empty or new folder")
