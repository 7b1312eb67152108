"""What the warehouse must hold, worked out slowly and plainly from lists of events: selection, collisions, merging,
history, lead times, and the deployments inferred from sightings. The metrics are in `oracle_metrics.py`.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

LONGEST_GAP = timedelta(days=60)


@dataclass(frozen=True)
class Selection:
    """From `at` on, the sources of the event type are these."""

    event_type: str
    at: datetime
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Deployment:
    """A deployment as told. `order` tells which of two of one source was received first."""

    deployment_id: str
    source: str
    service: str
    env: str | None
    version: str | None
    commit_sha: str | None
    team: str | None
    started_at: datetime
    finished_at: datetime
    order: tuple[object, ...]


@dataclass(frozen=True)
class Failure:
    """A failure as told; `services` may be empty where a team is told."""

    failure_id: str
    source: str
    services: tuple[str, ...]
    env: str | None
    team: str | None
    started_at: datetime
    finished_at: datetime | None
    order: tuple[object, ...]


@dataclass(frozen=True)
class Rules:
    """What shapes the answer besides the events. `authored` has the author time of each commit, `ranges` the commits
    between two of them, merges left out, `histories` those that one has in its history, itself included; commits of the
    services in `with_repository` can be looked up.
    """

    selections: Sequence[Selection]
    zone: ZoneInfo
    teams: Mapping[str, str] = field(default_factory=dict)
    merge_window: timedelta = timedelta(minutes=10)
    with_repository: frozenset[str] = frozenset()
    ranges: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    histories: Mapping[str, Set[str]] = field(default_factory=dict)
    authored: Mapping[str, datetime] = field(default_factory=dict)

    def first_selected_at(self, source: str) -> datetime | None:
        moments = [entry.at for entry in self.selections if source in entry.sources]
        return min(moments) if moments else None

    def selected(self, event_type: str) -> tuple[str, ...]:
        entries = [entry for entry in self.selections if entry.event_type == event_type]
        return max(entries, key=lambda entry: entry.at).sources if entries else ()

    def populates(self, source: str, counts_at: datetime) -> bool:
        first = self.first_selected_at(source)
        return first is not None and counts_at >= first


@dataclass
class JudgedDeployment:
    """A row of core.deployments; `kind` is not judged for duplicates. By `mended_by`, a rollback, it failed."""

    told: Deployment
    day: date
    team: str | None
    is_selected: bool
    duplicate_of: str | None = None
    kind: str | None = None
    mended_by: Deployment | None = None
    previous: str | None = None
    commits: Sequence[str] | None = None
    lead_times: Sequence[float] = ()
    redelivered: Sequence[str] = ()
    lead_time_reason: str | None = None


@dataclass(frozen=True)
class JudgedFailure:
    """A row of core.failures."""

    told: Failure
    service: str | None
    team: str | None
    is_selected: bool
    day: date
    restored_day: date | None
    time_to_restore: float | None


Rejected = tuple[str, str | None, str]


def judged_deployments(told: Iterable[Deployment], rules: Rules) -> tuple[list[JudgedDeployment], list[Rejected]]:
    """The rows of core.deployments, and (source, service, id) of those in the second of another."""
    selected = rules.selected("deployment")
    rows: list[JudgedDeployment] = []
    rejected: list[Rejected] = []
    taken: set[tuple[str, str, datetime]] = set()
    for event in sorted(told, key=lambda event: (event.source, event.order)):
        if not rules.populates(event.source, event.finished_at):
            continue
        second = (event.source, event.service, event.started_at.replace(microsecond=0))
        if second in taken:
            rejected.append((event.source, event.service, event.deployment_id))
            continue
        taken.add(second)
        day = event.finished_at.astimezone(rules.zone).date()
        team = event.team or rules.teams.get(event.service)
        rows.append(JudgedDeployment(event, day, team, event.source in selected))
    _mark_duplicates(rows, selected, rules.merge_window)
    for history in _histories(rows):
        _judge_history(history, rules)
    for row in rows:
        if row.duplicate_of is not None:
            row.lead_time_reason = "duplicate"
    return rows, rejected


def _mark_duplicates(rows: Sequence[JudgedDeployment], selected: Sequence[str], window: timedelta) -> None:
    for row in rows:
        if not row.is_selected:
            continue
        stronger = selected[: selected.index(row.told.source)]
        same = [
            other.told for other in rows if other.told.source in stronger and _is_same(other.told, row.told, window)
        ]
        if same:
            row.duplicate_of = min(
                same,
                key=lambda other: (
                    selected.index(other.source),
                    abs(other.finished_at - row.told.finished_at),
                    other.finished_at,
                    other.deployment_id,
                ),
            ).deployment_id


def _is_same(one: Deployment, other: Deployment, window: timedelta) -> bool:
    if (one.service, one.env) != (other.service, other.env) or abs(one.finished_at - other.finished_at) > window:
        return False
    same_version = one.version is not None and one.version == other.version
    same_commit = one.commit_sha is not None and one.commit_sha == other.commit_sha
    return same_version or same_commit


def _histories(rows: Sequence[JudgedDeployment]) -> list[list[JudgedDeployment]]:
    histories: dict[tuple[str, str, str | None], list[JudgedDeployment]] = {}
    for row in rows:
        if row.duplicate_of is None:
            whose = "selected" if row.is_selected else row.told.source
            histories.setdefault((whose, row.told.service, row.told.env), []).append(row)
    for history in histories.values():
        history.sort(key=lambda row: (row.told.finished_at, row.told.started_at, row.told.deployment_id))
    return list(histories.values())


def _judge_history(history: Sequence[JudgedDeployment], rules: Rules) -> None:
    left_behind: list[str | None] = []
    for place, row in enumerate(history):
        before = history[:place]
        _look_up_commits(row, [other.told for other in before if other.told.commit_sha is not None], rules)
        content, contents = _content(row.told), [_content(other.told) for other in before]
        row.kind = "standard"
        if content is None or not contents or contents[-1] is None:
            continue
        if contents[-1] == content:
            row.kind = "redeploy"
            continue
        with_commits = [other.told for other in before if other.told.commit_sha is not None]
        is_behind = bool(with_commits) and _is_in_history(row.told, with_commits[-1], rules)
        targets = [number for number in range(place) if contents[number] == content]
        if not targets or content in left_behind:
            if not is_behind:
                continue
            targets += [number for number in range(place) if _is_in_history(before[number].told, row.told, rules)]
        row.kind = "rollback"
        first = max(targets) + 1 if targets else place - 1
        left_behind = contents[first:]
        before[first].mended_by = before[first].mended_by or row.told


def _is_in_history(one: Deployment, other: Deployment, rules: Rules) -> bool:
    return one.commit_sha != other.commit_sha and one.commit_sha in rules.histories.get(other.commit_sha or "", ())


def _content(told: Deployment) -> str | None:
    return told.commit_sha if told.commit_sha is not None else told.version


def _look_up_commits(row: JudgedDeployment, before: Sequence[Deployment], rules: Rules) -> None:
    told = row.told
    if told.commit_sha is None:
        row.lead_time_reason = "no_commit"
        return
    if not before or before[-1].commit_sha is None:
        row.lead_time_reason = "first_deployment"
        return
    previous = before[-1]
    row.previous = previous.deployment_id
    if told.finished_at - previous.finished_at > LONGEST_GAP:
        row.lead_time_reason = "previous_too_old"
    elif told.service not in rules.with_repository:
        row.lead_time_reason = "no_repository"
    else:
        brought = rules.ranges[before[-1].commit_sha, told.commit_sha]
        had = {sha for other in before if other.commit_sha is not None for sha in rules.histories[other.commit_sha]}
        row.commits = [sha for sha in brought if sha not in had]
        row.redelivered = [sha for sha in brought if sha in had]
        row.lead_times = [(told.finished_at - rules.authored[commit]).total_seconds() for commit in row.commits]
        row.lead_time_reason = None if row.commits else "redelivered" if row.redelivered else "no_commits"


def judged_failures(told: Iterable[Failure], rules: Rules) -> tuple[list[JudgedFailure], list[Rejected]]:
    """The rows of core.failures, and (source, service, id) of those in the second of another."""
    rows: list[JudgedFailure] = []
    rejected: list[Rejected] = []
    taken: set[tuple[str, str, datetime]] = set()
    for event in sorted(told, key=lambda event: (event.source, event.order)):
        if not rules.populates(event.source, event.started_at):
            continue
        services: Sequence[str | None] = event.services or [None]
        for service in services:
            if service is not None:
                second = (event.source, service, event.started_at.replace(microsecond=0))
                if second in taken:
                    rejected.append((event.source, service, event.failure_id))
                    continue
                taken.add(second)
            finished = event.finished_at
            rows.append(
                JudgedFailure(
                    event,
                    service,
                    event.team or (rules.teams.get(service) if service else None),
                    event.source in rules.selected("failure"),
                    event.started_at.astimezone(rules.zone).date(),
                    finished.astimezone(rules.zone).date() if finished else None,
                    (finished - event.started_at).total_seconds() if finished else None,
                )
            )
    return rows, rejected


@dataclass(frozen=True)
class Sighting:
    """A version seen running."""

    at: datetime
    service: str
    env: str | None
    version: str


def inferred_deployments(sightings: Sequence[Sighting], quiet_gap: timedelta) -> set[Sighting]:
    """The sightings at which a deployment happened: walk through them in the order of time."""
    found: set[Sighting] = set()
    pairs = {(sighting.service, sighting.env) for sighting in sightings}
    for pair in pairs:
        seen = sorted({s for s in sightings if (s.service, s.env) == pair}, key=lambda s: (s.at, s.version))
        for sighting in seen:
            before = [other for other in seen if other.at < sighting.at]
            own = [other.at for other in before if other.version == sighting.version]
            if not own or (sighting.at - max(own) > quiet_gap and any(other.at > max(own) for other in before)):
                found.add(sighting)
    return found
