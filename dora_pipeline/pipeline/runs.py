"""A whole run: everything from the settings to the published warehouse, in one process."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from importlib.metadata import version

from dora_pipeline.catalog import read_catalog
from dora_pipeline.config import Home, Settings, read_settings
from dora_pipeline.errors import ConfigError, DoraError, SourceUnavailable
from dora_pipeline.pipeline import loading
from dora_pipeline.pipeline.checks import CheckResult, check_results, warnings
from dora_pipeline.pipeline.commits import Repositories
from dora_pipeline.pipeline.glimpses import Glimpse, glimpse
from dora_pipeline.pipeline.landing import land
from dora_pipeline.pipeline.progress import Progress, Silence
from dora_pipeline.pipeline.session import Session
from dora_pipeline.pipeline.shrinkage import ShrinkGuard
from dora_pipeline.selection import read_selection_log
from dora_pipeline.tables import (
    ApmVersionActivity,
    Daily,
    DeploymentCommits,
    Deployments,
    Failures,
    RejectedEvents,
    Services,
    SourceSelections,
    Table,
)
from dora_pipeline.timeline import Window, day_of
from dora_pipeline.warehouse.accounts import require_accounts
from dora_pipeline.warehouse.days import all_row_count, row_count, rows_by_day, services_with_commits
from dora_pipeline.warehouse.freshness import tell_freshness
from dora_pipeline.warehouse.shrinkage import end_meant_shrinks
from dora_pipeline.warehouse.sources import SourceFigures, source_figures
from dora_pipeline.warehouse.staleness import stale_days
from dora_pipeline.warehouse.upgrades import end_landing_anew, end_making_anew, is_landed_anew, is_made_anew
from dora_pipeline.warehouse.writer import Writer, open_writer

# Days that are loaded together: few enough that a progress bar moves, many enough that SQL works on sets.
_BATCH_OF_DAYS = 366


@dataclass
class RunReport:
    """What a run did: the days it loaded and their rows by table; the days that are still stale, and what warns."""

    days: Sequence[date] = ()
    rows: dict[str, int] = field(default_factory=dict)
    stale: Sequence[date] = ()
    warnings: Sequence[CheckResult] = ()


@dataclass(frozen=True)
class Loaded:
    """What loading one table did: its rows and the rejected events of the days, checks, whether people see it now.

    `all_rows` are those of every day. `rows_by_day` is empty for a table that has no days. `errors` tell of the days
    of this table that were refused; `refused_days` are those of every table so far in this run. Where there are any,
    `waiting_days` are all days whose events are not loaded, and what follows from the others is loaded.
    """

    table: type[Table]
    days: int
    rows: int
    all_rows: int
    rows_by_day: Mapping[date, int]
    rejected: int
    checks: Sequence[CheckResult]
    glimpse: Glimpse
    is_published: bool
    refused_days: Mapping[type[Table], Collection[date]]
    waiting_days: Collection[date]
    errors: Sequence[DoraError]


class Run:
    """What can be loaded while the warehouse is held. Raises ConfigError for a home whose files are wrong."""

    def __init__(
        self,
        writer: Writer,
        home: Home,
        settings: Settings,
        progress: Progress,
        *,
        fetches: bool,
        accepts_shrink: bool = False,
    ) -> None:
        log, catalog = read_selection_log(home), read_catalog(home)
        session = Session(writer, home, settings, catalog, log, progress, fetches, accepts_shrink)
        self.writer = writer
        self.settings = settings
        self.errors: Sequence[DoraError] = ()
        self._session = session
        self._repositories = Repositories(session)
        self._catalog = catalog
        self._guard = ShrinkGuard(writer, settings, accepts_shrink=accepts_shrink)
        self._is_prepared = False
        self._has_published = False
        self._loads: Mapping[type[Table], Callable[[Sequence[date]], int]] = {
            SourceSelections: lambda days: loading.load_selections(writer, log),
            Services: lambda days: loading.load_services(writer, self._catalog),
            ApmVersionActivity: lambda days: loading.load_version_activity(writer, settings, days),
            Deployments: lambda days: loading.load_deployments(
                writer, self._repositories, self._catalog, self._guard.allowed_days(Deployments, days), progress
            ),
            Failures: lambda days: loading.load_failures(writer, self._guard.allowed_days(Failures, days)),
            DeploymentCommits: lambda days: loading.load_following(writer, DeploymentCommits, days),
            RejectedEvents: lambda days: loading.load_following(writer, RejectedEvents, days),
            Daily: lambda days: loading.load_following(writer, Daily, days),
        }

    def prepare(self) -> None:
        """Apply settings, selections and catalog, and land what sources have told; once, however often called."""
        if self._is_prepared:
            return
        session = self._session
        today = day_of(datetime.now(UTC), self.settings.zone)
        loading.apply_settings(self.writer, self.settings, session.catalog)
        loading.load_selections(self.writer, session.log)
        if is_landed_anew(self.writer.connection):
            self._land_anew()
        self.errors = list(land(session).values())
        self._catalog = self._repositories.located(session.catalog, services_with_commits(self.writer))
        loading.load_services(self.writer, self._catalog)
        loading.look_for_missing_commits(self.writer, self._repositories, today - self.settings.reread)
        self._load_days_before_selections()
        self._is_prepared = True

    def _land_anew(self) -> None:
        session = self._session
        # What the home holds first: a store or a vendor that does not answer may not take its events away.
        losses = self._guard.losses(land(replace(session, fetches=False)))
        if losses and session.fetches:
            # What the home has lost they may still tell.
            losses = self._guard.losses(land(session))
        for loss in losses[1:]:
            self._session.progress.note(str(loss))
        if losses:
            raise losses[0]
        with self.writer.transaction() as connection:
            end_landing_anew(connection)
        self.writer.drop_former()

    @property
    def is_made_anew(self) -> bool:
        """Whether the warehouse is to take the place of a published one, and lacks days."""
        return is_made_anew(self.writer.connection)

    def load(self, table: type[Table], days: Sequence[date]) -> int:
        """Load the days of one table; the number of rows."""
        return self._loads[table](days)

    def load_days(self, days: Sequence[date]) -> RunReport:
        """Load the days of every table, some at a time. A warehouse that lacked days is whole when none is stale."""
        report = RunReport(days)
        batches = list(_batches(days)) or [[]]
        for done, batch in enumerate(batches):
            self._session.progress.step("load days", done, len(batches))
            for table in (*loading.EVENT_TABLES, *loading.FOLLOWING_TABLES):
                name = table.table_name
                report.rows[name] = report.rows.get(name, 0) + self.load(table, batch)
        self._session.progress.step("load days", len(batches), len(batches))
        report.stale = self.stale_days()
        if not report.stale:
            with self.writer.transaction() as connection:
                end_making_anew(connection)
        return report

    def load_and_check(self, table: type[Table], days: Sequence[date]) -> Loaded:
        """Land what is new, load the days of one table, check them, and publish if nothing waits for another table.

        For sources that could not be read `readings` raises.
        """
        self.prepare()
        if self.is_made_anew:
            self.load_days(self.stale_days())
        rows = self.load(table, days)
        refused_days = self._guard.refused_days()
        if not days or refused_days:
            self._load_what_follows()
        checks = check_results(self.writer.connection, table, self.settings)
        is_published = self.publish()
        return Loaded(
            table,
            len(days),
            rows,
            all_row_count(self.writer, table),
            rows_by_day(self.writer, table, days) if days else {},
            row_count(self.writer, RejectedEvents, days),
            checks,
            glimpse(self.writer, table, max(days, default=None)),
            is_published,
            refused_days,
            self.stale_days() if refused_days else (),
            self._guard.errors(table),
        )

    def readings(self) -> dict[str, SourceFigures]:
        """Land what is new, publish if the warehouse is whole, and tell how the reading of each source went.

        Raises the error of a source that could not be read; one that may pass goes before one that lasts.
        """
        self.prepare()
        self._load_what_follows()
        self.publish()
        for error in sorted(self.errors, key=lambda error: not isinstance(error, SourceUnavailable)):
            raise error
        return source_figures(self.writer.connection)

    def stale_days(self) -> list[date]:
        """The days whose events no longer match what has landed."""
        return stale_days(self.writer.connection, loading.EVENT_TABLES)

    def _load_days_before_selections(self) -> None:
        # Nothing of them is shown, and they are no partition of Dagster's: nobody would load them.
        first = self._session.log.first_day(self.settings.zone)
        if first is None:
            return
        for table in loading.EVENT_TABLES:
            early = [day for day in stale_days(self.writer.connection, (table,)) if day < first]
            if early:
                self.load(table, early)

    def _load_what_follows(self) -> None:
        # What an interrupted run has left, and rejects that landed, would keep a run that loads no day from publishing.
        for table in loading.FOLLOWING_TABLES:
            if stale_days(self.writer.connection, (table,)):
                self.load(table, ())

    def publish(self) -> bool:
        """Publish the warehouse, unless it lacks days, or a table waits for what follows from another.

        Whether it is whole. Each run publishes once, so that metrics.freshness tells of it, and again after changes.
        Raises WarehouseError for a warehouse that does not add up.
        """
        is_whole = not self.is_made_anew and not stale_days(self.writer.connection, loading.FOLLOWING_TABLES)
        if is_whole and not (self._has_published and self.writer.is_published()):
            require_accounts(self.writer.connection)
            if not self.errors and not self.stale_days():
                with self.writer.transaction() as connection:
                    end_meant_shrinks(connection)
            tell_freshness(self.writer, datetime.now(UTC), version("dora-pipeline"))
            self.writer.publish()
            self._has_published = True
        return is_whole

    def all_errors(self) -> list[DoraError]:
        """The errors of sources that could not be read, and of days that were refused."""
        return [*self.errors, *(error for table in loading.EVENT_TABLES for error in self._guard.errors(table))]


def run(
    home: Home,
    window: Window | None = None,
    *,
    rebuild: bool = False,
    accepts_shrink: bool = False,
    progress: Progress | None = None,
) -> RunReport:
    """Land what is new, load days, publish.

    Without a window: every day that no longer matches what has landed. With one: its days. `rebuild` makes the whole
    warehouse anew from the raw layer, without network, whatever the window; a warehouse of an older program is made
    anew too, before anything new is fetched. Neither is published where a source that has rows in what is published
    could not be read, or lost much of them. `accepts_shrink` also publishes that, and loads days that lose much of what
    they show. Raises DoraError; what was published before then stays, unless only a source failed or days were refused:
    then the rest is loaded and published first.
    """
    progress = progress or Silence()
    settings = read_settings(home)
    if not read_selection_log(home).entries:
        raise ConfigError(
            f"{home.selection_log}: no source is selected yet; select some with "
            "`dora select deployments SOURCE…` and `dora select failures SOURCE…`"
        )
    purpose = "dora run --rebuild" if rebuild else "dora run"
    with open_writer(home, settings, purpose, progress.note, anew=rebuild) as writer:
        current = Run(writer, home, settings, progress, fetches=not rebuild, accepts_shrink=accepts_shrink)
        current.prepare()
        # A warehouse that is made anew lacks every day, whichever were asked for.
        days = list(window) if window and not (rebuild or current.is_made_anew) else current.stale_days()
        report = current.load_days(days)
        current.publish()
        report.warnings = warnings(writer.connection, settings)
    errors = current.all_errors()
    for error in errors[1:]:
        progress.note(str(error))
    if errors:
        raise errors[0]
    return report


def _batches(days: Sequence[date]) -> Iterator[Sequence[date]]:
    for start in range(0, len(days), _BATCH_OF_DAYS):
        yield days[start : start + _BATCH_OF_DAYS]
