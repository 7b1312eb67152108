"""The days that a run loads: each table of core and metrics, from what has landed and is judged."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date

from dora_pipeline.catalog import Catalog
from dora_pipeline.code_versions import code_version
from dora_pipeline.pipeline import loading
from dora_pipeline.pipeline.mirrors import Repositories
from dora_pipeline.pipeline.session import Session
from dora_pipeline.pipeline.shrinkage import ShrinkGuard
from dora_pipeline.tables import (
    ApmVersionActivity,
    Daily,
    DeploymentCommits,
    Deployments,
    FailedChanges,
    FailureLinks,
    Failures,
    RejectedEvents,
    Services,
    SourceSelections,
    Table,
)
from dora_pipeline.timeline import Window
from dora_pipeline.warehouse.landing import landed_rows
from dora_pipeline.warehouse.loads import record_quiet_days, record_whole_loads
from dora_pipeline.warehouse.staleness import stale_days
from dora_pipeline.warehouse.upgrades import end_making_anew, is_made_anew

# What is loaded together: at least so many days, and more while fewer than so many rows landed, which bounds memory.
# Each batch costs its statements, and ends in a part of a row group that the next has to write again.
_DAYS_TOGETHER = 366
_ROWS_TOGETHER = 3_000_000


class DayLoads:
    """Loads days of tables; `guard` holds back those that would shrink."""

    def __init__(self, session: Session, catalog: Catalog, repositories: Repositories, guard: ShrinkGuard) -> None:
        writer, settings, progress = session.writer, session.settings, session.progress
        self._writer = writer
        self._progress = progress
        self._loads: Mapping[type[Table], Callable[[Sequence[date]], int]] = {
            SourceSelections: lambda days: loading.load_selections(writer, session.log),
            Services: lambda days: loading.load_services(writer, catalog),
            ApmVersionActivity: lambda days: loading.load_version_activity(writer, settings, days),
            Deployments: lambda days: loading.load_deployments(
                writer, repositories, catalog, guard.allowed_days(Deployments, days)
            ),
            Failures: lambda days: loading.load_failures(writer, guard.allowed_days(Failures, days)),
            DeploymentCommits: lambda days: loading.load_following(writer, DeploymentCommits, days),
            FailureLinks: lambda days: loading.load_following(writer, FailureLinks, days),
            FailedChanges: lambda days: loading.load_following(writer, FailedChanges, days),
            RejectedEvents: lambda days: loading.load_following(writer, RejectedEvents, days),
            Daily: lambda days: loading.load_following(writer, Daily, days),
        }

    def stale(self) -> list[date]:
        """The days whose events no longer match what has landed."""
        return stale_days(self._writer.connection, loading.EVENT_TABLES)

    def load(self, table: type[Table], days: Sequence[date]) -> int:
        """Load the days of one table; the number of rows. A table without days is loaded whole."""
        return self._loads[table](days)

    def load_all(self, days: Sequence[date]) -> dict[str, int]:
        """Load the days of every table, some at a time; the rows by name of the table.

        A warehouse that lacked days is whole when none is stale.
        """
        rows: dict[str, int] = {}
        if not days:
            self.load_what_follows()
        batches = list(self._batches(days))
        for done, batch in enumerate(batches):
            self._progress.step("load days", done, len(batches))
            for table in (*loading.EVENT_TABLES, *loading.FOLLOWING_TABLES):
                name = table.table_name
                rows[name] = rows.get(name, 0) + self.load(table, batch)
        self._progress.step("load days", len(batches), len(batches))
        if is_made_anew(self._writer.connection) and not self.stale():
            with self._writer.transaction() as connection:
                end_making_anew(connection)
        return rows

    def load_before(self, first: date) -> None:
        """Load the stale days before the first selection.

        Nothing of them is shown, and they are no partition of Dagster's: nobody else would load them.
        """
        if not any(day < first for day in self.stale()):
            return
        for table in loading.EVENT_TABLES:
            early = [day for day in stale_days(self._writer.connection, (table,)) if day < first]
            if early:
                self.load(table, early)

    def record_what_is_up_to_date(self, days: Window) -> None:
        """Record as loaded what every run brings up to date: the tables without days, and the days that never had rows.

        What they follow from has landed, and says that there is nothing to load.
        """
        with self._writer.transaction() as connection:
            record_whole_loads(connection, {table: code_version(table) for table in loading.WHOLE_TABLES})
            by_days = (*loading.EVENT_TABLES, *loading.FOLLOWING_TABLES)
            record_quiet_days(connection, {table: code_version(table) for table in by_days}, days)

    def load_what_follows(self) -> None:
        """Load the stale days of the tables that are made from others.

        What an interrupted run has left, and rejects that landed, would keep a run that loads no day from publishing.
        """
        if not stale_days(self._writer.connection, loading.FOLLOWING_TABLES):
            return
        for table in loading.FOLLOWING_TABLES:
            if stale_days(self._writer.connection, (table,)):
                self.load(table, ())

    def _batches(self, days: Sequence[date]) -> Iterator[Sequence[date]]:
        together = max(_DAYS_TOGETHER, len(days) * _ROWS_TOGETHER // (landed_rows(self._writer.connection) + 1))
        for start in range(0, len(days), together):
            yield days[start : start + together]
