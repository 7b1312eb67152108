"""What was loaded, and is reported to Dagster by nobody: by `dora run`, or by a run beside what it was asked for."""

from collections.abc import Sequence
from datetime import datetime

from dora_pipeline.config import Home, Settings
from dora_pipeline.pipeline.check_results import check_results
from dora_pipeline.pipeline.expectation import CheckResult
from dora_pipeline.pipeline.loading import EVENT_TABLES, FOLLOWING_TABLES
from dora_pipeline.timeline import Window
from dora_pipeline.warehouse.loads import Load, newest_load, unreported_loads
from dora_pipeline.warehouse.reader import open_reader


def outside_loads(
    home: Home, settings: Settings, since: datetime | None, days: Window
) -> tuple[Sequence[Load], Sequence[CheckResult]]:
    """The loads of the days after a moment, oldest first, and the checks of their tables as they are now.

    After a moment that is newer than any load, in a warehouse that was made anew by a clock that is set back: all.
    Raises WarehouseError where the published warehouse cannot be read, or an older program made it.
    """
    with open_reader(home) as connection:
        newest = newest_load(connection)
        if since is not None and newest is not None and newest < since:
            since = None
        loads = unreported_loads(connection, since, days, FOLLOWING_TABLES, EVENT_TABLES)
        tables = dict.fromkeys(load.table for load in loads)
        return loads, [result for table in tables for result in check_results(connection, table, settings)]
