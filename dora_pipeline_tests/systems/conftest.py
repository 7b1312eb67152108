"""Fixtures of the tests with foreign programs."""

from collections.abc import Iterator

import pytest

from dora_pipeline_tests.postgresql import PostgresqlServer, running_postgresql


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A server that all tests share; each takes a database of its own."""
    with running_postgresql() as server:
        yield server


@pytest.fixture
def store_url(postgresql: PostgresqlServer) -> str:
    """The URL of an empty event store."""
    return postgresql.new_database()
