"""The resource that assets load days with."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
from pydantic import Field, PrivateAttr

from dora_pipeline.assets.lost_runs import sign
from dora_pipeline.config import Home
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.pipeline.progress import Progress, Silence
from dora_pipeline.pipeline.runs import Run, begin
from dora_pipeline.pipeline.table_loads import Loaded, load_table, read_sources
from dora_pipeline.settings import read_settings
from dora_pipeline.tables import Table
from dora_pipeline.warehouse.sources import SourceFigures
from dora_pipeline.warehouse.writer import open_writer

# The tag of a run that may load days which lose much of what they show.
ACCEPT_SHRINK = "dora/accept_shrink"

_Result = TypeVar("_Result")


class Warehouse(dg.ConfigurableResource[Any]):
    """The warehouse, held by a run from the first asset that needs it to its end: readers never see the middle of one.

    An error gives it back, so that nobody waits for a run that is about to try again. Methods raise DoraError.
    """

    home: str = Field(description="The home folder, as an absolute path.")
    _run: Run | None = PrivateAttr(default=None)
    _stack: ExitStack = PrivateAttr(default_factory=ExitStack)

    @property
    def folder(self) -> Home:
        """The home."""
        return Home(Path(self.home))

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Warehouse"]:
        """The warehouse of one run, given back at its end. It waits for other runs when it is first used."""
        if context.run and context.instance:
            sign(context.instance, context.run.run_id)
        try:
            yield self
        finally:
            self._give_back(None)

    def load(self, table: type[Table], days: Sequence[date]) -> Loaded:
        """What `load_table` says."""
        return self._with_run(lambda run: load_table(run, table, days))

    def readings(self) -> dict[str, SourceFigures]:
        """Read the sources; how each was read. Raises the errors of those that could not be read."""
        return self._with_run(read_sources)

    def _with_run(self, action: Callable[[Run], _Result]) -> _Result:
        try:
            if self._run is None:
                self._run = self._stack.enter_context(_opened(self.folder, self.get_resource_context()))
            return action(self._run)
        except BaseException as error:
            # The writer takes the place of DuckDB's errors with what they mean.
            self._give_back(error)
            raise

    def _give_back(self, error: BaseException | None) -> None:
        self._run = None
        self._stack.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)


class _Log:
    """A run's steps in Dagster's log."""

    def __init__(self, log: dg.DagsterLogManager) -> None:
        self._log = log

    def step(self, name: str, done: int, total: int) -> None:
        """Log that `done` of `total` parts of a step are finished."""
        self._log.info(f"{name}: {done} of {total}")

    def note(self, message: str) -> None:
        """Log what the user should know."""
        self._log.warning(without_credentials(message))


@contextmanager
def _opened(home: Home, context: dg.InitResourceContext) -> Iterator[Run]:
    progress: Progress = _Log(context.log) if context.log else Silence()
    purpose = f"Dagster run {context.run.run_id[:8]}" if context.run else "Dagster"
    accepts_shrink = context.run is not None and context.run.tags.get(ACCEPT_SHRINK) == "true"
    settings = read_settings(home)
    with open_writer(home, settings, purpose, progress.note) as writer:
        run = begin(writer, home, settings, progress, fetches=True, accepts_shrink=accepts_shrink)
        for error in run.errors:
            progress.note(f"{error}; days are loaded from the other sources, and from what was read before")
        yield run
