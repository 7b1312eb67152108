"""Fixtures of all tests."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests.dashboards import Client, running_dashboard
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.lead_times import REPOSITORY
from dora_pipeline_tests.sending import FakeIntake, Sender
from dora_pipeline_tests.vendors.server import FakeVendor

# Nothing fails for being slow: a machine may have other work.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="module")
def client(filled: TestHome) -> Iterator[Client]:
    """A browser on the dashboard of the home that a module has filled."""
    with running_dashboard(filled.home) as client:
        yield client


@pytest.fixture
def home(tmp_path: Path) -> TestHome:
    """An empty home."""
    return TestHome(tmp_path / "home")


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A folder for files."""
    folder = tmp_path / "storage"
    folder.mkdir()
    return folder


@pytest.fixture
def remote(tmp_path: Path, home: TestHome) -> Path:
    """Where a repository is to be; the settings of the home name it, and the event APIs are selected."""
    path = tmp_path / "app.git"
    home.settings(repositories={REPOSITORY: str(path)})
    home.select_events()
    return path


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """The URL of an event store that is not there yet."""
    return f"sqlite:///{tmp_path}/events.sqlite3"


@pytest.fixture
def store(store_url: str) -> Iterator[EventStore]:
    """An empty event store."""
    with EventStore(store_url) as store:
        yield store


@pytest.fixture
def intake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeIntake]:
    """An intake to which senders send."""
    with FakeVendor() as vendor:
        monkeypatch.setenv("DORA_INTAKE_ADDRESS", vendor.url)
        yield FakeIntake(vendor)


@pytest.fixture
def dora(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Sender:
    """The command of senders."""
    return Sender(monkeypatch, capfd)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DORA_HOME", "DAGSTER_HOME", "DORA_INTAKE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _enabled_loggers() -> None:
    # Dagster makes its storage with Alembic, whose logging configuration disables every logger that is there.
    for name in logging.root.manager.loggerDict:
        logging.getLogger(name).disabled = False
    # Datadog's client sets the level of this one for the whole process.
    logging.getLogger("urllib3").setLevel(logging.NOTSET)
