"""Random worlds: many services, each a small world of its own, over one repository."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from dora_pipeline_tests.oracle import (
    GONE,
    Deployment,
    Failure,
    Mark,
    Rules,
    Selection,
    Sighting,
    deployments_of_sightings,
)
from dora_pipeline_tests.oracle_commits import Repository
from dora_pipeline_tests.random_repositories import part_of
from dora_pipeline_tests.random_settings import APM, CLOCKS, EVENT_API, FAILURE_API, PAGERDUTY, Stage, midnight, starts

JITTERS = (0, 0, 0.4, 0.999999, 1, 299.999999, 300, 600, 600.000001, 3600, 86_400, 90_000)
DURATIONS = (0, 0, 0.25, 90, 600, 80_000)
OUTAGES = (None, 0, 1.5, 420, 90_000, 4 * 86_400)
ENVIRONMENTS = ("production", "production", "prod", "staging", None)
TAGS = (
    (),
    (),
    (),
    ("size:1", "size:2", "size:2"),
    ("urgent:yes",),
    ("broken:yes", "size:1"),
    ("git.branch:fix/x",),
    ("branch:main",),
)
PATTERNS = ((), (), (), ("a/**",), ("b/**", "c/**"), ("!a/**",), ("**", "!c/**"))
# A stage that does not come.
NEVER = 99
REPOSITORY, OTHER_REPOSITORY = "example.com/org/app", "example.com/org/other"
CATALOG_TAGS = (
    (),
    (),
    ("tier:1",),
    ("tier:2", "size:1", "language:go"),
    ("language:go", "language:java"),
    ("urgent:no",),
)
SEVERITIES = (None, "SEV-1", "SEV-2", "sev-1")
# In no repository.
UNKNOWN_SHA = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Catalog:
    """What service definitions say: teams, the source patterns of the services that have a repository, and tags, of
    which those of `language` are languages.
    """

    teams: Mapping[str, str]
    with_repository: Mapping[str, tuple[str, ...]]
    tags: Mapping[str, tuple[str, ...]]

    @property
    def services(self) -> set[str]:
        return {*self.teams, *self.with_repository, *self.tags}


@dataclass(frozen=True)
class Unusable:
    """A telling of an event that cannot be used: what `spoiled` says stands in the place of what the event says.

    It is a message of its own, or in a PATCH, which says nothing else. `counts_at` is when it is shown to have
    happened; None: when it was received.
    """

    event: Deployment | Failure
    spoiled: Mapping[str, Any]
    reason: str
    counts_at: datetime | None
    is_patch: bool


@dataclass(frozen=True)
class World:
    """What a user tells in stages, whose numbers stand before the events; one that is told again is an update."""

    stages: Sequence[Stage]
    # Of each stage.
    catalogs: Sequence[Catalog]
    repositories: Sequence[Repository]
    deployments: Sequence[tuple[int, Deployment]]
    # Each with the stage in which it stands in the exports no more.
    sightings: Sequence[tuple[int, int, Sighting]]
    failures: Sequence[tuple[int, Failure]]
    # What a PATCH of the stage says of a deployment, where it is there then.
    marks: Sequence[tuple[int, str, Mark]]
    # Events that are taken back: before anything is told in the stage, or after all of it.
    deletions: Sequence[tuple[int, bool, str]]
    unusable: Sequence[tuple[int, Unusable]]
    # The incidents that the account of PagerDuty shows in each stage; one that ends before it began cannot be used.
    incidents: Sequence[Sequence[Failure]]

    def selections(self, stage: int) -> list[Selection]:
        """Those of a stage and of the ones before it."""
        return [selection for one in self.stages[: stage + 1] for selection in one.selections]

    def told_deployments(self, stage: int, rules: Rules) -> list[Deployment]:
        """The deployments as they are known after a stage, inferred ones too."""
        settings = self.stages[stage].settings
        told = [replace(event, env=settings.canonical(event.env)) for event in self._deployments(stage).values()]
        seen = [
            replace(seen, env=settings.canonical(seen.env))
            for when, gone, seen in self.sightings
            if when <= stage < gone
        ]
        ready = [event for event in told if event.source == APM]
        return told + deployments_of_sightings(seen, ready, rules, settings.quiet_gap)

    def told_failures(self, stage: int, gone: Mapping[str, datetime]) -> list[Failure]:
        """The failures as they are known after a stage; `gone` says when incidents were found to be gone."""
        settings = self.stages[stage].settings
        pulled, _ = self.pulled(stage, gone)
        return [
            replace(event, env=settings.canonical(event.env or settings.env_of_failures))
            for event in (*self._failures(stage).values(), *pulled)
        ]

    def pulled(self, stage: int, gone: Mapping[str, datetime]) -> tuple[list[Failure], list[Failure]]:
        """The incidents that are known after a stage, and those whose newest version cannot be used.

        What came well before that stays. One that was open and is shown no more ended when that was found.
        """
        known: dict[str, Failure] = {}
        refused: dict[str, Failure] = {}
        for now in range(stage + 1):
            if not any(PAGERDUTY in selection.sources for selection in self.selections(now)):
                continue
            shown = {failure.failure_id: failure for failure in self.incidents[now]}
            for name, failure in known.items():
                if name not in shown and failure.finished_at is None:
                    ended_at = gone.get(name, self.stages[now].received_at)
                    known[name] = replace(failure, finished_at=ended_at, tags=(GONE,))
            for name, failure in shown.items():
                is_usable = failure.finished_at is None or failure.finished_at >= failure.started_at
                (known if is_usable else refused)[name] = failure
                if is_usable:
                    refused.pop(name, None)
        return [*known.values()], [*refused.values()]

    def is_there(self, event_id: str, stage: int) -> bool:
        """Whether a PATCH of a stage finds an event."""
        known = {**self._deployments(stage, is_over=False), **self._failures(stage, is_over=False)}
        return event_id in known

    def rejected(self, stage: int, rules: Rules) -> list[tuple[str, str | None, str, str, date]]:
        """Source, service, id, reason and day of what could not be used."""
        found = []
        for when, told in self.unusable:
            at = told.counts_at or self.stages[when].received_at
            if when <= stage and rules.populates(told.event.source, at):
                event_id, service = event_names(told.event)
                day = at.astimezone(rules.zone).date()
                found.append((told.event.source, service, event_id.removeprefix("apm:"), told.reason, day))
        for failure in self.pulled(stage, {})[1]:
            if rules.populates(PAGERDUTY, failure.started_at):
                day, name = failure.started_at.astimezone(rules.zone).date(), failure.failure_id
                names = (PAGERDUTY, failure.services[0], name.removeprefix("pagerduty:"))
                found.append((*names, "finished_before_started", day))
        return found

    def told_again(self) -> set[str]:
        """Whether a deployment and a failure were taken back and are there again in the end."""
        last, gone = len(self.stages) - 1, {event_id for _, _, event_id in self.deletions}
        found = {"deployment": {*self._deployments(last)}, "failure": {*self._failures(last)}}
        return {name for name, events in found.items() if events & gone}

    def deleted(self, stage: int, *, is_last: bool) -> list[str]:
        """The events that are taken back before or after the others of a stage are told."""
        return [event_id for when, last, event_id in self.deletions if (when, last) == (stage, is_last)]

    def _deployments(self, stage: int, *, is_over: bool = True) -> dict[str, Deployment]:
        """The deployments after a stage; before its last deletions where it is not over."""
        found: dict[str, Deployment] = {}
        # One that is taken back and told again was received when it was told first.
        received: dict[str, int] = {}
        for now in range(stage + 1):
            for event_id in self.deleted(now, is_last=False):
                found.pop(event_id, None)
            for when, event in self.deployments:
                if when == now:
                    known, first = found.get(event.deployment_id), received.setdefault(event.deployment_id, now)
                    # What came first: an event of an export when it began; of those received together, ids tell.
                    order = (event.started_at if event.source == APM else first, event.deployment_id)
                    found[event.deployment_id] = replace(event, mark=known.mark if known else None, order=order)
            for when, event_id, mark in self.marks:
                if when == now and event_id in found:
                    former = found[event_id].mark
                    # One that says no takes the remediation away.
                    kept = former.remediation if former and mark.is_failed else None
                    marked = Mark(mark.is_failed, mark.remediation or kept)
                    found[event_id] = replace(found[event_id], mark=marked)
            for event_id in self.deleted(now, is_last=True) if is_over or now < stage else ():
                found.pop(event_id, None)
        return found

    def _failures(self, stage: int, *, is_over: bool = True) -> dict[str, Failure]:
        found: dict[str, Failure] = {}
        received: dict[str, int] = {}
        for now in range(stage + 1):
            for event_id in self.deleted(now, is_last=False):
                found.pop(event_id, None)
            for when, event in self.failures:
                if when == now:
                    first = received.setdefault(event.failure_id, now)
                    found[event.failure_id] = replace(event, order=(first, event.failure_id))
            for event_id in self.deleted(now, is_last=True) if is_over or now < stage else ():
                found.pop(event_id, None)
        return found


def random_world(choose: random.Random, services: int, repository: Repository, stages: Sequence[Stage]) -> World:
    """A world with so many services; those whose numbers differ by less than three share failures.

    Of the first half nothing new is told after the first stage: only settings, selections and definitions move them.
    """
    names, last = [f"s{number:03}" for number in range(services)], len(stages) - 1
    ends = {name: last if number >= services // 2 else 0 for number, name in enumerate(names)}
    pools = {name: _pool(choose, stages) for name in names}
    deployments = [event for name in names for event in _deployments(choose, name, pools[name], repository, ends[name])]
    by_service: dict[str, list[Deployment]] = {name: [] for name in names}
    for _, event in deployments:
        by_service[event.service].append(event)
    failures = [
        _failure(choose, f"{name}-{place}", names[number : number + 3], pools[name], by_service, ends[name])
        for number, name in enumerate(names)
        for place in range(choose.randint(2, 5))
    ]
    sightings = [
        seen
        for name in names
        if choose.random() < 0.5
        for seen in _sightings(choose, name, pools[name], repository, ends[name])
    ]
    sent = [(stage, event) for stage, event in deployments if event.source == EVENT_API]
    for stage, event in sent:
        for later in range(stage + 1, ends[event.service] + 1):
            if choose.random() < 0.2:
                event = _told_again(choose, event, repository)
                deployments.append((later, event))
    failed = [*failures]
    for stage, failure in failed:
        for later in range(stage + 1, min((ends.get(name, last) for name in failure.services), default=last) + 1):
            if choose.random() < 0.3:
                failure = _changed(choose, failure)
                failures.append((later, failure))
    marks = _marks(choose, sent, ends)
    deletions = _deletions(choose, sent, failed, deployments, failures, ends, last)
    services = {event.deployment_id: event.service for _, event in sent}
    for when, is_last, event_id in deletions:
        # A PATCH that finds nothing, or what was told again.
        if event_id in services and when + is_last <= ends[services[event_id]] and choose.random() < 0.5:
            marks.append((when + is_last, event_id, Mark(True)))
    gone = {event_id for _, _, event_id in deletions}
    everything: list[tuple[int, Deployment | Failure]] = [*deployments, *failures]
    told = {event_names(event)[0]: (stage, event) for stage, event in reversed(everything)}
    unusable = [
        _unusable(choose, stages, stage, max(stage, ends.get(event_names(event)[1] or "", last)), event)
        for event_id, (stage, event) in told.items()
        if event_id not in gone and choose.random() < 0.1
    ]
    repositories = _repositories(choose, repository, last)
    catalogs = _catalogs(choose, names, last)
    incidents = [
        _incidents(choose, f"{number}{place}", name, pools[name], ends[name], last)
        for number, name in enumerate(names, 1)
        for place in range(choose.choice([0, 0, 1, 2]))
    ]
    by_stage = [[one for shown in incidents if (one := shown[stage])] for stage in range(last + 1)]
    return World(stages, catalogs, repositories, deployments, sightings, failures, marks, deletions, unusable, by_stage)


def _incidents(
    choose: random.Random, number: str, service: str, pool: Sequence[datetime], end: int, last: int
) -> list[Failure | None]:
    """An incident of PagerDuty in each stage: it may be resolved, opened again, spoiled, gone and back."""
    at = (choose.choice(pool) + timedelta(seconds=choose.choice(JITTERS))).replace(microsecond=0)
    name, begin = f"pagerduty:Q{number}", _stage(choose, end)
    found: list[Failure | None] = []
    shown, is_spoiled = None, False
    for stage in range(last + 1):
        if stage == begin or (begin < stage <= end and choose.random() < 0.6):
            outage = choose.choice([None, None, 0, 420, 4 * 86_400, -60])
            finished_at = None if outage is None else at + timedelta(seconds=outage)
            changed = Failure(name, PAGERDUTY, (service,), None, None, at, finished_at, (at, name))
            changed = replace(changed, severity=choose.choice(SEVERITIES))
            # What is gone after it was spoiled was told well before, or never.
            shown = changed if is_spoiled or stage == begin or choose.random() < 0.6 else None
            is_spoiled = shown is not None and outage == -60
        found.append(shown)
    return found


def event_names(event: Deployment | Failure) -> tuple[str, str | None]:
    """The id and the first service."""
    if isinstance(event, Deployment):
        return event.deployment_id, event.service
    return event.failure_id, event.services[0] if event.services else None


def _unusable(
    choose: random.Random, stages: Sequence[Stage], stage: int, end: int, event: Deployment | Failure
) -> tuple[int, Unusable]:
    """What is told of an event in its stage, before it or after it, and cannot be used."""
    when = choose.choice([stage, choose.randint(0, end), choose.randint(stage, end)])
    received_at, started_at = stages[when].received_at, event.started_at
    # Without a start it is shown at its end, where that can be; one that ends wrongly, or of an export, by its start.
    is_sent = isinstance(event, Deployment) and event.source == EVENT_API
    kinds: Sequence[tuple[dict[str, Any], str, datetime | None]] = (
        ({"finished_at": (started_at - timedelta(seconds=1)).isoformat()}, "finished_before_started", started_at),
        ({"finished_at": (received_at + timedelta(hours=1)).isoformat()}, "time_in_future", started_at),
        ({"finished_at": "soon"}, "time_unreadable", started_at),
        ({"started_at": "soon"}, "time_unreadable", event.finished_at if is_sent else None),
        ({"git": {"commit_sha": "main"}}, "field_type", event.finished_at if is_sent else started_at),
    )
    if event.source != APM and when > stage and choose.random() < 0.5:
        return when, Unusable(event, *choose.choice(kinds[:2]), is_patch=True)
    # An export may name a commit that is none.
    spoiled = choose.choice(kinds[:-1] if event.source == APM else kinds)
    changed = replace(event, env="staging", team="bad", tags=("urgent:yes",), version="bad", commit_sha=None)
    return when, Unusable(changed, *spoiled, is_patch=False)


def _deletions(
    choose: random.Random,
    sent: Sequence[tuple[int, Deployment]],
    failed: Sequence[tuple[int, Failure]],
    deployments: list[tuple[int, Deployment]],
    failures: list[tuple[int, Failure]],
    ends: Mapping[str, int],
    last: int,
) -> list[tuple[int, bool, str]]:
    """Take some events back; some of them are told again, with less: of what was told before nothing is left."""
    found: list[tuple[int, bool, str]] = []

    def taken_back(event_id: str, first: int, end: int, told: Sequence[int]) -> int | None:
        """The stage in which an event that is taken back is told again, where it is not told anyway."""
        gone = choose.randint(first, end)
        is_last = gone == first or choose.random() < 0.3
        found.append((gone, is_last, event_id))
        back = gone + is_last
        return back if back <= end and back not in told and choose.random() < 0.6 else None

    for first, event in sent:
        if choose.random() < 0.1:
            stages = [stage for stage, one in deployments if one.deployment_id == event.deployment_id]
            back = taken_back(event.deployment_id, first, ends[event.service], stages)
            if back is not None:
                again = replace(event, version="w2", commit_sha=None, team=None, tags=(), repository=None)
                deployments.append((back, again))
    for first, failure in failed:
        if choose.random() < 0.1:
            stages = [stage for stage, one in failures if one.failure_id == failure.failure_id]
            end = min((ends.get(name, last) for name in failure.services), default=last)
            back = taken_back(failure.failure_id, first, max(first, end), stages)
            if back is not None:
                failures.append((back, replace(failure, finished_at=None, version=None, tags=())))
    return found


def _repositories(choose: random.Random, whole: Repository, last: int) -> list[Repository]:
    """What is pushed by each stage: in the end all, before that often less."""
    sizes = sorted(choose.choice([len(whole.main), choose.randint(10, len(whole.main))]) for _ in range(last))
    return [*(whole if size == len(whole.main) else part_of(whole, size) for size in sizes), whole]


def _stage(choose: random.Random, last: int) -> int:
    """A stage in which something is told, mostly the first."""
    return min(last, choose.choice([0, 0, 0, 0, 0, 0, 1, 1, 2, 2]))


def _catalogs(choose: random.Random, names: Sequence[str], last: int) -> list[Catalog]:
    """The definitions of each stage; of some later ones a few services have others than before."""
    teams = {name: choose.choice("xyz") for name in names if choose.random() < 0.5}
    patterns = {name: choose.choice(PATTERNS) for name in names if choose.random() < 0.7}
    tags = {name: choose.choice(CATALOG_TAGS) for name in names if choose.random() < 0.7}
    found = [Catalog(teams, patterns, tags)]
    for _ in range(last):
        teams, patterns, tags = dict(teams), dict(patterns), dict(tags)
        for name in choose.sample(names, choose.choice([0, len(names) // 3])):
            teams.pop(name, None)
            patterns.pop(name, None)
            tags.pop(name, None)
            teams |= {name: choose.choice("xyz")} if choose.random() < 0.5 else {}
            patterns |= {name: choose.choice(PATTERNS)} if choose.random() < 0.7 else {}
            tags |= {name: choose.choice(CATALOG_TAGS)} if choose.random() < 0.7 else {}
        found.append(Catalog(teams, patterns, tags))
    return found


def _repository(choose: random.Random) -> str | None:
    """The repository that an event names."""
    return choose.choice([None] * 8 + [REPOSITORY, OTHER_REPOSITORY])


def _pool(choose: random.Random, stages: Sequence[Stage]) -> list[datetime]:
    """Moments about which things happen to a service, some at and right before those that decide something."""
    settings = stages[0].settings
    start = choose.choice(starts(settings.timezone))
    deciding = [
        *CLOCKS[settings.timezone],
        *(midnight(start.date() + timedelta(days=days), stage.settings.zone) for stage in stages for days in range(6)),
        *(selection.at for stage in stages for selection in stage.selections),
    ]
    edges = [at - timedelta(microseconds=before) for at in deciding for before in (0, 1)]
    return [
        choose.choice(edges) if choose.random() < 0.15 else start + timedelta(minutes=choose.randrange(6 * 24 * 60))
        for _ in range(choose.randint(3, 5))
    ]


def _deployments(
    choose: random.Random, service: str, pool: Sequence[datetime], repository: Repository, last: int
) -> list[tuple[int, Deployment]]:
    found = []
    place, heads = choose.randrange(10), [*repository.requests.values(), *repository.release]
    moments = sorted(
        choose.choice(pool)
        + timedelta(seconds=choose.choice(JITTERS))
        - timedelta(days=choose.choice([0] * 9 + [choose.randint(55, 75)]))
        for _ in range(choose.randint(4, 14))
    )
    for number, at in enumerate(moments):
        stage, source = _stage(choose, last), choose.choice([EVENT_API, EVENT_API, APM])
        place = max(0, min(len(repository.main) - 1, place + choose.choice([-2, -1, 0, 0, 1, 1, 2, 3])))
        sha = choose.choice([repository.main[place]] * 5 + [choose.choice(heads), None])
        version = f"v{sha[:4]}" if sha else choose.choice(["w1", "w2", "w-hotfix", None])
        if sha and choose.random() < 0.3:
            sha = sha[: choose.choice([7, 9, 12])]
        if choose.random() < 0.03:
            sha = choose.choice([UNKNOWN_SHA, UNKNOWN_SHA[:8]])
        if sha and choose.random() < 0.1:
            version = f"{version}-hotfix"
        event_id = f"{choose.choice('yz')}-{service}-{number:02}"
        event = Deployment(
            f"apm:{event_id}" if source == APM else event_id,
            source,
            service,
            choose.choice(ENVIRONMENTS),
            version,
            sha,
            choose.choice([None, None, "x", "y"]),
            at,
            at + timedelta(seconds=choose.choice(DURATIONS)),
            (),
            choose.choice(TAGS),
            repository=_repository(choose),
        )
        found.append((stage, event))
        if source == EVENT_API and choose.random() < 0.1:
            seconds = timedelta(seconds=choose.choice([0, 0.4, 600, 600.000001]))
            twin = replace(event, deployment_id=f"apm:{event_id}", source=APM, started_at=event.finished_at + seconds)
            found.append((_stage(choose, last), replace(twin, finished_at=twin.started_at)))
    return found


def _sightings(
    choose: random.Random, service: str, pool: Sequence[datetime], repository: Repository, last: int
) -> list[tuple[int, int, Sighting]]:
    """Sightings of few versions, in any of the stages; a version is one commit, which not every sighting names."""
    shas = choose.sample(repository.main, 3)
    commits = {f"v{sha[:4]}": choose.choice([sha, sha[:8], None]) for sha in shas}
    found = []
    for _ in range(choose.randint(5, 25)):
        at = choose.choice(pool) + timedelta(seconds=choose.choice(JITTERS), hours=choose.choice([0, 0, 0, 1, 2, 20]))
        version = choose.choice([*commits])
        sha = commits[version] if choose.random() < 0.7 else None
        stage = _stage(choose, last)
        gone = choose.randint(stage + 1, last) if stage < last and choose.random() < 0.1 else NEVER
        found.append((stage, gone, Sighting(at, service, choose.choice(ENVIRONMENTS[2:]), version, sha)))
    return found


def _told_again(choose: random.Random, event: Deployment, repository: Repository) -> Deployment:
    """Later or earlier, elsewhere, or of another commit, and with what was not told."""
    return replace(
        event,
        env=choose.choice([event.env, event.env, event.env, "staging"]),
        commit_sha=choose.choice([event.commit_sha, event.commit_sha, choose.choice(repository.main)]),
        finished_at=event.started_at + timedelta(seconds=choose.choice(DURATIONS)),
        version=event.version or "w1",
        team=event.team or "x",
    )


def _changed(choose: random.Random, event: Failure) -> Failure:
    """Open again, or resolved at some other time; and elsewhere."""
    outage = choose.choice(OUTAGES)
    return replace(
        event,
        services=choose.choice([event.services, event.services, event.services[:1]]),
        env=choose.choice([event.env, event.env, "staging"]),
        version=choose.choice([event.version, event.version, "w1"]),
        severity=choose.choice([event.severity, "SEV-2"]),
        finished_at=None if outage is None else event.started_at + timedelta(seconds=outage),
    )


def _failure(
    choose: random.Random,
    name: str,
    services: Sequence[str],
    pool: Sequence[datetime],
    deployed: Mapping[str, Sequence[Deployment]],
    last: int,
) -> tuple[int, Failure]:
    stage, event_id = _stage(choose, last), f"{choose.choice('yz')}-{name}"
    at = choose.choice(pool) + timedelta(seconds=choose.choice(JITTERS), hours=choose.choice([0, 0, 1, 30, 60]))
    impacted = tuple(choose.sample(services, min(len(services), choose.choice([0, 1, 1, 1, 2, 3]))))
    if impacted and choose.random() < 0.03:
        impacted = ("ghost",)
    near = choose.choice(deployed[services[0]])
    tags = choose.choice(
        [
            (),
            (),
            (),
            ("size:1", "tier:1", "plain"),
            (f"deployment_id:{near.deployment_id.removeprefix('apm:')}",),
            ("deployment_id:none",),
        ]
    )
    outage = choose.choice(OUTAGES)
    return stage, Failure(
        event_id,
        FAILURE_API,
        impacted,
        choose.choice(ENVIRONMENTS) if choose.random() < 0.7 else "production",
        choose.choice([None, "x", "y"] if impacted else ["x", "z", "nobody"]),
        at,
        None if outage is None else at + timedelta(seconds=outage),
        (),
        near.version if choose.random() < 0.2 else None,
        near.commit_sha if choose.random() < 0.2 else None,
        tags,
        choose.choice(SEVERITIES),
        _repository(choose),
    )


def _marks(
    choose: random.Random, deployments: Sequence[tuple[int, Deployment]], ends: Mapping[str, int]
) -> list[tuple[int, str, Mark]]:
    found = []
    ids = [event.deployment_id for _, event in deployments]
    for number, (stage, event) in enumerate(deployments):
        while choose.random() < 0.15:
            near = choose.choice([*ids[max(0, number - 5) : number + 6], "unknown"])
            is_failed = choose.random() < 0.6
            is_named = is_failed and choose.random() < 0.7
            remediation = (near, choose.choice(["rollback", "rollforward"])) if is_named else None
            found.append(
                (max(stage, _stage(choose, ends[event.service])), event.deployment_id, Mark(is_failed, remediation))
            )
    return sorted(found, key=lambda mark: mark[0])
