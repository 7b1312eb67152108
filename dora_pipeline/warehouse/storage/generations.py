"""Each publication as a generation of Parquet files: months that hold what a file holds already are not written again.

What a table holds in a month is told by a digest, which is the name of the file. So names are equal where rows are,
whatever led to them, and nothing has to keep book of what has changed. What does not belong here: reading them.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import md5

import duckdb

from dora_pipeline.errors import WarehouseError
from dora_pipeline.tables import TABLES, VIEWS, LandedDeployments, LandedFailures, Properties, Table
from dora_pipeline.warehouse.parquet import write_parquet
from dora_pipeline.warehouse.queries import quoted
from dora_pipeline.warehouse.schema import comments, duckdb_type, macro_statements, view_statements
from dora_pipeline.warehouse.storage.last_publication import LastPublication
from dora_pipeline.warehouse.storage.places import FILES, FileState, Place, explained
from dora_pipeline.warehouse.storage.stored_state import (
    DELTA_LOG,
    MANIFEST,
    ParquetFile,
    RetiredFiles,
    StoredState,
    read_state,
)
from dora_pipeline.warehouse.version import SCHEMA_VERSION

# Beside core and metrics what macros read, which is what has landed of events.
_LANDED = (LandedDeployments, LandedFailures, Properties)
_STORED = tuple(table for table in TABLES if not table.table_name.startswith("landing.") or table in _LANDED)
# So many publications a reader may take for one manifest.
_KEPT_GENERATIONS = 20
_ADVICE = (
    "what readers see there stays, and the warehouse of this home is published. Mend that, and the next run goes on "
    "from there"
)
# Raise it when files are written otherwise, so that all are.
_WRITTEN_AS = 2
# Of the texts of macros 1.2 and 1.3 make others than of those in a database file: one then gives no rows, and no error.
_GUARD = """
SELECT CASE WHEN REGEXP_MATCHES(VERSION(), '^v(0|1[.][0-3])[.]')
    THEN ERROR('DuckDB 1.4 or later is needed for views and macros of the manifest') END
"""
# Nothing else is ever removed. DuckDB writes what takes the place of a file as tmp_ first.
_OURS = re.compile(rf"{FILES}/(core|metrics|landing)\.[a-z_]+[-/](tmp_)?(\d+-\d\d-)?[0-9a-f]{{32}}\.parquet")


@dataclass(frozen=True)
class _Part:
    """The rows of a table, those of a month (its first day) where it has days: their number, and sum of hashes."""

    table: type[Table]
    month: str | None
    rows: int
    hashes: int

    @cached_property
    def path(self) -> str:
        """The name of the file that holds them."""
        columns = [(name, duckdb_type(column)) for name, column in self.table.columns().items()]
        held = (_WRITTEN_AS, columns, self.rows, self.hashes)
        digest = md5(repr(held).encode(), usedforsecurity=False).hexdigest()
        month = f"{self.month[:-3]}-" if self.month else ""
        return f"{FILES}/{self.table.table_name}/{month}{digest}.parquet"

    def file(self, state: FileState) -> ParquetFile:
        """How the manifest names it."""
        return ParquetFile(
            path=self.path,
            month=self.month[:-3] if self.month else None,
            rows=self.rows,
            bytes=state.bytes,
            modified_ns=state.modified_ns,
        )


def publish_generation(
    connection: duckdb.DuckDBPyConnection, place: Place, last: LastPublication, *, delta: bool, anew: bool
) -> bool:
    """Put the state of a warehouse into a place, and switch the manifest to it when all of it is there.

    Whether the place was as the last publication of this home left it. Files that were written since are written again,
    with `anew` those that do not hold their rows, too. With `delta` the folders of the tables are those of Delta Lake,
    whose logs are switched just before. Only one process at a time may do this. Whatever ends it, the manifest names
    the former state or this one, and files that are not changed any more; so does each log. Raises StorageUnavailable,
    ConfigError without the packages for `delta`, and WarehouseError where another home has switched the manifest
    meanwhile, or a file does not hold what it should.
    """
    with explained(place, _ADVICE):
        place.connect(connection)
        former = read_state(place)
        states = place.states()
        parts = [part for table in _STORED for part in _parts(connection, table, table.table_name)]
        # What nobody has looked after, as a killed run's or what no reader needs now, may not be whole.
        trusted = former.files() if former else []
        known = {file.path for file in trusted if states.get(file.path) == FileState(file.bytes, file.modified_ns)}
        new = [part for part in parts if part.path not in known or (anew and not _is_whole(connection, place, part))]
        for name in {part.table.table_name for part in new}:
            place.make_folder(f"{FILES}/{name}")
        for part in new:
            _write(connection, place, part)
        if new:
            place.sync(part.path for part in new)
            states = place.states()
        manifest = _manifest(former, parts, states)
        if read_state(place) != former:
            raise WarehouseError(
                f"{place.address}/{MANIFEST}: another home writes there, too; give each a place of its own"
            )
        if delta:
            manifest = _with_logs(place, manifest)
        else:
            _remove_logs(place, states)
        is_as_left = last.left(former)
        last.remember(former, manifest)
        place.write(MANIFEST, manifest.model_dump_json(indent=1).encode())
        for name in states.keys() - manifest.kept_paths():
            if _OURS.fullmatch(name):
                place.remove(name)
    return is_as_left


def _manifest(former: StoredState | None, parts: Sequence[_Part], states: dict[str, FileState]) -> StoredState:
    paths = {part.path for part in parts}
    known = [RetiredFiles(generation=former.generation, paths=tuple(former.paths())), *former.retired] if former else []
    retired = (
        RetiredFiles(generation=one.generation, paths=tuple(sorted(set(one.paths) - paths)))
        for one in known[:_KEPT_GENERATIONS]
    )
    return StoredState(
        generation=former.generation + 1 if former else 1,
        published_at=datetime.now(UTC),
        schema_version=SCHEMA_VERSION,
        tables={
            table.table_name: tuple(part.file(states[part.path]) for part in parts if part.table is table)
            for table in _STORED
        },
        definitions=(
            _GUARD,
            *(text for table in _STORED for text in comments("VIEW", table)),
            *(text for view in VIEWS for text in view_statements(view)),
            *macro_statements(),
        ),
        retired=tuple(retired),
    )


def _with_logs(place: Place, manifest: StoredState) -> StoredState:
    from dora_pipeline.warehouse.storage.delta_tables import commit_table

    versions = {table.table_name: commit_table(place, table, manifest.tables[table.table_name]) for table in _STORED}
    return manifest.model_copy(update={"delta": versions})


def _remove_logs(place: Place, names: Iterable[str]) -> None:
    """Readers of a log that nobody goes on with would not know that it is old."""
    logs = _logs(names)
    for name in logs:
        place.remove_folder(name)
    if logs and (left := _logs(place.states())):
        raise OSError(f"{min(left)}, which readers of Delta Lake would take for the state of now, cannot be removed")


def _logs(names: Iterable[str]) -> set[str]:
    """The folders of the logs among some files."""
    return {f"{folder}/{DELTA_LOG}" for folder, log, _ in (name.partition(f"/{DELTA_LOG}/") for name in names) if log}


def _parts(connection: duckdb.DuckDBPyConnection, table: type[Table], rows: str) -> list[_Part]:
    columns = table.columns()
    month = "CAST(DATE_TRUNC('month', day) AS DATE)" if "day" in columns else "CAST(NULL AS DATE)"
    # Lists that are NULL, empty, or hold NULL have one hash.
    values = [f"CAST({name} AS VARCHAR)" if duckdb_type(one) == "VARCHAR[]" else name for name, one in columns.items()]
    # The hash of a row is hashed, so that values which two rows have changed with each other change the sum.
    found = connection.execute(
        f"""
        SELECT CAST({month} AS VARCHAR), COUNT(*), SUM(HASH(HASH({", ".join(values)}))) FROM {rows}
        GROUP BY {month} ORDER BY {month}
        """
    ).fetchall()
    return [_Part(table, *row) for row in found] or [_Part(table, None, 0, 0)]


def _is_whole(connection: duckdb.DuckDBPyConnection, place: Place, part: _Part) -> bool:
    # One that is as it was is left to those who read it.
    with suppress(duckdb.Error):
        return _holds(connection, place, part)
    return False


def _holds(connection: duckdb.DuckDBPyConnection, place: Place, part: _Part) -> bool:
    """Whether its file has its rows."""
    return _parts(connection, part.table, f"read_parquet({quoted(f'{place.address}/{part.path}')})") == [part]


def _write(connection: duckdb.DuckDBPyConnection, place: Place, part: _Part) -> None:
    name, target = part.table.table_name, f"{place.address}/{part.path}"
    days = f" WHERE day BETWEEN DATE '{part.month}' AND LAST_DAY(DATE '{part.month}')" if part.month else ""
    write_parquet(connection, f"{name}{days}", target)
    if not _holds(connection, place, part):
        raise WarehouseError(
            f"{target}: does not hold the rows of {name} that were written; the manifest stays as it was. It is a "
            "fault of the storage, the program or DuckDB: update them, and run again"
        )
