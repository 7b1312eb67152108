"""How many connections of clients there are at once, and who has to go when there are too many."""

import logging
import resource
import ssl
import time
from typing import Protocol

from dora_pipeline.intake.web.certificates import Certificate

MOST_CONNECTIONS = 2_000
# For the store, the log, and what Python opens by itself.
RESERVED_FILES = 128
_FEWEST_CONNECTIONS = 16
_SECONDS_BETWEEN_WARNINGS = 60

_log = logging.getLogger("dora_pipeline.intake")


def connection_limit() -> int:
    """How many connections a process may hold: 2,000, or as many as its limit of open files leaves room for.

    The soft limit is raised as far as it may be.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + RESERVED_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST_CONNECTIONS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    most = max(allowed - RESERVED_FILES, _FEWEST_CONNECTIONS)
    if most < MOST_CONNECTIONS:
        _log.warning("the limit of %d open files leaves room for %d connections at once", allowed, most)
    return most


class Endable(Protocol):
    """A connection, as far as it matters here."""

    def end(self) -> None:
        """Close at once."""


class Connections:
    """The connections of a process. Beyond `most` of them, the client that keeps us waiting longest has to go.

    `certificate` is there where TLS is spoken.
    """

    def __init__(self, most: int, certificate: Certificate | None = None) -> None:
        self._most = most
        self._certificate = certificate
        self._all: set[Endable] = set()
        # In the order in which the waiting began.
        self._waiting: dict[Endable, None] = {}
        self._next_warning = 0.0

    @property
    def context(self) -> ssl.SSLContext | None:
        """What the next connection needs to speak TLS."""
        return self._certificate.context if self._certificate else None

    def enter(self, connection: Endable) -> bool:
        """Whether a client that came may stay; it is waited for."""
        if len(self._all) >= self._most:
            self._warn()
            if not self._waiting:
                return False
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            longest.end()
        self._all.add(connection)
        self._waiting[connection] = None
        return True

    def _warn(self) -> None:
        now = time.monotonic()
        if now >= self._next_warning:
            self._next_warning = now + _SECONDS_BETWEEN_WARNINGS
            _log.warning("more than %d connections at once: those that send nothing for longest are closed", self._most)

    def leave(self, connection: Endable) -> None:
        """It is closed."""
        self._all.discard(connection)
        self._waiting.pop(connection, None)

    def wait_for(self, connection: Endable) -> None:
        """It is the client's turn; whoever is waited for already keeps its place."""
        if connection in self._all:
            self._waiting.setdefault(connection)

    def work_for(self, connection: Endable) -> None:
        """It is our turn."""
        self._waiting.pop(connection, None)
