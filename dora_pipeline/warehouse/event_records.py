"""The records of events by the door that they came through, kept in `landing.event_records`: those of new records' kin.

What does not belong here: which of them are one event (`pipeline/identities.py`).
"""

from collections.abc import Sequence

import duckdb
import polars as pl

from dora_pipeline.warehouse.queries import count, execute_with, frame, require_rows

# In the place of which records new ones stand: of all in their files, or of those that the intake received of an event.
_IS_REPLACED = """
    source = $source AND (
        input IN (SELECT file FROM replaced_files)
        OR is_sent AND record_id IN (SELECT name FROM new_names)
    )
"""


def replaced_records(
    connection: duckdb.DuckDBPyConnection, source: str, names: pl.Series, files: Sequence[str] | None
) -> pl.DataFrame:
    """The records that give way to new ones, for `put_records` too: all of `files`, else those sent of `names`.

    `names` are the ids of the new records, those that the intake gave included.
    """
    sent = names if files is None else names.clear()
    told = pl.DataFrame({"file": list(files or ())}, schema={"file": pl.String})
    execute_with(connection, told, "CREATE OR REPLACE TEMP TABLE replaced_files AS SELECT * FROM given_rows")
    execute_with(
        connection,
        sent.alias("name").to_frame(),
        "CREATE OR REPLACE TEMP TABLE new_names AS SELECT DISTINCT name FROM given_rows",
    )
    return _records(connection, f"FROM landing.event_records WHERE {_IS_REPLACED}", {"source": source})


def records_of(connection: duckdb.DuckDBPyConnection, source: str, names: pl.Series) -> pl.DataFrame:
    """The other records of events with one of the names, by whichever of their names."""
    execute_with(
        connection,
        names.alias("name").to_frame(),
        "CREATE OR REPLACE TEMP TABLE event_names AS SELECT DISTINCT name FROM given_rows",
    )
    parameters = {"source": source}
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
    while count(connection, more, parameters):
        pass
    return _records(
        connection,
        f"""
        FROM landing.event_records
        WHERE source = $source AND record_id IN (SELECT name FROM event_names) AND NOT ({_IS_REPLACED})
        """,
        parameters,
    )


def records_like(connection: duckdb.DuckDBPyConnection, source: str, keys: pl.Series) -> pl.DataFrame:
    """The records with one of the identities, but for those of events that `records_of` was asked for last."""
    execute_with(
        connection,
        keys.alias("key").to_frame(),
        "CREATE OR REPLACE TEMP TABLE identity_keys AS SELECT DISTINCT key FROM given_rows",
    )
    return _records(
        connection,
        f"""
        FROM landing.event_records
        WHERE source = $source AND identity_key IN (SELECT key FROM identity_keys)
            AND record_id NOT IN (SELECT name FROM event_names) AND NOT ({_IS_REPLACED})
        """,
        {"source": source},
    )


def put_records(connection: duckdb.DuckDBPyConnection, source: str, records: pl.DataFrame) -> None:
    """Put records in the place of those that `replaced_records` and `records_of` were asked for last."""
    connection.execute(
        f"""
        DELETE FROM landing.event_records
        WHERE {_IS_REPLACED} OR source = $source AND record_id IN (SELECT name FROM event_names)
        """,
        {"source": source},
    )
    execute_with(connection, records, "INSERT INTO landing.event_records BY NAME SELECT * FROM given_rows")


def _records(connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, str]) -> pl.DataFrame:
    found = count(connection, f"CREATE OR REPLACE TEMP TABLE found_records AS {query}", parameters)
    records = frame(connection, "FROM found_records")
    require_rows("landing.event_records", found, records.height)
    return records
