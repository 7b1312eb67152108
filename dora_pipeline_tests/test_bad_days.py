"""Operating: runs that are killed, repeated, reversed, locked out, or that meet full disks and broken files."""

import gzip
import json
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
import yaml

from dora_pipeline.errors import ConfigError, SourceError, WarehouseError
from dora_pipeline.pipeline.sources import source_states
from dora_pipeline_tests.command import call, command_line, environment, process, without_root
from dora_pipeline_tests.examples import examples
from dora_pipeline_tests.full_homes import DAYS, FIRST_DAY, copied, fill, rebuilt, set_time
from dora_pipeline_tests.homes import DEPLOYMENTS_BY_APM, TestHome

Tables = dict[str, list[str]]

_RUN = """
import sys
from pathlib import Path
from dora_pipeline.config import Home
from dora_pipeline.pipeline.runs import run
class Steps:
    def step(self, name, done, total):
        print(name, flush=True)
    def note(self, message):
        pass
print("ready", flush=True)
run(Home(Path(sys.argv[1])), rebuild=sys.argv[2] == "rebuild", progress=Steps())
"""
_HOLD = """
import sys
from pathlib import Path
from dora_pipeline.config import Home, Settings
from dora_pipeline.warehouse.writer import open_writer
with open_writer(Home(Path(sys.argv[1])), Settings(), "the nightly run"):
    print("ready", flush=True)
    sys.stdin.readline()
"""
_READ = """
import sys
import duckdb
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    connection.execute("BEGIN")
    print(connection.execute("SELECT COUNT(*) FROM core.deployments").fetchall()[0][0], flush=True)
    sys.stdin.readline()
    print(connection.execute("SELECT COUNT(*) FROM core.deployments").fetchall()[0][0], flush=True)
    print(connection.execute("SELECT SUM(deployments) FROM metrics.daily").fetchall()[0][0], flush=True)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home in which everything was told and nothing has run. Copy it."""
    home = TestHome(tmp_path_factory.mktemp("homes") / "told")
    fill(home)
    return home


@pytest.fixture(scope="module")
def loaded(told: TestHome) -> TestHome:
    """The same after one run. Copy it."""
    home = copied(told, told.home.path.with_name("loaded"))
    home.run()
    return home


@pytest.fixture(scope="module")
def expected(loaded: TestHome) -> Tables:
    """The tables after one run that nothing disturbed."""
    tables = loaded.tables()
    assert len(tables["core.deployments"]) == 6 * DAYS
    assert len(tables["core.deployment_commits"]) == 2 * (DAYS - 1)
    assert all(tables.values())
    return tables


@pytest.fixture
def mine(loaded: TestHome, tmp_path: Path) -> TestHome:
    """A loaded home of one's own."""
    return copied(loaded, tmp_path / "mine")


@contextmanager
def _child(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has said its first line."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def _line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


# Killed, repeated, reversed


@pytest.mark.slow
def test_runs_that_are_killed_at_any_moment_end_in_the_same_tables(tmp_path: Path) -> None:
    home = TestHome(tmp_path / "mine")
    fill(home, range(4))
    home.run()
    # The runs begin from a published state, so that one that replaces it is killed too.
    former = home.tables()
    fill(home, range(4, DAYS))
    undisturbed = copied(home, tmp_path / "undisturbed")
    with _child(_RUN, str(undisturbed.home.path), "run") as child:
        assert child.stdout is not None
        steps = len(child.stdout.readlines())
        assert child.wait() == 0
    expected = undisturbed.tables()
    chance = random.Random(20260301)
    killed = 0
    for turn in range(examples(3)):
        with _child(_RUN, str(home.home.path), "rebuild" if turn % 3 == 2 else "run") as child:
            for _ in range(chance.randrange(1, steps + 1)):
                _line(child)
            # Somewhere in the step that has begun, or after the last one.
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=chance.uniform(0, 0.2))
            killed += child.poll() is None
            child.send_signal(signal.SIGKILL)
            child.wait()
        assert home.tables() in (former, expected)
    home.run()
    assert killed > 0
    assert home.tables() == expected
    assert _files(home) == _files(undisturbed)


def _files(home: TestHome) -> set[str]:
    """The files outside of git/, which a run leaves, without the mark of a segment that is drawn by lot."""
    paths = (path.relative_to(home.home.path) for path in home.home.path.rglob("*") if path.is_file())
    return {re.sub(r"\.[0-9a-f]{8}\.", ".", str(path)) for path in paths if path.parts[0] != "git"}


def test_running_again_and_loading_the_same_days_again_change_nothing(mine: TestHome, expected: Tables) -> None:
    assert list(mine.run().days) == []
    assert mine.tables() == expected
    mine.run(str(FIRST_DAY), str(FIRST_DAY + timedelta(days=DAYS)))
    assert mine.tables() == expected


def test_days_one_by_one_from_the_last_to_the_first_end_in_the_same_tables(
    told: TestHome, expected: Tables, tmp_path: Path
) -> None:
    home = copied(told, tmp_path / "mine")
    home.run("2024-04-01")
    for number in reversed(range(DAYS + 1)):
        report = home.run(str(FIRST_DAY + timedelta(days=number)))
    assert report.stale == []
    assert home.tables() == expected


def test_a_rebuild_ends_in_the_same_tables_also_where_one_day_is_asked_for(mine: TestHome, expected: Tables) -> None:
    mine.run("2024-05-06", rebuild=True)
    assert mine.tables() == expected


def test_a_rebuild_needs_neither_the_event_store_nor_the_repositories(
    loaded: TestHome, expected: Tables, tmp_path: Path
) -> None:
    home = copied(loaded, tmp_path / "mine")
    shutil.rmtree(home.home.intake)
    settings = home.home.settings_file
    settings.write_text(settings.read_text().replace(str(loaded.home.path.parent), str(tmp_path / "gone")))
    assert rebuilt(home) == expected
    assert not home.home.intake.exists()


def test_what_a_killed_publication_left_is_removed(mine: TestHome) -> None:
    half = mine.home.path / "warehouse.duckdb.publishing-99999"
    half.write_bytes(mine.home.warehouse.read_bytes()[:100_000])
    mine.run()
    assert not half.exists()


# A full disk


@dataclass
class Shortage:
    """A folder in which space runs out: on a disk that is filled, or by a limit to the size of every file."""

    folder: Path
    ballast: Path | None = None
    spare: int = 0
    before: Sequence[str] = ()

    def begin(self, home: TestHome) -> None:
        """Leave `spare` bytes on the disk, or let no file become larger than the working database is."""
        if self.ballast is None:
            blocks = (home.home.work / "warehouse.duckdb").stat().st_size // 512
            self.before = ["sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh"]
        else:
            self.ballast.write_bytes(bytes(shutil.disk_usage(self.folder).free - self.spare))

    def end(self) -> None:
        """Make space."""
        self.before = ()
        if self.ballast is not None:
            self.ballast.unlink()


def _may_mount() -> bool:
    """Whether this process may make a small disk of its own."""
    script = 'folder=$(mktemp -d) && mount -t tmpfs -o size=1m tmpfs "$folder" && umount "$folder"; rmdir "$folder"'
    probe = ["unshare", "--mount", "sh", "-c", f"set -e; {script}"]
    try:
        return subprocess.run(probe, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


_LIMIT = pytest.param(None, id="a limit to files")
_DISKS = [
    pytest.param(0, id="nothing left"),
    pytest.param(300_000, id="too little to load"),
    pytest.param(8_000_000, id="too little to publish"),
]


@pytest.fixture(params=[_LIMIT, *(_DISKS if _may_mount() else ())])
def shortage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shortage]:
    """Space that runs out: by a limit everywhere, and on a small disk where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param is None:
        yield Shortage(folder)
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)], check=True)
    try:
        yield Shortage(folder, folder / "ballast", request.param)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_leaves_the_former_warehouse_and_the_next_run_with_space_publishes(shortage: Shortage) -> None:
    home = TestHome(shortage.folder / "home")
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00")
    home.run()
    former = home.tables()
    for second in range(40):
        home.deploy("shop", f"2024-05-07 10:00:{second:02}", version="x" * 20_000)
    shortage.begin(home)
    answer = process(home.home.path, "run", before=shortage.before)
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert str(home.home.path) in line
    assert "ake space and run `dora run` again" in line
    assert home.tables() == former
    shortage.end()
    home.run()
    assert home.rows("SELECT COUNT(*) FROM core.deployments") == [(41,)]


# Two at once


def test_a_second_run_waits_and_says_for_whom(told: TestHome, expected: Tables, tmp_path: Path) -> None:
    home = copied(told, tmp_path / "mine")
    with _child(_HOLD, str(home.home.path)) as holder:
        assert _line(holder) == "ready"
        with subprocess.Popen(
            command_line("run"), env=environment(home.home.path), stderr=subprocess.PIPE, text=True
        ) as waiting:
            assert waiting.stderr is not None
            assert waiting.stderr.readline().startswith(f"waiting for the nightly run (process {holder.pid}, since ")
            assert waiting.poll() is None
            holder.communicate("done\n")
            assert waiting.wait() == 0
            assert [line for line in waiting.stderr if not line.startswith(("warning: ", "`dora check`"))] == []
    assert holder.returncode == 0
    assert home.tables() == expected


def test_two_runs_at_the_same_time_both_succeed(told: TestHome, expected: Tables, tmp_path: Path) -> None:
    home = copied(told, tmp_path / "mine")
    with _child(_RUN, str(home.home.path), "run") as one, _child(_RUN, str(home.home.path), "run") as other:
        assert (one.wait(), other.wait()) == (0, 0)
    assert home.tables() == expected


def test_a_lock_that_stays_taken_is_an_error_that_names_its_holder(mine: TestHome) -> None:
    mine.settings(lock_timeout="1s")
    with _child(_HOLD, str(mine.home.path)) as holder:
        assert _line(holder) == "ready"
        with pytest.raises(WarehouseError, match=rf"the nightly run \(process {holder.pid}, since .*lock_timeout"):
            mine.run()


def test_a_lock_goes_with_the_process_that_held_it(mine: TestHome) -> None:
    with _child(_HOLD, str(mine.home.path)) as holder:
        assert _line(holder) == "ready"
        holder.kill()
        holder.wait()
        mine.run()
    assert not any("waiting" in note for note in mine.notes.notes)


def test_a_reader_keeps_its_state_while_runs_go_on(mine: TestHome) -> None:
    ((before, before_daily),) = mine.rows(
        "SELECT (SELECT COUNT(*) FROM core.deployments), (SELECT SUM(deployments) FROM metrics.daily)"
    )
    with _child(_READ, str(mine.home.warehouse)) as reader:
        assert _line(reader) == str(before)
        mine.deploy("shop", "2024-03-20 10:00:00", version="new")
        mine.run()
        mine.run(rebuild=True)
        assert mine.rows("SELECT COUNT(*) FROM core.deployments") == [(before + 1,)]
        out, _ = reader.communicate("go on\n")
    assert out.split() == [str(before), str(before_daily)]
    assert mine.rows("SELECT SUM(deployments) FROM metrics.daily") == [(before_daily + 1,)]


# The file that people open


def test_the_published_file_is_readable_by_duckdb_1_2(loaded: TestHome) -> None:
    content = loaded.home.warehouse.read_bytes()[:20]
    assert content[8:12] == b"DUCK"
    assert struct.unpack("<Q", content[12:20])[0] in (64, 65)
    assert loaded.rows("SELECT tags['storage_version'] FROM duckdb_databases() WHERE path IS NOT NULL") == [
        ("v1.2.0+",)
    ]


def test_every_table_and_column_has_a_comment(loaded: TestHome) -> None:
    tables = loaded.rows("SELECT schema_name, table_name, comment FROM duckdb_tables()")
    columns = loaded.rows("SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal")
    assert {schema for schema, _, _ in tables} == {"core", "metrics", "landing"}
    assert len(columns) > 150
    assert [row for row in tables + columns if not row[2]] == []


def test_a_warehouse_of_another_version_is_refused_and_a_rebuild_helps(mine: TestHome, expected: Tables) -> None:
    with duckdb.connect(str(mine.home.work / "warehouse.duckdb")) as connection:
        connection.execute("UPDATE landing.properties SET value = '999' WHERE name = 'schema_version'")
    with pytest.raises(WarehouseError, match=r"schema version 999.*dora run --rebuild"):
        mine.run()
    assert mine.tables() == expected
    assert rebuilt(mine) == expected


@pytest.mark.parametrize("damage", ["garbage", "cut"])
def test_a_broken_working_file_is_a_clear_error_and_a_rebuild_helps(
    mine: TestHome, expected: Tables, damage: str
) -> None:
    working = mine.home.work / "warehouse.duckdb"
    working.write_bytes(b"garbage" * 1000 if damage == "garbage" else working.read_bytes()[:500_000])
    with pytest.raises(WarehouseError, match="dora run --rebuild") as raised:
        mine.run()
    assert str(working) in str(raised.value)
    assert mine.tables() == expected
    assert rebuilt(mine) == expected


def test_a_working_folder_that_is_lost_is_made_again(mine: TestHome, expected: Tables) -> None:
    shutil.rmtree(mine.home.work)
    mine.run()
    assert mine.tables() == expected


def test_a_published_file_that_is_lost_is_published_again(mine: TestHome, expected: Tables) -> None:
    mine.home.warehouse.unlink()
    mine.run()
    assert mine.tables() == expected


def test_a_broken_published_file_is_a_clear_error_and_the_next_run_mends_it(mine: TestHome, expected: Tables) -> None:
    mine.home.warehouse.unlink()
    mine.home.warehouse.write_bytes(b"garbage")
    answer = call(mine.home.path, "sql", "SELECT 1")
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert f"{mine.home.warehouse}: cannot be opened" in line
    mine.run()
    assert mine.tables() == expected


# Folders without permission


@pytest.mark.parametrize(
    ("folder", "named"), [(".", "work"), ("work", "work"), ("raw/deployment_event_api", "raw/deployment_event_api")]
)
def test_a_home_that_cannot_be_written_is_told_in_a_sentence(mine: TestHome, folder: str, named: str) -> None:
    if folder == ".":
        shutil.rmtree(mine.home.work)
    mine.deploy("shop", "2024-05-06T07:08:09")
    forbidden = mine.home.path / folder
    forbidden.chmod(0o500)
    answer = process(mine.home.path, "run", before=without_root())
    forbidden.chmod(0o700)
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert str(mine.home.path / named) in line
    assert "Permission denied; " in line


# Changes of settings, catalog and files


@pytest.mark.parametrize(
    ("settings", "query", "rows"),
    [
        (
            {"timezone": "Asia/Tokyo"},
            "SELECT MIN(day)::VARCHAR FROM core.deployments WHERE service = 'api'",
            [("2024-03-02",)],
        ),
        (
            {"environments": {"live": ["prod"]}},
            "SELECT DISTINCT env FROM core.deployments ORDER BY env",
            [("Production",), ("live",), ("staging",)],
        ),
        (
            {"sources": {"apm_deployment_tracking": {"quiet_gap": "10m"}}},
            "SELECT COUNT(*) FROM core.deployments WHERE service = 'web' AND day = '2024-03-02'",
            [(3,)],
        ),
        (
            {"merge_window": "1m"},
            "SELECT COUNT(*) FROM core.deployments WHERE duplicate_of IS NOT NULL",
            [(0,)],
        ),
        (
            {"repositories": {}, "reread": "0s"},
            "SELECT DISTINCT lead_time_reason FROM core.deployments WHERE service = 'shop' AND duplicate_of IS NULL "
            "ORDER BY ALL",
            [("first_deployment",), (None,)],
        ),
    ],
    ids=["timezone", "environments", "quiet_gap", "merge_window", "repositories"],
)
def test_a_change_of_settings_gives_the_same_as_a_rebuild(
    mine: TestHome, settings: dict[str, object], query: str, rows: list[tuple[object, ...]]
) -> None:
    mine.settings(**{**yaml.safe_load(mine.home.settings_file.read_text()), **settings})
    mine.run()
    changed = mine.tables()
    assert mine.rows(query) == rows
    assert changed == rebuilt(mine)


def test_a_change_of_the_catalog_changes_rows_and_gives_the_same_as_a_rebuild(mine: TestHome) -> None:
    mine.fail(["api"], "2024-03-20 10:00:00", name="on a day without deployments")
    mine.run()
    path = mine.home.services / "all.yaml"
    path.write_text(path.read_text().replace("owner: platform", "owner: foundations"))
    mine.run()
    assert mine.rows("SELECT DISTINCT team FROM core.deployments WHERE service = 'api'") == [("foundations",)]
    assert mine.rows("SELECT DISTINCT team FROM core.failures WHERE service = 'api'") == [("foundations",)]
    assert mine.rows("SELECT DISTINCT team FROM metrics.daily WHERE service = 'api'") == [("foundations",)]
    assert mine.tables() == rebuilt(mine)


def test_a_service_that_leaves_the_catalog_has_no_team_and_no_repository(mine: TestHome) -> None:
    (mine.home.services / "all.yaml").unlink()
    mine.run()
    assert mine.rows("SELECT DISTINCT team FROM core.deployments") == [(None,)]
    assert mine.rows("SELECT COUNT(*) FROM core.services") == [(0,)]
    assert mine.tables() == rebuilt(mine)


def test_a_removed_export_takes_its_rows_along(mine: TestHome) -> None:
    (mine.home.path / "exports" / "apm" / "from-08.jsonl").unlink()
    mine.run()
    assert mine.rows("SELECT MAX(day)::VARCHAR FROM core.apm_version_activity") == [("2024-03-08",)]
    assert mine.rows("SELECT MAX(day)::VARCHAR FROM core.deployments WHERE service = 'web'") == [("2024-03-08",)]
    assert mine.rows("SELECT COUNT(*) FROM core.rejected_events WHERE source = 'apm_deployment_tracking'") == [(2,)]
    assert mine.rows("SELECT MAX(day)::VARCHAR FROM metrics.daily WHERE service = 'web' AND deployments > 0") == [
        ("2024-03-08",)
    ]
    assert mine.tables() == rebuilt(mine)


def test_an_export_that_is_removed_and_put_back_counts_again(mine: TestHome, expected: Tables, tmp_path: Path) -> None:
    path = mine.home.path / "exports" / "apm" / "from-08.jsonl"
    path.rename(tmp_path / "kept")
    mine.run()
    (tmp_path / "kept").rename(path)
    mine.run()
    assert mine.tables() == expected


def test_an_export_without_permission_keeps_no_other_from_loading(
    told: TestHome, expected: Tables, tmp_path: Path
) -> None:
    home = copied(told, tmp_path / "mine")
    forbidden = home.home.path / "exports" / "apm" / "from-04.jsonl"
    forbidden.chmod(0o000)
    answer = process(home.home.path, "run", before=without_root())
    forbidden.chmod(0o600)
    assert answer.code == 0, answer.err
    assert "from-04.jsonl" in answer.err
    assert (
        home.rows("SELECT reason, payload FROM core.rejected_events WHERE reason LIKE 'file%'")[0][0]
        == "file_unreadable"
    )
    assert home.rows(
        "SELECT COUNT(*) FROM core.deployments WHERE service = 'web' AND day BETWEEN '2024-03-05' AND '2024-03-08'"
    ) == [(0,)]
    assert home.rows("SELECT MAX(day)::VARCHAR FROM core.deployments WHERE service = 'web'") == [("2024-03-12",)]
    home.run()
    assert home.tables() == expected


def test_the_same_file_under_two_names_counts_once(mine: TestHome, expected: Tables) -> None:
    folder = mine.home.path / "exports" / "apm"
    shutil.copy2(folder / "from-00.jsonl", folder / "the copy of it.jsonl")
    mine.run()
    assert mine.tables() == expected
    (folder / "the copy of it.jsonl").rename(folder / "still a copy.jsonl")
    mine.run()
    assert mine.tables() == expected
    assert rebuilt(mine) == expected


def test_the_first_of_two_copies_may_go(mine: TestHome, expected: Tables) -> None:
    folder = mine.home.path / "exports" / "apm"
    shutil.copy2(folder / "from-00.jsonl", folder / "zz.jsonl")
    mine.run()
    (folder / "from-00.jsonl").unlink()
    mine.run()
    # Rejects name the file that is left.
    left = {
        name: sorted(row.replace("zz.jsonl", "from-00.jsonl") for row in rows) for name, rows in mine.tables().items()
    }
    assert left == expected


def test_an_export_that_is_replaced_changes_its_days(mine: TestHome) -> None:
    path = mine.home.path / "exports" / "apm" / "from-08.jsonl"
    sighting = {"timestamp": "2024-03-09T12:00:00Z", "service": "web", "env": "prod", "version": "other"}
    path.write_text(json.dumps(sighting) + "\n")
    set_time(path)
    mine.run()
    assert mine.rows(
        "SELECT version, day::VARCHAR FROM core.deployments WHERE service = 'web' AND day > '2024-03-08'"
    ) == [("other", "2024-03-09")]
    assert mine.tables() == rebuilt(mine)


def test_a_rebuild_that_meets_a_damaged_segment_names_it_and_changes_nothing(mine: TestHome, expected: Tables) -> None:
    (segment,) = (mine.home.raw / "deployment_event_api").glob("*.jsonl.gz")
    whole = segment.read_bytes()
    middle = len(whole) // 2
    flipped = bytes(255 - byte for byte in whole[middle : middle + 50])
    damages = {
        "garbage": b"garbage",
        "cut": whole[:middle],
        "flipped bits": whole[:middle] + flipped + whole[middle + 50 :],
        "a line that is no record": gzip.compress(b"[1, 2]\n"),
    }
    for damage, content in damages.items():
        segment.write_bytes(content)
        with pytest.raises(SourceError, match="deployment_event_api") as raised:
            mine.run(rebuild=True)
        assert str(segment) in str(raised.value), damage
        assert "so what is published stays" in str(raised.value), damage
        assert mine.tables() == expected, damage
        segment.write_bytes(whole)
        # Runs go on from what is published, as if nobody had asked for a rebuild.
        assert list(mine.run().days) == [], damage
        assert mine.tables() == expected, damage
    mine.deploy("shop", "2024-03-20 10:00:00", version="new")
    mine.run()
    assert mine.rows("SELECT COUNT(*) FROM core.deployments WHERE version = 'new'") == [(1,)]
    told = mine.tables()
    assert rebuilt(mine) == told


def test_a_first_load_that_meets_a_damaged_segment_loads_the_other_sources(
    told: TestHome, loaded: TestHome, expected: Tables, tmp_path: Path
) -> None:
    home = copied(told, tmp_path / "mine")
    shutil.copytree(loaded.home.raw, home.home.raw)
    (segment,) = (home.home.raw / "deployment_event_api").glob("*.jsonl.gz")
    whole = segment.read_bytes()
    segment.write_bytes(whole[: len(whole) // 2])
    for _ in range(2):
        with pytest.raises(SourceError, match="deployment_event_api") as raised:
            home.run()
        tables = home.tables()
        assert tables["core.failures"] == expected["core.failures"]
        assert tables["core.apm_version_activity"] == expected["core.apm_version_activity"]
        assert home.rows("SELECT DISTINCT source FROM core.deployments") == [("apm_deployment_tracking",)]
        (state,) = (state for state in source_states(home.home) if state.source == "deployment_event_api")
        assert state.error == str(raised.value)
    segment.write_bytes(whole)
    home.run()
    assert home.tables() == expected


def test_settings_that_are_wrong_stop_a_run_before_it_touches_anything(mine: TestHome, expected: Tables) -> None:
    mine.home.settings_file.write_text("timezone: Mars\n")
    with pytest.raises(ConfigError, match="timezone"):
        mine.run()
    assert mine.tables() == expected


def test_a_run_that_fails_for_a_damaged_segment_ends_with_1_and_one_line(mine: TestHome) -> None:
    (segment,) = (mine.home.raw / "failure_event_api").glob("*.jsonl.gz")
    segment.write_bytes(b"garbage")
    answer = call(mine.home.path, "run", "--rebuild")
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert f"failure_event_api: {segment}: cannot be read" in line


def test_what_a_packed_export_told_when_it_was_whole_stays_when_it_is_damaged(home: TestHome) -> None:
    home.select("deployment", *DEPLOYMENTS_BY_APM)
    path = home.drop_export("x.jsonl.gz", [])
    sightings = [{"timestamp": f"2024-05-0{day}T10:00:00Z", "service": "shop", "version": f"v{day}"} for day in (6, 7)]
    whole = gzip.compress("".join(json.dumps(sighting) + "\n" for sighting in sightings).encode())
    path.write_bytes(whole[:-9])
    home.run()
    assert home.rows("SELECT count(*) FROM core.deployments") == [(0,)]
    path.write_bytes(whole)
    home.run()
    assert home.rows("SELECT version FROM core.deployments ORDER BY version") == [("v6",), ("v7",)]
    assert home.rows("SELECT reason FROM core.rejected_events") == []
    path.write_bytes(whole[:-6] + b"\x00" + whole[-5:])
    home.run()
    assert home.rows("SELECT version FROM core.deployments ORDER BY version") == [("v6",), ("v7",)]
    [(reason, payload)] = home.rows("SELECT reason, payload FROM core.rejected_events")
    assert (reason, json.loads(payload)["file"]) == ("file_unreadable", "x.jsonl.gz")
    path.unlink()
    home.run()
    assert home.rows("SELECT count(*) FROM core.deployments") == [(0,)]


def test_naive_times_of_one_export_are_rejected_and_the_good_file_beside_it_loads(home: TestHome) -> None:
    home.select("deployment", *DEPLOYMENTS_BY_APM)
    good = home.drop_export("good.jsonl", [{"timestamp": "2024-05-06T07:08:09Z", "service": "shop", "version": "1"}])
    rows = "2024-05-06 07:08:08,cart,1\n2024-05-06 07:08:09,till,1\n"
    good.with_name("naive.csv").write_text("timestamp,service,version\n" + rows)
    home.run()
    assert home.rows("SELECT service FROM core.deployments") == [("shop",)]
    rejected = home.rows("SELECT reason, service FROM core.rejected_events ORDER BY service")
    assert rejected == [("time_without_zone", "cart"), ("time_without_zone", "till")]
