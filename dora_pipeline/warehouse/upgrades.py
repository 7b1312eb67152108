"""Warehouses that another version of the program made: an older one is made anew, a newer one is refused.

The raw layer holds all that a warehouse is made of, so there is nothing to convert.
"""

import contextlib

import duckdb

from dora_pipeline.config import Home
from dora_pipeline.errors import WarehouseError
from dora_pipeline.warehouse.properties import read_property, write_property
from dora_pipeline.warehouse.publication import working_file
from dora_pipeline.warehouse.reader import open_published
from dora_pipeline.warehouse.schema import IS_MADE_ANEW
from dora_pipeline.warehouse.version import SCHEMA_VERSION, schema_version

_IS_LANDED_ANEW = "is_landed_anew"


def is_outdated(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether an older program made the warehouse. Raises WarehouseError where a newer one did."""
    version = schema_version(connection)
    if version is None or version == SCHEMA_VERSION:
        return False
    if version.isdecimal() and int(version) < int(SCHEMA_VERSION):
        return True
    raise WarehouseError(
        f"the warehouse has schema version {version}, this program knows version {SCHEMA_VERSION}; use the newer "
        "program, or go back for good: `dora run --rebuild` makes the warehouse anew with this one"
    )


def refuse_newer_publication(home: Home) -> None:
    """Raise WarehouseError where there is only the published file, and a newer program made it."""
    if working_file(home).exists() or not home.warehouse.exists():
        return
    # A published file that cannot be read is replaced.
    with contextlib.suppress(duckdb.Error), open_published(home) as connection:
        is_outdated(connection)


def begin_landing_anew(connection: duckdb.DuckDBPyConnection) -> None:
    """Say that what landed was forgotten, and is to be read again."""
    write_property(connection, _IS_LANDED_ANEW, "true")


def is_landed_anew(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether what landed may lack what people see: it was begun anew, and was not compared with that since."""
    return is_made_anew(connection) or read_property(connection, _IS_LANDED_ANEW) is not None


def end_landing_anew(connection: duckdb.DuckDBPyConnection) -> None:
    """Say that what landed is compared with what people see."""
    connection.execute("DELETE FROM landing.properties WHERE name = ?", [_IS_LANDED_ANEW])


def is_made_anew(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the working database is on its way to take the place of a published one, and lacks days."""
    return read_property(connection, IS_MADE_ANEW) is not None


def end_making_anew(connection: duckdb.DuckDBPyConnection) -> None:
    """Say that the working database lacks nothing any more."""
    connection.execute("DELETE FROM landing.properties WHERE name = ?", [IS_MADE_ANEW])
