"""What `manifest.json` holds: the files of one state by table, and what makes of them what the warehouse is."""

from datetime import datetime
from typing import Literal

import duckdb
from pydantic import BaseModel, ConfigDict, ValidationError

from dora_pipeline.errors import WarehouseError
from dora_pipeline.warehouse.queries import quoted
from dora_pipeline.warehouse.storage.places import Place

MANIFEST = "manifest.json"
# The folder with its log in that of a table of Delta Lake.
DELTA_LOG = "_delta_log"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class ParquetFile(_Model):
    """A Parquet file: `path` below the storage, its rows, and the month of their days as YYYY-MM, None for all rows.

    `modified_ns` is when it was written, in nanoseconds since 1970 by the clock of the storage; 0 is not known.
    """

    path: str
    month: str | None
    rows: int
    bytes: int
    modified_ns: int = 0


class RetiredFiles(_Model):
    """Files that a generation was the last to have; readers of it may be reading them."""

    generation: int
    paths: tuple[str, ...]


class StoredState(_Model):
    """One state: each table has a file at least, also without rows.

    `definitions` are the statements that make comments, views and macros over views of the tables' names, as DuckDB has
    them. `delta` has the version of each table that Delta Lake knows, and is empty where none are.
    """

    format: Literal[1] = 1
    generation: int
    published_at: datetime
    schema_version: str
    tables: dict[str, tuple[ParquetFile, ...]]
    definitions: tuple[str, ...]
    retired: tuple[RetiredFiles, ...]
    delta: dict[str, int] = {}

    def files(self) -> list[ParquetFile]:
        """Those of all tables."""
        return [file for files in self.tables.values() for file in files]

    def paths(self) -> set[str]:
        """Of all files."""
        return {file.path for file in self.files()}

    def kept_paths(self) -> set[str]:
        """Of all files, and of those that readers of a former generation may be reading."""
        return self.paths().union(*(one.paths for one in self.retired))

    def define(self, connection: duckdb.DuckDBPyConnection, address: str) -> None:
        """Make schemas, views and macros of this state on a connection that may read the storage."""
        for schema in sorted({name.partition(".")[0] for name in self.tables}):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for name, files in self.tables.items():
            listed = ", ".join(quoted(f"{address}/{file.path}") for file in files)
            connection.execute(f"CREATE OR REPLACE VIEW {name} AS FROM read_parquet([{listed}])")
        for text in self.definitions:
            connection.execute(text)


def read_state(place: Place) -> StoredState | None:
    """The manifest of a place, None where there is none yet.

    Raises OSError, and WarehouseError for a file that is no manifest.
    """
    content = place.read(MANIFEST)
    if content is None:
        return None
    try:
        return StoredState.model_validate_json(content)
    except ValidationError:
        raise WarehouseError(
            f"{place.address}/{MANIFEST}: is none that this program can read; update the program if a newer one wrote "
            "it, or give engine.storage a place of its own"
        ) from None
