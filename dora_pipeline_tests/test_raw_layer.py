"""Files of the raw layer that are missing, cut or changed: an error that names them, and what was published stays."""

import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dora_pipeline.errors import SourceError, SourceIncomplete, SourceUnavailable
from dora_pipeline.pipeline.backups import back_up, restore
from dora_pipeline.pipeline.progress import Silence
from dora_pipeline.pipeline.runs import run
from dora_pipeline_tests.command import call
from dora_pipeline_tests.full_homes import rebuilt
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.pulled_homes import TOKEN, Account, day, day_files, happened
from dora_pipeline_tests.vendors.pagerduty import FakePagerDuty
from dora_pipeline_tests.vendors.server import FakeVendor

MANIFEST = "manifest.json"
SERVICES = "SELECT service FROM core.deployments ORDER BY service"


@pytest.fixture(scope="module")
def three_segments(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home with three segments of deployments, of one event each, and one of failures. Copy it."""
    home = TestHome(tmp_path_factory.mktemp("segments") / "home")
    home.select_events()
    home.fail(["shop"], "2024-05-06 06:00:00")
    for number in range(1, 4):
        home.deploy(f"service-{number}", f"2024-05-06 07:0{number}:00", version="1")
        home.run()
    return home


@pytest.fixture
def loaded(three_segments: TestHome, tmp_path: Path) -> TestHome:
    """A copy of that home."""
    return TestHome(Path(shutil.copytree(three_segments.home.path, tmp_path / "loaded")))


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """A PagerDuty account whose token is set."""
    monkeypatch.setenv("PAGERDUTY_API_TOKEN", TOKEN)
    with FakeVendor() as vendor:
        yield Account(vendor, FakePagerDuty(vendor, TOKEN))


def files(home: TestHome, source: str = "deployment_event_api") -> list[Path]:
    """The files of a source in the raw layer, in order."""
    return sorted((home.home.raw / source).glob("*.jsonl.gz"))


@pytest.mark.parametrize("place", [0, 1], ids=["first", "middle"])
def test_a_missing_segment_is_an_error_until_it_is_back_and_new_events_are_loaded_all_the_same(
    loaded: TestHome, place: int
) -> None:
    segment = files(loaded)[place]
    content = segment.read_bytes()
    segment.unlink()
    before = loaded.tables()
    for rebuild in (False, True):
        with pytest.raises(SourceIncomplete, match=re.escape(f"{segment} was read before and is missing")) as raised:
            loaded.run(rebuild=rebuild)
        assert "dora run --rebuild --accept-shrink" in str(raised.value)
        assert loaded.tables() == before
    loaded.deploy("service-4", "2024-05-06 07:04:00", version="1")
    segment.write_bytes(content)
    loaded.run()
    assert loaded.rows(SERVICES) == [(f"service-{number}",) for number in range(1, 5)]
    tables = loaded.tables()
    assert rebuilt(loaded) == tables


def test_a_missing_last_segment_is_an_error_of_a_rebuild_and_is_read_again_from_its_store(loaded: TestHome) -> None:
    segment = files(loaded)[2]
    segment.unlink()
    before = loaded.tables()
    with pytest.raises(SourceIncomplete, match=re.escape(f"{segment} was read before and is missing")):
        loaded.run(rebuild=True)
    assert loaded.tables() == before
    loaded.run()
    assert f"deployment_event_api: {segment} was missing, and was read again from the intake's store" in (
        loaded.notes.notes
    )
    assert loaded.tables() == before
    assert rebuilt(loaded) == before


def test_a_missing_last_segment_whose_store_is_lost_too_is_an_error(loaded: TestHome) -> None:
    segment = files(loaded)[2]
    segment.unlink()
    for path in loaded.home.intake.iterdir():
        path.unlink()
    loaded.deploy("service-4", "2024-05-06 07:04:00", version="1")
    for _ in range(2):
        with pytest.raises(SourceIncomplete, match=re.escape(f"{segment} was read before and is missing")):
            loaded.run()
    assert loaded.rows(SERVICES) == [(f"service-{number}",) for number in range(1, 5)]


def test_a_missing_segment_does_not_keep_new_events_away(loaded: TestHome) -> None:
    files(loaded)[1].unlink()
    loaded.deploy("service-4", "2024-05-06 07:04:00", version="1")
    answer = call(loaded.home.path, "run")
    assert answer.code == 1
    assert "was read before and is missing" in answer.err
    assert loaded.rows(SERVICES) == [(f"service-{number}",) for number in range(1, 5)]


@pytest.mark.parametrize("place", [0, 1, 2], ids=["first", "middle", "last"])
def test_a_lost_segment_is_gone_without_when_asked_and_read_again_from_a_store_that_has_it(
    loaded: TestHome, place: int
) -> None:
    before = loaded.tables()
    segment = files(loaded)[place]
    segment.unlink()
    answer = call(loaded.home.path, "run", "--rebuild", "--accept-shrink")
    assert answer.code == 0
    assert f"deployment_event_api: goes on without {segment}" in answer.err
    assert loaded.rows(SERVICES) == [(f"service-{number}",) for number in range(1, 4) if number != place + 1]
    loaded.run()
    assert loaded.tables() == before
    assert rebuilt(loaded) == before
    count = len(files(loaded))
    loaded.run()
    assert len(files(loaded)) == count


def test_a_lost_segment_whose_store_is_lost_too_is_gone_without_when_asked(loaded: TestHome) -> None:
    files(loaded)[1].unlink()
    for path in loaded.home.intake.iterdir():
        path.unlink()
    run(loaded.home, rebuild=True, accepts_shrink=True)
    loaded.run()
    assert loaded.rows(SERVICES) == [("service-1",), ("service-3",)]
    loaded.deploy("service-4", "2024-05-06 07:04:00", version="1")
    loaded.run()
    assert loaded.rows(SERVICES) == [("service-1",), ("service-3",), ("service-4",)]


@pytest.mark.parametrize("size", [0, 60])
def test_a_segment_that_was_cut_is_an_error_in_every_run(loaded: TestHome, size: int) -> None:
    segment = files(loaded)[1]
    content = segment.read_bytes()
    segment.write_bytes(content[:size])
    before = loaded.tables()
    with pytest.raises(SourceUnavailable, match=re.escape(f"{segment}: was changed since it was read: it has {size}")):
        loaded.run()
    with pytest.raises(SourceError, match=re.escape(f"{segment}: cannot be read")):
        loaded.run(rebuild=True)
    segment.write_bytes(content)
    loaded.run()
    assert loaded.tables() == before


def test_a_segment_under_the_name_of_another_is_an_error(loaded: TestHome) -> None:
    first, second, _ = files(loaded)
    second.write_bytes(first.read_bytes())
    with pytest.raises(SourceError, match=re.escape(f"{second}: cannot be read")):
        loaded.run(rebuild=True)


def test_a_run_that_was_killed_before_it_listed_a_segment_raises_no_alarm(loaded: TestHome) -> None:
    manifest = loaded.home.raw / MANIFEST
    listed = json.loads(manifest.read_text())
    newest = files(loaded)[2].relative_to(loaded.home.raw).as_posix()
    listed["files"].remove(newest)
    manifest.write_text(json.dumps(listed))
    before = loaded.tables()
    assert rebuilt(loaded) == before
    assert newest in json.loads(manifest.read_text())["files"]


def test_a_home_and_a_backup_without_a_manifest_are_taken_as_they_are(loaded: TestHome, tmp_path: Path) -> None:
    before = loaded.tables()
    (loaded.home.raw / MANIFEST).unlink()
    back_up(loaded.home, tmp_path / "old.tar.gz", Silence())
    assert rebuilt(loaded) == before
    other = TestHome(tmp_path / "other")
    restore(other.home, tmp_path / "old.tar.gz", Silence())
    other.run()
    assert other.tables() == before
    files(other)[2].unlink()
    with pytest.raises(SourceIncomplete):
        other.run(rebuild=True)


def test_a_manifest_that_cannot_be_read_is_named(loaded: TestHome) -> None:
    manifest = loaded.home.raw / MANIFEST
    manifest.write_text("{")
    with pytest.raises(SourceUnavailable, match=re.escape(f"{manifest}: cannot be read")) as raised:
        loaded.run()
    assert "delete it" in str(raised.value)


def test_a_missing_day_file_is_an_error_and_is_pulled_again_when_it_was_given_up(
    home: TestHome, account: Account
) -> None:
    account.add(happened(1, 16), happened(2, 15), happened(3, 4))
    account.prepare(home, 19)
    home.run()
    before = home.tables()
    path = home.home.raw / "pagerduty" / f"{day(15)}.jsonl.gz"
    path.unlink()
    for rebuild in (False, True):
        with pytest.raises(SourceIncomplete, match=re.escape(f"pagerduty: {path} was read before and is missing")):
            home.run(rebuild=rebuild)
        assert home.tables() == before
    run(home.home, rebuild=True, accepts_shrink=True)
    assert home.rows("SELECT count(*) FROM core.failures") == [(2,)]
    home.run()
    assert home.tables() == before
    assert rebuilt(home) == before
    assert str(day(15)) in day_files(home)


def test_a_day_file_without_any_content_is_an_error(home: TestHome, account: Account) -> None:
    account.add(happened(1, 5))
    account.prepare(home, 9)
    home.run()
    (path,) = files(home, "pagerduty")
    path.write_bytes(b"")
    for rebuild in (False, True):
        with pytest.raises(SourceError, match=re.escape(f"{path}: cannot be read")):
            home.run(rebuild=rebuild)


def test_a_run_ends_while_events_arrive_without_a_pause_and_leaves_those_to_the_next_run(home: TestHome) -> None:
    home.select_events()
    home.deploy("first", "2024-05-06 07:00:00", version="1")
    is_over, sent = threading.Event(), 1

    def send() -> None:
        nonlocal sent
        while not is_over.is_set() and sent < 5_000:
            home.deploy(f"service-{sent}", "2024-05-06 08:00:00", version="1")
            sent += 1

    sender = threading.Thread(target=send)
    sender.start()
    try:
        home.run()
    finally:
        is_over.set()
        sender.join()
    assert len(files(home)) == 1
    home.run()
    assert len(files(home)) == 2
    assert home.rows("SELECT COUNT(*) FROM core.deployments") == [(sent,)]
