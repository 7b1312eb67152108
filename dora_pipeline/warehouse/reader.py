"""Read-only access to the published warehouse."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb

from dora_pipeline.config import Home
from dora_pipeline.errors import WarehouseError
from dora_pipeline.warehouse.publication import remove_companions
from dora_pipeline.warehouse.queries import count, quoted
from dora_pipeline.warehouse.version import SCHEMA_VERSION, schema_version

# The name that the published file has on a connection of `open_publication`.
PUBLISHED = "warehouse"
_TRIES = 3


@contextlib.contextmanager
def open_reader(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the whole state that was published last, for as long as it is held.

    Raises WarehouseError where nothing was published yet, the file cannot be read, or it lacks what the block reads
    because another version of the program made it.
    """
    connection = _opened(home, open_published)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        with _explained(home, connection):
            yield connection
    finally:
        connection.close()


def open_publication(home: Home, memory: str, spill: Path) -> duckdb.DuckDBPyConnection:
    """A connection on which the published file is attached, read-only, beside databases in memory.

    It is an instance of its own: one that is opened later, after another publication, shares nothing with it. All
    questions of `asking` have `memory` together, such as `600MB`, and put what goes beyond into the folder `spill`.
    Raises WarehouseError as `open_reader` does.
    """
    connection = duckdb.connect(config={"memory_limit": memory, "temp_directory": str(spill)})
    try:
        _opened(home, lambda home: _attach_published(connection, home))
    except WarehouseError:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def asking(home: Home, publication: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor on a connection of `open_publication`, whose unqualified names are those of the published file.

    Times are UTC. Raises WarehouseError where the file lacks what the block reads.
    """
    cursor = publication.cursor()
    try:
        cursor.execute(f"USE {PUBLISHED}")
        cursor.execute("SET TimeZone = 'UTC'")
        with _explained(home, cursor):
            yield cursor
    finally:
        cursor.close()


@contextlib.contextmanager
def _explained(home: Home, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """For the length of the block, that the file lacks what is read is a WarehouseError that names the versions."""
    try:
        yield
    except duckdb.CatalogException as error:
        version = schema_version(connection)
        raise WarehouseError(
            f"{home.warehouse}: has schema version {version}, this program knows version {SCHEMA_VERSION}, and lacks "
            f"what it reads ({str(error).splitlines()[0]}); use the program that made it, or `dora run` with this one"
        ) from error


def _opened(home: Home, open_file: Callable[[Home], duckdb.DuckDBPyConnection]) -> duckdb.DuckDBPyConnection:
    if not home.warehouse.exists():
        raise WarehouseError(f"{home.warehouse}: there is no warehouse yet; `dora run` makes it")
    try:
        return open_file(home)
    except duckdb.Error as error:
        text = str(error).splitlines()[0]
        advice = "; a client has it open to write: end that, or publish anew by `dora run`" if " lock " in text else ""
        raise WarehouseError(f"{home.warehouse}: cannot be opened: {text}{advice}") from error


def lock(
    connection: duckdb.DuckDBPyConnection, scratch: Path, *, reads_files: bool, storage: str | None = None
) -> None:
    """Let a connection of `open_reader` run the SQL of a user: nothing that it runs later opens this again.

    The warehouse, the storage of `open_storage`, and the folder `scratch`, for results and what does not fit into
    memory, are all that it reaches; `reads_files` lets it read, and so write, other files. There, and in the storage,
    only statements may be run that do not write.
    """
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    # A name in a query means a table, never a variable of the program.
    connection.execute("SET python_enable_replacements = false")
    connection.execute(f"SET temp_directory = {quoted(str(scratch / 'spill'))}")
    if not reads_files:
        reached = [str(scratch), *([storage] if storage else [])]
        connection.execute(f"SET allowed_directories = [{', '.join(map(quoted, reached))}]")
        connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def open_published(home: Home) -> duckdb.DuckDBPyConnection:
    """A read-only connection to what was published, and to nothing that a client has left beside it.

    Raises DuckDB's errors, and WarehouseError where what was left cannot be removed.
    """
    for _ in range(_TRIES):
        remove_companions(home.warehouse)
        connection = duckdb.connect(str(home.warehouse), read_only=True)
        if _is_as_published(connection):
            return connection
        connection.close()
    raise _is_written(home)


def _attach_published(connection: duckdb.DuckDBPyConnection, home: Home) -> duckdb.DuckDBPyConnection:
    for _ in range(_TRIES):
        remove_companions(home.warehouse)
        connection.execute(f"ATTACH {quoted(str(home.warehouse))} AS {PUBLISHED} (READ_ONLY)")
        if _is_as_published(connection):
            return connection
        connection.execute(f"DETACH {PUBLISHED}")
    raise _is_written(home)


def _is_as_published(connection: duckdb.DuckDBPyConnection) -> bool:
    # What came in between was read along. DuckDB knows that, also where another reader has removed it meanwhile.
    return count(connection, "SELECT COUNT(*) FROM pragma_database_size() WHERE wal_size <> '0 bytes'") == 0


def _is_written(home: Home) -> WarehouseError:
    return WarehouseError(
        f"{home.warehouse}: a client that opened it to write goes on writing; end that client, and open it read-only"
    )
