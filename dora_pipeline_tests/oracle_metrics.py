"""What metrics.daily, metrics.summary and metrics.summary_by must answer, worked out plainly from the rows of core.

A figure is a dict with the columns of metrics.daily behind `team`; counts are whole, the rest floats or None. Those of
the summaries have `is_whole` and `is_provisional` before, and what is open and the intervals behind.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from functools import cache
from math import comb, sqrt
from statistics import NormalDist

from dora_pipeline_tests.oracle import JudgedDeployment, JudgedFailure, Rules

Figure = int | float | None
Figures = dict[str, Figure]


@dataclass(frozen=True)
class Outcomes:
    """What stands in core.failed_changes and core.failure_links: `mended` has the seconds to the remediation of each
    deployment that failed, `mending` the remediations, `linked` the deployments that failures are linked to, `unsure`
    those of which it is not known.
    """

    mended: Mapping[str, float | None] = field(default_factory=dict)
    mending: frozenset[str] = frozenset()
    linked: frozenset[str] = frozenset()
    unsure: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Beginnings:
    """Since when deployments and failures are known, and the failures that are linked to the deployments."""

    deployments: datetime | None
    failures: datetime | None
    linked_failures: datetime | None


@dataclass(frozen=True)
class Times:
    """The time from `starts_at` to before `ends_at`, and since when what is told of it is known."""

    starts_at: datetime
    ends_at: datetime
    since: Beginnings

    def knows(self, *beginnings: datetime | None) -> bool:
        return all(since is not None and since < self.ends_at for since in beginnings)

    def is_whole(self) -> bool:
        return not any(since and self.starts_at < since < self.ends_at for since in self._of_both)

    def has_rates(self) -> bool:
        return all(since is not None and since <= self.starts_at for since in self._of_both)

    @property
    def _of_both(self) -> tuple[datetime | None, datetime | None]:
        return self.since.deployments, self.since.failures


def wilson(number: int, among: int) -> tuple[float | None, float | None]:
    """The 95 % interval of a share."""
    if not among:
        return None, None
    z = NormalDist().inv_cdf(0.975)
    share = number / among
    middle = (share + z * z / (2 * among)) / (1 + z * z / among)
    half = z / (1 + z * z / among) * sqrt(share * (1 - share) / among + z * z / (4 * among * among))
    return middle - half, middle + half


def median_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The 95 % order-statistic interval: as far in as 2.5 % on each side allow, counted out in whole numbers."""
    number, below, place = len(values), 0, 0
    while place <= number and (below + comb(number, place)) * 40 <= 2**number:
        below += comb(number, place)
        place += 1
    return (sorted(values)[place - 1], sorted(values)[number - place]) if place else (None, None)


def percentile(values: Sequence[float], share: Fraction) -> float | None:
    """Type 7: between the two values next to the place share * (n - 1), counted from 0."""
    if not values:
        return None
    exact = sorted(map(Fraction, values))
    place = share * (len(exact) - 1)
    below = int(place)
    above = min(below + 1, len(exact) - 1)
    return float(exact[below] + (exact[above] - exact[below]) * (place - below))


def mean(values: Sequence[float]) -> float | None:
    """The sum over the number."""
    return float(sum(map(Fraction, values), Fraction()) / len(values)) if values else None


MEDIAN, P90 = Fraction(1, 2), Fraction(9, 10)


@dataclass
class Cell:
    """The events that one row of a metrics table tells of."""

    deployments: list[JudgedDeployment] = field(default_factory=list)
    failures: set[str] = field(default_factory=set)
    restores: dict[str, float] = field(default_factory=dict)
    open: dict[str, datetime] = field(default_factory=dict)
    teams: list[tuple[datetime, str, str | None]] = field(default_factory=list)
    # The cell of the same members that names no env, of one that names an env.
    without_env: "Cell | None" = None

    def team(self) -> str | None:
        """The team of the newest event that has one; of several at one moment, that of the smallest id."""
        named = [entry for entry in self.teams if entry[2] is not None]
        newest = max((entry[0] for entry in named), default=None)
        return min((entry for entry in named if entry[0] == newest), default=(None, "", None))[2]

    def _failed(self, outcomes: Outcomes) -> list[float | None]:
        return [outcomes.mended[id_] for id_ in self.ids() if id_ in outcomes.mended]

    def ids(self) -> list[str]:
        return [row.told.deployment_id for row in self.deployments]

    def figures(self, times: Times, outcomes: Outcomes) -> Figures:
        commits = [seconds for row in self.deployments for seconds in row.lead_times]
        means = self.means()
        restores = list(self.restores.values())
        count = len(self.deployments)
        failed = self._failed(outcomes)
        recoveries = [seconds for seconds in failed if seconds is not None]
        mending = sum(id_ in outcomes.mending for id_ in self.ids())
        linked = sum(id_ in outcomes.linked for id_ in self.ids())
        has_deployments = times.knows(times.since.deployments)
        has_failures = times.knows(times.since.failures)
        has_both = times.knows(times.since.deployments, times.since.linked_failures)

        def share(number: int, is_known: bool) -> float | None:
            return number / count if count and is_known else None

        placed = restores if self.are_restores_placed() else []
        return {
            "deployments": count if has_deployments else None,
            "failures": len(self.failures) if has_failures else None,
            "change_failure_rate": share(len(self.failures), times.has_rates() and self.are_failures_placed()),
            "lead_time_commits": len(commits) if has_deployments else None,
            "lead_time_p50_seconds": percentile(commits, MEDIAN),
            "lead_time_p90_seconds": percentile(commits, P90),
            "lead_time_mean_seconds": mean(commits),
            "lead_time_deployments": len(means) if has_deployments else None,
            "deployment_lead_time_p50_seconds": percentile(means, MEDIAN),
            "restores": len(restores) if has_failures else None,
            "time_to_restore_p50_seconds": percentile(placed, MEDIAN),
            "time_to_restore_p90_seconds": percentile(placed, P90),
            "time_to_restore_mean_seconds": mean(placed),
            "failed_changes": len(failed) if has_deployments else None,
            "failed_change_rate": share(len(failed), has_deployments),
            "recoveries": len(recoveries) if has_deployments else None,
            "recovery_p50_seconds": percentile(recoveries, MEDIAN),
            "rework_deployments": mending if has_deployments else None,
            "rework_rate": share(mending, has_deployments),
            "linked_failures": linked if has_both else None,
            "linked_failure_rate": share(linked, times.has_rates() and self.are_links_sure(outcomes)),
        }

    def are_failures_placed(self) -> bool:
        return self.without_env is None or not self.without_env.failures

    def are_links_sure(self, outcomes: Outcomes) -> bool:
        return not any(id_ in outcomes.unsure for id_ in self.ids())

    def are_restores_placed(self) -> bool:
        return self.without_env is None or not self.without_env.restores

    def means(self) -> list[float]:
        return [value for row in self.deployments if (value := mean(row.lead_times)) is not None]

    def certainty(self, times: Times, outcomes: Outcomes) -> Figures:
        """What the summaries have behind the figures, long after the period."""
        count = len(self.deployments)
        failed = self._failed(outcomes)
        nothing = (None, None)
        has_deployments = times.knows(times.since.deployments)
        intervals = {
            "failed_change_rate": wilson(len(failed), count) if has_deployments else nothing,
            "rework_rate": wilson(sum(id_ in outcomes.mending for id_ in self.ids()), count)
            if has_deployments
            else nothing,
            "linked_failure_rate": wilson(sum(id_ in outcomes.linked for id_ in self.ids()), count)
            if times.has_rates() and self.are_links_sure(outcomes)
            else nothing,
            "deployment_lead_time_p50_seconds": median_interval(self.means()),
            "time_to_restore_p50_seconds": median_interval(
                list(self.restores.values()) if self.are_restores_placed() else []
            ),
            "recovery_p50_seconds": median_interval([seconds for seconds in failed if seconds is not None]),
        }
        ages = [(times.ends_at - started).total_seconds() for started in self.open.values()]
        found: Figures = {
            "open_failures": len(self.open) if times.knows(times.since.failures) else None,
            "oldest_open_seconds": max(ages, default=None),
        }
        for name, (low, high) in intervals.items():
            found |= {f"{name}_low": low, f"{name}_high": high}
        return found


@cache
def period(grain: str, day: date) -> date:
    """The first day of the period that holds the day."""
    first_of = {
        "day": day,
        "week": day - timedelta(days=day.isoweekday() - 1),
        "month": day.replace(day=1),
        "quarter": day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
        "year": day.replace(month=1, day=1),
    }
    return first_of[grain]


@cache
def periods(grain: str, first: date, last: date) -> Sequence[date]:
    """The periods that have a day from first to last."""
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    return sorted({period(grain, day) for day in days})


Member = tuple[str | None, ...]
Judged = JudgedDeployment | JudgedFailure


@cache
def end(grain: str, start: date) -> date:
    """The first day of the next period."""
    day = start
    while period(grain, day) == start:
        day += timedelta(days=1)
    return day


def daily(
    deployments: Iterable[JudgedDeployment], failures: Iterable[JudgedFailure], rules: Rules, outcomes: Outcomes
) -> dict[tuple[object, ...], Figures]:
    """The figures by (day, service, env, team)."""
    cells: dict[tuple[date, Member], Cell] = {}
    for row in _counting(deployments):
        cell = cells.setdefault((row.day, (row.told.service, row.told.env, None)), Cell())
        cell.deployments.append(row)
        cell.teams.append((row.told.finished_at, row.told.deployment_id, row.team))
    for failure in _selected(failures):
        cell = cells.setdefault((failure.day, _place(failure)), Cell())
        cell.failures.add(failure.told.failure_id)
        cell.teams.append((failure.told.started_at, failure.told.failure_id, failure.team))
        if failure.restored_day and failure.time_to_restore is not None and failure.told.finished_at:
            cell = cells.setdefault((failure.restored_day, _place(failure)), Cell())
            cell.restores[failure.told.failure_id] = failure.time_to_restore
            cell.teams.append((failure.told.finished_at, failure.told.failure_id, failure.team))
    _join_without_env(cells, 1)
    return {
        (day, place[0], place[1], cell.team()): cell.figures(
            _times(rules, day, day + timedelta(days=1), _beginnings(rules)), outcomes
        )
        for (day, place), cell in cells.items()
    }


def summary(
    deployments: Sequence[JudgedDeployment],
    failures: Sequence[JudgedFailure],
    rules: Rules,
    outcomes: Outcomes,
    grain: str,
    first: date,
    last: date,
) -> dict[tuple[object, ...], Figures]:
    """The figures by (period, service, env, team)."""
    places: dict[Member, Cell] = {}
    for row in _counting(deployments):
        if row.day <= last:
            teams = places.setdefault((row.told.service, row.told.env, None), Cell()).teams
            teams.append((row.told.finished_at, row.told.deployment_id, row.team))
    for failure in _selected(failures):
        if failure.day <= last:
            teams = places.setdefault(_place(failure), Cell()).teams
            teams.append((failure.told.started_at, failure.told.failure_id, failure.team))
    cells = _cells(
        deployments,
        failures,
        grain,
        first,
        last,
        lambda row: [(row.told.service, row.told.env, None)],
        lambda row: [_place(row)],
    )
    _join_without_env(cells, 1)
    return {
        (start, place[0], place[1], named.team()): _told(
            cells.get((start, place), Cell()), grain, start, first, last, rules, outcomes
        )
        for start in periods(grain, first, last)
        for place, named in places.items()
    }


def summary_by(
    deployments: Sequence[JudgedDeployment],
    failures: Sequence[JudgedFailure],
    rules: Rules,
    outcomes: Outcomes,
    dimension: str,
    grain: str,
    first: date,
    last: date,
) -> dict[tuple[object, ...], Figures]:
    """The figures by (period, env, member) over a dimension: a tag is `tag:<key>`."""
    # A severity is one of failures alone.
    counted = [] if dimension == "severity" else _counting(deployments)
    members = {place for row in counted if row.day <= last for place in _members(row, dimension)}
    members |= {place for row in _selected(failures) if row.day <= last for place in _members(row, dimension)}

    def members_of(row: Judged) -> list[Member]:
        return _members(row, dimension)

    cells = _cells(counted, failures, grain, first, last, members_of, members_of)
    _join_without_env(cells, 0)
    return {
        (start, *member): _told(
            cells.get((start, member), Cell()),
            grain,
            start,
            first,
            last,
            rules,
            outcomes,
            _beginnings(rules, dimension, member[1]),
        )
        for start in periods(grain, first, last)
        for member in members
    }


def _members(row: Judged, dimension: str) -> list[Member]:
    """What an event is counted for; None where it has no such thing."""
    service = row.service if isinstance(row, JudgedFailure) else row.told.service
    if dimension.startswith("tag:"):
        key = dimension.removeprefix("tag:") + ":"
        values = {tag.removeprefix(key) for tag in row.tags if tag.startswith(key)}
        return [(row.told.env, value) for value in values or [None]]
    names = {
        "service": service,
        "team": row.team,
        "repository": row.repository,
        "source": row.told.source,
        "severity": row.told.severity if isinstance(row, JudgedFailure) else None,
    }
    return [(row.told.env, names.get(dimension, "all"))]


def _told(
    cell: Cell,
    grain: str,
    start: date,
    first: date,
    last: date,
    rules: Rules,
    outcomes: Outcomes,
    beginnings: Beginnings | None = None,
) -> Figures:
    beginnings = beginnings or _beginnings(rules)
    whole = _times(rules, start, end(grain, start), beginnings)
    counted = _times(rules, start, min(end(grain, start), last + timedelta(days=1)), beginnings)
    return {
        "is_whole": start >= first and end(grain, start) <= last + timedelta(days=1) and whole.is_whole(),
        "is_provisional": whole.ends_at + rules.link_window > datetime.now(UTC),
        **cell.figures(counted, outcomes),
        **cell.certainty(counted, outcomes),
    }


def _beginnings(rules: Rules, dimension: str = "all", member: str | None = None) -> Beginnings:
    """Since when deployments, failures and links are known; what is of a source, since that was selected."""
    by_type = []
    for event_type in ("deployment", "failure"):
        known = [rules.first_selected_at(source) for source in rules.selected(event_type)]
        by_type.append(min((moment for moment in known if moment is not None), default=None))
    deployments, failures = by_type
    linked_since = failures
    if dimension == "source":
        deployments = rules.first_selected_at(member or "") if member in rules.selected("deployment") else None
        failures = rules.first_selected_at(member or "") if member in rules.selected("failure") else None
    if dimension == "severity":
        deployments = None
    return Beginnings(deployments, failures, linked_since)


def _times(rules: Rules, first: date, after: date, beginnings: Beginnings) -> Times:
    # Plain arithmetic between times of one zone leaves changes of the clock out.
    starts_at, ends_at = (datetime.combine(day, time(), rules.zone).astimezone(UTC) for day in (first, after))
    return Times(starts_at, ends_at, beginnings)


def _cells(
    deployments: Iterable[JudgedDeployment],
    failures: Sequence[JudgedFailure],
    grain: str,
    first: date,
    last: date,
    of_deployment: Callable[[JudgedDeployment], Iterable[Member]],
    of_failure: Callable[[JudgedFailure], Iterable[Member]],
) -> dict[tuple[date, Member], Cell]:
    cells: dict[tuple[date, Member], Cell] = {}
    for row in _counting(deployments):
        for place in of_deployment(row) if first <= row.day <= last else ():
            cells.setdefault((period(grain, row.day), place), Cell()).deployments.append(row)
    for failure, place in ((row, place) for row in _selected(failures) for place in of_failure(row)):
        id_, restored = failure.told.failure_id, failure.restored_day
        if first <= failure.day <= last:
            cells.setdefault((period(grain, failure.day), place), Cell()).failures.add(id_)
        if restored and failure.time_to_restore is not None and first <= restored <= last:
            cells.setdefault((period(grain, restored), place), Cell()).restores[id_] = failure.time_to_restore
        for start in periods(grain, first, last):
            after = min(end(grain, start), last + timedelta(days=1))
            if failure.day < after and (restored is None or restored >= after):
                cells.setdefault((start, place), Cell()).open[id_] = failure.told.started_at
    return cells


def _join_without_env(cells: Mapping[tuple[date, Member], Cell], place_of_env: int) -> None:
    for (start, member), cell in cells.items():
        if member[place_of_env] is not None:
            without = (*member[:place_of_env], None, *member[place_of_env + 1 :])
            cell.without_env = cells.get((start, without))


def _place(failure: JudgedFailure) -> Member:
    return (failure.service, failure.told.env, failure.team if failure.service is None else None)


def _counting(rows: Iterable[JudgedDeployment]) -> list[JudgedDeployment]:
    return [row for row in rows if row.is_selected and row.duplicate_of is None]


def _selected(rows: Iterable[JudgedFailure]) -> list[JudgedFailure]:
    return [row for row in rows if row.is_selected]
