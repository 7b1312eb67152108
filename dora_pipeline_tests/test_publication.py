"""The published file: nobody writes it, and what a client of root writes all the same is seen by nobody for long.

`systems/` runs these tests again with clients of DuckDB 1.2.
"""

import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path

import duckdb
import pytest

from dora_pipeline.errors import WarehouseError
from dora_pipeline.pipeline.runs import begin
from dora_pipeline.pipeline.sources import source_states
from dora_pipeline.settings import read_settings
from dora_pipeline.sources.registry import SOURCES
from dora_pipeline.warehouse.reader import open_reader
from dora_pipeline.warehouse.writer import open_writer
from dora_pipeline_tests.command import process, without_root
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.warehouse_clients import NOBODY, WarehouseClient, make_writable, warehouse_client

Clients = Callable[..., AbstractContextManager[WarehouseClient]]

COUNT = "SELECT COUNT(*) FROM core.deployments"
_DELETE = "DELETE FROM core.deployments"
_INSERT = "INSERT INTO core.deployments SELECT * FROM core.deployments"
_ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
_COMPANIONS = ["warehouse.duckdb.wal", "warehouse.duckdb.wal.checkpoint", "warehouse.duckdb.wal.recovery"]


@pytest.fixture
def duckdb_folder() -> Path | None:
    """Where the DuckDB of the clients is installed; None is the one of the project."""
    return None


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home in which three deployments are published. Copy it."""
    home = TestHome(tmp_path_factory.mktemp("homes") / "loaded")
    home.select_events()
    for day in (6, 7, 8):
        home.deploy("shop", f"2024-05-0{day} 10:00:00", version=f"v{day}")
    home.run()
    return home


@pytest.fixture
def published(loaded: TestHome, tmp_path: Path) -> TestHome:
    """A home of one's own in which three deployments are published."""
    shutil.copytree(loaded.home.path, tmp_path / "home")
    return TestHome(tmp_path / "home")


@pytest.fixture
def clients(published: TestHome, duckdb_folder: Path | None) -> Clients:
    """Clients of that home that may write: as root may anyway, and the owner of the file once its mode is changed."""
    make_writable(published.home.warehouse)
    return partial(warehouse_client, published.home.warehouse, duckdb_folder=duckdb_folder)


def seen(home: TestHome, clients: Clients) -> set[str]:
    """How many deployments are seen: by our commands, this process, and a client that opens the file read-only."""
    with open_reader(home.home) as connection:
        answers = {str(connection.execute(COUNT).fetchall())}
    answers.add(str(home.rows(COUNT)))
    with clients() as client:
        for opening in ("open read-only", "attach (READ_ONLY)"):
            assert client.say(opening) == "done"
            answers.add(client.say(COUNT))
            client.say("close")
    return {answer.strip("[(,)]") for answer in answers}


def beside(home: TestHome) -> list[str]:
    """What lies beside the published file, and has a name that DuckDB looks for."""
    return sorted(path.name for path in home.home.path.glob("warehouse.duckdb?*"))


# Its mode


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_published_file_can_be_read_by_all_and_written_by_nobody(published: TestHome, umask: int) -> None:
    before = os.umask(umask)
    try:
        for rebuild in (False, True):
            published.run(rebuild=rebuild)
            assert stat.S_IMODE(published.home.warehouse.stat().st_mode) == 0o444
    finally:
        os.umask(before)


@pytest.mark.parametrize("user", ["its owner", pytest.param("another user", marks=_ONLY_ROOT)])
def test_a_client_that_is_not_root_cannot_open_it_to_write_and_can_read_it(
    published: TestHome, duckdb_folder: Path | None, user: str
) -> None:
    # Others cannot enter the folders of pytest.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        warehouse = Path(folder) / "warehouse.duckdb"
        shutil.copy2(published.home.warehouse, warehouse)
        with warehouse_client(
            warehouse,
            duckdb_folder=duckdb_folder,
            user=NOBODY if user == "another user" else None,
            before=without_root() if user == "its owner" else (),
        ) as client:
            assert "Permission denied" in client.say("open")
            assert "Permission denied" in client.say("attach")
            assert client.say("open read-only") == "done"
            assert client.say(COUNT) == "[(3,)]"
            assert client.say("attach (READ_ONLY)") == "done"
            assert client.say(COUNT) == "[(3,)]"
            assert "read-only" in client.say(_DELETE)
        assert [path.name for path in Path(folder).iterdir()] == ["warehouse.duckdb"]


# Clients that write all the same


@pytest.mark.parametrize("statement", [_DELETE, _INSERT])
def test_a_client_that_writes_and_is_killed_is_seen_by_none_of_our_commands_and_by_nobody_after_a_run(
    published: TestHome, clients: Clients, statement: str
) -> None:
    with clients() as client:
        assert client.say("open") == "done"
        client.say(statement)
        client.kill()
    assert beside(published) == ["warehouse.duckdb.wal"]
    left = (published.home.path / "warehouse.duckdb.wal").read_bytes()
    told = process(published.home.path, "sql", COUNT, "--format", "csv")
    assert told.out.split()[-1] == "3"
    assert beside(published) == []
    (published.home.path / "warehouse.duckdb.wal").write_bytes(left)
    published.run()
    assert beside(published) == []
    assert seen(published, clients) == {"3"}
    assert [note for note in published.notes.notes if "a client opened the warehouse to write" in note] == [
        "warehouse.duckdb.wal removed: a client opened the warehouse to write; clients should open it read-only"
    ]


def test_a_client_that_writes_and_stays_is_refused_to_others_until_the_next_run(
    published: TestHome, clients: Clients
) -> None:
    with clients() as client:
        client.say("open")
        client.say(_DELETE)
        told = process(published.home.path, "sql", COUNT)
        assert told.code == 1
        (line,) = told.err.splitlines()
        assert "a client has it open to write: end that, or publish anew by `dora run`" in line
        published.run()
        assert seen(published, clients) == {"3"}
        client.say(_INSERT)
        assert client.say("close") == "done"
    assert seen(published, clients) == {"3"}
    published.run()
    assert seen(published, clients) == {"3"}
    assert beside(published) == []


@pytest.mark.parametrize("end", ["killed", "closed"])
def test_a_client_that_first_writes_after_a_publication_is_seen_until_the_next_one_at_most(
    published: TestHome, clients: Clients, end: str
) -> None:
    with clients() as client:
        client.say("open")
        published.run()
        client.say(_DELETE)
        told = process(published.home.path, "sql", COUNT, "--format", "csv")
        assert told.out.split()[-1] == "3"
        client.say(_INSERT)
        if end == "closed":
            client.say("close")
        else:
            client.kill()
    published.run()
    assert seen(published, clients) == {"3"}
    assert beside(published) == []


def test_a_run_with_nothing_new_puts_right_what_a_client_wrote_into_the_file(
    published: TestHome, clients: Clients
) -> None:
    with clients() as client:
        client.say("open")
        client.say(_DELETE)
        client.say("CHECKPOINT")
        client.say("close")
    assert published.rows(COUNT) == [(0,)]
    assert list(published.run().days) == []
    assert seen(published, clients) == {"3"}
    assert f"{published.home.warehouse}: is not as the last run left it" in published.notes.notes[-1]
    published.run()
    assert len([note for note in published.notes.notes if "not as the last run left it" in note]) == 1


def test_a_warehouse_from_before_with_a_companion_is_healed_by_the_next_run(
    published: TestHome, clients: Clients
) -> None:
    # As the program left it before: writable for its owner, and nothing was noted.
    published.home.warehouse.chmod(0o644)
    (published.home.work / "published.json").unlink()
    with clients() as client:
        client.say("open")
        client.say(_DELETE)
        client.kill()
    published.run()
    assert seen(published, clients) == {"3"}
    assert stat.S_IMODE(published.home.warehouse.stat().st_mode) == 0o444


@pytest.mark.parametrize("rebuild", [False, True])
def test_whatever_has_the_name_of_a_companion_goes(published: TestHome, clients: Clients, rebuild: bool) -> None:
    for name in _COMPANIONS:
        path = published.home.path / name
        path.mkdir()
        (path / "inside").write_bytes(b"garbage")
    assert len(source_states(published.home)) == len(SOURCES)
    assert beside(published) == []
    for name, make in zip(_COMPANIONS, (Path.mkdir, Path.touch, _dangling_link), strict=True):
        make(published.home.path / name)
    published.run(rebuild=rebuild)
    assert beside(published) == []
    assert seen(published, clients) == {"3"}


def _dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def test_a_reader_that_may_not_remove_a_companion_refuses_and_names_it(published: TestHome, clients: Clients) -> None:
    with clients() as client:
        client.say("open")
        client.say(_DELETE)
        client.kill()
    published.home.path.chmod(0o555)
    told = process(published.home.path, "sql", COUNT, before=without_root())
    published.home.path.chmod(0o755)
    assert told.code == 1
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert line.startswith(f"dora: {published.home.warehouse}.wal: cannot be removed: Permission denied. A client ")
    assert seen(published, clients) == {"3"}


@pytest.mark.slow
def test_readers_that_open_it_while_it_is_published_and_spoiled_again_and_again_see_only_what_was_published(
    published: TestHome, clients: Clients
) -> None:
    with clients() as client:
        client.say("open")
        client.say(_DELETE)
        client.kill()
    companion = published.home.path / "warehouse.duckdb.wal"
    left = companion.read_bytes()
    is_over = threading.Event()
    counts: list[int] = []
    errors: list[BaseException] = []

    def spoil() -> None:
        while not is_over.wait(0.002):
            written = published.home.path / "written"
            written.write_bytes(left)
            written.rename(companion)

    def read() -> None:
        try:
            while not is_over.is_set():
                # A client that does not rest is named in the end.
                with suppress(WarehouseError), open_reader(published.home) as connection:
                    counts.extend(connection.execute(COUNT).fetchall()[0])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=target) for target in (spoil, read, read)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            published.run()
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert errors == []
    with open_reader(published.home) as connection:
        counts.extend(connection.execute(COUNT).fetchall()[0])
    assert set(counts) == {3}
    published.run()
    assert seen(published, clients) == {"3"}


# Whether it is as it was left


def test_a_run_publishes_again_what_is_not_as_it_was_left(published: TestHome, tmp_path: Path) -> None:
    home, warehouse = published.home, published.home.warehouse
    settings = read_settings(home)

    def other_content_of_the_same_size_and_time() -> None:
        times = warehouse.stat()
        content = warehouse.read_bytes()
        warehouse.chmod(0o644)
        warehouse.write_bytes(content[:-100] + bytes(100))
        warehouse.chmod(0o444)
        os.utime(warehouse, ns=(times.st_atime_ns, times.st_mtime_ns))

    def another_file_of_the_same_content() -> None:
        shutil.copy2(warehouse, tmp_path / "copy")
        os.replace(tmp_path / "copy", warehouse)

    with open_writer(home, settings, "test") as writer:
        run = begin(writer, home, settings, published.notes, fetches=True)
        assert run.publish()
        left = warehouse.stat().st_ino
        assert run.publish()
        assert warehouse.stat().st_ino == left
        for change in (
            lambda: warehouse.chmod(0o644),
            warehouse.touch,
            warehouse.unlink,
            (home.path / "warehouse.duckdb.wal").mkdir,
            other_content_of_the_same_size_and_time,
            another_file_of_the_same_content,
        ):
            change()
            assert run.publish()
            assert stat.S_IMODE(warehouse.stat().st_mode) == 0o444
            assert beside(published) == []
            now = warehouse.stat().st_ino
            assert run.publish()
            assert warehouse.stat().st_ino == now
    assert published.rows(COUNT) == [(3,)]


# What is the working database's, and what is a reader's


def test_what_is_left_of_a_working_database_that_is_gone_is_not_replayed_onto_the_next(published: TestHome) -> None:
    working = published.home.work / "warehouse.duckdb"
    with warehouse_client(working) as client:
        client.say("open")
        client.say(_DELETE)
        client.kill()
    left = working.with_name("warehouse.duckdb.wal").read_bytes()
    for suffix in (".wal", ".wal.checkpoint", ".wal.recovery"):
        working.with_name(working.name + suffix).write_bytes(left)
    published.run(rebuild=True)
    assert published.rows(COUNT) == [(3,)]
    assert sorted(path.name for path in published.home.work.glob("warehouse.duckdb*")) == ["warehouse.duckdb"]


def test_what_a_killed_run_has_committed_in_the_working_database_is_kept_when_a_reader_comes(
    published: TestHome,
) -> None:
    working = published.home.work / "warehouse.duckdb"
    with warehouse_client(working) as client:
        client.say("open")
        client.say("CREATE TABLE landing.noted AS SELECT 1 AS one")
        client.kill()
    with open_reader(published.home) as connection:
        assert connection.execute(COUNT).fetchall() == [(3,)]
    published.run()
    assert published.rows("SELECT one FROM landing.noted") == [(1,)]


@pytest.mark.parametrize(("age", "is_kept"), [(3600, True), (2 * 86_400, False)])
def test_what_readers_spill_stays_until_nobody_has_touched_it_for_a_day(
    published: TestHome, age: int, is_kept: bool
) -> None:
    spill = published.home.path / "warehouse.duckdb.tmp"
    spill.mkdir()
    (spill / "duckdb_temp_storage-0.tmp").write_bytes(b"rows")
    for path in (spill / "duckdb_temp_storage-0.tmp", spill):
        os.utime(path, (time.time() - age, time.time() - age))
    published.run()
    assert spill.exists() == is_kept


def test_a_reader_that_has_the_file_open_goes_on_when_it_is_published_again(published: TestHome) -> None:
    with duckdb.connect(str(published.home.warehouse), read_only=True) as reader:
        published.deploy("shop", "2024-05-09 10:00:00")
        published.run()
        assert reader.execute(COUNT).fetchall() == [(3,)]
    assert published.rows(COUNT) == [(4,)]
