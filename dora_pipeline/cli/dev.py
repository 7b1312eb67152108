"""`dora dev`: Dagster's page and daemon on this home, in one command."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import click

from dora_pipeline.cli.dagster_home import DagsterError, DagsterHome, workspace_file
from dora_pipeline.cli.display import console
from dora_pipeline.config import default_home
from dora_pipeline.errors import ConfigError
from dora_pipeline.process_groups import WATCHER
from dora_pipeline.selection import read_selection_log
from dora_pipeline.settings import read_settings

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Dagster gives its own children a minute each.
_SECONDS_TO_STOP = 130
# Dagster's word on its own command, of no use to a user.
_QUIET = "ignore:Function `dev_command` is superseded"
_SECONDS_BETWEEN_LOOKS = 0.5


@click.command("dev")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--prepare", is_flag=True, help="Only make DAGSTER_HOME ready, as a service does before Dagster starts.")
def dev_command(host: str, port: int, prepare: bool) -> None:
    """Start Dagster's page with schedules, sensors and backfills, until Ctrl-C."""
    home = default_home()
    read_settings(home)
    is_selected = bool(read_selection_log(home).entries)
    dagster = DagsterHome(home)
    is_shipped = dagster.make()
    if prepare:
        dagster.migrate()
        dagster.show_loads()
        return
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
    with dagster.held(address):
        _refuse_used_port(host, port)
        if not is_shipped:
            _say(f"{dagster.settings} is your own; it stays as it is")
        if dagster.migrate():
            _say(f"{dagster.path}: taken over from another version of Dagster")
        if dagster.show_loads():
            _say("the days that are loaded already are shown as materialized")
        _say(f"starting Dagster on {home.path}")
        began = time.monotonic()
        with _stop_signals_raised(), _dagster(dagster, host, port) as process:
            try:
                while not _answers(shown, port):
                    _wait(process)
                _say(f"{address} is ready after {time.monotonic() - began:.0f} s; Ctrl-C stops it")
                if not is_selected:
                    _say("no source is selected yet; in another terminal: dora init, then dora select, then dora run")
                while True:
                    _wait(process)
            except KeyboardInterrupt:
                _say("stopping")


@contextlib.contextmanager
def _dagster(dagster: DagsterHome, host: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster in a session of its own, stopped at the end of the block with all that it started."""
    command = [sys.executable, "-m", "dagster", "dev", "--workspace", str(workspace_file())]
    command += ["--host", host, "--port", str(port), "--log-level", "warning"]
    warnings = ",".join(filter(None, [_QUIET, os.environ.get("PYTHONWARNINGS")]))
    environment = {**dagster.environment, "PYTHONWARNINGS": warnings}
    WATCHER.start()
    # In its own folder, else it warns of the settings in the project's.
    process = subprocess.Popen(command, env=environment, cwd=dagster.path, start_new_session=True)
    # Of a `dora dev` that is killed a daemon would be left, and the next one would be a second.
    WATCHER.add(process.pid)
    try:
        yield process
    finally:
        process.terminate()
        try:
            # A second Ctrl-C is for those who do not want to wait.
            with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                process.wait(_SECONDS_TO_STOP)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            WATCHER.remove(process.pid)


@contextlib.contextmanager
def _stop_signals_raised() -> Iterator[None]:
    """KeyboardInterrupt for every signal that asks to stop, also where a script's `&` made SIGINT ignored.

    What Dagster inherits is then the default, which it needs to stop by SIGTERM.
    """
    # nohup ignores SIGHUP on purpose.
    numbers = [one for one in _SIGNALS if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN]
    former = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _wait(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_SECONDS_BETWEEN_LOOKS)
        raise DagsterError(f"Dagster ended by itself with code {process.returncode}; its last lines above say why")


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/server_info")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _refuse_used_port(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        reason = str(error.strerror).partition(" (while attempting")[0]
        raise ConfigError(f"{host}:{port}: {reason}; name another with --host and --port") from error


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
