"""What waits, as an open warehouse tells it: days that are to be loaded, and how far sent events have landed."""

from datetime import date

import duckdb

from dora_pipeline.warehouse.queries import count, statement


def waiting_days(connection: duckdb.DuckDBPyConnection) -> dict[date, str]:
    """The stale days in order, each with a digest of what has landed of it and of what it is loaded by.

    The digest of a day changes when the same day changes again, and with selections, services and settings.
    """
    return dict(connection.execute(statement("waiting_days")).fetchall())


def landed_until(connection: duckdb.DuckDBPyConnection, source: str) -> int:
    """The sequence of the newest sent event of a source that has landed; 0 where none has."""
    return count(
        connection,
        r"""
        SELECT COALESCE(MAX(CAST(REGEXP_EXTRACT(input, '-(\d+)\.jsonl\.gz$', 1) AS BIGINT)), 0)
        FROM landing.inputs WHERE source = ? AND REGEXP_MATCHES(input, '/\d{12,}-\d{12,}\.jsonl\.gz$')
        """,
        [source],
    )
