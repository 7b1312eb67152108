"""Backups: what is in them, that they are whole or not there, and that a restored home gives the same tables."""

import gzip
import io
import json
import os
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dora_pipeline.config import Home
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.backups import BackupError, back_up, restore
from dora_pipeline.pipeline.progress import Silence
from dora_pipeline_tests.command import process
from dora_pipeline_tests.full_homes import fill
from dora_pipeline_tests.homes import TestHome


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home with something of everything, after one run. Nothing may change it."""
    home = TestHome(tmp_path_factory.mktemp("homes") / "loaded")
    fill(home)
    home.run()
    return home


@pytest.fixture(scope="module")
def archive(loaded: TestHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it."""
    path = tmp_path_factory.mktemp("backups") / "dora.tar.gz"
    back_up(loaded.home, path, Silence())
    return path


def names(archive: Path) -> set[str]:
    with tarfile.open(archive) as told:
        return set(told.getnames())


def restored(archive: Path, folder: Path) -> TestHome:
    restore(Home(folder), archive, Silence())
    return TestHome(folder)


def written(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    """An archive of our own making."""
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_a_backup_holds_what_cannot_be_made_again_and_nothing_else(loaded: TestHome, archive: Path) -> None:
    found = names(archive)
    assert {"dora.yaml", "source_selections.csv", "services/all.yaml", "intake/events.sqlite3"} <= found
    assert {"exports/apm/from-00.jsonl", "manifest.json"} <= found
    raw = {path.relative_to(loaded.home.path).as_posix() for path in loaded.home.raw.rglob("*") if path.is_file()}
    assert raw
    assert raw <= found
    assert {name.partition("/")[0] for name in found} == {
        "dora.yaml",
        "source_selections.csv",
        "services",
        "exports",
        "raw",
        "intake",
        "manifest.json",
    }


def test_only_its_owner_can_read_a_backup(archive: Path) -> None:
    assert archive.stat().st_mode & 0o777 == 0o600


def test_a_restored_home_gives_the_same_tables_by_a_run(loaded: TestHome, archive: Path, tmp_path: Path) -> None:
    home = restored(archive, tmp_path / "new")
    assert not home.home.warehouse.exists()
    home.run()
    assert home.tables() == loaded.tables()


def test_a_backup_while_events_are_appended_is_whole_and_loses_none(tmp_path: Path) -> None:
    home = TestHome(tmp_path / "home")
    fill(home)
    home.run()
    first, ends = threading.Event(), threading.Event()

    def append() -> None:
        number = 0
        with EventStore.at(home.home) as store:
            while not ends.is_set():
                moment = f"2024-05-06T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
                told = {"service": "busy", "started_at": moment, "finished_at": moment, "env": "prod"}
                store.append("deployment", told)
                number += 1
                first.set()

    writer = threading.Thread(target=append)
    writer.start()
    assert first.wait(30)
    with EventStore.at(home.home) as store:
        before = {event.event_id for event in store.changed_since("deployment", 0)}
    back_up(home.home, tmp_path / "dora.tar.gz", Silence())
    ends.set()
    writer.join()
    copy = restored(tmp_path / "dora.tar.gz", tmp_path / "new")
    with EventStore.at(copy.home) as store:
        kept = {event.event_id for event in store.changed_since("deployment", 0)}
    assert before <= kept
    copy.run()
    ids = {event_id for (event_id,) in copy.rows("SELECT deployment_id FROM core.deployments")}
    assert {event_id for event_id in kept if "same-second" not in event_id} <= ids
    # What was received after the backup is told to both, so both end in the same tables.
    shutil.copy2(home.home.intake / "events.sqlite3", copy.home.intake / "events.sqlite3")
    home.run()
    copy.run()
    assert home.tables() == copy.tables()


def test_a_run_goes_on_from_a_restored_home(archive: Path, tmp_path: Path) -> None:
    home = restored(archive, tmp_path / "new")
    home.run()
    home.deploy("shop", "2024-03-20 10:00:00", version="new")
    home.run()
    assert home.rows("SELECT COUNT(*) FROM core.deployments WHERE version = 'new'") == [(1,)]


def test_files_keep_the_times_of_their_last_change(loaded: TestHome, archive: Path, tmp_path: Path) -> None:
    home = restored(archive, tmp_path / "new")
    name = "source_selections.csv"
    assert (home.home.path / name).stat().st_mtime_ns == (loaded.home.path / name).stat().st_mtime_ns


def test_the_history_of_dagster_is_in_where_it_is_asked_for(loaded: TestHome, tmp_path: Path) -> None:
    dagster = tmp_path / "dagster"
    (dagster / "history" / "runs").mkdir(parents=True)
    (dagster / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with sqlite3.connect(dagster / "history" / "runs.db") as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE runs (name TEXT)")
        connection.execute("INSERT INTO runs VALUES ('kept in the journal')")
        connection.commit()
        back_up(loaded.home, tmp_path / "dora.tar.gz", Silence(), dagster)
    connection.close()
    home = restored(tmp_path / "dora.tar.gz", tmp_path / "new")
    with sqlite3.connect(home.home.path / "dagster" / "history" / "runs.db") as connection:
        assert connection.execute("SELECT name FROM runs").fetchall() == [("kept in the journal",)]
    connection.close()
    assert (home.home.path / "dagster" / "dagster.yaml").exists()


def test_what_else_is_to_be_kept_is_said(home: TestHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.settings(
        repositories={"github.com/a/b": "https://user:hunter2@github.com/a/b"},
        sources={"apm_deployment_tracking": {"path": str(tmp_path / "elsewhere")}},
    )
    monkeypatch.setenv("DORA_INTAKE_URL", "postgresql+psycopg://dora:hunter2@database/dora")
    home.home.services.mkdir()
    (home.home.services / "shop.yaml").write_text("url: https://user:hunter2@github.com/a/b\n")
    notes = back_up(home.home, tmp_path / "dora.tar.gz", Silence()).notes
    assert len(notes) == 4
    assert "pg_dump" in notes[0]
    assert notes[1].startswith("dora.yaml holds credentials")
    assert notes[2].startswith("services/shop.yaml holds credentials")
    assert str(tmp_path / "elsewhere") in notes[3]
    assert not any("hunter2" in note for note in notes)


@pytest.mark.parametrize(("path", "is_kept"), [("../shared", False), ("exports/../exports/apm", True)])
def test_exports_are_kept_where_they_lie_in_the_home_however_their_path_is_written(
    home: TestHome, tmp_path: Path, path: str, is_kept: bool
) -> None:
    home.settings(sources={"apm_deployment_tracking": {"path": path}})
    folder = home.home.path / path
    folder.mkdir(parents=True)
    (folder / "one.jsonl").write_text("{}\n")
    archive = tmp_path / "dora.tar.gz"
    assert len(back_up(home.home, archive, Silence()).notes) == (0 if is_kept else 1)
    assert ("exports/apm/one.jsonl" in names(archive)) == is_kept
    again = restored(archive, tmp_path / "again")
    assert (again.home.path / "exports" / "apm" / "one.jsonl").exists() == is_kept


# What is refused


def test_a_backup_never_takes_the_place_of_a_file(home: TestHome, tmp_path: Path) -> None:
    target = tmp_path / "dora.tar.gz"
    target.write_text("precious")
    with pytest.raises(BackupError, match="exists already"):
        back_up(home.home, target, Silence())
    assert target.read_text() == "precious"


def test_a_backup_in_the_home_itself_is_refused(home: TestHome) -> None:
    with pytest.raises(BackupError, match="lies in the home"):
        back_up(home.home, home.home.path / "dora.tar.gz", Silence())


def test_a_backup_into_a_folder_that_is_not_there_is_refused(home: TestHome, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="No such file or directory; no backup was written"):
        back_up(home.home, tmp_path / "nowhere" / "dora.tar.gz", Silence())


def test_a_store_that_is_damaged_leaves_no_half_backup(home: TestHome, tmp_path: Path) -> None:
    home.home.intake.mkdir()
    (home.home.intake / "events.sqlite3").write_bytes(b"garbage" * 1000)
    with pytest.raises(BackupError, match=r"events\.sqlite3: cannot be copied: file is not a database"):
        back_up(home.home, tmp_path / "dora.tar.gz", Silence())
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_home_that_is_not_empty_is_refused_and_stays(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "dora.yaml").write_text("timezone: UTC\n")
    with pytest.raises(BackupError, match=r"is not empty \(dora.yaml\)"):
        restore(Home(tmp_path), archive, Silence())
    assert [path.name for path in tmp_path.iterdir()] == ["dora.yaml"]


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def cut_at_the_end(content: bytes) -> bytes:
    return content[:-4]


def changed(content: bytes) -> bytes:
    """The archive with other words in one of its files."""
    tar = gzip.decompress(content)
    assert tar.count(b"sales") == 1
    return gzip.compress(tar.replace(b"sales", b"thief"))


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(255 - byte for byte in content[middle : middle + 50]) + content[middle + 50 :]


def without_manifest(content: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as old, tarfile.open(fileobj=target, mode="w:gz") as new:
        for member in old.getmembers()[:-1]:
            new.addfile(member, old.extractfile(member))
    return target.getvalue()


def without_a_file(content: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as old, tarfile.open(fileobj=target, mode="w:gz") as new:
        for member in old.getmembers()[1:]:
            new.addfile(member, old.extractfile(member))
    return target.getvalue()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "is cut, changed or no backup"),
        (cut_at_the_end, "is cut, changed or no backup"),
        (flipped, "is cut, changed or no backup"),
        (lambda content: b"garbage", "is cut, changed or no backup"),
        (lambda content: b"", "is cut"),
        (changed, "1 files are not as they were, such as services/all.yaml"),
        (without_manifest, "manifest is missing"),
        (without_a_file, "1 files are not as they were"),
    ],
)
def test_an_archive_that_is_cut_or_changed_restores_nothing(
    archive: Path, tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(BackupError, match=said) as raised:
        restore(Home(tmp_path / "new"), broken, Silence())
    assert str(broken) in str(raised.value)
    assert list((tmp_path / "new").iterdir()) == []


def link(kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo("raw/link")
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../outside"),
        tarfile.TarInfo("/outside"),
        tarfile.TarInfo("raw/../../outside"),
        tarfile.TarInfo("raw/./file"),
        link(tarfile.SYMTYPE),
        link(tarfile.LNKTYPE),
        link(tarfile.FIFOTYPE),
        link(tarfile.DIRTYPE),
    ],
    ids=lambda member: f"{member.name} {member.type!r}",
)
def test_an_archive_with_a_path_that_leaves_the_home_restores_nothing(tmp_path: Path, member: tarfile.TarInfo) -> None:
    archive = written(tmp_path / "evil.tar.gz", [(member, b"")])
    with pytest.raises(BackupError, match="has no place in a backup"):
        restore(Home(tmp_path / "new"), archive, Silence())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.tar.gz", "new"]
    assert list((tmp_path / "new").iterdir()) == []


def test_a_backup_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    manifest = json.dumps({"format": 2, "program": "9.0.0", "files": []}).encode()
    archive = written(tmp_path / "new.tar.gz", [(tarfile.TarInfo("manifest.json"), manifest)])
    with pytest.raises(BackupError, match=r"made by dora 9\.0\.0 in format 2, this one reads 1; use the newer program"):
        restore(Home(tmp_path / "home"), archive, Silence())


def test_a_backup_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="there is no such file"):
        restore(Home(tmp_path / "home"), tmp_path / "nothing.tar.gz", Silence())


# The commands


def test_the_commands_say_what_they_did_and_what_to_do_next(loaded: TestHome, tmp_path: Path) -> None:
    target, new = tmp_path / "dora.tar.gz", tmp_path / "new"
    answer = process(loaded.home.path, "backup", str(target))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"{target}: ")
    answer = process(new, "restore", str(target))
    assert answer.code == 0
    assert "files restored; now `dora run` makes the warehouse" in answer.out
    answer = process(new, "restore", str(target))
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert "is not empty" in line


def test_no_secret_of_the_environment_is_in_a_backup(
    loaded: TestHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PAGERDUTY_API_TOKEN", "DD_API_KEY", "DD_APP_KEY", "DORA_INTAKE_API_KEYS", "DORA_INTAKE_APP_KEYS"):
        monkeypatch.setenv(name, "hunter2-hunter2")
    monkeypatch.setenv("DORA_INTAKE_URL", "postgresql+psycopg://dora:hunter2-hunter2@database/dora")
    back_up(loaded.home, tmp_path / "dora.tar.gz", Silence())
    monkeypatch.delenv("DORA_INTAKE_URL")
    restore(Home(tmp_path / "new"), tmp_path / "dora.tar.gz", Silence())
    files = [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
    contents = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in files]
    assert len(contents) > 5
    assert not any(b"hunter2" in content for content in contents)
    assert os.fsencode("hunter2") not in gzip.decompress((tmp_path / "dora.tar.gz").read_bytes())
