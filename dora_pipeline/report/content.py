"""What the report shows, as plain values.

Days are those of the report's time zone, instants are UTC, durations seconds. None is `no data`, never 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

from dora_pipeline.timeline import Window

Row = TypeVar("Row")


@dataclass(frozen=True)
class Figures:
    """The figures of one period, in the columns of `metrics.summary`; counts that could not be known yet are None."""

    deployments: int | None = 0
    failures: int | None = 0
    change_failure_rate: float | None = None
    lead_time_commits: int | None = 0
    lead_time_p50_seconds: float | None = None
    lead_time_p90_seconds: float | None = None
    lead_time_mean_seconds: float | None = None
    lead_time_deployments: int | None = 0
    deployment_lead_time_p50_seconds: float | None = None
    restores: int | None = 0
    time_to_restore_p50_seconds: float | None = None
    time_to_restore_p90_seconds: float | None = None
    time_to_restore_mean_seconds: float | None = None
    failed_changes: int | None = 0
    failed_change_rate: float | None = None
    recoveries: int | None = 0
    recovery_p50_seconds: float | None = None
    rework_deployments: int | None = 0
    rework_rate: float | None = None
    linked_failures: int | None = 0
    linked_failure_rate: float | None = None
    open_failures: int | None = 0
    oldest_open_seconds: float | None = None
    failed_change_rate_low: float | None = None
    failed_change_rate_high: float | None = None
    rework_rate_low: float | None = None
    rework_rate_high: float | None = None
    linked_failure_rate_low: float | None = None
    linked_failure_rate_high: float | None = None
    deployment_lead_time_p50_seconds_low: float | None = None
    deployment_lead_time_p50_seconds_high: float | None = None
    time_to_restore_p50_seconds_low: float | None = None
    time_to_restore_p50_seconds_high: float | None = None
    recovery_p50_seconds_low: float | None = None
    recovery_p50_seconds_high: float | None = None
    # Failures and restores that name no env, which could be of this one.
    failures_without_env: int = 0
    restores_without_env: int = 0


# Of whom nothing came in a period that was watched, and of a period that was not.
NOTHING = Figures()
UNKNOWN = Figures(deployments=None, failures=None)


@dataclass(frozen=True)
class Point:
    """The figures of a period of a trend.

    `is_whole`: all its days are in the data and asked for; `is_provisional`: failures may still be linked to it.
    """

    window: Window
    is_whole: bool
    figures: Figures
    is_provisional: bool = False


@dataclass(frozen=True)
class Environment:
    """An environment: its figures now, those of the days that they are compared with, and its trends.

    `before` is None where the data does not reach back over all of those days.
    """

    env: str | None
    first_deployment_day: date | None
    now: Figures
    before: Figures | None
    months: Sequence[Point] = ()
    weeks: Sequence[Point] = ()


@dataclass(frozen=True)
class Member:
    """The figures of a service in an environment, or of a team in an environment."""

    service: str | None
    env: str | None
    team: str | None
    figures: Figures


@dataclass(frozen=True)
class Excerpt(Generic[Row]):
    """The first rows of `total`."""

    rows: Sequence[Row] = ()
    total: int = 0

    @classmethod
    def of(cls, rows: Sequence[Row], most: int) -> "Excerpt[Row]":
        """At most `most` of the rows."""
        return cls(rows[:most], len(rows))


@dataclass(frozen=True)
class SelectedSource:
    """A source that is selected now."""

    event_type: str
    source: str
    priority: int
    first_selected_at: datetime
    read_at: datetime | None
    error: str | None


@dataclass(frozen=True)
class Rejected:
    """Events that were rejected for one reason."""

    event_type: str
    source: str
    reason: str
    in_period: int
    in_all: int
    newest_at: datetime


@dataclass(frozen=True)
class WithoutLeadTime:
    """Deployments of an environment that have no lead time for one reason."""

    env: str | None
    reason: str
    in_period: int
    in_all: int


@dataclass(frozen=True)
class Oddity:
    """Rows of one kind that are counted and should be looked at."""

    kind: str
    in_period: int
    in_all: int


@dataclass(frozen=True)
class DeploymentRow:
    """A deployment that counts."""

    deployment_id: str
    source: str
    service: str
    env: str | None
    team: str | None
    version: str | None
    commit_sha: str | None
    kind: str
    finished_at: datetime
    lead_time_commits: int | None
    lead_time_mean_seconds: float | None
    lead_time_reason: str | None


@dataclass(frozen=True)
class FailureRow:
    """A failure of one service that counts."""

    failure_id: str
    source: str
    service: str | None
    env: str | None
    team: str | None
    name: str | None
    url: str | None
    started_at: datetime
    finished_at: datetime | None
    time_to_restore_seconds: float | None


@dataclass(frozen=True)
class Query:
    """The SQL that gave a part of the page."""

    title: str
    text: str


@dataclass(frozen=True)
class Report:
    """All that the page shows. `period` is None where there is no event yet."""

    zone: ZoneInfo
    newest_event_at: datetime | None
    read_at: datetime | None
    sources: Sequence[SelectedSource]
    period: Window | None = None
    before: Window | None = None
    failures_since: date | None = None
    # The first day from whose start both deployments and failures are known.
    rates_since: date | None = None
    environments: Excerpt[Environment] = field(default_factory=Excerpt)
    services: Excerpt[Member] = field(default_factory=Excerpt)
    teams: Excerpt[Member] = field(default_factory=Excerpt)
    rejected: Excerpt[Rejected] = field(default_factory=Excerpt)
    without_lead_time: Excerpt[WithoutLeadTime] = field(default_factory=Excerpt)
    open_failures: Excerpt[FailureRow] = field(default_factory=Excerpt)
    oddities: Sequence[Oddity] = ()
    deployments: Sequence[DeploymentRow] = ()
    failures: Sequence[FailureRow] = ()
    queries: Sequence[Query] = ()

    def selected(self, event_type: str) -> bool:
        """Whether any source of deployments or of failures is selected."""
        return any(source.event_type == event_type for source in self.sources)
