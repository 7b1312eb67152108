"""Fixtures of all tests."""

import logging
from pathlib import Path

import pytest

from dora_pipeline_tests.homes import TestHome


@pytest.fixture
def home(tmp_path: Path) -> TestHome:
    """An empty home."""
    return TestHome(tmp_path / "home")


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
