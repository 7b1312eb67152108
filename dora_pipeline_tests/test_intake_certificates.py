"""A renewed certificate is taken while the intake runs; one that cannot be used leaves the former in use."""

import os
import shutil
import signal
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dora_pipeline.config import Home
from dora_pipeline_tests.certificates import Certificates, issued
from dora_pipeline_tests.intake_servers import Client, IntakeProcess, started_intake
from dora_pipeline_tests.waiting import PATIENCE, eventually

NOON = 1_714_996_800


def _put(new: Certificates, used: Certificates) -> None:
    """Put a certificate and its key in the place of those in use, each at once, as programs that renew do."""
    for source, target in ((new.certificate, used.certificate), (new.key, used.key)):
        copy = target.with_suffix(".new")
        shutil.copy(source, copy)
        copy.replace(target)


def _is_shown(intake: IntakeProcess, certificates: Certificates) -> bool:
    """Whether every one of ten new connections is shown the certificate."""
    address = urlsplit(intake.url)
    place = (address.hostname or "", address.port or 0)
    wanted = certificates.certificate.read_text(encoding="ascii").split("-----END")[0].split()
    shown = {ssl.get_server_certificate(place, timeout=PATIENCE) for _ in range(10)}
    return [text.split("-----END")[0].split() for text in shown] == [wanted]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_renewed_certificate_is_taken_without_a_restart(tmp_path: Path, workers: int) -> None:
    used, *renewed = [issued(tmp_path / name, "127.0.0.1") for name in ("used", "first", "second")]
    first = issued(tmp_path / "copy", "127.0.0.1")
    _put(used, first)
    with started_intake(Home(tmp_path / "home"), tls=first, workers=workers) as intake:
        client = Client(intake.url, authority=used.authority)
        assert client.tell("deployment", service="shop", started_at=NOON, finished_at=NOON).status_code == 200
        children = intake.children()

        _put(renewed[0], first)
        os.kill(intake.process.pid, signal.SIGHUP)
        eventually(lambda: _is_shown(intake, renewed[0]), "the certificate renewed by a signal")
        # Connections from before go on.
        assert client.tell("deployment", service="api", started_at=NOON, finished_at=NOON).status_code == 200

        first.key.write_text("no key")
        os.kill(intake.process.pid, signal.SIGHUP)
        eventually(lambda: _logged(intake, "cannot be used") >= workers, "a line about the wrong key")
        assert _is_shown(intake, renewed[0])

        # Without a signal, by looking.
        _put(renewed[1], first)
        eventually(lambda: _is_shown(intake, renewed[1]), "the certificate renewed")
        assert client.tell("deployment", service="web", started_at=NOON, finished_at=NOON).status_code == 200
        client.close()
        assert intake.children() == children
    log = intake.log.read_text(encoding="utf-8")
    assert f"the changed certificate {first.certificate} is in use" in log
    assert "so the former one stays in use: --tls-cert" in log
    assert "Traceback" not in log


def _logged(intake: IntakeProcess, text: str) -> int:
    return intake.log.read_text(encoding="utf-8").count(text)
