"""A store that is lost, set back or another one: what got 2xx and was read stays, and what comes next is read.

`systems/` runs the same tests on PostgreSQL, by its own `stores`.
"""

import shutil
from collections.abc import Iterable
from typing import Any, Protocol

import pytest

from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests.deliveries import DAYS, RESOLVED, TRIGGERED, deliver, message
from dora_pipeline_tests.full_homes import rebuilt
from dora_pipeline_tests.homes import TestHome, moment
from dora_pipeline_tests.intake_servers import Client, running_intake
from dora_pipeline_tests.pulled_homes import ago

DEPLOYMENTS = "SELECT service, version FROM core.deployments ORDER BY ALL"
FAILURES = "SELECT failure_id, service, severity, finished_at IS NULL FROM core.failures ORDER BY ALL"
DELIVERED = "SELECT failure_id, finished_at IS NULL FROM core.failures ORDER BY ALL"
FIRST_EPOCH = 1_714_996_800


class Stores(Protocol):
    """The stores of a home: the one that is used, which may be lost, copied, set back and left for another."""

    def lose(self) -> None:
        """Take the store away; the intake makes another in its place."""

    def copy(self) -> None:
        """Copy the store as it is now."""

    def set_back(self) -> None:
        """Put the copy in the place of the store."""

    def use(self, name: str) -> None:
        """Use the store of this name; the one of the beginning is `first`."""


class SqliteStores:
    """Files of SQLite: the one in the home, and others beside the home."""

    def __init__(self, home: TestHome, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._home, self._monkeypatch = home.home.path.with_name("stores"), home, monkeypatch
        self._folder.mkdir()
        self._file = home.home.intake / "events.sqlite3"

    def lose(self) -> None:
        """Delete the file."""
        for path in self._file.parent.glob(f"{self._file.name}*"):
            path.unlink()

    def copy(self) -> None:
        """Copy the file; nobody has it open."""
        shutil.copyfile(self._file, self._folder / "copy")

    def set_back(self) -> None:
        """Copy the copy back."""
        self.lose()
        shutil.copyfile(self._folder / "copy", self._file)

    def use(self, name: str) -> None:
        """Name the file in DORA_INTAKE_URL, but for that of the home."""
        if name == "first":
            self._monkeypatch.delenv("DORA_INTAKE_URL", raising=False)
            self._file = self._home.home.intake / "events.sqlite3"
        else:
            self._file = self._folder / f"{name}.sqlite3"
            self._monkeypatch.setenv("DORA_INTAKE_URL", f"sqlite:///{self._file}")


@pytest.fixture
def stores(home: TestHome, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """The stores of the home."""
    return SqliteStores(home, monkeypatch)


def send(home: TestHome, first: int, last: int) -> None:
    """Deployments and failures with these numbers, each in a minute of its own."""
    for number in range(first, last + 1):
        at = f"2024-05-06 07:{number:02}:00"
        home.deploy(f"service-{number}", at, version="1", id=f"d{number}")
        home.fail([f"service-{number}"], at, severity="high", id=f"f{number}")


def post(home: TestHome, first: int, last: int) -> None:
    """The same through `dora serve`; each gets a 200."""
    with running_intake(home.home) as url:
        client = Client(url)
        for number in range(first, last + 1):
            at = FIRST_EPOCH + 60 * number
            times = {"started_at": at, "finished_at": at}
            deployment = client.tell("deployment", service=f"service-{number}", version="1", env="prod", **times)
            failure = client.tell("failure", services=[f"service-{number}"], env="prod", **times)
            assert (deployment.status_code, failure.status_code) == (200, 200)
        client.close()


def expect(home: TestHome, numbers: Iterable[int]) -> None:
    """Exactly the deployments and failures with these numbers, now and after a rebuild."""
    services = sorted(f"service-{number}" for number in numbers)
    assert [service for service, _ in home.rows(DEPLOYMENTS)] == services
    assert sorted(service for _, service, _, _ in home.rows(FAILURES)) == services
    tables = home.tables()
    assert rebuilt(home) == tables


def triggered(number: int) -> dict[str, Any]:
    """An incident of this number begins, in a minute of its own."""
    return message("incident.triggered", number, number=number, created_at=ago(DAYS, number))


def segments(home: TestHome) -> set[str]:
    """The segments of the raw layer."""
    return {path.relative_to(home.home.raw).as_posix() for path in home.home.raw.rglob("*.jsonl.gz")}


@pytest.mark.parametrize("others", [5, 10, 15])
def test_events_that_came_after_a_store_was_lost_are_read(home: TestHome, stores: Stores, others: int) -> None:
    home.select_events()
    send(home, 1, 10)
    home.run()
    stores.lose()
    send(home, 11, 10 + others)
    home.run()
    expect(home, range(1, 11 + others))
    assert any("deployment_event_api: the intake's store is not the one that was read" in n for n in home.notes.notes)


def test_events_that_got_200_after_a_store_was_lost_are_read(home: TestHome, stores: Stores) -> None:
    home.select_events()
    post(home, 1, 6)
    home.run()
    stores.lose()
    post(home, 7, 11)
    home.run()
    expect(home, range(1, 12))


@pytest.mark.parametrize("others", [2, 5, 8])
def test_events_that_came_after_a_store_was_set_back_are_read(home: TestHome, stores: Stores, others: int) -> None:
    home.select_events()
    send(home, 1, 3)
    home.run()
    send(home, 4, 5)
    stores.copy()
    send(home, 6, 10)
    home.run()
    stores.set_back()
    home.run()
    expect(home, range(1, 11))
    send(home, 11, 10 + others)
    home.run()
    expect(home, range(1, 11 + others))
    assert any("failure_event_api: the intake's store was set back" in note for note in home.notes.notes)


def test_a_store_that_was_set_back_to_what_was_read_last_goes_on(home: TestHome, stores: Stores) -> None:
    home.select_events()
    send(home, 1, 3)
    home.run()
    stores.copy()
    send(home, 4, 5)
    stores.set_back()
    send(home, 6, 7)
    home.run()
    expect(home, [1, 2, 3, 6, 7])
    assert not any("store" in note for note in home.notes.notes)


def test_events_of_another_store_are_read_and_those_of_the_first_again_when_it_comes_back(
    home: TestHome, stores: Stores
) -> None:
    home.select_events()
    send(home, 1, 10)
    home.run()
    stores.use("other")
    send(home, 11, 15)
    home.run()
    expect(home, range(1, 16))
    stores.use("first")
    send(home, 16, 20)
    home.run()
    expect(home, range(1, 21))
    stores.use("other")
    send(home, 21, 25)
    home.run()
    expect(home, range(1, 26))
    before = segments(home)
    for name in ("first", "other", "first"):
        stores.use(name)
        home.run()
    assert segments(home) == before


def test_an_event_that_was_sent_again_at_the_same_moment_hides_no_other(home: TestHome, stores: Stores) -> None:
    """The newest of the store is what was read last: number, id and time; and yet another came before it."""
    home.select_events()
    send(home, 1, 2)
    home.run()
    stores.lose()
    send(home, 3, 3)
    send(home, 2, 2)
    home.run()
    expect(home, range(1, 4))


def test_what_several_stores_tell_of_one_event_is_one_event(home: TestHome, stores: Stores) -> None:
    home.select_events()
    home.fail(["shop"], "2024-05-06 07:00:00", severity="high", id="open", received="2024-05-06 07:00:00")
    home.fail(["cart"], "2024-05-06 08:00:00", "2024-05-06 09:00:00", id="ended")
    home.deploy("shop", "2024-05-06 06:00:00", version="1", id="told-again")
    home.run()
    stores.use("other")
    home.fail(["shop"], "2024-05-06 07:00:00", "2024-05-06 10:00:00", id="open")
    home.deploy("shop", "2024-05-06 06:00:00", version="2", id="told-again", received="2024-05-07 06:00:00")
    home.deploy("cart", "2024-05-06 06:00:00", version="1", id="deleted")
    home.run()
    assert home.rows(FAILURES) == [("ended", "cart", None, False), ("open", "shop", "high", False)]
    assert home.rows(DEPLOYMENTS) == [("cart", "1"), ("shop", "2")]
    # The end is taken back in the store that did not tell it first; a deletion counts wherever it was told.
    home.fail(["cart"], "2024-05-06 08:00:00", "2024-05-06 09:00:00", id="ended", received="2024-05-06 10:00:00")
    with EventStore.at(home.home) as store:
        store.update("failure", "ended", {"finished_at": None}, received_at=moment("2024-05-07 09:00:00"))
        store.delete("deployment", "deleted", received_at=moment("2024-05-08 06:00:00"))
    home.run()
    with EventStore.at(home.home) as store:
        store.update("failure", "ended", {"severity": "low"}, received_at=moment("2024-05-07 10:00:00"))
    home.run()
    assert home.rows(FAILURES) == [("ended", "cart", "low", True), ("open", "shop", "high", False)]
    assert home.rows(DEPLOYMENTS) == [("shop", "2")]
    # Another store that knows older states changes nothing.
    stores.use("third")
    home.deploy("cart", "2024-05-06 06:00:00", version="1", id="deleted")
    home.deploy("shop", "2024-05-06 06:00:00", version="1", id="told-again")
    home.run()
    assert home.rows(DEPLOYMENTS) == [("shop", "2")]
    tables = home.tables()
    assert rebuilt(home) == tables


def as_older_programs_left_it(home: TestHome) -> None:
    """Segments had neither branches nor marks, and nothing listed them."""
    for path in home.home.raw.rglob("*.jsonl.gz"):
        path.rename(path.with_name(f"{path.name.partition('.')[0]}.jsonl.gz"))
    (home.home.raw / "manifest.json").unlink()
    shutil.rmtree(home.home.work)


def test_what_an_older_program_read_of_a_store_is_not_read_again(home: TestHome, stores: Stores) -> None:
    home.select_events()
    send(home, 1, 3)
    home.run()
    send(home, 2, 5)
    home.run()
    as_older_programs_left_it(home)
    before = segments(home)
    home.run()
    assert segments(home) == before
    send(home, 6, 7)
    home.run()
    assert len(segments(home)) == len(before) + 2
    expect(home, range(1, 8))
    stores.lose()
    send(home, 8, 9)
    home.run()
    expect(home, range(1, 10))


@pytest.mark.parametrize("others", [2, 5, 8])
def test_events_that_an_older_program_missed_in_another_store_are_read(
    home: TestHome, stores: Stores, others: int
) -> None:
    home.select_events()
    send(home, 1, 5)
    home.run()
    as_older_programs_left_it(home)
    stores.lose()
    send(home, 6, 5 + others)
    home.run()
    expect(home, range(1, 6 + others))


def test_deliveries_of_webhooks_are_read_from_every_store(
    home: TestHome, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAGERDUTY_API_TOKEN", raising=False)
    home.select("failure", "pagerduty")
    deliver(home, TRIGGERED, triggered(2), message("incident.acknowledged", 5))
    stores.copy()
    deliver(home, triggered(3))
    home.run()
    assert home.rows(DELIVERED) == [("pagerduty:Q1", True), ("pagerduty:Q2", True), ("pagerduty:Q3", True)]
    stores.set_back()
    deliver(home, RESOLVED)
    home.run()
    assert home.rows(DELIVERED) == [("pagerduty:Q1", False), ("pagerduty:Q2", True), ("pagerduty:Q3", True)]
    stores.use("other")
    deliver(home, triggered(4))
    home.run()
    assert len(home.rows(DELIVERED)) == 4
    tables = home.tables()
    assert rebuilt(home) == tables
