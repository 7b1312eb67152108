"""The version of a warehouse's schema: what a reader asks without the tables themselves, which take long to import."""

import duckdb

from dora_pipeline.warehouse.queries import first_row

# Raise it when a table, a view or a macro changes: the next run then makes every warehouse anew.
SCHEMA_VERSION = "19"


def schema_version(connection: duckdb.DuckDBPyConnection, schema: str = "landing") -> str | None:
    """The version that made the warehouse, None for an empty database; of an attached one by its `name.landing`."""
    try:
        row = first_row(connection, f"SELECT value FROM {schema}.properties WHERE name = 'schema_version'")
    except duckdb.CatalogException:
        return None
    return str(row[0]) if row else None
