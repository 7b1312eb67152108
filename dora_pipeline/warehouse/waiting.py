"""What waits, as an open warehouse has it: days that are to be loaded."""

from datetime import date

import duckdb

from dora_pipeline.warehouse.queries import statement


def waiting_days(connection: duckdb.DuckDBPyConnection) -> dict[date, str]:
    """The stale days in order, each with a digest of what has landed of it and of what it is loaded by.

    The digest of a day changes when the same day changes again, and with selections, services and settings.
    """
    return dict(connection.execute(statement("landing.waiting_days")).fetchall())
