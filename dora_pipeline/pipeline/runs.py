"""A whole run: everything from the settings to the published warehouse, in one process."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from dora_pipeline.catalog import read_catalog
from dora_pipeline.config import Home, Settings, read_settings
from dora_pipeline.errors import ConfigError, DoraError
from dora_pipeline.pipeline import loading
from dora_pipeline.pipeline.checks import CheckResult, check_results
from dora_pipeline.pipeline.commits import Repositories
from dora_pipeline.pipeline.landing import land
from dora_pipeline.pipeline.progress import Progress, Silence
from dora_pipeline.pipeline.session import Session
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
from dora_pipeline.warehouse.days import row_count
from dora_pipeline.warehouse.staleness import stale_days
from dora_pipeline.warehouse.writer import Writer, open_writer

# Days that are loaded together: few enough that a progress bar moves, many enough that SQL works on sets.
_BATCH_OF_DAYS = 366


@dataclass
class RunReport:
    """What a run did: the days it loaded, rows by table on those days, and the days that are still stale."""

    days: Sequence[date] = ()
    rows: dict[str, int] = field(default_factory=dict)
    stale: Sequence[date] = ()


@dataclass(frozen=True)
class Loaded:
    """What loading one table did: its rows and the rejected events of the days, checks, whether people see it now."""

    days: int
    rows: int
    rejected: int
    checks: Sequence[CheckResult]
    is_published: bool


class Run:
    """What can be loaded while the warehouse is held. Raises ConfigError for a home whose files are wrong."""

    def __init__(self, writer: Writer, home: Home, settings: Settings, progress: Progress, *, fetches: bool) -> None:
        log, catalog = read_selection_log(home), read_catalog(home)
        session = Session(writer, home, settings, catalog, log, progress, fetches)
        self.writer = writer
        self.settings = settings
        self.errors: Sequence[DoraError] = ()
        self._session = session
        self._repositories = Repositories(session)
        self._is_prepared = False
        self._loads: Mapping[type[Table], Callable[[Sequence[date]], int]] = {
            SourceSelections: lambda days: loading.load_selections(writer, log),
            Services: lambda days: loading.load_services(writer, catalog),
            ApmVersionActivity: lambda days: loading.load_version_activity(writer, settings, days),
            Deployments: lambda days: loading.load_deployments(writer, self._repositories, days, progress),
            Failures: lambda days: loading.load_failures(writer, days),
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
        loading.load_services(self.writer, session.catalog)
        self.errors = land(session)
        loading.look_for_missing_commits(self.writer, self._repositories, today - self.settings.reread)
        self._is_prepared = True

    def load(self, table: type[Table], days: Sequence[date]) -> int:
        """Load the days of one table; the number of rows."""
        return self._loads[table](days)

    def load_and_check(self, table: type[Table], days: Sequence[date]) -> Loaded:
        """Land what is new, load the days of one table, check them, and publish if nothing waits for another table.

        Raises the error of a source that could not be read, after the days are loaded from the others.
        """
        self.prepare()
        rows = self.load(table, days)
        checks = check_results(self.writer, table, days, self.settings)
        is_published = self.publish()
        if self.errors and table in loading.EVENT_TABLES:
            raise self.errors[0]
        return Loaded(len(days), rows, row_count(self.writer, RejectedEvents, days), checks, is_published)

    def stale_days(self) -> list[date]:
        """The days whose events no longer match what has landed."""
        return stale_days(self.writer.connection, loading.EVENT_TABLES)

    def publish(self) -> bool:
        """Publish the warehouse, unless a table waits for what follows from another. Whether it is whole."""
        is_whole = not stale_days(self.writer.connection, loading.FOLLOWING_TABLES)
        if is_whole:
            self.writer.publish()
        return is_whole


def run(
    home: Home, window: Window | None = None, *, rebuild: bool = False, progress: Progress | None = None
) -> RunReport:
    """Land what is new, load days, publish.

    Without a window: every day that no longer matches what has landed. With one: its days. `rebuild` makes the whole
    warehouse anew from the raw layer, without network, whatever the window. Raises DoraError; what was published before
    then stays, unless only a source failed: then the others are loaded and published first.
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
        current = Run(writer, home, settings, progress, fetches=not rebuild)
        current.prepare()
        # An empty warehouse lacks every day, whichever were asked for; publishing a few would take the others away.
        days = list(window) if window and not rebuild else current.stale_days()
        report = RunReport(days)
        batches = list(_batches(days)) or [[]]
        for done, batch in enumerate(batches):
            progress.step("load days", done, len(batches))
            for table in (*loading.EVENT_TABLES, *loading.FOLLOWING_TABLES):
                name = table.table_name
                report.rows[name] = report.rows.get(name, 0) + current.load(table, batch)
        progress.step("load days", len(batches), len(batches))
        report.stale = current.stale_days()
        current.publish()
    for error in current.errors[1:]:
        progress.note(str(error))
    if current.errors:
        raise current.errors[0]
    return report


def _batches(days: Sequence[date]) -> Iterator[Sequence[date]]:
    for start in range(0, len(days), _BATCH_OF_DAYS):
        yield days[start : start + _BATCH_OF_DAYS]
