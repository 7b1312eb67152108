"""The transformation on a Spark of several processes, of which some are lost in the middle of statements.

DORA_TEST_SEED says which random world it is, DORA_TEST_SERVICES how many services it has.
"""

import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pytest

from dora_pipeline_tests import stored
from dora_pipeline_tests.command import command_line, environment
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.random_repositories import random_repository
from dora_pipeline_tests.random_settings import STAGES
from dora_pipeline_tests.random_worlds import random_world
from dora_pipeline_tests.spark_servers import TOKEN, Cluster, running_cluster, running_server
from dora_pipeline_tests.systems.test_spark import assert_equal, use_engine
from dora_pipeline_tests.told_worlds import tell
from dora_pipeline_tests.waiting import PATIENCE

State = dict[str, list[str]]
FOLDER = re.compile(r"dora-[0-9a-f]{32}")


def stored_tables(storage: Path) -> State:
    """What the manifest of a storage names, as `TestHome.tables` gives the published file."""
    known = stored.manifest(storage)
    with duckdb.connect() as connection:
        stored.define(connection, str(storage), known)
        names = [name for name in known["tables"] if not name.startswith("landing.")]
        rows = "SELECT COLUMNS(lambda c: c <> 'last_run_at') FROM"
        return {name: sorted(map(repr, connection.execute(f"{rows} {name}").fetchall())) for name in names}


class Reader(threading.Thread):
    """Reads both publications over and over: each state that it saw, in order.

    Nobody else in this process may read them meanwhile: DuckDB then says at times that there is no such file.
    """

    def __init__(self, home: TestHome, storage: Path) -> None:
        super().__init__()
        self._home, self._storage = home, storage
        self._ended = threading.Event()
        self.files: list[State] = []
        self.manifests: list[State] = []
        self.errors: list[Exception] = []

    def run(self) -> None:
        """Until `end`, or an error."""
        try:
            while not self._ended.wait(1):
                _note(self.files, self._home.tables())
                _note(self.manifests, stored_tables(self._storage))
        except Exception as error:
            self.errors.append(error)

    def end(self) -> None:
        """Read no more."""
        self._ended.set()
        self.join()


def _note(states: list[State], state: State) -> None:
    if not states or states[-1] != state:
        states.append(state)


@contextmanager
def reading(home: TestHome, storage: Path) -> Iterator[Reader]:
    """A reader that reads all the time."""
    reader = Reader(home, storage)
    reader.start()
    try:
        yield reader
    finally:
        reader.end()


@contextmanager
def started_run(home: TestHome) -> Iterator[subprocess.Popen[str]]:
    """`dora run` as a process of its own."""
    process = subprocess.Popen(command_line("run"), env=environment(home.home.path), stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def folders(storage: Path) -> set[str]:
    """The folders of statements that are there."""
    return {path.name for path in storage.iterdir() if FOLDER.fullmatch(path.name)}


def each_statement(run: subprocess.Popen[str], storage: Path) -> Iterator[str]:
    """The folder of each statement of a run, at a moment when a task of Spark writes there."""
    before = folders(storage)
    while run.poll() is None:
        # What is seen there may be gone before it is looked into.
        with suppress(FileNotFoundError):
            written = storage.glob("dora-*/*/_temporary/0/_temporary/attempt_*")
            found = next((path.relative_to(storage).parts[0] for path in written), None)
            if found is not None and found not in before:
                before.add(found)
                yield found
        time.sleep(0.002)


def wait_for_statement(run: subprocess.Popen[str], storage: Path, number: int) -> None:
    """Return in the middle of the run's statement of that number."""
    statements = each_statement(run, storage)
    for _ in range(number):
        assert next(statements, None) is not None, f"the run ended before statement {number}: {run.communicate()}"


def lose_workers(run: subprocess.Popen[str], storage: Path, cluster: Cluster) -> int:
    """Lose a worker, and start another, in the middle of every fourth statement: how many were lost."""
    lost = 0
    for number, _ in enumerate(each_statement(run, storage)):
        if number % 4 == 1:
            cluster.lose_worker()
            cluster.add_worker()
            lost += 1
    return lost


@pytest.mark.timeout(3600)
def test_whoever_is_lost_in_the_middle_readers_see_the_old_state_or_the_new_one_and_it_is_that_of_duckdb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = random.Random(int(os.environ.get("DORA_TEST_SEED", "12")))
    remote, storage = tmp_path / "app.git", tmp_path / "storage"
    repository = random_repository(choose, remote)
    world = random_world(choose, int(os.environ.get("DORA_TEST_SERVICES", "25")), repository, STAGES)
    plain, sparked = TestHome(tmp_path / "plain"), TestHome(tmp_path / "sparked")
    storage.mkdir()
    monkeypatch.setenv("DORA_SPARK_TOKEN", TOKEN)
    for stage in range(len(STAGES)):
        state = choose.getstate()
        for home, engine in ((plain, None), (sparked, {"kind": "duckdb", "storage": str(storage)})):
            choose.setstate(state)
            tell(home, world, stage, remote, choose, engine)
            if home is plain or stage < len(STAGES) - 1:
                home.run()
    old = sparked.tables()
    assert stored_tables(storage) == old
    with running_cluster(tmp_path / "cluster") as cluster, reading(sparked, storage) as reader:
        with running_server(tmp_path / "first", cluster.url) as server:
            use_engine(sparked, kind="spark", url=server.url, storage=str(storage))
            with started_run(sparked) as run:
                wait_for_statement(run, storage, 2)
                run.send_signal(signal.SIGKILL)
            assert len(folders(storage)) == 1
            with started_run(sparked) as run:
                wait_for_statement(run, storage, 2)
                server.lose()
                _, error = run.communicate(timeout=PATIENCE)
            assert run.returncode == 1
            lost = rf"engine: {server.url} did not run \w+\.\w+: \w.*connect.*run again.*; nothing of it has come"
            assert re.search(lost, error), error
            assert "Traceback" not in error
            assert not folders(storage)
        assert not reader.errors
        assert reader.files == reader.manifests == [old]
        with running_server(tmp_path / "second", cluster.url) as server:
            use_engine(sparked, kind="spark", url=server.url, storage=str(storage))
            with started_run(sparked) as run:
                lost = lose_workers(run, storage, cluster)
                _, error = run.communicate(timeout=PATIENCE)
            assert run.returncode == 0, error
            assert server.log.read_text(encoding="utf-8").count("Lost executor") >= lost >= 2
    new = sparked.tables()
    assert not reader.errors
    assert reader.files == reader.manifests == [old, new]
    assert_equal(plain, sparked)
    stored.assert_equal(sparked, storage)
    assert {path.name for path in storage.iterdir()} == {"files", "manifest.json"}
