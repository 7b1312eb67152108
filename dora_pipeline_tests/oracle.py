"""What the warehouse must hold, worked out slowly and plainly from lists of events: selection, collisions, merging, and
the deployments inferred from sightings. Commits, failed changes, links and metrics are in the other `oracle_` modules.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Selection:
    """From `at` on, the sources of the event type are these."""

    event_type: str
    at: datetime
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Mark:
    """What a PATCH says of a deployment, and the remediation that it names, with its type."""

    is_failed: bool
    remediation: tuple[str, str] | None = None


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
    tags: tuple[str, ...] = ()
    mark: Mark | None = None
    repository: str | None = None


# The tag of a failure that was open at its source when it was shown no more: nobody knows when it was restored.
GONE = "record:gone"


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
    version: str | None = None
    commit_sha: str | None = None
    tags: tuple[str, ...] = ()
    severity: str | None = None
    repository: str | None = None


@dataclass(frozen=True)
class Rules:
    """What shapes the answer besides the events: `teams`, `tags` and `repositories` are those of services in the
    catalog; `configured` are the repositories that settings or catalog name.
    """

    selections: Sequence[Selection]
    zone: ZoneInfo
    teams: Mapping[str, str] = field(default_factory=dict)
    merge_window: timedelta = timedelta(minutes=10)
    link_window: timedelta = timedelta(days=7)
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    repositories: Mapping[str, str] = field(default_factory=dict)
    configured: frozenset[str] = frozenset()

    def first_selected_at(self, source: str) -> datetime | None:
        moments = [entry.at for entry in self.selections if source in entry.sources]
        return min(moments) if moments else None

    def selected(self, event_type: str) -> tuple[str, ...]:
        entries = [entry for entry in self.selections if entry.event_type == event_type]
        return max(entries, key=lambda entry: entry.at).sources if entries else ()

    def populates(self, source: str, counts_at: datetime) -> bool:
        first = self.first_selected_at(source)
        return first is not None and counts_at >= first

    def repository(self, told: Deployment | Failure, service: str | None) -> str | None:
        """That of the event goes before the catalog's only where it is configured."""
        of_catalog = self.repositories.get(service or "")
        return told.repository if told.repository in self.configured or of_catalog is None else of_catalog

    def carried(self, told: Deployment | Failure, service: str | None) -> frozenset[str]:
        """The tags of an event, and those of its service in the catalog."""
        return frozenset((*told.tags, *self.tags.get(service or "", ())))


@dataclass(frozen=True)
class Brought:
    """A row of core.deployment_commits."""

    sha: str
    landed_as: str | None
    is_redelivery: bool
    lead_time: float


@dataclass(frozen=True)
class FailedChange:
    """A row of core.failed_changes."""

    way: str
    rule: str | None
    remediation_id: str | None
    remediation_type: str | None
    recovery: float | None


@dataclass
class JudgedDeployment:
    """A row of core.deployments, and what follows from it; `brought` is None where commits are not known.

    `kind` is not judged for duplicates. `commit` is the whole SHA that the repository knows; `is_behind` says whether
    it is in the history of the one before.
    """

    told: Deployment
    day: date
    team: str | None
    is_selected: bool
    repository: str | None = None
    tags: frozenset[str] = frozenset()
    duplicate_of: str | None = None
    kind: str | None = None
    previous: str | None = None
    commit: str | None = None
    is_behind: bool = False
    brought: Sequence[Brought] | None = None
    lead_time_reason: str | None = None
    failed: FailedChange | None = None

    @property
    def counted_id(self) -> str:
        return self.duplicate_of or self.told.deployment_id

    @property
    def lead_times(self) -> Sequence[float]:
        return [commit.lead_time for commit in self.brought or () if not commit.is_redelivery]


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
    repository: str | None
    tags: frozenset[str]


Rejected = tuple[str, str | None, str, date]


def judged_deployments(told: Iterable[Deployment], rules: Rules) -> tuple[list[JudgedDeployment], list[Rejected]]:
    """The rows of core.deployments, and (source, service, id, day) of those in the second of another."""
    selected = rules.selected("deployment")
    rows: list[JudgedDeployment] = []
    rejected: list[Rejected] = []
    taken: set[tuple[str, str, datetime]] = set()
    for event in sorted(told, key=lambda event: (event.source, event.order)):
        if not rules.populates(event.source, event.finished_at):
            continue
        second = (event.source, event.service, event.started_at.replace(microsecond=0))
        day = event.finished_at.astimezone(rules.zone).date()
        if second in taken:
            rejected.append((event.source, event.service, event.deployment_id, day))
            continue
        taken.add(second)
        team = event.team or rules.teams.get(event.service)
        named = (rules.repository(event, event.service), rules.carried(event, event.service))
        rows.append(JudgedDeployment(event, day, team, event.source in selected, *named))
    _mark_duplicates(rows, selected, rules.merge_window)
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
    return same_version or is_same_commit(one.commit_sha, other.commit_sha)


def is_same_commit(one: str | None, other: str | None) -> bool:
    """Whether two SHAs, short ones too, may be one."""
    return bool(one and other) and (str(one).startswith(str(other)) or str(other).startswith(str(one)))


def histories(rows: Sequence[JudgedDeployment]) -> list[list[JudgedDeployment]]:
    """The deployments that are no duplicates, by history, service and env, each in the order in which it went live."""
    found: dict[tuple[str, str, str | None], list[JudgedDeployment]] = {}
    for row in rows:
        if row.duplicate_of is None:
            whose = "selected" if row.is_selected else row.told.source
            found.setdefault((whose, row.told.service, row.told.env), []).append(row)
    for history in found.values():
        history.sort(key=lambda row: (row.told.finished_at, row.told.started_at, row.told.deployment_id))
    return list(found.values())


def judged_failures(told: Iterable[Failure], rules: Rules) -> tuple[list[JudgedFailure], list[Rejected]]:
    """The rows of core.failures, and (source, service, id, day) of those in the second of another."""
    rows: list[JudgedFailure] = []
    rejected: list[Rejected] = []
    taken: set[tuple[str, str, datetime]] = set()
    for event in sorted(told, key=lambda event: (event.source, event.order)):
        if not rules.populates(event.source, event.started_at):
            continue
        services: Sequence[str | None] = event.services or [None]
        day = event.started_at.astimezone(rules.zone).date()
        for service in services:
            if service is not None:
                second = (event.source, service, event.started_at.replace(microsecond=0))
                if second in taken:
                    rejected.append((event.source, service, event.failure_id, day))
                    continue
                taken.add(second)
            finished, is_gone = event.finished_at, GONE in event.tags
            rows.append(
                JudgedFailure(
                    event,
                    service,
                    event.team or (rules.teams.get(service) if service else None),
                    event.source in rules.selected("failure"),
                    day,
                    finished.astimezone(rules.zone).date() if finished else None,
                    (finished - event.started_at).total_seconds() if finished and not is_gone else None,
                    rules.repository(event, service),
                    rules.carried(event, service),
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
    commit_sha: str | None = None


def inferred_deployments(sightings: Sequence[Sighting], quiet_gap: timedelta) -> set[Sighting]:
    """The sightings at which a deployment happened: walk through them in the order of time."""
    found: set[Sighting] = set()
    pairs: dict[tuple[str, str | None], set[Sighting]] = {}
    for sighting in sightings:
        pairs.setdefault((sighting.service, sighting.env), set()).add(sighting)
    for pair in pairs.values():
        seen = sorted(pair, key=lambda s: (s.at, s.version))
        for sighting in seen:
            before = [other for other in seen if other.at < sighting.at]
            own = [other.at for other in before if other.version == sighting.version]
            if not own or (sighting.at - max(own) > quiet_gap and any(other.at > max(own) for other in before)):
                found.add(sighting)
    return found


def deployments_of_sightings(
    sightings: Sequence[Sighting], ready: Iterable[Deployment], rules: Rules, quiet_gap: timedelta
) -> list[Deployment]:
    """The inferred deployments, but for those that a ready event of the same source and version tells near by.

    The commit is the first that a sighting of the version names, at the first sight or later on that day.
    """
    events: dict[tuple[str, str | None, str | None], list[datetime]] = {}
    for event in ready:
        events.setdefault((event.service, event.env, event.version), []).append(event.started_at)
    commits: dict[tuple[object, ...], list[tuple[datetime, str]]] = {}
    for seen in sightings:
        if seen.commit_sha:
            day = seen.at.astimezone(rules.zone).date()
            commits.setdefault((seen.service, seen.env, seen.version, day), []).append((seen.at, seen.commit_sha))
    found = []
    for seen in inferred_deployments([replace(seen, commit_sha=None) for seen in sightings], quiet_gap):
        place = (seen.service, seen.env, seen.version)
        if any(abs(at - seen.at) <= rules.merge_window for at in events.get(place, ())):
            continue
        named = [
            named for named in commits.get((*place, seen.at.astimezone(rules.zone).date()), ()) if named[0] >= seen.at
        ]
        event_id = inferred_id(seen)
        found.append(
            Deployment(
                event_id,
                "apm_deployment_tracking",
                *place,
                min(named)[1] if named else None,
                None,
                seen.at,
                seen.at,
                (seen.at, event_id),
            )
        )
    return found


def inferred_id(seen: Sighting) -> str:
    """The id of a deployment inferred at a first sight: a digest of service, env, version and microsecond."""
    microseconds = (seen.at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    parts = (seen.service, "\x1e" if seen.env is None else seen.env, seen.version, str(microseconds))
    return "apm:" + hashlib.md5("\x1f".join(parts).encode(), usedforsecurity=False).hexdigest()
