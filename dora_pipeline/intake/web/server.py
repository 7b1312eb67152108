"""The intake as processes: keys, TLS, the socket, the workers, and their end.

What does not belong here: what a request gets.
"""

import gc
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import uvicorn
from starlette.applications import Starlette
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from dora_pipeline.config import Home
from dora_pipeline.errors import ConfigError
from dora_pipeline.intake.store import EventStore
from dora_pipeline.intake.store.database import address_text, named_store, store_url
from dora_pipeline.intake.web.access import API_KEYS, APP_KEYS, SHORTEST_KEY, Keys
from dora_pipeline.intake.web.app import IntakeSettings, intake_app
from dora_pipeline.intake.web.certificates import Certificate, Tls
from dora_pipeline.intake.web.connections import ClientConnection
from dora_pipeline.intake.web.monitoring import METRICS_FOLDER
from dora_pipeline.intake.web.webhooks import WEBHOOK_SECRETS
from dora_pipeline.listening import BACKLOG, address_of, is_loopback, listening_socket, logging_of

# Longer than nginx keeps its connections to us, so that it never writes into one that just ended.
_KEEP_ALIVE_SECONDS = 75
_GRACE_SECONDS = 20
_HEALTH_SECONDS = 30
_OBJECTS_BETWEEN_COLLECTIONS = 10_000


class IntakeServer:
    """Checks everything that can be wrong, listens, and then `run` answers until SIGTERM or SIGINT.

    `port` 0 takes a free one. Raises ConfigError for keys, TLS files, an address or a store that cannot be used.
    """

    def __init__(
        self,
        home: Home,
        host: str,
        port: int,
        *,
        tls: Tls | None = None,
        workers: int = 1,
        requests_per_minute: int = 0,
        is_insecure: bool = False,
    ) -> None:
        self._tls = tls
        self._workers = workers
        self.keys = Keys.of(os.environ)
        secrets = os.environ.get(WEBHOOK_SECRETS, "").split(",")
        webhook_secrets = tuple(secret.strip() for secret in secrets if secret.strip())
        _check_keys(self.keys, host, is_insecure)
        self._settings = IntakeSettings(home.path, self.keys, webhook_secrets, requests_per_minute, tls)
        if tls is not None:
            Certificate(tls)
        with EventStore.at(home) as store:
            store.ping()
        named = named_store()
        self.store_address = address_text(store_url(named)) if named else str(home.intake)
        self._socket = listening_socket(host, port)

    @property
    def address(self) -> str:
        """Where it listens, as a URL."""
        return f"{'https' if self._tls else 'http'}://{address_of(self._socket)}"

    def run(self, announce: Callable[[], None]) -> None:
        """Answer requests; `announce` is called as soon as a signal ends it in order.

        What was accepted when the signal came is finished within 20 seconds.
        """
        # The workers get digests; nothing else that is started from here gets the keys.
        for name in (API_KEYS, APP_KEYS, WEBHOOK_SECRETS):
            os.environ.pop(name, None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(0))
        announce()
        config = self._config()
        try:
            if self._workers == 1:
                uvicorn.Server(config).run(sockets=[self._socket])
            else:
                with _metrics_folder():
                    # Without TLS, SIGHUP replaces the workers one after another.
                    kind = _Supervisor if self._tls else Multiprocess
                    _supervise(kind(config, sockets=[self._socket]))
        except SystemExit as ended:
            if ended.code == STARTUP_FAILURE:
                raise ConfigError("the intake did not start; the lines above say why") from None
            raise

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            partial(_worker_app, self._settings),
            factory=True,
            workers=self._workers,
            http=ClientConnection,
            ws="none",
            log_config=logging_of("dora_pipeline.intake"),
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_worker_healthcheck=_HEALTH_SECONDS,
        )


def _worker_app(settings: IntakeSettings) -> Starlette:
    app = intake_app(settings)
    # What is there now stays, and requests leave next to no cycles: else looking for them is a tenth of an event.
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    # No line says where it was logged.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    return app


def _check_keys(keys: Keys, host: str, is_insecure: bool) -> None:
    is_local = is_loopback(host)
    if is_insecure and not is_local:
        raise ConfigError(f"--insecure is for loopback only, and {host} is not; set {API_KEYS} in its place")
    if not keys.api and not is_insecure:
        raise ConfigError(
            f"the environment variable {API_KEYS} is not set; it holds the keys of senders, separated by commas "
            "(--insecure lets everyone in, on loopback only)"
        )
    if keys.short and not is_local:
        raise ConfigError(
            f"{'; '.join(keys.short)}; beyond loopback a key must have {SHORTEST_KEY}, so that none can be guessed"
        )


@contextmanager
def _metrics_folder() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="dora-metrics-") as folder:
        os.environ[METRICS_FOLDER] = folder
        yield


class _Supervisor(Multiprocess):
    """Passes SIGHUP on: workers take a renewed certificate without an end."""

    def handle_hup(self) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.kill(process.pid or os.getpid(), signal.SIGHUP)


def _supervise(supervisor: Multiprocess) -> None:
    supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        sys.exit(STARTUP_FAILURE)
