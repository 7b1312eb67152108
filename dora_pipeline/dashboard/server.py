"""The dashboard as a process: its socket, and its end."""

import signal
import sys
from collections.abc import Callable, Iterable

import uvicorn

from dora_pipeline.config import Home
from dora_pipeline.dashboard.app import dashboard_app
from dora_pipeline.intake.web.connections import ClientConnection
from dora_pipeline.listening import BACKLOG, address_of, listening_socket, logging_of

_GRACE_SECONDS = 5


class DashboardServer:
    """Listens, and then `run` answers until SIGTERM or SIGINT; port 0 takes a free one.

    Raises ConfigError for an address that cannot be listened on.
    """

    def __init__(self, home: Home, host: str, port: int, names_of_host: Iterable[str] = ()) -> None:
        self._app = dashboard_app(home, [host, *names_of_host])
        self._socket = listening_socket(host, port)

    @property
    def address(self) -> str:
        """Where it listens, as a URL."""
        return f"http://{address_of(self._socket)}"

    def run(self, announce: Callable[[], None]) -> None:
        """Answer requests; `announce` is called as soon as a signal ends it in order."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(0))
        announce()
        config = uvicorn.Config(
            self._app,
            http=ClientConnection,
            ws="none",
            log_config=logging_of("dora_pipeline.dashboard"),
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[self._socket])
