"""The state of a storage as DuckDB has it, without the file of a warehouse."""

import contextlib
from collections.abc import Iterator

import duckdb

from dora_pipeline.config import Settings
from dora_pipeline.errors import ConfigError, WarehouseError
from dora_pipeline.warehouse.storage.places import explained, open_place
from dora_pipeline.warehouse.storage.stored_state import MANIFEST, read_state


@contextlib.contextmanager
def open_storage(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the tables, views and macros of the state that the manifest names now.

    It goes on showing that state. Raises ConfigError without the setting, and WarehouseError where nothing can be read.
    """
    address = settings.engine.storage
    if address is None:
        raise ConfigError("engine.storage is not set in dora.yaml: there is no storage to read")
    place = open_place(address)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        with explained(place, "it cannot be read"):
            place.connect(connection)
            state = read_state(place)
            if state is None:
                raise WarehouseError(f"{place.address}/{MANIFEST}: is not there yet; `dora run` writes it")
            state.define(connection, place.address)
        yield connection
