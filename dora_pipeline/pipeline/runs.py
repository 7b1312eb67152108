"""A run: land what is new, judge it, load whole days, publish."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from importlib.metadata import version

from dora_pipeline.catalog import read_catalog
from dora_pipeline.config import Home, Settings
from dora_pipeline.errors import ConfigError, DoraError, SourceIncomplete
from dora_pipeline.pipeline import loading
from dora_pipeline.pipeline.check_results import warnings
from dora_pipeline.pipeline.commits import look_up_commits
from dora_pipeline.pipeline.day_loads import DayLoads
from dora_pipeline.pipeline.expectation import CheckResult
from dora_pipeline.pipeline.failed_changes import judge_changes
from dora_pipeline.pipeline.landing import judge, land, link, lost_files
from dora_pipeline.pipeline.mirrors import Repositories
from dora_pipeline.pipeline.progress import Progress, Silence, shown
from dora_pipeline.pipeline.session import Session
from dora_pipeline.pipeline.shrinkage import ShrinkGuard
from dora_pipeline.selection import read_selection_log
from dora_pipeline.settings import read_settings
from dora_pipeline.timeline import Window, day_of
from dora_pipeline.warehouse.accounts import require_accounts
from dora_pipeline.warehouse.days import services_with_commits
from dora_pipeline.warehouse.freshness import write_freshness
from dora_pipeline.warehouse.landing import landed_rows
from dora_pipeline.warehouse.range_cache import take_over_what_remotes_said
from dora_pipeline.warehouse.shrinkage import end_meant_shrinks
from dora_pipeline.warehouse.staleness import stale_days
from dora_pipeline.warehouse.upgrades import end_landing_anew, is_landed_anew, is_made_anew
from dora_pipeline.warehouse.writer import Writer, open_writer


@dataclass
class RunReport:
    """What a run did: the days it loaded and their rows by table, the stale ones left, and, if asked, what warns."""

    days: Sequence[date] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    stale: Sequence[date] = ()
    warnings: Sequence[CheckResult] = ()


class Run:
    """A held warehouse in which everything that is new has landed and is judged; `begin` gives one.

    `errors` are those of the sources that could not be read.
    """

    def __init__(self, session: Session, days: DayLoads, guard: ShrinkGuard, errors: Sequence[DoraError]) -> None:
        self.writer = session.writer
        self.settings = session.settings
        self.days = days
        self.guard = guard
        self.errors = errors
        self._has_published = False

    @property
    def is_made_anew(self) -> bool:
        """Whether the warehouse is to take the place of a published one, and lacks days."""
        return is_made_anew(self.writer.connection)

    def publish(self) -> bool:
        """Publish the warehouse, unless it lacks days, or a table waits for what follows from another.

        Whether it is whole. Each run publishes once, so that metrics.freshness tells of it, and again after changes.
        Raises WarehouseError for a warehouse that does not add up.
        """
        is_whole = not self.is_made_anew and not stale_days(self.writer.connection, loading.FOLLOWING_TABLES)
        if is_whole and not (self._has_published and self.writer.is_published()):
            require_accounts(self.writer.connection)
            if not self.errors and not self.days.stale():
                with self.writer.transaction() as connection:
                    end_meant_shrinks(connection)
            write_freshness(self.writer, datetime.now(UTC), version("dora-pipeline"))
            self.writer.publish()
            self._has_published = True
        return is_whole

    def all_errors(self) -> list[DoraError]:
        """The errors of sources that could not be read, and of days that were refused."""
        return [*self.errors, *(error for table in loading.EVENT_TABLES for error in self.guard.errors(table))]


def run(
    home: Home,
    window: Window | None = None,
    *,
    rebuild: bool = False,
    accepts_shrink: bool = False,
    warns: bool = False,
    progress: Progress | None = None,
) -> RunReport:
    """Land what is new, judge it, load days, publish.

    Without a window: every day that no longer matches what has landed. With one: its days. `rebuild` makes the whole
    warehouse anew from the raw layer, without network, whatever the window; a warehouse of an older program is made
    anew too, before anything new is fetched. Neither is published where a source that has rows in what is published
    could not be read, or lost much of them. `accepts_shrink` also publishes that, and loads days that lose much of what
    they show. `warns` asks for what warns then. Raises DoraError; what was published before then stays, unless only a
    source failed or days were refused: then the rest is loaded and published first.
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
        current = begin(writer, home, settings, progress, fetches=not rebuild, accepts_shrink=accepts_shrink)
        # A warehouse that is made anew lacks every day, whichever were asked for.
        days = list(window) if window and not (rebuild or current.is_made_anew) else current.days.stale()
        rows = current.days.load_all(days)
        current.days.record_what_is_up_to_date(_known_days(home, settings))
        with shown(progress, "publish"):
            current.publish()
        found = warnings(writer.connection, settings) if warns else []
        report = RunReport(days, rows, current.days.stale(), found)
    errors = current.all_errors()
    for error in errors[1:]:
        progress.note(str(error))
    if errors:
        raise errors[0]
    return report


def _known_days(home: Home, settings: Settings) -> Window:
    today = day_of(datetime.now(UTC), settings.zone)
    return Window(min(read_selection_log(home).first_day(settings.zone) or today, today), today)


def begin(
    writer: Writer,
    home: Home,
    settings: Settings,
    progress: Progress,
    *,
    fetches: bool,
    accepts_shrink: bool = False,
) -> Run:
    """Apply settings, selections and catalog, and land and judge what sources hold.

    Arguments as for `Session`. Raises ConfigError for a home whose files are wrong, and SourceIncomplete where what
    landed anew lacks what is published.
    """
    log, catalog = read_selection_log(home), read_catalog(home)
    session = Session(writer, home, settings, catalog, log, progress, fetches, accepts_shrink)
    guard = ShrinkGuard(writer, settings, accepts_shrink=accepts_shrink)
    loading.apply_settings(writer, settings, catalog)
    loading.load_selections(writer, log)
    if is_landed_anew(writer.connection):
        take_over_what_remotes_said(writer)
        _land_anew(session, guard)
    errors = _land_and_judge(session)
    repositories = Repositories(session)
    located = repositories.located(catalog, services_with_commits(writer))
    loading.load_services(writer, located)
    today = day_of(datetime.now(UTC), settings.zone)
    look_up_commits(session, repositories, today - settings.reread)
    loading.keep_repository_errors(writer, repositories)
    loading.look_for_definitions(session, repositories)
    with shown(progress, "judge changes, link failures"):
        judge_changes(session, repositories)
        link(writer, settings)
    days = DayLoads(session, located, repositories, guard)
    first = log.first_day(settings.zone)
    if first is not None:
        days.load_before(first)
    return Run(session, days, guard, list(errors.values()))


def _land_and_judge(session: Session) -> Mapping[str, DoraError]:
    errors = land(session)
    session.writer.plan_for(landed_rows(session.writer.connection))
    with shown(session.progress, "judge events"):
        judge(session.writer, session.settings)
    return errors


def _losses(guard: ShrinkGuard, session: Session) -> list[SourceIncomplete]:
    errors = _land_and_judge(session)
    lost = [loss for loss in lost_files(session) if loss.source not in errors]
    return [*lost, *guard.losses(errors)]


def _land_anew(session: Session, guard: ShrinkGuard) -> None:
    # What the home holds first: a store or a vendor that does not answer may not take its events away.
    losses = _losses(guard, replace(session, fetches=False))
    if losses and session.fetches:
        # What the home has lost they may still tell.
        losses = _losses(guard, session)
    for loss in losses[1:]:
        session.progress.note(str(loss))
    if losses:
        raise losses[0]
    with session.writer.transaction() as connection:
        end_landing_anew(connection)
    session.writer.drop_former()
