"""The intake as a process of its own, on a free port of loopback: `dora serve` as users start it."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import requests
import uvicorn

from dora_pipeline.config import Home
from dora_pipeline.intake.web.access import API_KEYS, APP_KEYS, Keys
from dora_pipeline.intake.web.app import IntakeSettings, intake_app
from dora_pipeline.intake.web.connections import ClientConnection
from dora_pipeline_tests.certificates import Certificates
from dora_pipeline_tests.command import command_line, environment
from dora_pipeline_tests.waiting import PATIENCE

API_KEY = "an-api-key-of-the-tests-0123456789"
APP_KEY = "an-app-key-of-the-tests-0123456789"


@dataclass(frozen=True)
class IntakeProcess:
    """A running `dora serve`; `announced` is what it printed at its start, `log` the file of its stderr."""

    url: str
    announced: str
    log: Path
    process: subprocess.Popen[str]

    def children(self) -> list[str]:
        """The process ids of its children."""
        pid = self.process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()


@contextmanager
def started_intake(
    home: Home,
    *options: str,
    api_keys: Sequence[str] = (API_KEY,),
    app_keys: Sequence[str] = (APP_KEY,),
    tls: Certificates | None = None,
    workers: int = 1,
    variables: Mapping[str, str] | None = None,
    files: int | None = None,
) -> Iterator[IntakeProcess]:
    """`dora serve` for as long as the block lasts; then SIGTERM, which it must follow with exit code 0.

    `files` is the limit of its open files.
    """
    limit = [] if files is None else ["prlimit", f"--nofile={files}:{files}"]
    home.path.mkdir(parents=True, exist_ok=True)
    log = home.path.with_name(f"{home.path.name}-serve.log")
    keys = {"DORA_INTAKE_API_KEYS": ",".join(api_keys), "DORA_INTAKE_APP_KEYS": ",".join(app_keys)}
    if tls is not None:
        options = (*options, "--tls-cert", str(tls.certificate), "--tls-key", str(tls.key))
    with log.open("a", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            [*limit, *command_line("serve", "--port", "0", "--workers", str(workers), *options)],
            env={**environment(home.path), **keys, **(variables or {})},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    with process:
        try:
            announced = "".join(process.stdout.readline() for _ in range(3))
            if not announced.startswith("intake "):
                raise AssertionError(f"dora serve did not start: {log.read_text(encoding='utf-8')}")
            yield IntakeProcess(announced.split()[1], announced, log, process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()
    assert process.returncode in (0, -signal.SIGKILL), log.read_text(encoding="utf-8")


@contextmanager
def running_intake(
    home: Home,
    *options: str,
    api_keys: Sequence[str] = (API_KEY,),
    app_keys: Sequence[str] = (APP_KEY,),
    tls: Certificates | None = None,
    workers: int = 1,
    variables: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """The address of `dora serve`, which runs for as long as the block lasts; the port is in it, a slash not."""
    with started_intake(
        home, *options, api_keys=api_keys, app_keys=app_keys, tls=tls, workers=workers, variables=variables
    ) as started:
        yield started.url


@contextmanager
def intake_in_process(home: Home, *, keep_alive_seconds: int | float = 75) -> Iterator[tuple[str, uvicorn.Server]]:
    """An intake in a thread of this process, for tests that change its limits: its address and its server."""
    keys = Keys.of({API_KEYS: API_KEY, APP_KEYS: APP_KEY})
    config = uvicorn.Config(
        intake_app(IntakeSettings(home.path, keys)),
        http=ClientConnection,
        ws="none",
        log_config=None,
        access_log=False,
        timeout_keep_alive=keep_alive_seconds,  # type: ignore[arg-type]  # parts of seconds are as good
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", server
        finally:
            server.should_exit = True
            thread.join()


class Client:
    """Asks an intake, with both keys unless told otherwise."""

    def __init__(
        self,
        url: str,
        api_key: str | None = API_KEY,
        app_key: str | None = APP_KEY,
        authority: Path | None = None,
    ) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(authority) if authority else True
        told = {"DD-API-KEY": api_key, "DD-APPLICATION-KEY": app_key}
        self._keys = {name: key for name, key in told.items() if key is not None}

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        """The answer to a body: bytes as they are, all else as JSON. `dd_env` is a header as it is spelt."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        typed = {} if body is None else {"Content-Type": "application/json"}
        named = {name if name == "dd_env" else name.replace("_", "-"): value for name, value in headers.items()}
        return self._session.request(
            method, self.url + path, data=content, headers={**self._keys, **typed, **named}, timeout=PATIENCE
        )

    def tell(self, kind: str, **attributes: Any) -> requests.Response:
        """Send a deployment or a failure."""
        return self("POST", f"/api/v2/dora/{kind}", {"data": {"attributes": attributes}})

    def found(self, kind: str, **attributes: Any) -> list[dict[str, Any]]:
        """The deployments or failures that a list gives."""
        body = {"data": {"type": f"dora_{kind}s_list_request", "attributes": attributes}}
        answer = self("POST", f"/api/v2/dora/{kind}s", body)
        assert answer.status_code == 200, answer.text
        events: list[dict[str, Any]] = answer.json()["data"]
        return events

    def close(self) -> None:
        """Let its connections go."""
        self._session.close()
