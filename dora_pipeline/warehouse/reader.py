"""Read-only access to the published warehouse."""

import contextlib
from collections.abc import Iterator

import duckdb

from dora_pipeline.config import Home
from dora_pipeline.errors import WarehouseError


@contextlib.contextmanager
def open_reader(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the whole state that was published last, for as long as it is held.

    Raises WarehouseError where nothing was published yet, or the file cannot be read.
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
    finally:
        connection.close()
