"""Read-only access to the published warehouse."""

import contextlib
from collections.abc import Iterator

import duckdb

from dora_pipeline.config import Home
from dora_pipeline.errors import WarehouseError
from dora_pipeline.warehouse.schema import SCHEMA_VERSION, schema_version


@contextlib.contextmanager
def open_reader(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the whole state that was published last, for as long as it is held.

    Raises WarehouseError where nothing was published yet, the file cannot be read, or it lacks what the block reads
    because another version of the program made it.
    """
    if not home.warehouse.exists():
        raise WarehouseError(f"{home.warehouse}: there is no warehouse yet; `dora run` makes it")
    try:
        connection = duckdb.connect(str(home.warehouse), read_only=True)
    except duckdb.Error as error:
        raise WarehouseError(f"{home.warehouse}: cannot be opened: {str(error).splitlines()[0]}") from error
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    except duckdb.CatalogException as error:
        version = schema_version(connection)
        raise WarehouseError(
            f"{home.warehouse}: has schema version {version}, this program knows version {SCHEMA_VERSION}, and lacks "
            f"what it reads ({str(error).splitlines()[0]}); use the program that made it, or `dora run` with this one"
        ) from error
    finally:
        connection.close()
