"""The event store on PostgreSQL: the tests that it passes on SQLite, and what is PostgreSQL's own.

The tests of the modules imported as a whole are collected here a second time, with the `store_url` of this folder.
"""

import signal
from time import monotonic

import pytest
from sqlalchemy import create_engine, make_url, text

from dora_pipeline.errors import ConfigError, SourceUnavailable
from dora_pipeline.intake.store import EventStore
from dora_pipeline.intake.store.committer import Committer
from dora_pipeline.intake.store.database import SearchTooLong, limited
from dora_pipeline_tests.postgresql import running_postgresql
from dora_pipeline_tests.test_intake_committer import *  # noqa: F403
from dora_pipeline_tests.test_intake_committer import HeldStore
from dora_pipeline_tests.test_intake_merging import *  # noqa: F403
from dora_pipeline_tests.test_intake_search import *  # noqa: F403
from dora_pipeline_tests.test_intake_store import *  # noqa: F403
from dora_pipeline_tests.test_intake_store import rows
from dora_pipeline_tests.test_intake_upgrades import *  # noqa: F403
from dora_pipeline_tests.waiting import PATIENCE


def test_the_server_writes_each_commit_to_disk(store: EventStore, store_url: str) -> None:
    assert rows(store_url, "SHOW fsync") == [("on",)]
    assert rows(store_url, "SHOW synchronous_commit") == [("on",)]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_was_restarted_is_used_again(how: signal.Signals) -> None:
    with running_postgresql() as server, EventStore(server.new_database()) as store, Committer(store) as committer:
        first = store.append("deployment", {"id": "first", "service": "shop", "started_at": 1_714_996_800})
        server.stop(how)
        with pytest.raises(SourceUnavailable, match="does not answer"):
            store.ping()
        with pytest.raises(SourceUnavailable, match="does not answer"):
            committer.submit("deployment", {"id": "lost"}).result(PATIENCE)
        server.start()
        assert store.search("deployment") == [first]
        assert committer.submit("deployment", {"id": "next"}).result(PATIENCE).sequence == 2


def test_a_server_that_ends_a_connection_in_use_loses_nothing(store: EventStore, store_url: str) -> None:
    first = store.append("deployment", {"id": "first", "service": "shop", "started_at": 1_714_996_800})
    ended = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()"
    )
    assert rows(store_url, ended.format(make_url(store_url).database)) == [(1,)]
    assert store.append("deployment", {"id": "next"}).sequence == first.sequence + 1


def test_a_writer_that_holds_the_counter_makes_others_wait_and_then_tell_so(store: EventStore, store_url: str) -> None:
    with EventStore(store_url + "&options=-c%20lock_timeout%3D50ms") as hasty:
        with HeldStore(store_url), pytest.raises(SourceUnavailable, match="lock timeout"):
            hasty.append("deployment", {"id": "a"})
        assert hasty.append("deployment", {"id": "a"}).sequence == 1


def test_a_read_only_server_does_not_answer_a_ping(store: EventStore, store_url: str) -> None:
    address = store_url + "&options=-c%20default_transaction_read_only%3Don"
    with EventStore(address) as reader, pytest.raises(ConfigError, match="read-only transaction"):
        reader.ping()


def test_a_search_that_takes_too_long_is_ended_by_the_server(store: EventStore, store_url: str) -> None:
    engine = create_engine(store_url)
    with pytest.raises(SearchTooLong), engine.begin() as connection, limited(connection, monotonic() + 0.2):
        connection.execute(text("SELECT pg_sleep(600)"))
    with engine.begin() as connection, limited(connection, monotonic() + 600):
        assert connection.scalar(text("SELECT 1")) == 1
    assert rows(store_url, "SHOW statement_timeout") == [("0",)]
    engine.dispose()
