"""What metrics.daily, metrics.summary and metrics.summary_by must answer, worked out plainly from the rows of core.

A figure is a dict with the columns of metrics.daily behind `team`; counts are whole, the rest floats or None.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction

from dora_pipeline_tests.oracle import JudgedDeployment, JudgedFailure

Figure = int | float | None
Figures = dict[str, Figure]


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
    teams: list[tuple[datetime, str, str | None]] = field(default_factory=list)

    def team(self) -> str | None:
        """The team of the newest event that has one; of several at one moment, that of the smallest id."""
        named = [entry for entry in self.teams if entry[2] is not None]
        newest = max((entry[0] for entry in named), default=None)
        return min((entry for entry in named if entry[0] == newest), default=(None, "", None))[2]

    def figures(self) -> Figures:
        commits = [seconds for row in self.deployments for seconds in row.lead_times]
        means = [value for row in self.deployments if (value := mean(row.lead_times)) is not None]
        restores = list(self.restores.values())
        count = len(self.deployments)
        return {
            "deployments": count,
            "failures": len(self.failures),
            "change_failure_rate": len(self.failures) / count if count else None,
            "lead_time_commits": len(commits),
            "lead_time_p50_seconds": percentile(commits, MEDIAN),
            "lead_time_p90_seconds": percentile(commits, P90),
            "lead_time_mean_seconds": mean(commits),
            "deployment_lead_time_p50_seconds": percentile(means, MEDIAN),
            "restores": len(restores),
            "time_to_restore_p50_seconds": percentile(restores, MEDIAN),
            "time_to_restore_p90_seconds": percentile(restores, P90),
            "time_to_restore_mean_seconds": mean(restores),
        }


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


def periods(grain: str, first: date, last: date) -> list[date]:
    """The periods that have a day from first to last."""
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    return sorted({period(grain, day) for day in days})


Member = tuple[str | None, ...]


def daily(
    deployments: Iterable[JudgedDeployment], failures: Iterable[JudgedFailure]
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
    return {(day, place[0], place[1], cell.team()): cell.figures() for (day, place), cell in cells.items()}


def summary(
    deployments: Sequence[JudgedDeployment], failures: Sequence[JudgedFailure], grain: str, first: date, last: date
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
        deployments, failures, grain, first, last, lambda row: (row.told.service, row.told.env, None), _place
    )
    return {
        (start, place[0], place[1], named.team()): cells.get((start, place), Cell()).figures()
        for start in periods(grain, first, last)
        for place, named in places.items()
    }


def summary_by(
    deployments: Sequence[JudgedDeployment],
    failures: Sequence[JudgedFailure],
    dimension: str,
    grain: str,
    first: date,
    last: date,
) -> dict[tuple[object, ...], Figures]:
    """The figures by (period, None, env, team), of which one or none is told."""

    def of_deployment(row: JudgedDeployment) -> Member:
        return (None, row.told.env if dimension == "env" else None, row.team if dimension == "team" else None)

    def of_failure(row: JudgedFailure) -> Member:
        return (None, row.told.env if dimension == "env" else None, row.team if dimension == "team" else None)

    members = {of_deployment(row) for row in _counting(deployments) if row.day <= last}
    members |= {of_failure(row) for row in _selected(failures) if row.day <= last}
    if dimension == "all":
        members.add((None, None, None))
    cells = _cells(deployments, failures, grain, first, last, of_deployment, of_failure)
    return {
        (start, *member): cells.get((start, member), Cell()).figures()
        for start in periods(grain, first, last)
        for member in members
    }


def _cells(
    deployments: Iterable[JudgedDeployment],
    failures: Sequence[JudgedFailure],
    grain: str,
    first: date,
    last: date,
    of_deployment: Callable[[JudgedDeployment], Member],
    of_failure: Callable[[JudgedFailure], Member],
) -> dict[tuple[date, Member], Cell]:
    cells: dict[tuple[date, Member], Cell] = {}
    for row in _counting(deployments):
        if first <= row.day <= last:
            cells.setdefault((period(grain, row.day), of_deployment(row)), Cell()).deployments.append(row)
    for failure in _selected(failures):
        if first <= failure.day <= last:
            cell = cells.setdefault((period(grain, failure.day), of_failure(failure)), Cell())
            cell.failures.add(failure.told.failure_id)
        restored = failure.restored_day
        if restored and failure.time_to_restore is not None and first <= restored <= last:
            cell = cells.setdefault((period(grain, restored), of_failure(failure)), Cell())
            cell.restores[failure.told.failure_id] = failure.time_to_restore
    return cells


def _place(failure: JudgedFailure) -> Member:
    return (failure.service, failure.told.env, failure.team if failure.service is None else None)


def _counting(rows: Iterable[JudgedDeployment]) -> list[JudgedDeployment]:
    return [row for row in rows if row.is_selected and row.duplicate_of is None]


def _selected(rows: Iterable[JudgedFailure]) -> list[JudgedFailure]:
    return [row for row in rows if row.is_selected]
