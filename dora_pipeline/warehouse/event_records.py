"""The records of events by the door that they came through, kept in `landing.event_records`: those of new records' kin.

What does not belong here: which of them are one event (`pipeline/identities.py`).
"""

from collections.abc import Sequence

import duckdb
import polars as pl

from dora_pipeline.tables import LandedEventRecords, empty_frame
from dora_pipeline.warehouse.queries import count, execute_with, frame, require_rows

# In the place of which records new ones stand: of all in their files, or of those that the intake received of an event.
_IS_REPLACED = """
    source = $source AND (
        input IN (SELECT file FROM replaced_files)
        OR is_sent AND record_id IN (SELECT name FROM new_names)
    )
"""


def has_event_records(connection: duckdb.DuckDBPyConnection, source: str, files: Sequence[str]) -> bool:
    """Whether any record is known of the files."""
    query = "SELECT COUNT(*) FROM landing.event_records WHERE source = ? AND input IN (SELECT UNNEST(?))"
    return count(connection, query, [source, list(files)]) > 0


# As the intake's store spells JSON (`intake/store/identity.py`).
_PLAIN_KEYS = """
    CREATE OR REPLACE TEMP TABLE plain_keys AS
    SELECT
        number,
        LEFT(SHA256('["event","' || digest || '",' || env || ']'), 32) AS identity_key
    FROM (SELECT *, SHA256('["second",["' || service || '"],[],' || second || ']') AS digest FROM given_rows)
"""


def plain_keys(connection: duckdb.DuckDBPyConnection, events: pl.DataFrame) -> pl.DataFrame:
    """The canonical keys (number, identity_key) of events of one service in printable ASCII.

    `events` have a number, service, the second since 1970 in which they started, and env: the JSON of a list with the
    canonical env, or of none.
    """
    execute_with(connection, events, _PLAIN_KEYS)
    keys = frame(connection, "FROM plain_keys")
    require_rows("plain_keys", events.height, keys.height)
    return keys


class EventRecords:
    """The records of a source, those that give way to new ones apart: all of `files`, else those sent of `names`.

    `names` are the ids of the new records, those that the intake gave included. Keeps what was asked for in temporary
    tables, so that only one is in use at a time.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, source: str, names: pl.Series, files: Sequence[str] | None
    ) -> None:
        self._connection = connection
        self._source = {"source": source}
        self._keep("replaced_files", pl.Series("file", list(files or ()), dtype=pl.String))
        self._keep("new_names", (names if files is None else names.clear()).alias("name"))
        self._keep("event_names", names.clear().alias("name"))

    def replaced(self) -> pl.DataFrame:
        """The records that give way."""
        return self._records(f"FROM landing.event_records WHERE {_IS_REPLACED}")

    def named(self, names: pl.Series) -> pl.DataFrame:
        """The other records of events with one of the names, by whichever of their names."""
        self._keep("event_names", names.alias("name"))
        more = """
            INSERT INTO event_names
            SELECT x.name
            FROM (
                SELECT record_id AS name FROM landing.event_records
                WHERE source = $source AND former_id IN (SELECT name FROM event_names)
                UNION
                SELECT former_id AS name FROM landing.event_records
                WHERE source = $source AND former_id IS NOT NULL AND record_id IN (SELECT name FROM event_names)
            ) AS x
            WHERE x.name NOT IN (SELECT name FROM event_names)
        """
        while count(self._connection, more, self._source):
            pass
        return self._records(
            f"""
            FROM landing.event_records
            WHERE source = $source AND record_id IN (SELECT name FROM event_names) AND NOT ({_IS_REPLACED})
            """
        )

    def alike(self, keys: pl.Series) -> pl.DataFrame:
        """The records with one of the identities, but for those of events that `named` was asked for last."""
        self._keep("identity_keys", keys.alias("key"))
        return self._records(
            f"""
            FROM landing.event_records
            WHERE source = $source AND identity_key IN (SELECT key FROM identity_keys)
                AND record_id NOT IN (SELECT name FROM event_names) AND NOT ({_IS_REPLACED})
            """
        )

    def put(self, records: pl.DataFrame) -> None:
        """Put LandedEventRecords in the place of those that give way and of those that `named` was asked for last."""
        self._connection.execute(
            f"""
            DELETE FROM landing.event_records
            WHERE {_IS_REPLACED} OR source = $source AND record_id IN (SELECT name FROM event_names)
            """,
            self._source,
        )
        execute_with(self._connection, records, "INSERT INTO landing.event_records BY NAME SELECT * FROM given_rows")

    def _keep(self, table: str, values: pl.Series) -> None:
        query = f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM given_rows"
        execute_with(self._connection, values.unique().to_frame(), query)

    def _records(self, query: str) -> pl.DataFrame:
        found = count(self._connection, f"CREATE OR REPLACE TEMP TABLE found_records AS {query}", self._source)
        if found == 0:
            return empty_frame(LandedEventRecords)
        records = frame(self._connection, "FROM found_records")
        require_rows("landing.event_records", found, records.height)
        return records
