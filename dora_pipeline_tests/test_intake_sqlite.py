"""What is SQLite's in the event store: its file, its journal, its locks."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from dora_pipeline.config import Home
from dora_pipeline.errors import ConfigError, DoraError, SourceUnavailable
from dora_pipeline.intake.store import EventStore

ENV = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """The URL of an event store whose folder is not there yet."""
    return f"sqlite:///{tmp_path}/intake/events.sqlite3"


def deployment(**changes: Any) -> dict[str, Any]:
    return {"service": "shop", "env": "prod", "started_at": 1_714_996_800} | changes


def test_credentials_never_reach_the_file(store: EventStore, tmp_path: Path) -> None:
    secret = "https://robot:hunter2@github.com/org/app"
    store.append("deployment", deployment(git={"repository_url": secret}, name=f"from {secret}"), event_id="a")
    store.append("deployment", {"git": {"repository_url": secret}})
    store.update("deployment", "a", {"custom_tags": [f"repo:{secret}"]})
    event = store.get("deployment", "a")
    assert event is not None
    assert event.attributes["git"] == {"repository_url": "https://github.com/org/app"}
    assert event.attributes["custom_tags"] == ["repo:https://github.com/org/app"]
    for file in (tmp_path / "intake").iterdir():
        assert b"hunter2" not in file.read_bytes()


def test_the_file_is_a_write_ahead_log_that_is_synced_at_each_commit(store_url: str) -> None:
    modes = []

    def note_modes(connection: Any, _record: object) -> None:
        modes.append([connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")])

    event.listen(Pool, "checkin", note_modes)
    try:
        with EventStore(store_url) as store:
            store.append("deployment", deployment())
    finally:
        event.remove(Pool, "checkin", note_modes)
    full = 2
    assert modes
    assert all(mode == ["wal", full] for mode in modes)


def test_the_store_of_a_home_is_a_file_in_its_intake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DORA_INTAKE_URL", raising=False)
    home = Home(tmp_path / "a home? 100% #1")
    with EventStore.at(home) as store:
        store.append("deployment", deployment())
    assert (home.intake / "events.sqlite3").is_file()


def test_the_environment_names_another_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DORA_INTAKE_URL", f"sqlite:///{tmp_path}/elsewhere.sqlite3")
    EventStore.at(Home(tmp_path / "home")).close()
    assert (tmp_path / "elsewhere.sqlite3").is_file()
    assert not (tmp_path / "home").exists()


def test_a_locked_store_is_unavailable_and_works_again_later(store: EventStore, store_url: str) -> None:
    other = sqlite3.connect(store_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with EventStore(store_url + "?timeout=0.05") as hasty:
        with pytest.raises(SourceUnavailable, match=r"stayed locked for 0\.05 s"):
            hasty.append("deployment", deployment())
        assert hasty.changed_since("deployment", 0) == []
        other.execute("ROLLBACK")
        assert hasty.append("deployment", deployment()).sequence == 1
    other.close()


def test_a_file_that_is_no_database_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "events.sqlite3").write_text("hello " * 1000)
    with pytest.raises(ConfigError, match=r"events\.sqlite3 cannot be used"):
        EventStore(f"sqlite:///{tmp_path}/events.sqlite3")


def test_a_folder_in_the_place_of_the_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unable to open database file; check the path"):
        EventStore(f"sqlite:///{tmp_path}")


def test_a_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="intake's folder cannot be made"):
        EventStore(f"sqlite:///{tmp_path}/file/events.sqlite3")


@pytest.mark.parametrize(
    "address",
    ["nonsense", "sqlite://", "mysql://u:hunter2@host/db", "sqlite+nothing:///x", "postgresql://u:hunter2@host:port/d"],
)
def test_another_address_is_a_config_error_without_its_password(address: str) -> None:
    with pytest.raises(ConfigError, match="DORA_INTAKE_URL") as raised:
        EventStore(address)
    assert "hunter2" not in str(raised.value)


def test_a_server_that_does_not_answer_is_told_without_its_password() -> None:
    with pytest.raises(DoraError, match=r"postgresql\+psycopg://127\.0\.0\.1:1/dora") as raised:
        EventStore("postgresql+psycopg://robot:hunter2@127.0.0.1:1/dora?password=hunter2")
    assert "hunter2" not in str(raised.value)


def test_a_ping_of_a_locked_store_tells_so(store: EventStore, store_url: str) -> None:
    other = sqlite3.connect(store_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with EventStore(store_url + "?timeout=0.05") as hasty, pytest.raises(SourceUnavailable, match="stayed locked"):
        hasty.ping()
    other.close()
    store.ping()


FULL_DISK = """
import resource, sys
from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.intake.store import EventStore
store = EventStore(sys.argv[1])
kept = store.append("deployment", {"id": "kept"})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    store.append("deployment", {"id": "lost", "name": "x" * 500_000})
except SourceUnavailable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 200_000))
try:
    store.ping()
except SourceUnavailable as error:
    print("ping:", error)
assert store.changed_since("deployment", 0) == [kept]
"""


def test_a_full_disk_is_told_and_loses_nothing(store_url: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, store_url], capture_output=True, text=True, check=True, env=ENV
    )
    assert "cannot be written" in result.stdout
    assert "check the space on its disk" in result.stdout
    assert "ping: intake: the event store" in result.stdout
    with EventStore(store_url) as store:
        assert [event.event_id for event in store.changed_since("deployment", 0)] == ["kept"]
