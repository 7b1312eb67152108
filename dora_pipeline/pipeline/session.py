"""What every part of a run works with."""

from dataclasses import dataclass

from dora_pipeline.catalog import Catalog
from dora_pipeline.config import Home, Settings
from dora_pipeline.pipeline.progress import Progress
from dora_pipeline.selection import SelectionLog
from dora_pipeline.warehouse.writer import Writer


@dataclass(frozen=True)
class Session:
    """An open warehouse, the files of its home as they were read, and whom to tell.

    `fetches` False: nothing is asked of a network or of the intake's store; what is in the home folder serves.
    `accepts_shrink`: what is lost is lost.
    """

    writer: Writer
    home: Home
    settings: Settings
    catalog: Catalog
    log: SelectionLog
    progress: Progress
    fetches: bool
    accepts_shrink: bool = False
