"""The load of one table, with everything that is to be shown of it: how Dagster's assets run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from dora_pipeline.code_versions import code_version
from dora_pipeline.errors import DoraError, SourceUnavailable
from dora_pipeline.pipeline.check_results import check_results
from dora_pipeline.pipeline.expectation import CheckResult
from dora_pipeline.pipeline.glimpses import Glimpse, glimpse
from dora_pipeline.pipeline.runs import Run
from dora_pipeline.tables import RejectedEvents, SourceStates, Table
from dora_pipeline.warehouse.days import all_row_count, row_count, rows_by_day
from dora_pipeline.warehouse.loads import mark_reported, record_whole_loads
from dora_pipeline.warehouse.sources import SourceFigures, source_figures


@dataclass(frozen=True)
class Rows:
    """The rows of a table: those of the loaded days, of every day, and of each loaded day; and what these rejected.

    `by_day` is empty for a table that has no days.
    """

    loaded: int
    total: int
    by_day: Mapping[date, int]
    rejected: int


@dataclass(frozen=True)
class Refusals:
    """What was refused: `errors` tell of the days of this table, `days` are those of every table so far in this run.

    Where there are any, `waiting_days` are all days whose events are not loaded, and what follows from the others is
    loaded.
    """

    days: Mapping[type[Table], Collection[date]]
    waiting_days: Collection[date]
    errors: Sequence[DoraError]


@dataclass(frozen=True)
class Loaded:
    """What loading one table for some days did, and whether people see it now."""

    table: type[Table]
    days: Sequence[date]
    rows: Rows
    refusals: Refusals
    checks: Sequence[CheckResult]
    glimpse: Glimpse
    is_published: bool


def load_table(run: Run, table: type[Table], days: Sequence[date]) -> Loaded:
    """Load the days of one table, check them, and publish if nothing waits for another table.

    For sources that could not be read `read_sources` raises.
    """
    writer = run.writer
    if run.is_made_anew:
        run.days.load_all(run.days.stale())
    rows = run.days.load(table, days)
    with writer.transaction() as connection:
        if not days:
            record_whole_loads(connection, {table: code_version(table)})
        mark_reported(connection, table, days)
    refused_days = run.guard.refused_days()
    if not days or refused_days:
        run.days.load_what_follows()
    checks = check_results(writer.connection, table, run.settings)
    is_published = run.publish()
    by_day = rows_by_day(writer, table, days) if days else {}
    return Loaded(
        table,
        days,
        Rows(rows, all_row_count(writer, table), by_day, row_count(writer, RejectedEvents, days)),
        Refusals(refused_days, run.days.stale() if refused_days else (), run.guard.errors(table)),
        checks,
        glimpse(writer, table, max(days, default=None)),
        is_published,
    )


def read_sources(run: Run) -> dict[str, SourceFigures]:
    """Publish what has landed if the warehouse is whole, and say how the reading of each source went.

    Raises the error of a source that could not be read; one that may pass goes before one that lasts.
    """
    run.days.load_what_follows()
    with run.writer.transaction() as connection:
        record_whole_loads(connection, {SourceStates: code_version(SourceStates)})
        mark_reported(connection, SourceStates, ())
    run.publish()
    for error in sorted(run.errors, key=lambda error: not isinstance(error, SourceUnavailable)):
        raise error
    return source_figures(run.writer.connection)
