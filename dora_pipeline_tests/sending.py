"""Senders in tests: a fake intake, something between them and a real one, a checkout, and the command."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from dora_pipeline.cli.main import main
from dora_pipeline_tests.certificates import Certificates
from dora_pipeline_tests.command import Answer
from dora_pipeline_tests.vendors.server import Asked, FakeVendor, Reply
from dora_pipeline_tests.waiting import PATIENCE

KEY = "planted0815planted0815planted081"


class FakeIntake:
    """A vendor that keeps events as the intake does: by their id, else by what identifies them."""

    def __init__(self, vendor: FakeVendor) -> None:
        self.vendor = vendor
        self.events: dict[str, dict[str, Any]] = {}
        self.loses_answers = False
        vendor.route("POST", "/api/v2/dora/(deployment|failure)", self._store)

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The attributes of every request that arrived, repeated ones too."""
        return [asked.body["data"]["attributes"] for asked in self.vendor.asked]

    def _store(self, asked: Asked) -> Reply:
        assert asked.match is not None
        kind = asked.match[1]
        attributes = asked.body["data"]["attributes"]
        identity = attributes.get("id") or f"{attributes['services']}-{attributes['started_at']}"
        self.events[identity] = attributes
        return Reply({"data": {"id": identity, "type": f"dora_{kind}"}}, hangs_up=self.loses_answers)


def relay(vendor: FakeVendor, url: str, certificates: Certificates) -> None:
    """Let a vendor pass events on to an intake and its answers back, where faults can still spoil them."""

    def passed(asked: Asked) -> Reply:
        answer = requests.post(
            url + asked.path,
            json=asked.body,
            headers={"DD-API-KEY": asked.headers["dd-api-key"]},
            verify=str(certificates.authority),
            timeout=PATIENCE,
        )
        return Reply(answer.content, answer.status_code)

    vendor.route("POST", "/api/v2/dora/(deployment|failure)", passed)


class Sender:
    """Runs `dora` in this process, through the entry point of the command."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def __call__(self, *arguments: str) -> Answer:
        """The answer of a command."""
        self._monkeypatch.setattr(sys, "argv", ["dora", *arguments])
        self._capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = self._capfd.readouterr()
        return Answer(code, out, err)


def git(folder: Path, *arguments: str) -> str:
    """What git prints in a folder; a failure of git fails the test."""
    ended = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return ended.stdout.strip()


def checkout(folder: Path, remote: str | None = "https://git.example/Org/Shop.git") -> str:
    """Make a repository with one commit in a folder; the commit's SHA."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "-c", "user.name=A", "-c", "user.email=a@example.invalid", "commit", "--quiet", "--allow-empty", "-mA")
    if remote:
        git(folder, "remote", "add", "origin", remote)
    return git(folder, "rev-parse", "HEAD")


def plain_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """An environment without anything that a sender or git reads from it, but a key; the folder is the current one."""
    for name in (
        "DD_SERVICE",
        "DD_ENV",
        "DATADOG_API_KEY",
        "DD_APP_KEY",
        "DATADOG_APP_KEY",
        "DORA_INTAKE_ADDRESS",
        "REQUESTS_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    settings = folder / "gitconfig"
    settings.touch()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder))
    monkeypatch.setenv("DD_API_KEY", KEY)
    monkeypatch.setenv("DORA_HOME", str(folder / "no home"))
    work = folder / "work"
    work.mkdir()
    monkeypatch.chdir(work)
