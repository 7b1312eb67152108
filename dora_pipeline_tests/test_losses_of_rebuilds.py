"""A warehouse that is made anew takes the place of what is published only where no source lost what it has there."""

import gzip
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dora_pipeline.errors import SourceError, SourceIncomplete, WarehouseError
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.runs import run
from dora_pipeline.warehouse.publication import working_file
from dora_pipeline_tests.command import call, process, without_root
from dora_pipeline_tests.homes import DEPLOYMENTS_BY_APM, DEPLOYMENTS_BY_EVENT, TestHome
from dora_pipeline_tests.pulled_homes import TOKEN, Account, day, day_files, happened
from dora_pipeline_tests.vendors.pagerduty import FakePagerDuty
from dora_pipeline_tests.vendors.server import FakeVendor

LONG_AFTER = datetime(2024, 6, 1, tzinfo=UTC)
_OLDER = "UPDATE landing.properties SET value = '1' WHERE name = 'schema_version'"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home with 30 deployments of the event API in each of two segments, 30 by an export, one failure. Copy it."""
    home = TestHome(tmp_path_factory.mktemp("homes") / "made")
    home.select("deployment", *DEPLOYMENTS_BY_EVENT, *DEPLOYMENTS_BY_APM)
    home.select("failure", "failure_event_api")
    home.fail(["shop"], "2024-05-06 12:00:00")
    told = [
        {"timestamp": "2024-05-06T12:00:00Z", "service": f"s{number}", "env": "prod", "version": "1"}
        for number in range(30)
    ]
    home.drop_export("one.jsonl", told)
    for number in (1, 2):
        send(home, f"2024-05-0{number}T10:00:00Z")
        home.run()
    return home


@pytest.fixture
def home(made: TestHome, tmp_path: Path) -> TestHome:
    """A copy of one's own, with its store in it."""
    shutil.copytree(made.home.path, tmp_path / "home")
    return TestHome(tmp_path / "home")


def send(home: TestHome, finished_at: str) -> list[str]:
    """Send 30 deployments of that moment; their ids."""
    told = [
        {"service": f"e{number}", "env": "prod", "started_at": finished_at, "finished_at": finished_at}
        for number in range(30)
    ]
    with EventStore.at(home.home) as store:
        return [stored.event_id for stored in store.append_many("deployment", told, received_at=LONG_AFTER)]


def segments(home: TestHome, source: str = "deployment_event_api") -> list[Path]:
    """The segments of a source in the raw layer, in order."""
    return sorted((home.home.raw / source).glob("*.jsonl.gz"))


def cut(path: Path) -> bytes:
    """Cut a file in half; what it was."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return whole


def refused(home: TestHome, **how: Any) -> str:
    """What a run is refused with; what is published stays as it is, to the byte."""
    before = home.home.warehouse.read_bytes()
    with pytest.raises(SourceIncomplete) as raised:
        run(home.home, progress=home.notes, **how)
    assert home.home.warehouse.read_bytes() == before
    return str(raised.value)


def outdate(home: TestHome) -> None:
    """Leave the home as an older program would."""
    for path in (working_file(home.home), home.home.warehouse):
        path.chmod(0o600)
        with duckdb.connect(str(path)) as connection:
            connection.execute(_OLDER)


def test_a_cut_segment_refuses_the_rebuild_and_runs_go_on(home: TestHome) -> None:
    whole = cut(segments(home)[0])
    message = refused(home, rebuild=True)
    assert message.startswith(f"deployment_event_api: {segments(home)[0]}: cannot be read")
    assert "a warehouse made anew would lack it, so what is published stays" in message
    segments(home)[0].write_bytes(whole)
    before = home.tables()
    assert list(home.run().days) == []
    home.run(rebuild=True)
    assert home.tables() == before


def test_the_command_says_it_in_one_line_and_ends_with_1(home: TestHome) -> None:
    cut(segments(home)[1])
    answer = call(home.home.path, "run", "--rebuild")
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert line.startswith("dora: deployment_event_api: ")
    assert "--accept-shrink" in line


def test_a_deleted_segment_refuses_the_rebuild(home: TestHome) -> None:
    segments(home)[1].unlink()
    assert "deployment_event_api: " in refused(home, rebuild=True)


def test_a_source_that_has_lost_every_row_is_noticed_by_what_is_published(tmp_path: Path) -> None:
    home = TestHome(tmp_path / "small")
    home.select("deployment", *DEPLOYMENTS_BY_APM)
    told = {"timestamp": "2024-05-06T12:00:00Z", "env": "prod", "version": "1"}
    path = home.drop_export("one.jsonl", [{**told, "service": "shop"}, {**told, "service": "cart"}])
    home.run()
    path.unlink()
    assert refused(home, rebuild=True).startswith(
        "apm_deployment_tracking: core.deployments: not made anew: all days together (2 rows before, 0 now); more is "
        "lost than shrink_share (0.5) allows, so what is published stays."
    )
    run(home.home, rebuild=True, accepts_shrink=True)
    assert home.rows("SELECT COUNT(*) FROM core.deployments") == [(0,)]


def test_a_few_events_that_went_with_their_segments_and_the_manifest_are_noticed_by_what_is_published(
    tmp_path: Path,
) -> None:
    home = TestHome(tmp_path / "small")
    home.select_events()
    # An end, and one that is rejected, are as much as an event.
    ends = (None, "2024-05-01 13:00:00", "2019-01-01 00:00:00")
    for number, end in enumerate(ends, start=1):
        home.deploy("shop", f"2024-05-0{number} 12:00:00")
        home.fail(["shop"], "2024-05-01 12:00:00", end, received=f"2024-05-0{number} 14:00:00", id="one")
        home.run()
    before = home.tables()
    lost = [segments(home)[1], segments(home, "failure_event_api")[2]]
    for path in lost:
        path.unlink()
    for _ in range(2):
        (home.home.raw / "manifest.json").unlink()
        assert refused(home, rebuild=True).startswith(
            f"deployment_event_api: {lost[0]} was read before and is missing; restore from a backup and run again"
        )
        assert home.notes.notes[-1].startswith(f"failure_event_api: {lost[1]} was read before and is missing; ")
    run(home.home, rebuild=True, accepts_shrink=True)
    assert home.rows("SELECT day::VARCHAR FROM core.deployments ORDER BY day") == [("2024-05-01",), ("2024-05-03",)]
    # The intake's store still holds them.
    home.run()
    assert home.tables() == before
    home.run(rebuild=True)
    assert home.tables() == before


def test_what_is_accepted_is_published_and_the_broken_source_is_still_an_error(home: TestHome) -> None:
    shutil.rmtree(home.home.raw / "failure_event_api")
    cut(segments(home)[0])
    with pytest.raises(SourceError, match=r"deployment_event_api: .*cannot be read"):
        run(home.home, rebuild=True, accepts_shrink=True)
    assert home.rows("SELECT source, COUNT(*) FROM core.deployments GROUP BY ALL ORDER BY ALL")[0] == (
        "apm_deployment_tracking",
        30,
    )
    assert home.rows("SELECT COUNT(*) FROM core.failures") == [(0,)]


def test_each_source_that_is_not_whole_is_named(home: TestHome) -> None:
    cut(segments(home)[0])
    cut(segments(home, "failure_event_api")[0])
    assert refused(home, rebuild=True).startswith("deployment_event_api: ")
    (note,) = [note for note in home.notes.notes if note.startswith("failure_event_api: ")]
    assert "so what is published stays" in note


def test_a_source_without_rows_there_may_be_broken(home: TestHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home.select("failure", "failure_event_api", "pagerduty", at=LONG_AFTER)
    folder = home.home.raw / "pagerduty" / "deliveries"
    folder.mkdir(parents=True)
    (folder / "000000000001-000000000002.jsonl.gz").write_bytes(b"garbage")
    before = home.rows("SELECT * FROM core.deployments ORDER BY ALL")
    with pytest.raises(SourceError, match="pagerduty: ") as raised:
        home.run(rebuild=True)
    assert "made anew" not in str(raised.value)
    assert home.rows("SELECT * FROM core.deployments ORDER BY ALL") == before
    assert home.rows("SELECT source FROM landing.source_states WHERE error IS NOT NULL") == [("pagerduty",)]


def test_an_export_that_cannot_be_read_may_not_take_its_days_away(home: TestHome) -> None:
    export = home.home.path / "exports" / "apm" / "one.jsonl"
    export.chmod(0o000)
    answer = process(home.home.path, "run", "--rebuild", before=without_root())
    export.chmod(0o600)
    assert answer.code == 1
    assert "apm_deployment_tracking: core.deployments: not made anew: 2024-05-06 (30 rows before, 0 now)" in answer.err
    assert home.rows("SELECT COUNT(*) FROM core.deployments") == [(90,)]


def test_events_that_were_deleted_one_by_one_are_no_loss_for_a_rebuild(home: TestHome) -> None:
    ids = send(home, "2024-05-09T10:00:00Z")
    home.run()
    with EventStore.at(home.home) as store:
        for event_id in ids:
            assert store.delete("deployment", event_id)
    home.run()
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before


# A newer program, and settings that make everything be read again


def test_a_newer_program_leaves_the_older_warehouse_where_a_source_is_not_whole(
    home: TestHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(*given: object) -> None:
        raise KeyError("a field that the newer program expects")

    outdate(home)
    with monkeypatch.context() as broken:
        broken.setattr("dora_pipeline.sources.event_api.deployments.normalize_deployments", raising)
        message = refused(home)
    assert message.startswith("deployment_event_api: KeyError: 'a field that the newer program expects'")
    home.run()
    assert home.rows("SELECT COUNT(*) FROM core.deployments") == [(90,)]


def test_a_newer_program_leaves_the_older_warehouse_where_the_raw_layer_has_lost_rows(home: TestHome) -> None:
    outdate(home)
    shutil.rmtree(home.home.raw / "failure_event_api")
    with EventStore.at(home.home) as store:
        ((told, *_),) = [store.changed_since("failure", 0, 10)]
        assert store.delete("failure", told.event_id)
    assert refused(home).startswith("failure_event_api: ")


def test_settings_that_make_everything_be_read_again_leave_what_is_published_where_a_source_is_not_whole(
    home: TestHome,
) -> None:
    home.settings(timezone="Asia/Tokyo")
    whole = cut(segments(home)[0])
    for _ in range(2):
        assert "so what is published stays" in refused(home)
    segments(home)[0].write_bytes(whole)
    home.run()
    assert home.rows("SELECT COUNT(*), MIN(day)::VARCHAR FROM core.deployments") == [(90, "2024-05-01")]
    assert home.rows("SELECT COUNT(*) FROM core.failures") == [(1,)]


def test_a_rebuild_that_is_killed_before_it_is_compared_is_as_if_nobody_had_asked(
    home: TestHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = home.tables()
    working = working_file(home.home)
    # What kill -9 leaves: the former database aside, and a new one without its rows.
    former = working.with_name("warehouse.duckdb.former")
    working.rename(former)
    with duckdb.connect(str(working)) as connection:
        connection.execute("CREATE TABLE half AS SELECT 1")
    assert list(home.run().days) == []
    assert not former.exists()
    assert home.tables() == before


def test_a_client_that_holds_the_published_file_to_write_is_named(home: TestHome) -> None:
    home.home.warehouse.chmod(0o600)
    with (
        duckdb.connect(str(home.home.warehouse)),
        pytest.raises(WarehouseError, match="another program has it open to write"),
    ):
        home.run(rebuild=True)
    home.run(rebuild=True)


# Pulled sources


@pytest.fixture
def account() -> Iterator[Account]:
    with FakeVendor() as vendor:
        yield Account(vendor, FakePagerDuty(vendor, TOKEN))


def test_a_day_file_that_is_gone_refuses_the_rebuild(
    tmp_path: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGERDUTY_API_TOKEN", TOKEN)
    home = TestHome(tmp_path / "pulling")
    account.prepare(home, days=6)
    account.add(*(happened(number, 3 - number / 24 / 60) for number in range(24)), happened(99, days=2))
    home.run()
    (home.home.raw / "pagerduty" / f"{day(3)}.jsonl.gz").unlink()
    assert len(day_files(home)) == 1
    assert refused(home, rebuild=True).startswith("pagerduty: ")


def drop_packed(home: TestHome) -> tuple[Path, bytes]:
    """A gzipped export with one more deployment, on another day than all others; and its content."""
    path = home.home.path / "exports" / "apm" / "small.jsonl.gz"
    told = {"timestamp": "2024-05-20T12:00:00Z", "service": "small", "env": "prod", "version": "1"}
    path.write_bytes(gzip.compress(json.dumps(told).encode() + b"\n"))
    return path, path.read_bytes()


@pytest.mark.parametrize("anew", ["rebuild", "settings"])
def test_what_an_export_told_is_not_lost_when_all_is_read_again_while_it_is_damaged(home: TestHome, anew: str) -> None:
    path, whole = drop_packed(home)
    home.run()
    path.write_bytes(whole[:-9])
    home.run()
    before = home.rows("SELECT * FROM core.deployments ORDER BY ALL")
    if anew == "settings":
        home.settings(timezone="Europe/Berlin")
    said = refused(home, rebuild=anew == "rebuild")
    assert "core.deployments: not made anew: 2024-05-20 (1 rows before, 0 now); " in said
    assert "exports/apm/small.jsonl.gz cannot be read, so what is published stays" in said
    path.write_bytes(whole)
    home.run(rebuild=anew == "rebuild")
    assert home.rows("SELECT * FROM core.deployments ORDER BY ALL") == before


def test_a_damaged_export_that_told_nothing_is_no_loss(home: TestHome) -> None:
    path, whole = drop_packed(home)
    path.write_bytes(whole[:-9])
    home.run()
    before = home.rows("SELECT * FROM core.deployments ORDER BY ALL")
    home.run(rebuild=True)
    home.settings(timezone="Europe/Berlin")
    home.run()
    assert home.rows("SELECT * FROM core.deployments ORDER BY ALL") == before


def test_the_loss_of_a_damaged_export_can_be_accepted(home: TestHome) -> None:
    path, whole = drop_packed(home)
    home.run()
    path.write_bytes(whole[:-9])
    run(home.home, rebuild=True, accepts_shrink=True)
    assert home.rows("SELECT * FROM core.deployments WHERE service = 'small'") == []
