"""Random worlds: many services, each a small world of its own, over one repository; and how a user tells them."""

import hashlib
import json
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests.full_homes import set_time
from dora_pipeline_tests.git_histories import git
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.oracle import (
    Deployment,
    Failure,
    Mark,
    Rules,
    Selection,
    Sighting,
    deployments_of_sightings,
)
from dora_pipeline_tests.oracle_commits import Commit, Repository

EVENT_API, APM, FAILURE_API = "deployment_event_api", "apm_deployment_tracking", "failure_event_api"
REPOSITORY = "example.com/org/app"
ZONE = "Europe/Berlin"
NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
RULES = [
    {"name": "urgent", "field": "custom_tag", "matches": "^urgent:", "fails": "previous"},
    {"name": "broken", "field": "custom_tag", "matches": "^broken:", "fails": "itself"},
    {"name": "branch", "field": "branch_tag", "matches": "^fix/", "fails": "previous"},
    {"name": "hotfix", "field": "version", "matches": "hotfix", "fails": "previous"},
    {"name": "subject", "field": "commit_subject", "matches": "hotfix", "fails": "previous"},
]
# The clocks of Berlin change on the third day of the first two; the third is the end of an ISO year.
STARTS = (
    datetime(2024, 3, 28, 22, tzinfo=UTC),
    datetime(2024, 10, 24, 22, tzinfo=UTC),
    datetime(2024, 12, 27, tzinfo=UTC),
)
FIRST = STARTS[0]
# What was selected when, before the second run and after the first: at last the exports go before the event API.
SELECTIONS = (
    (
        Selection("deployment", FIRST - timedelta(days=90), (EVENT_API,)),
        Selection("deployment", FIRST + timedelta(hours=30), (APM, EVENT_API)),
        Selection("deployment", FIRST + timedelta(hours=31), (EVENT_API,)),
        Selection("failure", FIRST + timedelta(hours=20), (FAILURE_API,)),
    ),
    (Selection("deployment", FIRST + timedelta(days=400), (APM, EVENT_API)),),
)
RECEIVED = (datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 2, 2, tzinfo=UTC))
JITTERS = (0, 0, 0.4, 0.999999, 1, 299.999999, 300, 600, 600.000001, 3600, 86_400, 90_000)
DURATIONS = (0, 0, 0.25, 90, 600, 80_000)
OUTAGES = (None, 0, 1.5, 420, 90_000, 4 * 86_400)
ENVIRONMENTS = ("production", "production", "prod", "staging", None)
TAGS = ((), (), (), (), ("urgent:yes",), ("broken:yes", "size:1"), ("git.branch:fix/x",), ("branch:main",))
PATTERNS = ((), (), (), ("a/**",), ("b/**", "c/**"), ("!a/**",), ("**", "!c/**"))
QUIET_GAP = timedelta(hours=1)
# In no repository.
UNKNOWN_SHA = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class World:
    """What a user tells in two stages, whose numbers stand before the events; one that is told again is an update."""

    teams: dict[str, str]
    # The source patterns of the services that have a repository.
    with_repository: dict[str, tuple[str, ...]]
    deployments: Sequence[tuple[int, Deployment]]
    sightings: Sequence[tuple[int, Sighting]]
    failures: Sequence[tuple[int, Failure]]
    # What a PATCH of the stage says of a deployment.
    marks: Sequence[tuple[int, str, Mark]]

    def told_deployments(self, stage: int, rules: Rules) -> list[Deployment]:
        """The deployments as they are known after a stage, inferred ones too."""
        marks: dict[str, Mark] = {}
        for when, event_id, mark in self.marks:
            if when <= stage:
                known = marks.get(event_id)
                # One that says no takes the remediation away.
                kept = known.remediation if known and mark.is_failed else None
                marks[event_id] = Mark(mark.is_failed, mark.remediation or kept)
        events = {event.deployment_id: event for when, event in self.deployments if when <= stage}
        told = [
            replace(event, env=canonical(event.env), mark=marks.get(event.deployment_id)) for event in events.values()
        ]
        seen = [replace(seen, env=canonical(seen.env)) for when, seen in self.sightings if when <= stage]
        ready = [event for event in told if event.source == APM]
        return told + deployments_of_sightings(seen, ready, rules, QUIET_GAP)

    def told_failures(self, stage: int) -> list[Failure]:
        """The failures as they are known after a stage."""
        events = {event.failure_id: event for when, event in self.failures if when <= stage}
        return [replace(event, env=canonical(event.env)) for event in events.values()]


def canonical(env: str | None) -> str | None:
    """The name of an environment by the settings."""
    return "production" if env == "prod" else env


def random_world(choose: random.Random, services: int, repository: Repository) -> World:
    """A world with so many services; those whose numbers differ by less than three share failures."""
    names = [f"s{number:03}" for number in range(services)]
    teams = {name: choose.choice("xyz") for name in names if choose.random() < 0.5}
    deployments: list[tuple[int, Deployment]] = []
    pools: dict[str, list[datetime]] = {}
    for name in names:
        start = choose.choice(STARTS)
        pools[name] = [start + timedelta(minutes=choose.randrange(6 * 24 * 60)) for _ in range(choose.randint(3, 5))]
        deployments += _deployments(choose, name, pools[name], repository)
    failures: list[tuple[int, Failure]] = []
    by_service: dict[str, list[Deployment]] = {name: [] for name in names}
    for _, event in deployments:
        by_service[event.service].append(event)
    for number, name in enumerate(names):
        near = names[number : number + 3]
        failures += [
            _failure(choose, f"{name}-{place}", near, pools[name], by_service) for place in range(choose.randint(2, 5))
        ]
    sent = [(stage, event) for stage, event in deployments if event.source == EVENT_API]
    sightings = [
        seen for name in names if choose.random() < 0.5 for seen in _sightings(choose, name, pools[name], repository)
    ]
    with_repository = {name: choose.choice(PATTERNS) for name in names if choose.random() < 0.7}
    deployments += [(1, _told_again(choose, event)) for stage, event in sent if stage == 0 and choose.random() < 0.15]
    failures += [(1, _changed(choose, event)) for stage, event in failures if stage == 0 and choose.random() < 0.3]
    return World(teams, with_repository, deployments, sightings, failures, _marks(choose, sent))


def _deployments(
    choose: random.Random, service: str, pool: Sequence[datetime], repository: Repository
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
        stage, source = int(choose.random() < 0.35), choose.choice([EVENT_API, EVENT_API, APM])
        place = max(0, min(len(repository.main) - 1, place + choose.choice([-2, -1, 0, 0, 1, 1, 2, 3])))
        sha = choose.choice([repository.main[place]] * 5 + [choose.choice(heads), None])
        version = f"v{sha[:4]}" if sha else choose.choice(["w1", "w2", "w-hotfix", None])
        if sha and choose.random() < 0.3:
            sha = sha[: choose.choice([7, 9, 12])]
        if choose.random() < 0.03:
            sha = choose.choice([UNKNOWN_SHA, UNKNOWN_SHA[:8]])
        if sha and choose.random() < 0.1:
            version = f"{version}-hotfix"
        # Of those that are received together, ids tell the order.
        event_id = f"{choose.choice('yz')}-{service}-{number:02}"
        event_id, order = (
            (f"apm:{event_id}", (at, f"apm:{event_id}")) if source == APM else (event_id, (stage, event_id))
        )
        event = Deployment(
            event_id,
            source,
            service,
            choose.choice(ENVIRONMENTS),
            version,
            sha,
            choose.choice([None, None, "x", "y"]),
            at,
            at + timedelta(seconds=choose.choice(DURATIONS)),
            order,
            choose.choice(TAGS),
        )
        found.append((stage, event))
        if source == EVENT_API and choose.random() < 0.1:
            seconds = timedelta(seconds=choose.choice([0, 0.4, 600, 600.000001]))
            twin = replace(event, deployment_id=f"apm:{event_id}", source=APM, started_at=event.finished_at + seconds)
            twin = replace(twin, finished_at=twin.started_at, order=(twin.started_at, twin.deployment_id))
            found.append((int(choose.random() < 0.35), twin))
    return found


def _sightings(
    choose: random.Random, service: str, pool: Sequence[datetime], repository: Repository
) -> list[tuple[int, Sighting]]:
    """Sightings of few versions, in any of the stages; a version is one commit, which not every sighting names."""
    shas = choose.sample(repository.main, 3)
    commits = {f"v{sha[:4]}": choose.choice([sha, sha[:8], None]) for sha in shas}
    found = []
    for _ in range(choose.randint(5, 25)):
        at = choose.choice(pool) + timedelta(seconds=choose.choice(JITTERS), hours=choose.choice([0, 0, 0, 1, 2, 20]))
        version = choose.choice([*commits])
        sha = commits[version] if choose.random() < 0.7 else None
        found.append(
            (int(choose.random() < 0.35), Sighting(at, service, choose.choice(ENVIRONMENTS[2:]), version, sha))
        )
    return found


def _told_again(choose: random.Random, event: Deployment) -> Deployment:
    """Later or earlier, or of another commit, and with what was not told."""
    finished = event.started_at + timedelta(seconds=choose.choice(DURATIONS))
    return replace(event, finished_at=finished, version=event.version or "w1", team=event.team or "x")


def _changed(choose: random.Random, event: Failure) -> Failure:
    """Open again, or resolved at some other time."""
    outage = choose.choice(OUTAGES)
    return replace(event, finished_at=None if outage is None else event.started_at + timedelta(seconds=outage))


def _failure(
    choose: random.Random,
    name: str,
    services: Sequence[str],
    pool: Sequence[datetime],
    deployed: dict[str, list[Deployment]],
) -> tuple[int, Failure]:
    stage, event_id = int(choose.random() < 0.35), f"{choose.choice('yz')}-{name}"
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
            ("size:1",),
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
        (stage, event_id),
        near.version if choose.random() < 0.2 else None,
        near.commit_sha if choose.random() < 0.2 else None,
        tags,
    )


def _marks(choose: random.Random, deployments: Sequence[tuple[int, Deployment]]) -> list[tuple[int, str, Mark]]:
    found = []
    ids = [event.deployment_id for _, event in deployments]
    for number, (stage, event) in enumerate(deployments):
        while choose.random() < 0.15:
            near = choose.choice([*ids[max(0, number - 5) : number + 6], "unknown"])
            is_failed = choose.random() < 0.6
            is_named = is_failed and choose.random() < 0.7
            remediation = (near, choose.choice(["rollback", "rollforward"])) if is_named else None
            found.append((max(stage, int(choose.random() < 0.5)), event.deployment_id, Mark(is_failed, remediation)))
    return sorted(found, key=lambda mark: mark[0])


def random_repository(choose: random.Random, path: Path) -> Repository:
    """Writes a main branch with squash merges, merges, plain commits and reverts, and the heads of pull requests.

    A request may begin on another one, may take main in, and may itself squash another one. A release branch picks
    squash commits with their numbers.
    """
    git(path, "init", "--quiet", "--bare", "--template=", "--initial-branch=main")
    commits: dict[str, Commit] = {}
    # The number of the commit that wrote each file last.
    contents: dict[str, dict[str, int]] = {}

    def commit(*parents: str, subject: str, files: frozenset[str], reverted: str | None = None) -> str:
        message = subject + (f"\n\nThis reverts commit {reverted}." if reverted else "")
        committed = len(commits) * 7_200
        authored = committed - choose.choice([0, 60, 90_000]) + 90_000
        content: dict[str, int] = {}
        for parent in reversed(parents):
            content |= contents[parent]
        content |= dict.fromkeys(files, len(commits))
        lines = [f"tree {_write_files(path, content)}", *(f"parent {parent}" for parent in parents)]
        for who, seconds in (("author", authored), ("committer", committed + 90_000)):
            lines.append(f"{who} A <a@example.invalid> {int(NEW_YEAR.timestamp()) + seconds} +0000")
        sha = _write(path, b"commit", "\n".join([*lines, "", message]).encode())
        authored_at = NEW_YEAR + timedelta(seconds=authored)
        commits[sha] = Commit(sha, parents, subject, (reverted,) if reverted else (), authored_at, files)
        contents[sha] = content
        return sha

    def some_files() -> frozenset[str]:
        return frozenset(choose.sample(["a/x", "b/x", "c/x"], choose.choice([0, 1, 1, 2])))

    def squash(parent: str, tip: str, subject: str) -> str:
        """A commit that changes some of what the tip changed that the parent does not have."""
        held = _history(commits, tip) - _history(commits, parent)
        files = sorted(frozenset().union(*(commits[sha].files for sha in held)))
        return commit(parent, subject=subject, files=frozenset(choose.sample(files, choose.randint(0, len(files)))))

    main, tips, requests = [commit(subject="root", files=frozenset({"a/x", "b/x", "c/x"}))], [], {}
    for number in range(1, 31):
        subject, reverted = _message(choose, commits, number)
        way = choose.choice(["plain", "squash", "squash", "merge", "unknown request"])
        if way == "plain":
            main.append(commit(main[-1], subject=subject, files=some_files(), reverted=reverted))
            continue
        tip = commit(choose.choice([*main[-4:], *tips[-2:]]), subject=f"begin {number}", files=some_files())
        if choose.random() < 0.4:
            tip = commit(tip, main[-1], subject=f"take main {number}", files=frozenset())
        tip = commit(tip, subject=subject, files=some_files(), reverted=reverted) if choose.random() < 0.5 else tip
        if choose.random() < 0.3:
            part = commit(tip, subject=f"part of {number}", files=some_files())
            requests[100 + number] = commit(part, subject=f"end of {number}", files=some_files())
            tip = squash(tip, requests[100 + number], f"parts (#{100 + number})")
        tips.append(tip)
        if way == "merge":
            main.append(commit(main[-1], tip, subject=f"merge {number}", files=frozenset()))
            continue
        main.append(squash(main[-1], tip, f"{subject} (#{number})"))
        if way == "squash":
            requests[number] = tip
    release = [main[8]]
    for sha in main[10:]:
        if choose.random() < 0.3:
            release.append(commit(release[-1], subject=commits[sha].subject, files=commits[sha].files))
    refs = {f"pull/{number}/head": tip for number, tip in requests.items()}
    refs |= {"heads/main": main[-1], "heads/release": release[-1]}
    git(path, "update-ref", "--stdin", stdin="".join(f"create refs/{ref} {sha}\n" for ref, sha in refs.items()))
    return Repository(commits, main, release, requests)


def _history(commits: dict[str, Commit], head: str) -> set[str]:
    found, waiting = set(), [head]
    while waiting:
        sha = waiting.pop()
        if sha not in found:
            found.add(sha)
            waiting += commits[sha].parents
    return found


def _message(choose: random.Random, commits: dict[str, Commit], number: int) -> tuple[str, str | None]:
    """A subject, and the SHA that the message says it reverts."""
    other = choose.choice(list(commits.values())[-12:])
    sha = other.sha[: choose.choice([7, 12, 40])]
    kinds: list[tuple[str, str | None]] = [
        (f"work {number}", None),
        (f"hotfix {number}", None),
        (f"Take back {number}", sha),
        (f'Revert "{other.subject}"', None),
        (f'Revert "{other.subject}"', sha),
        (f'Reapply "{other.subject}"', sha),
    ]
    return choose.choices(kinds, [6, 1, 1, 1, 1, 1])[0]


def _write_files(path: Path, contents: dict[str, int]) -> str:
    """Writes a tree of files in folders, each of which holds a number; its SHA."""
    root = b""
    for name, number in sorted(contents.items()):
        folder, _, file = name.partition("/")
        blob = _write(path, b"blob", str(number).encode())
        tree = _write(path, b"tree", f"100644 {file}\0".encode() + bytes.fromhex(blob))
        root += f"40000 {folder}\0".encode() + bytes.fromhex(tree)
    return _write(path, b"tree", root)


def _write(path: Path, kind: bytes, content: bytes) -> str:
    """Writes an object of git; its SHA."""
    whole = kind + b" %d\0" % len(content) + content
    sha = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
    file = path / "objects" / sha[:2] / sha[2:]
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(zlib.compress(whole))
    return sha


def prepare(home: TestHome, world: World, remote: Path) -> None:
    """Settings, and the catalog: with links of those services that have a repository."""
    home.settings(
        timezone=ZONE,
        environments={"production": ["prod"]},
        link_window="2d",
        change_failure_rules=RULES,
        repositories={REPOSITORY: str(remote)},
    )
    link = {"name": "Source", "type": "repo", "url": f"https://{REPOSITORY}"}

    def sources(name: str) -> dict[str, Any]:
        patterns = {"source_patterns": list(world.with_repository[name])}
        return {"links": [link], "extensions": {"datadoghq.com/dora-metrics": patterns}}

    definitions = [
        {"schema-version": "v2.2", "dd-service": name}
        | ({"team": world.teams[name]} if name in world.teams else {})
        | (sources(name) if name in world.with_repository else {})
        for name in sorted({*world.teams, *world.with_repository})
    ]
    home.home.services.mkdir()
    (home.home.services / "all.yaml").write_text("\n---\n".join(map(json.dumps, definitions)))


def tell(home: TestHome, world: World, stage: int, choose: random.Random) -> None:
    """Select, send and drop what belongs to a stage, in any order."""
    for selection in SELECTIONS[stage]:
        home.select(selection.event_type, *selection.sources, at=selection.at)  # type: ignore[arg-type]
    deployments = [event for when, event in world.deployments if when == stage]
    sent = [_wire(event) for event in deployments if event.source == EVENT_API]
    known = {event.failure_id for when, event in world.failures if when < stage}
    failures = [event for when, event in world.failures if when == stage]
    new_failures = [_failure_wire(event) for event in failures if event.failure_id not in known]
    choose.shuffle(sent)
    choose.shuffle(new_failures)
    with EventStore.at(home.home) as store:
        for kind, events in (("deployment", sent), ("failure", new_failures)):
            store.append_many(kind, events, received_at=RECEIVED[stage])  # type: ignore[arg-type]
        for event in failures:
            if event.failure_id in known:
                end = {"finished_at": event.finished_at.isoformat() if event.finished_at else None}
                assert store.update("failure", event.failure_id, end, received_at=RECEIVED[stage])
        for when, event_id, mark in world.marks:
            if when == stage:
                changes: dict[str, Any] = {"change_failure": mark.is_failed}
                if mark.remediation:
                    changes["remediation"] = dict(zip(("id", "type"), mark.remediation, strict=True))
                assert store.update("deployment", event_id, changes, received_at=RECEIVED[stage])
    ready = [
        {"type": "dora_deployment", "id": event.deployment_id.removeprefix("apm:"), "attributes": _wire(event)}
        for event in deployments
        if event.source == APM
    ]
    set_time(home.drop_export(f"ready-{stage}.jsonl", ready), RECEIVED[stage])
    seen = [_sighting_wire(seen) for when, seen in world.sightings if when == stage]
    choose.shuffle(seen)
    # A file of its own for each half.
    for half in (0, 1):
        set_time(home.drop_export(f"seen-{stage}-{half}.jsonl", seen[half::2]), RECEIVED[stage])


def _wire(event: Deployment) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": event.deployment_id,
        "service": f" {event.service}",
        "env": event.env,
        "version": event.version,
        "team": event.team,
        "custom_tags": list(event.tags),
        "started_at": event.started_at.isoformat(),
        "finished_at": event.finished_at.isoformat(),
    }
    return told | ({"git": {"commit_sha": event.commit_sha.upper()}} if event.commit_sha else {})


def _sighting_wire(seen: Sighting) -> dict[str, Any]:
    told = {"timestamp": seen.at.isoformat(), "service": seen.service, "env": seen.env, "version": seen.version}
    return told | ({"git.commit.sha": seen.commit_sha} if seen.commit_sha else {})


def _failure_wire(event: Failure) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": event.failure_id,
        "services": list(event.services),
        "env": event.env,
        "team": event.team,
        "version": event.version,
        "custom_tags": list(event.tags),
        "started_at": event.started_at.isoformat(),
        "finished_at": event.finished_at.isoformat() if event.finished_at else None,
    }
    return told | ({"git": {"commit_sha": event.commit_sha}} if event.commit_sha else {})
