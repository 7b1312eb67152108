"""Stores in PostgreSQL that are lost, set back by `pg_dump`, or others: the tests that SQLite passes.

The tests of the module imported as a whole are collected here a second time, with the `stores` of this module.
"""

import subprocess
from pathlib import Path

import pytest
from sqlalchemy import make_url

from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.postgresql import PostgresqlServer, program
from dora_pipeline_tests.test_changed_stores import *  # noqa: F403


class PostgresqlStores:
    """Databases of one server; a copy is a dump."""

    def __init__(self, server: PostgresqlServer, dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._server, self._dump, self._monkeypatch = server, dump, monkeypatch
        self._urls: dict[str, str] = {}
        self.use("first")

    def lose(self) -> None:
        """Drop the database and make an empty one of its name."""
        name = make_url(self._url).database
        with self._server.connection() as connection:
            connection.execute(f"DROP DATABASE {name}")
            connection.execute(f"CREATE DATABASE {name}")

    def copy(self) -> None:
        """Dump the database."""
        self._dump.write_bytes(self._run("pg_dump"))

    def set_back(self) -> None:
        """Restore the dump into an empty database of the same name."""
        self.lose()
        self._run("psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", str(self._dump))

    def use(self, name: str) -> None:
        """Name a database in DORA_INTAKE_URL."""
        if name not in self._urls:
            self._urls[name] = self._server.new_database()
        self._url = self._urls[name]
        self._monkeypatch.setenv("DORA_INTAKE_URL", self._url)

    def _run(self, name: str, *options: str) -> bytes:
        access = ["--host", self._server.host, "--username", "postgres", "--dbname", str(make_url(self._url).database)]
        return subprocess.run([program(name), *access, *options], check=True, capture_output=True).stdout


@pytest.fixture
def stores(postgresql: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: TestHome) -> object:
    """The stores of the home, in PostgreSQL."""
    return PostgresqlStores(postgresql, tmp_path / "dump.sql", monkeypatch)
