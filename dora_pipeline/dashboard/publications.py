"""The newest publication, and questions to it: few at once, each over one publication and within its time."""

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, Timer
from typing import TypeVar

import duckdb
from starlette.requests import Request

from dora_pipeline.config import Home
from dora_pipeline.errors import DoraError, WarehouseError
from dora_pipeline.pipeline.answers import overview
from dora_pipeline.report.answer import Overview
from dora_pipeline.warehouse.filtered import Parts
from dora_pipeline.warehouse.reader import asking, open_publication

MOST_AT_ONCE = 2
# Of a question that is asked alone: half of what a page takes is planning, for which a statement has one thread.
_PARTS_AT_ONCE = 2
MOST_SECONDS = 30.0
# Of DuckDB; with Python and what it holds, a process stays below 600 MB.
MEMORY = "350MB"
_SECONDS_BETWEEN_LOOKS = 1.0

Found = TypeVar("Found")


class TooBusy(DoraError):
    """Other questions, or this one, take too long."""


@dataclass(frozen=True)
class Publication:
    """What was published, by the file that holds it; `identity` is another one for each publication."""

    identity: str
    overview: Overview
    connection: duckdb.DuckDBPyConnection = field(repr=False)
    parts: Parts = field(repr=False, default_factory=Parts)


def publications_of(request: Request) -> "Publications":
    """What the app of a request asks."""
    found: Publications = request.app.state.publications
    return found


Act = Callable[[duckdb.DuckDBPyConnection, Publication], Found]
ActOfParts = Callable[[Sequence[duckdb.DuckDBPyConnection], Publication], Found]


class Publications:
    """Answers questions to the published warehouse of a home, each from the publication that is the newest then."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = Lock()
        self._newest: Publication | None = None
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._under_way = 0
        self._spill = TemporaryDirectory(prefix="dora-dashboard-")
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, "question")

    def identity(self) -> str:
        """The identity of the newest publication. Raises WarehouseError where there is none."""
        try:
            status = os.stat(self._home.warehouse)
        except OSError as error:
            raise WarehouseError(
                f"{self._home.warehouse}: cannot be read: {error.strerror}; `dora run` makes it"
            ) from error
        return f"{status.st_dev:x}-{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"

    async def ask(self, act: Act[Found]) -> Found:
        """What `act` makes of a connection to the newest publication, and of this.

        Raises TooBusy where others, or it, take more than 30 seconds, and what `open_reader` raises.
        """
        return await self._asked(lambda connections, publication: act(connections[0], publication), 1)

    async def ask_by_parts(self, act: ActOfParts[Found]) -> Found:
        """As `ask`, of several connections, which may be used at once, where nobody else asks; else of one."""
        return await self._asked(act, 1 if self._under_way else _PARTS_AT_ONCE)

    async def keep_ready(self, act: ActOfParts[object]) -> None:
        """Open each publication as soon as it is there, and act on it once, so that who asks first need not wait.

        Where somebody asks meanwhile, only that is answered. Goes on until it is cancelled; what fails is left to those
        who ask.
        """
        tried = ""
        while True:
            with suppress(DoraError):
                identity = self.identity()
                if identity != tried:
                    tried = identity
                    await self.ask(lambda connection, publication: None)
                    if not self._under_way:
                        await self.ask_by_parts(act)
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)

    def close(self) -> None:
        """Let go of the publication."""
        self._threads.shutdown()
        self._newest = None
        self._spill.cleanup()

    async def _asked(self, act: ActOfParts[Found], connections: int) -> Found:
        self._under_way += 1
        try:
            return await self._in_turn(act, connections)
        finally:
            self._under_way -= 1

    async def _in_turn(self, act: ActOfParts[Found], connections: int) -> Found:
        try:
            async with asyncio.timeout(MOST_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise TooBusy("too many questions are asked at once; ask again") from None
        try:
            # A question whose reader has gone is computed to its end before the next one is begun.
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._found, act, connections)
        finally:
            self._places.release()

    def _found(self, act: ActOfParts[Found], connections: int) -> Found:
        publication = self._publication()
        with ExitStack() as stack:
            cursors = [stack.enter_context(asking(self._home, publication.connection)) for _ in range(connections)]
            end = Timer(MOST_SECONDS, _interrupt, [cursors])
            end.start()
            try:
                return act(cursors, publication)
            except duckdb.InterruptException:
                advice = f"it takes more than {MOST_SECONDS:g} seconds; ask for fewer days, or for one team"
                raise TooBusy(advice) from None
            except duckdb.OutOfMemoryException:
                raise TooBusy(f"it takes more than {MEMORY} of memory; ask for fewer days, or for one team") from None
            finally:
                end.cancel()

    def _publication(self) -> Publication:
        with self._lock:
            identity = self.identity()
            if self._newest is None or self._newest.identity != identity:
                # Questions that are under way keep the former one open.
                self._newest = self._opened(identity)
            return self._newest

    def _opened(self, identity: str) -> Publication:
        connection = open_publication(self._home, MEMORY, Path(self._spill.name))
        with asking(self._home, connection) as cursor:
            return Publication(identity, overview(cursor), connection)


def _interrupt(connections: Iterable[duckdb.DuckDBPyConnection]) -> None:
    for connection in connections:
        connection.interrupt()
