"""Stores of an older schema, on any database: `systems/` runs the same tests on PostgreSQL."""

import json
import multiprocessing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, inspect, text

from dora_pipeline.errors import ConfigError, DoraError
from dora_pipeline.intake.store import EventStore, event_tables
from dora_pipeline_tests.test_intake_store import rows

SECOND = 1_714_996_800
MICROSECOND = SECOND * 1_000_000
NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)

# The tables as version 1 made them.
SCHEMA_1 = """
CREATE TABLE intake_events (
    event_type VARCHAR(16) NOT NULL,
    event_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    first_sequence BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    is_deleted BOOLEAN NOT NULL,
    identity_key VARCHAR(64),
    attributes TEXT NOT NULL,
    PRIMARY KEY (event_type, event_id)
);
CREATE INDEX intake_events_by_identity ON intake_events (event_type, identity_key);
CREATE UNIQUE INDEX intake_events_by_sequence ON intake_events (event_type, sequence);
CREATE TABLE intake_state (
    id INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE intake_tellings (
    sequence BIGINT NOT NULL,
    event_type VARCHAR(16) NOT NULL,
    event_id TEXT NOT NULL,
    action VARCHAR(16) NOT NULL,
    received_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (sequence)
);
INSERT INTO intake_state VALUES (1, 1, 0)
"""

TOLD: list[tuple[str, str, dict[str, Any]]] = [
    ("deployment", "seconds", {"service": "shop", "started_at": SECOND, "finished_at": SECOND + 60}),
    ("deployment", "nanoseconds", {"service": "shop", "started_at": (SECOND + 1) * 10**9, "finished_at": "soon"}),
    ("deployment", "text", {"service": "shop", "started_at": "2024-05-06T14:00:02.5+02:00"}),
    ("deployment", "naive", {"service": "shop", "started_at": "2024-05-06T12:00:00", "finished_at": SECOND}),
    ("deployment", "nothing", {}),
    ("failure", "failure", {"services": ["shop"], "started_at": SECOND, "finished_at": None}),
]


@pytest.fixture
def url_of_version_1(store_url: str) -> str:
    """A store of version 1 with the events of TOLD."""
    engine = create_engine(store_url, poolclass=NullPool)
    with engine.begin() as connection:
        for statement in SCHEMA_1.split(";"):
            connection.execute(text(statement))
        row = text("INSERT INTO intake_events VALUES (:type, :id, :n, :n, :at, :at, false, :key, :attributes)")
        for number, (event_type, event_id, attributes) in enumerate(TOLD, start=1):
            values = {"type": event_type, "id": event_id, "n": number, "at": MICROSECOND, "key": f"key-{number}"}
            connection.execute(row, values | {"attributes": json.dumps(attributes)})
        connection.execute(text(f"UPDATE intake_state SET sequence = {len(TOLD)}"))
    return store_url


def test_a_store_of_version_1_gets_the_times_of_its_events(url_of_version_1: str) -> None:
    with EventStore(url_of_version_1) as store:
        assert [event.event_id for event in store.search("deployment", descending=False)] == [
            "seconds",
            "nanoseconds",
            "text",
            "naive",
            "nothing",
        ]
        first, last = NOON + timedelta(seconds=1), NOON + timedelta(seconds=2.5)
        found = store.search("deployment", first=first, last=last)
        assert [event.event_id for event in found] == ["text", "nanoseconds"]
        found = store.search("deployment", sort="finished_at", limit=2)
        assert [event.event_id for event in found] == ["seconds", "naive"]
    times = "SELECT event_id, started_at - {0}, finished_at - {0} FROM intake_events ORDER BY sequence"
    assert rows(url_of_version_1, times.format(MICROSECOND)) == [
        ("seconds", 0, 60_000_000),
        ("nanoseconds", 1_000_000, None),
        ("text", 2_500_000, None),
        ("naive", None, 0),
        ("nothing", None, None),
        ("failure", 0, None),
    ]


def test_an_upgrade_changes_nothing_that_was_told(url_of_version_1: str) -> None:
    with EventStore(url_of_version_1) as store:
        told = store.changed_since("deployment", 0) + store.changed_since("failure", 0)
        assert [(event.event_type, event.event_id, event.attributes) for event in told] == TOLD
        assert [event.sequence for event in told] == [1, 2, 3, 4, 5, 6]
        assert {event.changed_at for event in told} == {NOON}
        assert store.append("deployment", {"version": "v2"}, event_id="seconds").sequence == 7
    with EventStore(url_of_version_1) as store:
        assert len(store.changed_since("deployment", 0)) == 5
    assert rows(url_of_version_1, "SELECT id, schema_version, sequence FROM intake_state") == [(1, 4, 7)]


def test_an_upgraded_store_has_the_tables_and_indexes_of_a_new_one(url_of_version_1: str) -> None:
    EventStore(url_of_version_1).close()
    upgraded = _shape(url_of_version_1)
    event_tables.metadata.drop_all(create_engine(url_of_version_1, poolclass=NullPool))
    EventStore(url_of_version_1).close()
    assert upgraded == _shape(url_of_version_1)


def _shape(url: str) -> object:
    inspected = inspect(create_engine(url, poolclass=NullPool))
    return {
        name: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in inspected.get_columns(name)],
            sorted((index["name"], index["column_names"], index["unique"]) for index in inspected.get_indexes(name)),
        )
        for name in sorted(inspected.get_table_names())
    }


def _open_and_append(url: str, number: int) -> None:
    with EventStore(url) as store:
        store.append("deployment", {"service": "shop", "started_at": SECOND + 100 + number}, event_id=f"new-{number}")


def test_processes_may_upgrade_a_store_at_once(url_of_version_1: str) -> None:
    engine = create_engine(url_of_version_1, poolclass=NullPool)
    with engine.begin() as connection:
        row = text("INSERT INTO intake_events VALUES ('deployment', :id, :n, :n, 0, 0, false, NULL, :attributes)")
        attributes = json.dumps({"service": "shop", "started_at": SECOND})
        connection.execute(row, [{"id": f"old-{n}", "n": n, "attributes": attributes} for n in range(1_001, 4_001)])
        connection.execute(text("UPDATE intake_state SET sequence = 4000"))
    spawning = multiprocessing.get_context("spawn")
    processes = [spawning.Process(target=_open_and_append, args=(url_of_version_1, number)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert rows(url_of_version_1, "SELECT schema_version, sequence FROM intake_state") == [(4, 4_002)]
    assert rows(url_of_version_1, "SELECT count(started_at), count(*) FROM intake_events WHERE sequence > 1000") == [
        (3_002, 3_002)
    ]


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(url_of_version_1: str) -> None:
    engine = create_engine(url_of_version_1, poolclass=NullPool)
    with engine.begin() as connection:
        # A name that the upgrade needs is taken.
        connection.execute(text("CREATE INDEX intake_events_by_finish ON intake_events (changed_at)"))
    with pytest.raises(DoraError, match="intake_events_by_finish"):
        EventStore(url_of_version_1)
    assert rows(url_of_version_1, "SELECT schema_version FROM intake_state") == [(1,)]
    assert "started_at" not in [column["name"] for column in inspect(engine).get_columns("intake_events")]
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX intake_events_by_finish"))
    with EventStore(url_of_version_1) as store:
        assert len(store.search("deployment")) == 5


def test_a_newer_schema_is_refused(url_of_version_1: str) -> None:
    with create_engine(url_of_version_1, poolclass=NullPool).begin() as connection:
        connection.execute(text("UPDATE intake_state SET schema_version = 5"))
    with pytest.raises(ConfigError, match="has schema 5, this version of dora knows 4; update dora"):
        EventStore(url_of_version_1)
