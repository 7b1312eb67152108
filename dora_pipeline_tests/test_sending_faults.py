"""Sending on bad days: retries, refusals, certificates, the spool and its resending; nothing is lost or told twice."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from dora_pipeline.config import Home
from dora_pipeline.sending.sent_events import Event
from dora_pipeline.sending.spool import Spool, SpoolError
from dora_pipeline_tests.certificates import issued
from dora_pipeline_tests.command import command_line, process, without_root
from dora_pipeline_tests.intake_servers import running_intake
from dora_pipeline_tests.sending import KEY, FakeIntake, Sender, plain_environment
from dora_pipeline_tests.vendors.server import (
    Asked,
    FakeVendor,
    Fault,
    Reply,
    cut,
    drip,
    echo,
    hang_up,
    html,
    redirect,
    refused,
)
from dora_pipeline_tests.waiting import PATIENCE

DEPLOYMENT = ("deployment", "--service", "shop", "--started-at", "2026-03-01T10:00:00Z", "--skip-git")
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain_environment(monkeypatch, tmp_path)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool.jsonl"


def deployment_of(service: str) -> tuple[str, ...]:
    return ("deployment", "--service", service, "--started-at", "2026-03-01T10:00:00Z", "--skip-git")


def fill(spool: Path, count: int) -> list[str]:
    """A spool with deployments, as the command writes it; their services in order."""
    services = [f"service-{number:03}" for number in range(count)]
    with spool.open("w") as file:
        for service in services:
            attributes = {
                "service": service,
                "started_at": 1772359200,
                "finished_at": 1772359200,
                "id": f"id-{service}",
            }
            file.write(json.dumps({"event_type": "deployment", "attributes": attributes}) + "\n")
    return services


def services_in(spool: Path) -> list[str]:
    return [json.loads(line)["attributes"]["service"] for line in spool.read_text().splitlines()]


# retries


PASSING: dict[str, Fault] = {
    "404": refused(404, b"404 page not found"),
    "408": refused(408),
    "429": refused(429, {"errors": ["Too many requests"]}, retry_after="0"),
    "500": refused(500),
    "502": refused(502, b"<html>Bad Gateway"),
    "503": refused(503),
    "hang_up": hang_up,
    "cut": cut,
    "html": html,
    "without_id": refused(200, {"data": None}),
}


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_sent_again_and_is_one_event(fault: str, intake: FakeIntake, dora: Sender) -> None:
    intake.vendor.spoil(PASSING[fault])
    answer = dora(*DEPLOYMENT)
    assert (answer.code, answer.err) == (0, "")
    assert len(intake.sent) == 2
    assert len(intake.events) == 1


def test_what_does_not_pass_in_time_is_not_stored_and_says_so_in_a_line(intake: FakeIntake, dora: Sender) -> None:
    intake.vendor.spoil(*[echo(503)] * 9)
    answer = dora(*DEPLOYMENT, "--timeout", "1")
    assert answer.code == 1
    assert answer.err.startswith(f"dora: the deployment is not stored: intake: POST {intake.vendor.url}/api/v2/dora/")
    assert "HTTP 503" in answer.err
    assert "the 1 s that" in answer.err
    assert len(answer.err.splitlines()) == 1
    assert KEY not in answer.err


def test_a_server_that_never_ends_its_answer_is_given_up_in_time(intake: FakeIntake, dora: Sender) -> None:
    intake.vendor.spoil(drip)
    answer = dora(*DEPLOYMENT, "--timeout", "1")
    assert (answer.code, "the answer, HTTP 200, was still coming in" in answer.err) == (1, True)


def test_a_wait_that_is_too_long_is_not_waited_for(intake: FakeIntake, dora: Sender) -> None:
    intake.vendor.spoil(refused(429, {"errors": ["Too many requests"]}, retry_after="3600"))
    answer = dora(*DEPLOYMENT)
    assert answer.code == 1
    assert "the wait of 3600 s that it asks for is more than" in answer.err
    assert len(intake.sent) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 413, 422])
def test_a_refusal_is_final_and_repeats_what_the_server_says_without_the_key(
    status: int, intake: FakeIntake, dora: Sender, spool: Path
) -> None:
    intake.vendor.spoil(echo(status))
    answer = dora(*DEPLOYMENT, "--spool", str(spool))
    assert answer.code == 1
    assert f"HTTP {status}: bad request" in answer.err
    assert ("DD_API_KEY" in answer.err) == (status in {401, 403})
    assert KEY not in answer.err + answer.out
    assert len(answer.err.splitlines()) == 1
    assert len(intake.sent) == 1
    assert not spool.exists()


def test_the_key_does_not_follow_a_redirect(intake: FakeIntake, dora: Sender) -> None:
    intake.vendor.spoil(redirect("https://elsewhere.example/"))
    answer = dora(*DEPLOYMENT)
    assert (answer.code, "sends us to elsewhere.example" in answer.err) == (1, True)
    assert len(intake.sent) == 1


# certificates


def test_an_https_address_of_an_intake_without_tls_fails_at_once_with_what_to_do(dora: Sender, tmp_path: Path) -> None:
    with running_intake(Home(tmp_path / "home"), api_keys=(KEY,)) as url:
        answer = dora(*DEPLOYMENT, "--url", url.replace("http://", "https://"))
    assert answer.code == 1
    assert "the server does not speak TLS there; write http:// in place of https://, or have it serve TLS" in answer.err
    assert "tried" not in answer.err


def test_a_private_authority_is_trusted_where_it_is_named(dora: Sender, tmp_path: Path) -> None:
    certificates = issued(tmp_path / "ours", "127.0.0.1")
    with FakeVendor(tls=certificates.context) as vendor:
        intake = FakeIntake(vendor)
        answer = dora(*DEPLOYMENT, "--url", vendor.url, "--ca-cert", str(certificates.authority))
    assert (answer.code, answer.err) == (0, "")
    assert len(intake.events) == 1


@pytest.mark.parametrize(("named", "advice"), [(True, "see "), (False, "name your authority in REQUESTS_CA_BUNDLE")])
def test_another_authority_is_one_clear_line_and_gets_neither_event_nor_key(
    named: bool, advice: str, dora: Sender, tmp_path: Path, spool: Path
) -> None:
    other = issued(tmp_path / "other", "127.0.0.1").authority
    with FakeVendor(tls=issued(tmp_path / "ours", "127.0.0.1").context) as vendor:
        trusting = ("--ca-cert", str(other)) if named else ()
        answer = dora(*DEPLOYMENT, "--url", vendor.url, *trusting, "--spool", str(spool))
    assert answer.code == 1
    assert "the certificate is not trusted" in answer.err
    assert advice in answer.err
    assert len(answer.err.splitlines()) == 1
    assert vendor.asked == []
    assert services_in(spool) == ["shop"]


def test_the_name_of_another_host_is_not_trusted(dora: Sender, tmp_path: Path) -> None:
    certificates = issued(tmp_path / "ours", "dora.example")
    with FakeVendor(tls=certificates.context) as vendor:
        answer = dora(*DEPLOYMENT, "--url", vendor.url, "--ca-cert", str(certificates.authority))
    assert (answer.code, "the certificate is not trusted" in answer.err) == (1, True)
    assert vendor.asked == []


def test_a_file_without_certificates_is_named(intake: FakeIntake, dora: Sender, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no certificate\n")
    answer = dora(*DEPLOYMENT, "--ca-cert", str(tmp_path / "notes.txt"))
    assert (answer.code, f"{tmp_path}/notes.txt: no certificates can be read" in answer.err) == (1, True)
    assert intake.sent == []


# the spool


def test_an_event_that_cannot_be_stored_now_is_kept_and_sent_later_under_its_id(
    intake: FakeIntake, dora: Sender, spool: Path
) -> None:
    kept = dora(*DEPLOYMENT, "--url", NOBODY, "--timeout", "1", "--spool", str(spool))
    assert kept.code == 1
    assert kept.err.rstrip().endswith(f"it is kept: `dora resend {spool}` sends it")
    assert len(kept.err.splitlines()) == 1
    assert stat.S_IMODE(spool.stat().st_mode) == 0o600
    assert KEY not in spool.read_text()
    (line,) = spool.read_text().splitlines()
    event_id = json.loads(line)["attributes"]["id"]
    sent = dora("resend", str(spool))
    assert (sent.code, sent.out) == (0, f"stored: 1, left in {spool}: 0\n")
    assert list(intake.events) == [event_id]
    assert not spool.exists()


def test_a_lost_answer_and_a_resending_make_one_event(intake: FakeIntake, dora: Sender, spool: Path) -> None:
    intake.loses_answers = True
    assert dora(*DEPLOYMENT, "--timeout", "1", "--spool", str(spool)).code == 1
    intake.loses_answers = False
    assert dora("resend", str(spool)).code == 0
    assert len(intake.sent) >= 2
    assert len(intake.events) == 1


def test_events_are_kept_and_sent_in_their_order(intake: FakeIntake, dora: Sender, spool: Path) -> None:
    for service in ("c", "a", "b"):
        dora(*deployment_of(service), "--url", NOBODY, "--timeout", "1", "--spool", str(spool))
    assert services_in(spool) == ["c", "a", "b"]
    assert dora("resend", str(spool)).code == 0
    assert [sent["service"] for sent in intake.sent] == ["c", "a", "b"]


def test_credentials_are_in_no_spool(dora: Sender, spool: Path) -> None:
    told = ("--custom-tags", "build:https://bot:hidden@ci.example/1", "--spool", str(spool))
    dora(*DEPLOYMENT, *told, "--url", NOBODY, "--timeout", "1")
    assert json.loads(spool.read_text())["attributes"]["custom_tags"] == ["build:https://ci.example/1"]


def test_an_empty_or_missing_spool_is_nothing_to_do(intake: FakeIntake, dora: Sender, spool: Path) -> None:
    assert dora("resend", str(spool)).code == 0
    spool.touch()
    assert dora("resend", str(spool)).code == 0
    assert intake.sent == []


def test_what_the_server_refuses_and_what_is_no_event_stay_and_are_named(
    intake: FakeIntake, dora: Sender, spool: Path
) -> None:
    first, refused_line, last = (fill(spool, 3), spool.read_text().splitlines())[1]
    others = ["{", "[]", '{"event_type": "outage", "attributes": {}}', '{"event_type": "failure"}', "[" * 100_000]
    spool.write_bytes("\n".join([first, refused_line, *others, last]).encode() + b"\n\n\xff\n")
    intake.vendor.spoil(None, refused(400, {"errors": [{"detail": "no such service"}]}))
    answer = dora("resend", str(spool))
    assert answer.code == 1
    head, *lines = answer.err.splitlines()
    assert head == f"dora: 2 of 9 events are sent, the others stay in {spool}:"
    assert lines[0].startswith("line 1: the deployment is not stored: intake: POST")
    assert lines[0].endswith("HTTP 400: no such service")
    assert [line.partition(" (")[0] for line in lines[1:]] == [f"line {n}: holds no event" for n in range(2, 8)]
    assert [sent["service"] for sent in intake.sent] == ["service-000", "service-001", "service-002"]
    assert spool.read_bytes() == "\n".join([refused_line, *others]).encode() + b"\n\xff\n"


@pytest.mark.parametrize(("fault", "told"), [(refused(403, {"errors": ["Forbidden"]}), "HTTP 403"), (echo(503), "503")])
def test_a_resending_ends_where_no_other_event_would_fare_better(
    fault: Fault, told: str, intake: FakeIntake, dora: Sender, spool: Path
) -> None:
    services = fill(spool, 5)
    intake.vendor.spoil(None, None, *[fault] * 9)
    answer = dora("resend", str(spool), "--timeout", "1")
    assert answer.code == 1
    assert f"2 of 5 events are sent, the others stay in {spool}" in answer.err
    assert told in answer.err
    assert services_in(spool) == services[2:]


def test_only_some_of_many_reasons_are_shown(intake: FakeIntake, dora: Sender, spool: Path) -> None:
    spool.write_text("".join(f"{number}\n" for number in range(30)))
    lines = dora("resend", str(spool)).err.splitlines()
    assert len(lines) == 22
    assert lines[-1] == "and 10 more"


def test_events_kept_while_others_are_sent_stay(intake: FakeIntake, dora: Sender, spool: Path, tmp_path: Path) -> None:
    services = fill(spool, 3)
    arguments = (*deployment_of("late"), "--url", NOBODY, "--timeout", "1", "--spool", str(spool))

    def keep_another(asked: Asked, reply: Reply) -> Reply:
        assert process(tmp_path, *arguments).code == 1
        return reply

    intake.vendor.spoil(None, keep_another)
    assert dora("resend", str(spool)).code == 0
    assert [sent["service"] for sent in intake.sent] == services
    assert services_in(spool) == ["late"]


KEEPING = """
import sys
from pathlib import Path
from dora_pipeline.config import Home
from dora_pipeline.sending.sent_events import Event
from dora_pipeline.sending.spool import Spool

for number in range(25):
    Spool(Path(sys.argv[1])).add(Event("deployment", {"service": f"{sys.argv[2]}-{number:02}"}))
"""


def test_many_programs_keep_events_at_once(spool: Path) -> None:
    names = ["a", "b", "c", "d"]
    programs = [subprocess.Popen([sys.executable, "-c", KEEPING, str(spool), name]) for name in names]
    assert [program.wait(PATIENCE) for program in programs] == [0] * 4
    kept = services_in(spool)
    for name in names:
        assert [service for service in kept if service.startswith(name)] == [f"{name}-{n:02}" for n in range(25)]
    assert len(kept) == 100


@pytest.mark.parametrize("number", [1, 99, 100, 101, 205])
def test_a_resending_that_is_killed_loses_no_event(
    number: int, intake: FakeIntake, dora: Sender, spool: Path, tmp_path: Path
) -> None:
    services = fill(spool, 210)
    arrived = threading.Event()

    def hold(asked: Asked, reply: Reply) -> Reply:
        arrived.set()
        killed.wait(PATIENCE)
        return Reply(hangs_up=True)

    killed = threading.Event()
    intake.vendor.spoil(*[None] * (number - 1), hold)
    sending = subprocess.Popen(command_line("resend", str(spool)))
    assert arrived.wait(PATIENCE)
    sending.send_signal(signal.SIGKILL)
    sending.wait()
    killed.set()
    left = services_in(spool)
    assert left == services[(number - 1) // 100 * 100 :]
    assert dora("resend", str(spool)).code == 0
    assert list(intake.events) == [f"id-{service}" for service in services]
    assert len(intake.sent) <= 210 + 100
    assert not spool.exists()


def test_what_a_killed_writer_left_is_written_over(dora: Sender, spool: Path) -> None:
    services = fill(spool, 2)
    (spool.parent / ".spool.jsonl.unfinished").write_text('{"event_type": "depl')
    dora(*DEPLOYMENT, "--url", NOBODY, "--timeout", "1", "--spool", str(spool))
    assert services_in(spool) == [*services, "shop"]


def test_a_line_without_its_end_is_kept_apart_from_the_next(dora: Sender, spool: Path) -> None:
    spool.write_text('{"event_type": "depl')
    dora(*DEPLOYMENT, "--url", NOBODY, "--timeout", "1", "--spool", str(spool))
    first, second = spool.read_text().splitlines()
    assert first == '{"event_type": "depl'
    assert json.loads(second)["attributes"]["service"] == "shop"


def test_a_spool_that_cannot_be_written_is_told_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    arguments = (*DEPLOYMENT, "--url", NOBODY, "--timeout", "1", "--spool", str(folder / "spool.jsonl"))
    answer = process(tmp_path, *arguments, before=without_root())
    assert answer.code == 1
    assert "the deployment is not stored" in answer.err
    assert f"nor could it be kept: {folder}/spool.jsonl: cannot be written" in answer.err
    assert len(answer.err.splitlines()) == 1


def test_a_spool_that_stays_locked_is_told(spool: Path) -> None:
    with (
        FileLock(spool.with_name(".spool.jsonl.lock")),
        pytest.raises(SpoolError, match="another process has held it"),
    ):
        Spool(spool, lock_seconds=0.2).add(Event("deployment", {"service": "shop"}))


def test_a_spool_behind_a_link_stays_behind_it(dora: Sender, spool: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.jsonl"
    link.symlink_to(spool)
    dora(*DEPLOYMENT, "--url", NOBODY, "--timeout", "1", "--spool", str(link))
    assert link.is_symlink()
    assert services_in(spool) == ["shop"]


def test_a_spool_that_is_a_folder_is_wrong_use(dora: Sender, tmp_path: Path) -> None:
    assert dora(*DEPLOYMENT, "--url", NOBODY, "--spool", str(tmp_path)).code == 2
    assert dora("resend", str(tmp_path), "--url", NOBODY).code == 2


# surroundings


def test_the_key_is_on_no_command_line_and_in_no_output(
    intake: FakeIntake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def look(asked: Asked, reply: Reply) -> Reply:
        seen.extend(path.read_bytes().decode(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline"))
        return reply

    intake.vendor.spoil(look)
    answer = process(tmp_path, "--debug", *DEPLOYMENT)
    assert answer.code == 0
    assert any("shop" in line for line in seen)
    assert KEY not in answer.out + answer.err + "".join(seen)


def test_a_key_that_cannot_stand_in_a_header_is_not_shown(dora: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_API_KEY", f"{KEY}\n{KEY}")
    answer = dora(*DEPLOYMENT, "--url", NOBODY)
    assert answer.code == 1
    assert KEY not in answer.err


def test_senders_need_no_home(intake: FakeIntake, tmp_path: Path) -> None:
    assert process(tmp_path / "nowhere", *DEPLOYMENT).code == 0
    assert not os.path.exists(tmp_path / "nowhere")
