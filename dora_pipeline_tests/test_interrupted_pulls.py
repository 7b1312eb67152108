"""A run that is killed while it pulls: nothing is lost, nothing is there twice."""

import gzip
import json
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from random import Random

import pytest

from dora_pipeline_tests.command import command_line, environment
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.pulled_homes import TOKEN, Account, ago, day, day_files, happened
from dora_pipeline_tests.vendors.pagerduty import FakePagerDuty
from dora_pipeline_tests.vendors.server import FakeVendor
from dora_pipeline_tests.waiting import PATIENCE

# One every fourth day; seven or eight in a window of 30 days, which is four pages.
INCIDENTS = range(1, 30)
DAYS = 120
# The page at which each run ends, and the seconds within which: in the first window, in later ones, near the end.
KILLS = ((2, 0.01), (6, 0.01), (2, 0.1))


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("PAGERDUTY_API_TOKEN", TOKEN)
    with FakeVendor() as vendor:
        account = Account(vendor, FakePagerDuty(vendor, TOKEN))
        account.pagerduty.largest_page = 2
        account.add(*(happened(number, 4 * number, None if number % 10 == 0 else 30) for number in INCIDENTS))
        yield account


def _run_and_kill(home: TestHome, account: Account, page: int, seconds: float) -> None:
    """Run `dora` as a process that is killed some time after it was sent a page."""
    started: queue.Queue[subprocess.Popen[bytes]] = queue.Queue()

    def kill_after(number: int) -> None:
        if number == page:
            threading.Timer(seconds, started.get().kill).start()

    account.pagerduty.restart_pages(kill_after)
    process = subprocess.Popen(command_line("run"), env=environment(home.home.path), stdout=subprocess.DEVNULL)
    started.put(process)
    assert process.wait(PATIENCE) == -signal.SIGKILL


def test_runs_that_are_killed_at_any_page_end_in_the_tables_of_an_undisturbed_one(
    home: TestHome, account: Account
) -> None:
    undisturbed = account.prepare(TestHome(home.home.path.with_name("undisturbed")), DAYS)
    undisturbed.run()
    account.prepare(home, DAYS)
    random = Random(4711)
    for page, seconds in KILLS:
        _run_and_kill(home, account, page, random.uniform(0, seconds))
    account.pagerduty.restart_pages(lambda number: None)
    home.run()
    assert list(day_files(home).values()) == [[f"Q{number}"] for number in reversed(INCIDENTS)]
    assert home.tables() == undisturbed.tables()
    home.run(rebuild=True)
    assert home.tables() == undisturbed.tables()


@pytest.mark.parametrize("stale", [28, 12])
def test_a_record_that_a_killed_run_left_in_two_day_files_stays_where_it_was_told_last(
    home: TestHome, account: Account, stale: int
) -> None:
    account.prepare(home, DAYS)
    home.run()
    before, files = home.tables(), day_files(home)
    folder = home.home.raw / "pagerduty"
    [record] = map(json.loads, gzip.decompress((folder / f"{day(20)}.jsonl.gz").read_bytes()).splitlines())
    record |= {"occurred_at": ago(stale), "fetched_at": ago(0), "body": {**record["body"], "created_at": ago(stale)}}
    path = folder / f"{day(stale)}.jsonl.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + json.dumps(record).encode() + b"\n"))
    home.run()
    assert day_files(home) == files
    assert home.tables() == before
    home.run(rebuild=True)
    assert home.tables() == before
