"""Backups: what is in them, that they are whole or not there, and that a restored home gives the same tables."""

import errno
import gzip
import io
import json
import os
import shutil
import socket
import sqlite3
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dora_pipeline.config import Home
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.backups import BackupError, back_up, restore
from dora_pipeline.pipeline.progress import Silence
from dora_pipeline.pipeline.runs import run
from dora_pipeline.warehouse.parquet import export_tables
from dora_pipeline.warehouse.reader import open_reader
from dora_pipeline_tests.command import call, process, without_root
from dora_pipeline_tests.examples import examples
from dora_pipeline_tests.full_homes import fill
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.waiting import PATIENCE


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
                ends.wait(0.01)

    writer = threading.Thread(target=append)
    writer.start()
    assert first.wait(PATIENCE)
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


def test_exports_in_the_home_itself_take_no_part_of_the_warehouse_along(home: TestHome, tmp_path: Path) -> None:
    home.settings(sources={"apm_deployment_tracking": {"path": "."}})
    for name in ("one.jsonl", "warehouse.duckdb", "warehouse.duckdb.wal", "warehouse.duckdb.publishing-1"):
        (home.home.path / name).write_text("{}\n")
    back_up(home.home, tmp_path / "dora.tar.gz", Silence())
    assert sorted(names(tmp_path / "dora.tar.gz")) == ["dora.yaml", "manifest.json", "one.jsonl"]


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
    answer = call(loaded.home.path, "backup", str(target))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"{target}: ")
    answer = call(new, "restore", str(target))
    assert answer.code == 0
    assert "files restored; now `dora run` makes the warehouse" in answer.out
    answer = call(new, "restore", str(target))
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


# What a run reads is in a backup, or named

_SIGHTING = {"service": "shop", "env": "prod"}


def exporting(folder: Path) -> TestHome:
    """A home that reads exports."""
    home = TestHome(folder)
    home.select("deployment", "apm_deployment_tracking")
    return home


def export(home: TestHome, name: str, day: int) -> Path:
    """Drop an export of one deployment on a day of its own."""
    moment = f"2024-05-{day:02}T07:08:09Z"
    return home.drop_export(name, [{**_SIGHTING, "timestamp": moment, "version": str(day)}])


def backed_up(home: TestHome, archive: Path) -> list[str]:
    """Back up a home; what the backup says about what is not in it."""
    return back_up(home.home, archive, Silence()).notes


def test_names_of_every_kind_are_restored(tmp_path: Path) -> None:
    home = exporting(tmp_path / "home")
    names = [
        *("back\\slash.jsonl", "two\nlines.jsonl", "-rf.jsonl", "..dots.jsonl", "...", "a b .jsonl ", "dot.jsonl."),
        *(
            "\u00e9.jsonl",
            "e\u0301.jsonl",
            "A.jsonl",
            "a.jsonl",
            f"{'x' * 249}.jsonl",
            "tab\there.jsonl",
            "~home.jsonl",
        ),
        *(
            "deep/" * 30 + "er.jsonl",
            "caf\udce9.jsonl",
            "d\udcff/inside.jsonl",
            "manifest.json",
            "quote'\".jsonl",
            "{}",
        ),
    ]
    for day, name in enumerate(names, start=1):
        export(home, name, day)
    home.run()
    assert backed_up(home, tmp_path / "dora.tar.gz") == []
    again = restored(tmp_path / "dora.tar.gz", tmp_path / "new")
    folder = again.home.path / "exports" / "apm"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == sorted(names)
    again.run()
    assert again.tables() == home.tables()


@given(
    names=st.sets(
        st.binary(min_size=1, max_size=40)
        .map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_"))
        .filter(lambda name: name not in (b".", b"..")),
        max_size=6,
    ),
    moment=st.integers(min_value=-(2**33), max_value=2**33),
)
@settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_names_and_times_that_a_disk_holds_are_restored(
    tmp_path_factory: pytest.TempPathFactory, names: set[bytes], moment: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    home = TestHome(folder / "home")
    exports = home.home.path / "exports" / "apm"
    exports.mkdir(parents=True)
    for number, name in enumerate(names):
        path = os.fsencode(exports) + b"/" + name
        with open(path, "wb") as file:
            file.write(str(number).encode())
        os.utime(path, (moment, moment))
    backed_up(home, folder / "dora.tar.gz")
    again = restored(folder / "dora.tar.gz", folder / "new")
    found = {path.name: path for path in (again.home.path / "exports" / "apm").glob("*")}
    assert {os.fsencode(name) for name in found} == names
    for number, name in enumerate(names):
        path = found[os.fsdecode(name)]
        assert path.read_text() == str(number)
        assert path.stat().st_mtime_ns == (exports / os.fsdecode(name)).stat().st_mtime_ns


def test_what_links_lead_to_is_in_the_backup_where_a_run_follows_them(tmp_path: Path) -> None:
    elsewhere = exporting(tmp_path / "elsewhere")
    export(elsewhere, "2025/far.jsonl", 1)
    home = exporting(tmp_path / "home")
    export(home, "near.jsonl", 2)
    exports = home.home.path / "exports" / "apm"
    (exports / "2025").symlink_to(elsewhere.home.path / "exports" / "apm" / "2025")
    (exports / "again.jsonl").symlink_to("near.jsonl")
    (exports / "environ.json").symlink_to("/proc/self/environ")
    home.settings(sources={"apm_deployment_tracking": {"follow_links_to": [str(elsewhere.home.path)]}})
    home.run()
    assert home.rows("SELECT COUNT(*) FROM core.deployments") == [(2,)]
    [note] = backed_up(home, tmp_path / "dora.tar.gz")
    assert note.startswith("exports/apm/environ.json is not in the backup: it is a link that leaves the folder")
    assert {name for name in names(tmp_path / "dora.tar.gz") if name.startswith("exports")} == {
        "exports/apm/2025/far.jsonl",
        "exports/apm/near.jsonl",
    }
    again = restored(tmp_path / "dora.tar.gz", tmp_path / "new")
    again.run()
    assert again.rows("SELECT COUNT(*) FROM core.deployments") == [(2,)]


def test_a_link_that_no_run_follows_is_named(tmp_path: Path) -> None:
    elsewhere = exporting(tmp_path / "elsewhere")
    export(elsewhere, "far.jsonl", 1)
    home = exporting(tmp_path / "home")
    export(home, "near.jsonl", 2)
    (home.home.path / "exports" / "apm" / "2025").symlink_to(elsewhere.home.path / "exports" / "apm")
    home.run()
    (home.home.path / "services").mkdir()
    (home.home.path / "services" / "team").symlink_to(elsewhere.home.path)
    found = backed_up(home, tmp_path / "dora.tar.gz")
    assert [note.partition(" is not in the backup: ")[0] for note in found] == ["services/team", "exports/apm/2025"]
    again = restored(tmp_path / "dora.tar.gz", tmp_path / "new")
    again.run()
    assert again.tables() == home.tables()


def test_settings_services_and_the_raw_layer_may_be_links(tmp_path: Path) -> None:
    home = TestHome(tmp_path / "home")
    fill(home)
    home.run()
    before = home.tables()
    for name in ("dora.yaml", "source_selections.csv", "services/all.yaml", "raw/deployment_event_api"):
        path = home.home.path / name
        moved = path.rename(tmp_path / path.name)
        path.symlink_to(moved)
    shelf = (home.home.path / "exports").rename(home.home.path / "shelf")
    (home.home.path / "exports").symlink_to(shelf.name)
    assert backed_up(home, tmp_path / "dora.tar.gz") == []
    shutil.rmtree(tmp_path / "deployment_event_api")
    again = restored(tmp_path / "dora.tar.gz", tmp_path / "new")
    assert not any(path.is_symlink() for path in again.home.path.rglob("*"))
    again.run()
    assert again.tables() == before


def test_special_files_circles_and_dangling_links_are_named_and_hold_nothing_up(tmp_path: Path) -> None:
    home = exporting(tmp_path / "home")
    export(home, "one.jsonl", 1)
    exports = home.home.path / "exports" / "apm"
    os.mkfifo(exports / "pipe.jsonl")
    (exports / "gone.jsonl").symlink_to("nothing")
    (home.home.raw / "deployment_event_api").mkdir(parents=True)
    (home.home.raw / "deployment_event_api" / "round").symlink_to(home.home.raw)
    (home.home.raw / "lost").symlink_to("nothing")
    (home.home.raw / "empty").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(exports / "socket.csv"))
        found = backed_up(home, tmp_path / "dora.tar.gz")
    assert found == [
        "raw/deployment_event_api/round is not in the backup: it is a link to a folder that it lies in",
        "raw/lost is not in the backup: it cannot be looked at: No such file or directory",
        "exports/apm/pipe.jsonl is not in the backup: it is no regular file",
        "exports/apm/socket.csv is not in the backup: it is no regular file",
        "exports/apm/gone.jsonl is not in the backup: it is a link that leads nowhere",
    ]
    again = restored(tmp_path / "dora.tar.gz", tmp_path / "new")
    assert {path.name for path in (again.home.path / "exports" / "apm").iterdir()} == {"one.jsonl"}


def test_of_many_files_that_are_left_out_some_are_named(tmp_path: Path) -> None:
    home = exporting(tmp_path / "home")
    export(home, "one.jsonl", 1)
    for number in range(30):
        (home.home.path / "exports" / "apm" / f"{number:02}.jsonl").symlink_to("nothing")
    found = backed_up(home, tmp_path / "dora.tar.gz")
    assert len(found) == 21
    assert found[-1] == "10 others are not in the backup, for such reasons"


def test_an_export_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    home = exporting(tmp_path / "home")
    export(home, "one.jsonl", 1)
    export(home, "two.jsonl", 2).chmod(0)
    answer = process(home.home.path, "backup", str(tmp_path / "dora.tar.gz"), before=without_root())
    assert (answer.code, answer.err) == (0, "")
    assert "exports/apm/two.jsonl is not in the backup: it cannot be read; check its owner and mode\n" in answer.out
    assert "exports/apm/one.jsonl" in names(tmp_path / "dora.tar.gz")


def test_hard_links_modes_holes_and_empty_files_are_restored(tmp_path: Path) -> None:
    home = exporting(tmp_path / "home")
    one = export(home, "one.jsonl", 1)
    one.chmod(0o444)
    os.link(one, one.with_name("same.jsonl"))
    one.with_name("empty.csv").touch()
    with one.with_name("holes.csv").open("wb") as file:
        file.truncate(5_000_000)
    home.run()
    assert backed_up(home, tmp_path / "dora.tar.gz") == []
    again = restored(tmp_path / "dora.tar.gz", tmp_path / "new")
    for name in ("one.jsonl", "same.jsonl", "empty.csv", "holes.csv"):
        path = again.home.path / "exports" / "apm" / name
        assert path.read_bytes() == one.with_name(name).read_bytes()
    again.run()
    assert again.tables() == home.tables()


def test_a_home_without_any_file_is_backed_up_and_restored(tmp_path: Path) -> None:
    home = TestHome(tmp_path / "home")
    for folder in ("exports/apm", "raw", "services", "intake"):
        (home.home.path / folder).mkdir(parents=True)
    assert backed_up(home, tmp_path / "dora.tar.gz") == []
    assert restore(Home(tmp_path / "new"), tmp_path / "dora.tar.gz", Silence()).files == []


def test_exports_named_by_another_way_to_the_home_are_kept(tmp_path: Path) -> None:
    home = exporting(tmp_path / "home")
    export(home, "one.jsonl", 1)
    (tmp_path / "way").symlink_to(home.home.path)
    home.settings(sources={"apm_deployment_tracking": {"path": str(tmp_path / "way" / "exports" / "apm")}})
    [note] = backed_up(home, tmp_path / "dora.tar.gz")
    assert note.endswith("in a restored home the exports are in exports/apm, name that")
    assert "exports/apm/one.jsonl" in names(tmp_path / "dora.tar.gz")


# Archives that others made

_SHA = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_EMPTY = {"path": "raw/file", "size": 0, "sha256": _SHA, "modified_ns": 0}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([{**_EMPTY, "path": "raw/\0file"}], r"2 files are not as they were, such as raw/\\x00file"),
        ([{**_EMPTY, "path": "raw/\ud800file"}], "2 files are not as they were"),
        ([{**_EMPTY, "path": "raw/two\nlines"}], "2 files are not as they were"),
        ([{**_EMPTY, "path": "../file"}], "2 files are not as they were"),
        ([{**_EMPTY, "path": 7}], "its manifest cannot be read"),
        ([{**_EMPTY, "path": None}], "its manifest cannot be read"),
        ([{**_EMPTY, "modified_ns": 10**30}], "its manifest cannot be read"),
        ([{**_EMPTY, "modified_ns": -(10**30)}], "its manifest cannot be read"),
        ([{**_EMPTY, "modified_ns": 1.5}], "its manifest cannot be read"),
        ([{**_EMPTY, "modified_ns": "0"}], "its manifest cannot be read"),
        ([{**_EMPTY, "modified_ns": True}], "its manifest cannot be read"),
        ([{**_EMPTY, "size": 10**30}], "1 files are not as they were, such as raw/file"),
        ([{**_EMPTY, "size": -1}], "1 files are not as they were"),
        ([{**_EMPTY, "size": None}], "its manifest cannot be read"),
        ([{**_EMPTY, "sha256": _SHA.upper()}], "its manifest cannot be read"),
        ([{**_EMPTY, "sha256": 7}], "its manifest cannot be read"),
        ([{**_EMPTY, "sha256": "0" * 64}], "1 files are not as they were"),
        ([{**_EMPTY, "more": 1}], "its manifest cannot be read"),
        ([{"path": "raw/file"}], "its manifest cannot be read"),
        ([_EMPTY, _EMPTY], "its manifest cannot be read"),
        ([], "1 files are not as they were"),
        (["raw/file"], "its manifest cannot be read"),
        ({"raw/file": _EMPTY}, "its manifest cannot be read"),
        (None, "its manifest cannot be read"),
        (7, "its manifest cannot be read"),
    ],
)
def test_a_manifest_that_cannot_be_is_one_line_and_restores_nothing(tmp_path: Path, files: object, said: str) -> None:
    manifest = json.dumps({"format": 1, "program": "1.0.0", "made_at": "now", "files": files}).encode()
    assert_refused(tmp_path, manifest, said)


@pytest.mark.parametrize(
    "manifest",
    [
        *(b"", b"{", b"[]", b"null", b"7", b'"text"', b"\xff\xfe", b'{"format": 1}', b'{"files": []}'),
        *(b'{"format": 2}', b"[" * 100_000, b"9" * 10_000),
    ],
    ids=lambda content: content[:20].decode("latin-1"),
)
def test_a_manifest_that_is_no_manifest_is_one_line_and_restores_nothing(tmp_path: Path, manifest: bytes) -> None:
    assert_refused(tmp_path, manifest, "its manifest cannot be read")


def assert_refused(tmp_path: Path, manifest: bytes, said: str) -> None:
    """An archive of one empty file with a manifest is refused in one line, and the home stays empty."""
    members = [(tarfile.TarInfo("raw/file"), b""), (tarfile.TarInfo("manifest.json"), manifest)]
    archive = written(tmp_path / "dora.tar.gz", members)
    with pytest.raises(BackupError, match=said) as raised:
        restore(Home(tmp_path / "new"), archive, Silence())
    assert str(raised.value).isprintable()
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    "names", [["a", "a/b"], ["a/b", "a"], ["x" * 300], ["a/" * 3000 + "b"], ["a", "a"], ["."], ["git/x"], ["work/x"]]
)
def test_files_that_no_disk_or_backup_holds_restore_nothing(tmp_path: Path, names: list[str]) -> None:
    listed = [{**_EMPTY, "path": name} for name in names]
    manifest = json.dumps({"format": 1, "program": "1.0.0", "made_at": "now", "files": listed}).encode()
    members = [(tarfile.TarInfo(name), b"") for name in names]
    archive = written(tmp_path / "dora.tar.gz", [*members, (tarfile.TarInfo("manifest.json"), manifest)])
    with pytest.raises(BackupError) as raised:
        restore(Home(tmp_path / "new"), archive, Silence())
    assert str(raised.value).isprintable()
    assert list((tmp_path / "new").iterdir()) == []


@given(data=st.data())
@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_archive_with_any_bytes_changed_is_refused_or_whole(
    archive: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(gzip.decompress(archive.read_bytes()))
    # Headers of the archive are where its bytes mean the most.
    places = st.integers(0, len(content) - 1) | st.integers(0, len(content) // 512 - 1).map(lambda block: block * 512)
    for place in data.draw(st.lists(places, min_size=1, max_size=8)):
        for offset, byte in enumerate(data.draw(st.binary(min_size=1, max_size=60))):
            if place + offset < len(content):
                content[place + offset] = byte
    folder = tmp_path_factory.mktemp("changed")
    (folder / "dora.tar.gz").write_bytes(gzip.compress(bytes(content), 1))
    new = Home(folder / "new")
    said = ""
    try:
        restore(new, folder / "dora.tar.gz", Silence())
    except BackupError as error:
        said = str(error)
    assert said.isprintable()
    assert (new.path / "source_selections.csv").exists() != bool(said)
    assert (list(new.path.iterdir()) == []) == bool(said)


def test_a_command_says_in_one_line_that_a_manifest_cannot_be(tmp_path: Path) -> None:
    for number, change in enumerate(({"path": "raw/\0file"}, {"modified_ns": 10**30})):
        manifest = {"format": 1, "program": "1.0.0", "made_at": "now", "files": [{**_EMPTY, **change}]}
        members = [
            (tarfile.TarInfo("raw/file"), b""),
            (tarfile.TarInfo("manifest.json"), json.dumps(manifest).encode()),
        ]
        archive = written(tmp_path / f"{number}.tar.gz", members)
        answer = process(tmp_path / "new", "restore", str(archive))
        assert (answer.code, answer.out) == (1, "")
        [line] = answer.err.splitlines()
        assert line.endswith("nothing was restored")
        assert "not expected" not in line


def test_what_was_put_in_place_before_the_disk_failed_is_taken_back(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "services" and self.parent.name == ".restoring":
            raise OSError(errno.EIO, "Input/output error", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(BackupError, match="Input/output error; the backup was not restored"):
        restore(Home(tmp_path / "new"), archive, Silence())
    assert list((tmp_path / "new").iterdir()) == []


def test_a_home_that_is_not_there_is_not_backed_up_as_an_empty_one(tmp_path: Path) -> None:
    answer = call(tmp_path / "hoem", "backup", str(tmp_path / "backup.tar.gz"))
    assert answer.code == 1
    assert f"{tmp_path}/hoem: there is no such folder" in answer.err
    assert list(tmp_path.iterdir()) == []


class _Steps:
    """A progress that keeps how far each step came."""

    def __init__(self) -> None:
        self.steps: dict[str, list[tuple[int, int]]] = {}

    def step(self, name: str, done: int, total: int) -> None:
        self.steps.setdefault(name, []).append((done, total))

    def note(self, message: str) -> None:
        """Notes are not kept."""


def test_work_that_takes_long_tells_how_far_it_is(loaded: TestHome, tmp_path: Path) -> None:
    steps = _Steps()
    report = back_up(loaded.home, tmp_path / "dora.tar.gz", steps)
    home = Home(tmp_path / "restored")
    restore(home, tmp_path / "dora.tar.gz", steps)
    run(home, rebuild=True, progress=steps)
    with open_reader(home) as connection:
        tables = export_tables(connection, tmp_path / "export", steps.step)
    assert steps.steps["back up"] == [(done, len(report.files)) for done in range(len(report.files) + 1)]
    assert steps.steps["export"] == [(done, len(tables)) for done in range(len(tables) + 1)]
    assert {"restore (MB)", "read deployment_event_api", "judge events", "load days", "publish"} <= steps.steps.keys()
    for name, told in steps.steps.items():
        assert told == sorted(told, key=lambda one: one[0] / max(one[1], 1)), name
        assert name == "restore (MB)" or told[-1][0] == told[-1][1], name
