"""The resource that assets load days with."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import date
from typing import TypeVar

import dagster as dg

from dora_pipeline.assets.lost_runs import sign
from dora_pipeline.config import default_home, read_settings
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.pipeline.progress import Progress, Silence
from dora_pipeline.pipeline.runs import Run, begin
from dora_pipeline.pipeline.table_loads import Loaded, load_table, read_sources
from dora_pipeline.tables import Table
from dora_pipeline.warehouse.sources import SourceFigures
from dora_pipeline.warehouse.writer import open_writer

# The tag of a run that may load days which lose much of what they show.
ACCEPT_SHRINK = "dora/accept_shrink"

_Result = TypeVar("_Result")


class Warehouse:
    """The warehouse as one run of Dagster holds it: from the first asset that needs it to the end of the run.

    An error gives it back, so that nobody waits for a run that is about to try again. Methods raise DoraError.
    """

    def __init__(self, opened: Callable[[], AbstractContextManager[Run]]) -> None:
        self._opened = opened
        self._stack = ExitStack()
        self._run: Run | None = None

    def load(self, table: type[Table], days: Sequence[date]) -> Loaded:
        """What `load_table` says."""
        return self._with_run(lambda run: load_table(run, table, days))

    def readings(self) -> dict[str, SourceFigures]:
        """Read the sources, and tell how each was read. Raises the errors of those that could not be read."""
        return self._with_run(read_sources)

    def close(self) -> None:
        """Give the warehouse back."""
        self._run = None
        self._stack.close()

    def _with_run(self, action: Callable[[Run], _Result]) -> _Result:
        try:
            if self._run is None:
                self._run = self._stack.enter_context(self._opened())
            return action(self._run)
        except BaseException as error:
            self._run = None
            # The writer takes the place of DuckDB's errors with what they mean.
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise


class _Log:
    """A run's steps, told to Dagster's log."""

    def __init__(self, log: dg.DagsterLogManager) -> None:
        self._log = log

    def step(self, name: str, done: int, total: int) -> None:
        """Log that `done` of `total` parts of a step are finished."""
        self._log.info(f"{name}: {done} of {total}")

    def note(self, message: str) -> None:
        """Log what the user should know."""
        self._log.warning(without_credentials(message))


@dg.resource(description="The warehouse, held for a whole run, so that readers never see the middle of one.")
def warehouse(context: dg.InitResourceContext) -> Iterator[Warehouse]:
    """A Warehouse that waits for other runs to end when it is first used."""
    progress = _Log(context.log) if context.log else Silence()
    if context.run and context.instance:
        sign(context.instance, context.run.run_id)
    purpose = f"Dagster run {context.run.run_id[:8]}" if context.run else "Dagster"
    accepts_shrink = context.run is not None and context.run.tags.get(ACCEPT_SHRINK) == "true"
    held = Warehouse(lambda: _opened(progress, purpose, accepts_shrink))
    try:
        yield held
    finally:
        held.close()


@contextmanager
def _opened(progress: Progress, purpose: str, accepts_shrink: bool) -> Iterator[Run]:
    home = default_home()
    settings = read_settings(home)
    with open_writer(home, settings, purpose, progress.note) as writer:
        run = begin(writer, home, settings, progress, fetches=True, accepts_shrink=accepts_shrink)
        for error in run.errors:
            progress.note(f"{error}; days are loaded from what the other sources told, and from what was told before")
        yield run
