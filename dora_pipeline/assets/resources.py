"""The resource that assets load days with."""

from collections.abc import Iterator

import dagster as dg

from dora_pipeline.config import default_home, read_settings
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.pipeline.progress import Silence
from dora_pipeline.pipeline.runs import Run
from dora_pipeline.warehouse.writer import open_writer


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
def warehouse(context: dg.InitResourceContext) -> Iterator[Run]:
    """Wait for other runs to end, then give a Run."""
    home = default_home()
    settings = read_settings(home)
    progress = _Log(context.log) if context.log else Silence()
    purpose = f"Dagster run {context.run.run_id[:8]}" if context.run else "Dagster"
    with open_writer(home, settings, purpose, progress.note) as writer:
        yield Run(writer, home, settings, progress, fetches=True)
