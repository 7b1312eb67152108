"""What the page of a question shows, as plain values.

Days are those of the warehouse's time zone, instants are UTC, durations seconds. None is `no data`, never 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Generic, TypeVar

from dora_pipeline.report.verdicts import Estimate
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

    def estimate(self, column: str) -> Estimate:
        """A share or median, with the ends of its interval."""
        return getattr(self, column), getattr(self, f"{column}_low"), getattr(self, f"{column}_high")


# Of a period that was not watched.
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
class Trend:
    """Figures by grain, the oldest first."""

    grain: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Environment:
    """An environment: its figures now, those of the days that they are compared with, and its trends.

    `before` is None where the data does not reach back over all of those days. `lead_times` is how many commits begin
    at each lower end of `distribution`.
    """

    env: str | None
    first_deployment_day: date | None
    now: Figures
    before: Figures | None
    trends: Sequence[Trend] = ()
    lead_times: Mapping[int, int] = field(default_factory=dict)


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
class Appendix:
    """What a file has since it leads to no other page: events by what is the matter with them, and the newest."""

    rejected: Excerpt[Rejected] = field(default_factory=Excerpt)
    without_lead_time: Excerpt[WithoutLeadTime] = field(default_factory=Excerpt)
    open_failures: Excerpt[FailureRow] = field(default_factory=Excerpt)
    oddities: Sequence[Oddity] = ()
    deployments: Sequence[DeploymentRow] = ()
    failures: Sequence[FailureRow] = ()
