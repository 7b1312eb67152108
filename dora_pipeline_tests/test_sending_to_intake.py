"""`dora deployment`, `dora failure` and `dora resend` against `dora serve` over TLS: what they send is rows, once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dora_pipeline_tests.certificates import Certificates, issued
from dora_pipeline_tests.homes import TestHome, moment
from dora_pipeline_tests.intake_servers import API_KEY, running_intake
from dora_pipeline_tests.sending import Sender, checkout, plain_environment, relay
from dora_pipeline_tests.vendors.server import FakeVendor, Fault, cut, hang_up, html, refused


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain_environment(monkeypatch, tmp_path)
    monkeypatch.setenv("DD_API_KEY", API_KEY)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return issued(tmp_path / "certificates", "127.0.0.1")


@pytest.fixture
def url(home: TestHome, certificates: Certificates) -> Iterator[str]:
    """An intake over TLS, whose events count."""
    home.select_events()
    with running_intake(home.home, tls=certificates) as url:
        yield url


@pytest.fixture
def dora(
    url: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Sender:
    monkeypatch.setenv("DORA_INTAKE_ADDRESS", url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.authority))
    return Sender(monkeypatch, capfd)


def test_what_is_sent_are_the_rows_after_a_run(dora: Sender, home: TestHome, tmp_path: Path) -> None:
    sha = checkout(tmp_path / "work", "https://bot:token@Git.example/Org/Shop.git")
    common = ("--env", "prod", "--version", "1.2", "--team", "till", "--custom-tags", "region:eu")
    start, end = "2026-03-01T10:00:00Z", "2026-03-01T10:10:00.5Z"
    assert dora("deployment", "--service", "shop", "--started-at", start, "--finished-at", end, *common).code == 0
    failing = ("failure", "--service", "shop", "--service", "till", "--started-at", start, *common)
    assert dora(*failing, "--name", "No sales", "--severity", "SEV-1").code == 0
    assert dora(*failing, "--finished-at", end).code == 0
    home.run()
    columns = "env, version, team, repository_id, commit_sha, started_at, finished_at, custom_tags"
    finished = moment("2026-03-01 10:10:00.5")
    row = ("prod", "1.2", "till", "git.example/org/shop", sha, moment("2026-03-01 10:00:00"), finished, ["region:eu"])
    assert home.rows(f"SELECT service, {columns} FROM core.deployments") == [("shop", *row)]
    assert home.rows(f"SELECT service, name, severity, {columns} FROM core.failures ORDER BY service") == [
        ("shop", "No sales", "SEV-1", *row),
        ("till", "No sales", "SEV-1", *row),
    ]
    assert home.rows("SELECT * FROM core.rejected_events") == []


LOST: dict[str, Fault] = {
    "hang_up": hang_up,
    "cut": cut,
    "html": html,
    "503": refused(503),
    "429": refused(429, retry_after="0"),
}


@pytest.mark.parametrize("fault", LOST)
def test_an_answer_that_is_lost_after_storing_makes_no_second_event(
    fault: str, url: str, dora: Sender, certificates: Certificates, home: TestHome
) -> None:
    told = ("--service", "shop", "--started-at", "2026-03-01T10:00:00Z", "--skip-git")
    with FakeVendor(tls=certificates.context) as proxy:
        relay(proxy, url, certificates)
        proxy.spoil(LOST[fault], None, LOST[fault])
        assert dora("deployment", *told, "--url", proxy.url).code == 0
        assert dora("failure", *told, "--url", proxy.url).code == 0
    assert len(proxy.asked) == 4
    home.run()
    assert home.rows("SELECT count(*) FROM core.deployments") == [(1,)]
    assert home.rows("SELECT count(*) FROM core.failures") == [(1,)]
    assert home.rows("SELECT * FROM core.rejected_events") == []


def test_a_spool_that_is_sent_twice_makes_each_event_once(dora: Sender, home: TestHome, tmp_path: Path) -> None:
    spool = tmp_path / "spool.jsonl"
    away = ("--skip-git", "--url", "http://127.0.0.1:9", "--timeout", "1", "--spool", str(spool))
    for second in range(3):
        told = ("--service", "shop", "--started-at", f"2026-03-01T10:00:0{second}Z")
        assert dora("deployment", *told, *away).code == 1
        assert dora("failure", *told, *away).code == 1
    kept = spool.read_bytes()
    assert dora("resend", str(spool)).code == 0
    spool.write_bytes(kept)
    assert dora("resend", str(spool)).code == 0
    home.run()
    seconds = [(moment(f"2026-03-01 10:00:0{second}"),) for second in range(3)]
    assert home.rows("SELECT started_at FROM core.deployments ORDER BY 1") == seconds
    assert home.rows("SELECT started_at FROM core.failures ORDER BY 1") == seconds


def test_what_the_intake_refuses_is_told_in_its_words(
    dora: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool.jsonl"
    spool.write_text(json.dumps({"event_type": "deployment", "attributes": {"service": "shop"}}) + "\n")
    answer = dora("resend", str(spool))
    assert answer.code == 1
    assert "HTTP 400" in answer.err
    assert "started_at" in answer.err
    monkeypatch.setenv("DD_API_KEY", "another" * 4)
    answer = dora("resend", str(spool))
    assert answer.code == 1
    assert "HTTP 403: Forbidden: the key in DD-API-KEY is none of those in the intake's DORA_INTAKE_API" in answer.err
    assert "; check the key in DATADOG_API_KEY or else DD_API_KEY" in answer.err
