"""Fixtures of the tests with foreign programs."""

from collections.abc import Iterator

import pytest

from dora_pipeline_tests.postgresql import PostgresqlServer, running_postgresql


@pytest.fixture(scope="session")
def postgresql_of_all() -> Iterator[PostgresqlServer]:
    """A server that all tests share."""
    with running_postgresql() as server:
        yield server


@pytest.fixture
def postgresql(postgresql_of_all: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """A server for databases that are a test's own and go with it: a hundred of them take a gigabyte."""
    yield postgresql_of_all
    postgresql_of_all.drop_databases()


@pytest.fixture
def store_url(postgresql: PostgresqlServer) -> str:
    """The URL of an empty event store."""
    return postgresql.new_database()
