"""What an engine does, the one that is the warehouse itself, and which one the settings ask for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import duckdb

from dora_pipeline.config import EngineSettings
from dora_pipeline.warehouse.emptiness import finds_nothing
from dora_pipeline.warehouse.queries import count, statement


class Engine(Protocol):
    """Runs named statements of `sql/` over the tables of a warehouse, and puts their rows into it.

    `parameters` are values of the statement by name. Both ways give the number of rows, and raise WarehouseError where
    an engine cannot run the statement; a transaction of the warehouse that is open then has to be given up.
    """

    def insert(
        self, connection: duckdb.DuckDBPyConnection, table: str, name: str, parameters: Mapping[str, object] = ...
    ) -> int:
        """Insert the rows of a statement into a table, by the names of its columns."""

    def make(
        self, connection: duckdb.DuckDBPyConnection, table: str, name: str, parameters: Mapping[str, object] = ...
    ) -> int:
        """Make, or replace, a temporary table with the rows of a statement."""


class InPlace:
    """DuckDB, in the warehouse itself."""

    def insert(
        self, connection: duckdb.DuckDBPyConnection, table: str, name: str, parameters: Mapping[str, object] = {}
    ) -> int:
        """As `Engine` says."""
        if finds_nothing(connection, name):
            return 0
        return count(connection, f"INSERT INTO {table} BY NAME {statement(name)}", parameters)

    def make(
        self, connection: duckdb.DuckDBPyConnection, table: str, name: str, parameters: Mapping[str, object] = {}
    ) -> int:
        """As `Engine` says."""
        return count(connection, f"CREATE OR REPLACE TEMP TABLE {table} AS {statement(name)}", parameters)


@contextmanager
def open_engine(settings: EngineSettings) -> Iterator[Engine]:
    """The engine of the settings, for as long as the block lasts.

    Raises ConfigError where the packages of an engine are missing. Nothing is contacted before the first statement.
    """
    if settings.kind == "duckdb":
        yield InPlace()
        return
    # Its packages are no part of an ordinary installation.
    from dora_pipeline.warehouse.engines.spark import Spark

    engine = Spark(settings)
    try:
        yield engine
    finally:
        engine.close()
