"""`dora serve`: what it refuses to start with, what it says, and how it ends."""

import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from dora_pipeline.cli.main import main
from dora_pipeline.config import Home
from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests.certificates import issued
from dora_pipeline_tests.command import Answer, command_line, environment, without_root
from dora_pipeline_tests.intake_servers import API_KEY, Client, IntakeProcess, started_intake
from dora_pipeline_tests.waiting import PATIENCE, eventually

Serve = Callable[..., Answer]
KEYS = {"DORA_INTAKE_API_KEYS": API_KEY}
NOON = 1_714_996_800


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Serve:
    """Runs a `dora serve` that must not start, in this process, through the entry point of the command."""
    monkeypatch.setenv("DORA_HOME", str(tmp_path / "home"))

    def run_command(*options: str, **variables: str) -> Answer:
        for name in ("DORA_INTAKE_API_KEYS", "DORA_INTAKE_APP_KEYS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["dora", "serve", "--port", "0", *options])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Answer(int(ended.value.code or 0), out, err)

    return run_command


def refusal(answer: Answer) -> str:
    """The one line of a command that failed."""
    assert (answer.code, answer.out) == (1, "")
    (line,) = answer.err.splitlines()
    return line


def test_without_keys_it_does_not_start(serve: Serve) -> None:
    line = refusal(serve())
    assert "DORA_INTAKE_API_KEYS is not set" in line
    assert "--insecure" in line
    assert refusal(serve(DORA_INTAKE_API_KEYS=" , ", DORA_INTAKE_APP_KEYS="x" * 20)) == line


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_insecure_is_for_loopback_only(serve: Serve, host: str) -> None:
    line = refusal(serve("--insecure", "--host", host))
    assert f"--insecure is for loopback only, and {host} is not" in line


def test_short_keys_are_for_loopback_only(tmp_path: Path, serve: Serve) -> None:
    keys = f"{API_KEY},a-short-one"
    line = refusal(serve("--host", "0.0.0.0", DORA_INTAKE_API_KEYS=keys))
    assert "DORA_INTAKE_API_KEYS: key 2 has fewer than 16 characters" in line
    assert "a-short-one" not in line
    with started_intake(Home(tmp_path / "home"), api_keys=keys.split(",")) as intake:
        client = Client(intake.url, "a-short-one", None)
        assert client.tell("failure", team="a", started_at=NOON).status_code == 200
        client.close()
    log = intake.log.read_text(encoding="utf-8")
    assert "warning: DORA_INTAKE_API_KEYS: key 2 has fewer than 16 characters" in log
    assert "a-short-one" not in log


def test_a_key_that_cannot_stand_in_a_header_is_named_by_its_place(serve: Serve) -> None:
    line = refusal(serve(DORA_INTAKE_API_KEYS=f"{API_KEY},two words hunter2"))
    assert "DORA_INTAKE_API_KEYS: key 2 holds a space" in line
    assert "hunter2" not in line


def test_a_port_in_use_is_one_clear_line(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal(serve("--port", str(port), **KEYS))
    assert f"127.0.0.1:{port} cannot be listened on: Address already in use; choose another --host or --port" in line


def test_a_host_that_is_not_there_is_one_clear_line(serve: Serve) -> None:
    line = refusal(serve("--host", "no-such-host.invalid", **KEYS))
    assert "no-such-host.invalid:0 cannot be listened on" in line


def test_wrong_tls_files_are_one_clear_line(tmp_path: Path, serve: Serve) -> None:
    good, other = issued(tmp_path / "good", "127.0.0.1"), issued(tmp_path / "other", "127.0.0.1")
    blank = tmp_path / "blank.pem"
    blank.write_text("no certificate")
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIBvTBXBgkqhkiG9w0BBQ0wSjApBgkqhkiG9w0BBQww\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n"
    )

    def told(certificate: Path, key: Path) -> str:
        return refusal(serve("--tls-cert", str(certificate), "--tls-key", str(key), **KEYS))

    assert f"--tls-cert: {tmp_path}/none.pem cannot be read: No such file" in told(tmp_path / "none.pem", good.key)
    assert f"--tls-key: {tmp_path} cannot be read: Is a directory" in told(good.certificate, tmp_path)
    for certificate, key in ((blank, good.key), (good.certificate, blank), (good.certificate, other.key)):
        assert "are no pair in PEM without a password" in told(certificate, key)
    assert "are no pair in PEM without a password" in told(good.certificate, encrypted)


def test_one_tls_option_alone_is_wrong_usage(serve: Serve) -> None:
    answer = serve("--tls-cert", "x.pem", **KEYS)
    assert answer.code == 2
    assert "give both --tls-cert and --tls-key" in answer.err


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    EventStore.at(home).close()
    for path in (*home.intake.iterdir(), home.intake):
        path.chmod(0o555 if path.is_dir() else 0o444)
    ended = subprocess.run(
        [*without_root(), *command_line("serve", "--port", "0")],
        env={**environment(home.path), **KEYS},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert "events.sqlite3 cannot be used" in refusal(Answer(ended.returncode, ended.stdout, ended.stderr))
    home.intake.chmod(0o755)


def test_a_database_that_does_not_answer_is_one_clear_line(serve: Serve) -> None:
    url = "postgresql+psycopg://robot:hunter2@127.0.0.1:1/dora"
    line = refusal(serve(DORA_INTAKE_URL=url, **KEYS))
    assert "postgresql+psycopg://127.0.0.1:1/dora does not answer" in line
    assert "hunter2" not in line


def test_it_says_where_it_listens_what_it_writes_and_whom_it_admits(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with started_intake(home, "--rate-limit", "100", workers=2) as intake:
        assert intake.announced.splitlines() == [
            f"intake   {intake.url} (2 workers, 100 requests a minute for each key and worker)",
            f"store    {home.intake}",
            "admits   1 API key, 1 application key",
        ]
    with started_intake(home, app_keys=[]) as intake:
        assert "0 application keys (DORA_INTAKE_APP_KEYS is not set: listing, getting, del" in intake.announced


def test_insecure_lets_everyone_in_and_says_so(tmp_path: Path) -> None:
    with started_intake(Home(tmp_path / "home"), "--insecure", api_keys=[], app_keys=[]) as intake:
        assert "admits   everyone on this machine, for no key is configured (--insecure)" in intake.announced
        client = Client(intake.url, None, None)
        told = client.tell("deployment", service="shop", started_at=NOON, finished_at=NOON).json()["data"]["id"]
        assert client("GET", f"/api/v2/dora/deployments/{told}").status_code == 200
        assert client("DELETE", f"/api/v2/dora/deployment/{told}").status_code == 202
        assert "security" not in client("GET", "/openapi.json").text.replace("securitySchemes", "")
        client.close()


def test_insecure_with_keys_still_checks_them(tmp_path: Path) -> None:
    with started_intake(Home(tmp_path / "home"), "--insecure") as intake:
        client = Client(intake.url, None, None)
        assert client.tell("failure", team="a", started_at=NOON).status_code == 403
        client.close()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_what_was_accepted(tmp_path: Path, workers: int, number: signal.Signals) -> None:
    home = Home(tmp_path / "home")
    content = json.dumps({"data": {"attributes": {"team": "a", "started_at": NOON}}}).encode()
    with started_intake(home, workers=workers) as intake:
        address = urlsplit(intake.url)
        # Its head is accepted, its body comes after the signal.
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=PATIENCE) as connection:
            head = f"POST /api/v2/dora/failure HTTP/1.1\r\nHost: x\r\nDD-API-KEY: {API_KEY}\r\n"
            typed = f"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {len(content)}\r\n\r\n"
            connection.sendall((head + typed).encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue")
            intake.process.send_signal(number)
            time.sleep(0.3)
            connection.sendall(content)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
        assert intake.process.wait(PATIENCE) == 0
    with EventStore.at(home) as store:
        assert len(store.changed_since("failure", 0)) == 1
    assert "Traceback" not in intake.log.read_text(encoding="utf-8")


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    with started_intake(Home(tmp_path / "home"), workers=2) as intake:
        client = Client(intake.url)
        assert client("GET", "/healthz").status_code == 200
        client.close()
        os.kill(intake.process.pid, signal.SIGKILL)
        intake.process.wait(PATIENCE)
        address = urlsplit(intake.url)
        eventually(lambda: _is_free(address.hostname or "", address.port or 0), "an end of the workers", pause=0.1)


def _is_free(host: str, port: int) -> bool:
    try:
        socket.create_server((host, port)).close()
    except OSError:
        return False
    return True


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with started_intake(Home(tmp_path / "home"), workers=2) as intake:
        client = Client(intake.url)
        assert client("GET", "/healthz").status_code == 200
        workers = eventually(lambda: _two_workers(intake), "two workers", pause=0.05)
        for worker in workers:
            os.kill(int(worker), signal.SIGKILL)
        client.close()
        again = Client(intake.url)
        assert again.tell("failure", team="a", started_at=NOON).status_code == 200
        again.close()


def _two_workers(intake: IntakeProcess) -> list[str] | None:
    """The workers once there are two of them that wait for events, as they do when they have started."""
    workers = [child for child in intake.children() if _waits_for_events(child)]
    return workers if len(workers) == 2 else None


def _waits_for_events(child: str) -> bool:
    # A process and its open files may be gone before they are read.
    with suppress(OSError):
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            return any("eventpoll" in os.readlink(file) for file in list(Path(f"/proc/{child}/fd").iterdir()))
    return False


def test_a_store_that_does_not_answer_is_a_503_that_clients_repeat(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    url = f"sqlite:///{tmp_path}/events.sqlite3?timeout=0.2"
    with started_intake(home, variables={"DORA_INTAKE_URL": url}) as intake:
        client = Client(intake.url)
        locked = sqlite3.connect(tmp_path / "events.sqlite3", isolation_level=None)
        locked.execute("BEGIN IMMEDIATE")
        answers: list[requests.Response] = [
            client.tell("failure", team="a", started_at=NOON),
            client("DELETE", "/api/v2/dora/failure/unknown-0123456789"),
        ]
        for answer in answers:
            assert answer.status_code == 503
            assert answer.json() == {"errors": ["The event store does not answer; nothing was stored. Try again"]}
            assert answer.headers["Retry-After"] == "1"
        ready = client("GET", "/readyz")
        assert (ready.status_code, ready.json()) == (
            503,
            {"status": "the event store stayed locked for 0.2 s by another process; try again"},
        )
        assert client("GET", "/healthz").status_code == 200
        locked.execute("ROLLBACK")
        locked.close()
        assert client("GET", "/readyz").status_code == 200
        assert client.tell("failure", team="a", started_at=NOON).status_code == 200
        client.close()
    assert "stayed locked for 0.2 s" in intake.log.read_text(encoding="utf-8")


def test_the_intake_is_not_ready_while_an_event_cannot_be_stored(tmp_path: Path) -> None:
    """A limit to the size of files is a full disk: what is small still goes into what the journal has room for."""
    home = Home(tmp_path / "home")
    with started_intake(home) as intake:
        client, pid = Client(intake.url), intake.process.pid
        assert client.tell("failure", team="a", started_at=NOON).status_code == 200
        journal = (home.intake / "events.sqlite3-wal").stat().st_size
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (journal + 100_000, hard))
        lost = client.tell("failure", team="b", started_at=NOON + 1, notes=["x" * 10_000] * 30)
        assert lost.status_code == 503, lost.text
        for _ in range(2):
            ready = client("GET", "/readyz")
            assert (ready.status_code, ready.json()) == (503, {"status": "the event store cannot be written"})
        assert client("GET", "/healthz").status_code == 200
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert client("GET", "/readyz").status_code == 200
        assert client.tell("failure", team="b", started_at=NOON + 1, notes=["x" * 10_000] * 30).status_code == 200
        assert len(client.found("failure")) == 2
        client.close()
