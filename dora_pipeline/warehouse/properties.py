"""What the warehouse knows of itself and of the settings that it was made with: `landing.properties`."""

from collections.abc import Mapping

import duckdb

from dora_pipeline.warehouse.queries import first_row


def read_property(connection: duckdb.DuckDBPyConnection, name: str) -> str | None:
    """The value of a property, None where it was never written."""
    row = first_row(connection, "SELECT value FROM landing.properties WHERE name = ?", [name])
    return str(row[0]) if row else None


def change_properties(connection: duckdb.DuckDBPyConnection, values: Mapping[str, str]) -> set[str]:
    """Set the values of properties. The names of those that had another value before."""
    before = dict(connection.execute("SELECT name, value FROM landing.properties").fetchall())
    changed = {name: value for name, value in values.items() if before.get(name) != value}
    if changed:
        names = [*changed]
        connection.execute("DELETE FROM landing.properties WHERE name IN (SELECT UNNEST(?))", [names])
        connection.execute("INSERT INTO landing.properties SELECT UNNEST(?), UNNEST(?)", [names, [*changed.values()]])
    return changed.keys() & before.keys()


def write_property(connection: duckdb.DuckDBPyConnection, name: str, value: str) -> None:
    """Set the value of a property."""
    change_properties(connection, {name: value})
