"""`dora dev`: a working Dagster in one command, its settings, and how it starts and stops."""

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

import dagster as dg
import pytest

from dora_pipeline.cli.dagster_home import DagsterError, DagsterHome
from dora_pipeline.config import Home, project_folder
from dora_pipeline.errors import ConfigError
from dora_pipeline_tests.command import call, command_line, environment, process, without_root
from dora_pipeline_tests.dagster_servers import Dagster, free_port
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.waiting import PATIENCE, eventually

SHIPPED = (project_folder() / "dora_pipeline" / "dagster.yaml").read_text()


@contextmanager
def started(home: Path, port: int, before: Sequence[str] = ()) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """`dora dev` whose page answers, and what it has said until then."""
    command = [*before, *command_line("dev", "--port", str(port))]
    with subprocess.Popen(
        command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        try:
            assert child.stdout is not None
            said = []
            while not any(" is ready after " in line for line in said):
                line = child.stdout.readline()
                assert line, said
                said.append(line)
            yield child, said
        finally:
            child.terminate()


def said_until_the_end(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    rest = child.stdout.read()
    child.wait(PATIENCE)
    return rest


def processes_of(home: Path) -> list[int]:
    """The processes that were started for a home."""
    wanted = os.fsencode(f"DORA_HOME={home}")
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


@pytest.mark.slow
def test_one_command_shows_the_assets_and_ends_with_all_that_it_started(tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    # In a script's background, SIGINT is ignored, and Dagster alone would then ignore SIGTERM too.
    with started(home, port, ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]) as (child, said):
        page = Dagster(f"http://127.0.0.1:{port}")
        told = page.ask(
            """{
                assetNodes { id }
                workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } }
                instance { runQueueConfig { maxConcurrentRuns } runQueuingSupported }
            }"""
        )
        assert told["assetNodes"]
        assert told["workspaceOrError"]["locationEntries"] == [{"name": "dora_pipeline", "loadStatus": "LOADED"}]
        assert told["instance"]["runQueueConfig"] == {"maxConcurrentRuns": 2}
        assert f"http://127.0.0.1:{port} is ready" in "".join(said)
        again = process(home, "dev", "--port", str(free_port()))
        assert again.code == 1
        (line,) = again.err.splitlines()
        assert line == (
            f"dora: {home}/dagster: `dora dev` runs here already: process {child.pid}, http://127.0.0.1:{port}"
        )
        assert len(processes_of(home)) >= 4
        child.terminate()
        rest = said_until_the_end(child)
        assert child.returncode == 0
        assert rest.splitlines()[0].startswith("no source is selected yet; in another terminal: dora init")
        assert rest.splitlines()[-1] == "stopping"
    assert processes_of(home) == []
    assert (home / "dagster" / "history").is_dir()


@pytest.mark.slow
def test_ctrl_c_ends_it(home: TestHome) -> None:
    home.select_events()
    with started(home.home.path, free_port()) as (child, _):
        child.send_signal(signal.SIGINT)
        rest = said_until_the_end(child)
        assert (child.returncode, rest.splitlines()[-1]) == (0, "stopping")
    assert processes_of(home.home.path) == []


@pytest.mark.slow
def test_nothing_that_it_started_outlives_one_that_is_killed(home: TestHome) -> None:
    home.select_events()
    command = command_line("dev", "--port", str(free_port()))
    with subprocess.Popen(command, env=environment(home.home.path), stdout=subprocess.DEVNULL) as child:
        eventually(lambda: len(processes_of(home.home.path)) > 1, "Dagster begins")
        child.kill()
    eventually(lambda: processes_of(home.home.path) == [], "all of it ends")


def test_a_port_that_is_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = call(tmp_path / "home", "dev", "--port", str(port))
    assert answer.code == 1
    assert answer.err == f"dora: 127.0.0.1:{port}: Address already in use; name another with --host and --port\n"


def test_a_host_that_is_none_is_said_in_one_line(tmp_path: Path) -> None:
    answer = call(tmp_path / "home", "dev", "--host", "no host")
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert line == "dora: no host:3000: Name or service not known; name another with --host and --port"


def test_a_home_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    answer = process(home, "dev", before=without_root())
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert line.startswith(f"dora: {home}/dagster: cannot be written: Permission denied; DORA_HOME, and DAGSTER_HOME")


def test_settings_that_are_wrong_are_said_before_anything_starts(home: TestHome) -> None:
    home.settings(timezone="Mars")
    answer = call(home.home.path, "dev")
    assert answer.code == 1
    assert "timezone" in answer.err
    assert not (home.home.path / "dagster").exists()


# The folder with Dagster's settings


@pytest.fixture
def dagster(tmp_path: Path) -> DagsterHome:
    return DagsterHome(Home(tmp_path / "home"))


def test_the_shipped_settings_are_written_beside_the_history(dagster: DagsterHome, tmp_path: Path) -> None:
    assert dagster.make()
    assert dagster.settings == tmp_path / "home" / "dagster" / "dagster.yaml"
    assert SHIPPED in dagster.settings.read_text()
    assert dagster.environment["DAGSTER_HOME"] == str(tmp_path / "home" / "dagster")


def test_the_project_folder_has_the_same_settings_and_not_a_copy_of_them() -> None:
    for name in ("dagster.yaml", "workspace.yaml"):
        assert (project_folder() / "dora_pipeline" / name).resolve() == project_folder() / name


def test_settings_of_another_version_of_the_program_are_replaced(dagster: DagsterHome) -> None:
    dagster.make()
    former = "nux:\n  enabled: true\n"
    digest = subprocess.run(["sha256sum"], input=former.encode(), capture_output=True, check=True).stdout.decode()[:64]
    head = dagster.settings.read_text().partition("\n")[0]
    dagster.settings.write_text(f"{head[:-64]}{digest}\n{former}")
    assert dagster.make()
    assert SHIPPED in dagster.settings.read_text()


def test_half_of_the_settings_is_never_taken_for_those_of_the_user(dagster: DagsterHome) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(ConfigError, match=r"dagster\.yaml: cannot be written: File too large"):
            dagster.make()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert dagster.make()
    assert SHIPPED in dagster.settings.read_text()


@pytest.mark.parametrize("edit", ["a line more", "all their own", "nothing in it"])
def test_settings_that_the_user_has_changed_stay(dagster: DagsterHome, edit: str) -> None:
    dagster.make()
    written = dagster.settings.read_text()
    theirs = {"a line more": written + "\npython_logs: {}\n", "all their own": "nux: {}\n", "nothing in it": ""}[edit]
    dagster.settings.write_text(theirs)
    assert not dagster.make()
    assert dagster.settings.read_text() == theirs


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "dagster.yaml: postgres_url: the environment variable DAGSTER_PG_URL is not set; set it"),
        (
            "postgresql://dora:not-to-be-seen@127.0.0.1/dagster",
            "DAGSTER_PG_URL: begins with something else than postgresql+psycopg2://, which Dagster needs here",
        ),
    ],
)
def test_a_storage_that_dagster_could_not_open_is_said_in_one_line(
    dagster: DagsterHome, monkeypatch: pytest.MonkeyPatch, url: str | None, said: str
) -> None:
    dagster.make()
    own = (project_folder() / "docs/production/dagster-postgresql.yaml").read_text(encoding="utf-8")
    dagster.settings.write_text(own, encoding="utf-8")
    if url is not None:
        monkeypatch.setenv("DAGSTER_PG_URL", url)
    answer = process(dagster.path.parent, "dev", "--prepare")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.endswith(f"{said}\n")
    assert answer.err.count("\n") == 1
    assert "not-to-be-seen" not in answer.err
    (dagster.path / ".env").write_text("DAGSTER_PG_URL=postgresql+psycopg2://127.0.0.1/dagster\n", encoding="utf-8")
    assert not dagster.make()


def test_a_dagster_home_of_the_user_s_own_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "elsewhere"))
    dagster = DagsterHome(Home(tmp_path / "home"))
    dagster.make()
    assert (tmp_path / "elsewhere" / "dagster.yaml").exists()
    assert not (tmp_path / "home").exists()


def test_a_service_prepares_the_folder_before_dagster_starts(tmp_path: Path) -> None:
    answer = process(tmp_path / "home", "dev", "--prepare")
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    files = sorted(path.name for path in (tmp_path / "home" / "dagster").iterdir())
    assert files == ["dagster.version", "dagster.yaml"]


def test_a_new_storage_shows_the_days_that_are_loaded_before_dagster_starts(
    home: TestHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.select_events(at=datetime.now(UTC) - timedelta(days=2))
    home.run()
    for _ in range(2):
        answer = process(home.home.path, "dev", "--prepare")
        assert (answer.code, answer.out, answer.err) == (0, "", "")
    monkeypatch.setenv("DAGSTER_HOME", str(home.home.path / "dagster"))
    with dg.DagsterInstance.get() as instance:
        found = instance.fetch_materializations(dg.AssetKey(["metrics", "daily"]), limit=10).records
    assert len({record.partition_key for record in found}) == len(found) == 3


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dagster = DagsterHome(Home(Path("home")))
    assert dagster.environment["DORA_HOME"] == str(tmp_path / "home")
    assert dagster.environment["DAGSTER_HOME"] == str(tmp_path / "home" / "dagster")


def test_the_storage_of_another_version_of_dagster_is_taken_over_once(dagster: DagsterHome) -> None:
    dagster.make()
    assert not dagster.migrate()
    noted = dagster.path / "dagster.version"
    assert noted.read_text().strip() == metadata.version("dagster")
    noted.write_text("1.12.0\n")
    assert dagster.migrate()
    assert not dagster.migrate()
    assert (dagster.path / "history" / "runs.db").exists()


def test_a_storage_that_cannot_be_taken_over_is_an_error(dagster: DagsterHome) -> None:
    dagster.make()
    (dagster.path / "history").mkdir()
    (dagster.path / "history" / "runs.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(DagsterError, match="could not take over its storage"):
        dagster.migrate()
    assert not (dagster.path / "dagster.version").exists()


def test_the_shipped_settings_are_ones_that_dagster_takes(dagster: DagsterHome) -> None:
    dagster.make()
    command = [sys.executable, "-m", "dagster", "instance", "info"]
    ended = subprocess.run(command, env=dagster.environment, cwd=dagster.path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "retry_on_asset_or_op_failure: false" in ended.stdout
    assert "default_limit: 1" in ended.stdout
