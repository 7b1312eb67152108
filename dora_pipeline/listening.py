"""Where the servers of this program listen, and how they log."""

import logging
import os
import socket
import time
from ipaddress import ip_address
from typing import Any

from dora_pipeline.errors import ConfigError

BACKLOG = 2048


def is_loopback(host: str) -> bool:
    """Whether every address of the host is one that only this machine reaches."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one. Raises ConfigError where it cannot."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        # Of addresses in use, Python tells the address once more.
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise ConfigError(f"{host}:{port} cannot be listened on: {reason}; choose another --host or --port") from None


def address_of(listening: socket.socket) -> str:
    """Where a socket listens, as `127.0.0.1:8080` or `[::1]:8080`."""
    host, port = listening.getsockname()[:2]
    return f"{f'[{host}]' if ':' in host else host}:{port}"


class _Line(logging.Formatter):
    """Writes each second once: to write it takes as long as the rest of a line."""

    _second: tuple[int, str] = (0, "")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Local time with milliseconds, as logging has it."""
        second, text = self._second
        if second != int(record.created):
            second, text = int(record.created), time.strftime(self.default_time_format, self.converter(record.created))
            self._second = second, text
        return f"{text},{int(record.msecs):03d}"


def logging_of(logger: str) -> dict[str, Any]:
    """How a server logs: lines on stderr, those of `logger`, and of uvicorn what is worth a warning."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": _Line, "fmt": "%(asctime)s %(levelname)s %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {
            "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
            logger: {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        },
    }
