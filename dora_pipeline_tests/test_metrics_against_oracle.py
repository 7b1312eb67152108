"""The warehouse against the oracle, on random events."""

import json
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests import oracle, oracle_metrics
from dora_pipeline_tests.git_histories import History
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.oracle import Deployment, Failure, Rules, Selection

EVENT_API, APM, FAILURE_API = "deployment_event_api", "apm_deployment_tracking", "failure_event_api"
REPOSITORY = "example.com/org/app"
GRAINS = ("day", "week", "month", "quarter", "year")
RECEIVED = (datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 2, 2, tzinfo=UTC))

# Always the same examples; a failing one is shown as it is, since making it smaller takes minutes.
PROFILE = settings(
    max_examples=16,
    derandomize=True,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)

# The clocks of Berlin change on the third day of the first two; the third is the end of an ISO year.
STARTS = (
    datetime(2024, 3, 28, 22, tzinfo=UTC),
    datetime(2024, 10, 24, 22, tzinfo=UTC),
    datetime(2024, 12, 27, tzinfo=UTC),
)
JITTERS = tuple(
    timedelta(seconds=seconds)
    for seconds in (0, 0, 0.4, 0.999999, 1, 299.999999, 600, 600.000001, 3600, 86_400, 90_000)
)
DURATIONS = tuple(timedelta(seconds=seconds) for seconds in (0, 0, 0.25, 90, 600, 80_000))
OUTAGES = (None, timedelta(0), timedelta(seconds=1.5), timedelta(minutes=7), timedelta(hours=25), timedelta(days=4))
ENVIRONMENTS = ("production", "prod", "staging", None)

# Commit 7 merges 4 and 6; commit 8 is a cherry-pick that is dated after its deployments.
PARENTS: Mapping[int, tuple[int, ...]] = {1: (), 2: (1,), 3: (2,), 4: (3,), 5: (3,), 6: (5,), 7: (4, 6), 8: (7,)}
AUTHORED = {1: 0, 2: 86_400, 3: 90_000, 4: 100_000, 5: 95_000, 6: 172_801, 7: 180_000, 8: 34_000_000}


@dataclass(frozen=True)
class Repository:
    """A repository on disk, and what the oracle knows of it."""

    path: Path
    shas: Sequence[str]
    ranges: Mapping[tuple[str, str], Sequence[str]]
    histories: Mapping[str, Set[str]]
    authored: Mapping[str, datetime]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    path = tmp_path_factory.mktemp("remote") / "app.git"
    history = History()
    for number, parents in PARENTS.items():
        history.commit(*parents, committed=number * 1000, authored=AUTHORED[number])
    shas = history.write(path, {"main": 8})

    def reached(number: int) -> set[int]:
        return {number}.union(*(reached(parent) for parent in PARENTS[number]))

    ranges = {
        (shas[base], shas[head]): [shas[number] for number in reached(head) - reached(base) if len(PARENTS[number]) < 2]
        for base in PARENTS
        for head in PARENTS
    }
    histories = {shas[head]: {shas[number] for number in reached(head)} for head in PARENTS}
    new_year = datetime(2024, 1, 1, tzinfo=UTC)
    authored = {shas[number]: new_year + timedelta(seconds=seconds) for number, seconds in AUTHORED.items()}
    return Repository(path, shas, ranges, histories, authored)


@dataclass(frozen=True)
class World:
    """What a user has told."""

    timezone: str
    start: datetime
    selections: Sequence[Selection]
    deployments: Sequence[Deployment]
    failures: Sequence[Failure]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    start = draw(st.sampled_from(STARTS))
    pool = draw(st.lists(st.integers(0, 6 * 24 * 60), min_size=3, max_size=5))
    moments = st.builds(
        lambda minutes, jitter: start + timedelta(minutes=minutes) + jitter,
        st.sampled_from(pool),
        st.sampled_from(JITTERS),
    )
    orders = count()

    def deployment() -> Deployment:
        number, at = next(orders), draw(moments)
        source, service = (
            draw(st.sampled_from([EVENT_API, EVENT_API, APM])),
            draw(st.sampled_from(["a", "a", "b", "c"])),
        )
        commit = draw(st.integers(0, 8)) if service == "a" else 0
        version = f"v{commit}" if commit else draw(st.sampled_from(["w1", "w2", None]))
        # What the event API tells is received in two batches; the ids of the second come before those of the first.
        event_id = f"apm:{number:03}" if source == APM else f"{'zy'[number % 2]}{number:03}"
        order = (at, event_id) if source == APM else (number % 2, event_id)
        return Deployment(
            event_id,
            source,
            service,
            draw(st.sampled_from(ENVIRONMENTS)),
            version,
            str(commit) if commit else None,
            draw(st.sampled_from([None, None, "x", "y"])),
            at,
            at + draw(st.sampled_from(DURATIONS)),
            order,
        )

    def failure() -> Failure:
        number, at, outage = next(orders), draw(moments), draw(st.sampled_from(OUTAGES))
        services = draw(st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True))
        teams = [None, "x", "y"] if services else ["x", "z"]
        event_id = f"{'zy'[number % 2]}{number:03}"
        return Failure(
            event_id,
            FAILURE_API,
            tuple(services),
            draw(st.sampled_from(ENVIRONMENTS)),
            draw(st.sampled_from(teams)),
            at,
            None if outage is None else at + outage,
            (number % 2, event_id),
        )

    deployments = [deployment() for _ in range(draw(st.integers(4, 24)))]
    failures = [failure() for _ in range(draw(st.integers(2, 12)))]
    selections = [
        Selection("failure", draw(st.sampled_from([start - timedelta(days=9), *moments_of(start)])), (FAILURE_API,))
    ]
    at = start - timedelta(days=9)
    for sources in draw(
        st.lists(st.sampled_from([(EVENT_API,), (APM,), (EVENT_API, APM), (APM, EVENT_API)]), min_size=1, max_size=3)
    ):
        selections.append(Selection("deployment", at, sources))
        at = max(at, start) + timedelta(hours=draw(st.integers(1, 60)))
    return World(draw(st.sampled_from(["UTC", "Europe/Berlin"])), start, selections, deployments, failures)


def moments_of(start: datetime) -> list[datetime]:
    return [start + timedelta(hours=hours) for hours in (20, 70)]


def tell(home: TestHome, world: World, repository: Repository) -> None:
    home.settings(
        timezone=world.timezone,
        environments={"production": ["prod"]},
        repositories={REPOSITORY: str(repository.path)},
    )
    folder = home.home.services
    folder.mkdir()
    link = {"name": "Source", "type": "repo", "url": f"https://{REPOSITORY}"}
    definitions: list[dict[str, Any]] = [
        {"schema-version": "v2.2", "dd-service": "a", "team": "x", "links": [link]},
        {"schema-version": "v2.2", "dd-service": "b", "team": "y"},
    ]
    (folder / "all.yaml").write_text("\n---\n".join(json.dumps(definition) for definition in definitions))
    for selection in world.selections:
        home.select(selection.event_type, *selection.sources, at=selection.at)  # type: ignore[arg-type]
    with EventStore.at(home.home) as store:
        for batch, received_at in enumerate(RECEIVED):
            told = [wire(event, repository) for event in world.deployments if event.order[0] == batch]
            store.append_many("deployment", told, received_at=received_at)
            failures = [failure_wire(event) for event in world.failures if event.order[0] == batch]
            store.append_many("failure", failures, received_at=received_at)
    items = [
        {
            "type": "dora_deployment",
            "id": event.deployment_id.removeprefix("apm:"),
            "attributes": wire(event, repository),
        }
        for event in world.deployments
        if event.source == APM
    ]
    home.drop_export("ready.jsonl", items)


def wire(event: Deployment, repository: Repository) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": event.deployment_id,
        "service": f" {event.service}",
        "env": event.env,
        "version": event.version,
        "team": event.team,
        "started_at": event.started_at.isoformat(),
        "finished_at": event.finished_at.isoformat(),
    }
    if event.commit_sha is not None:
        told["git"] = {"commit_sha": repository.shas[int(event.commit_sha)]}
    return told


def failure_wire(event: Failure) -> dict[str, Any]:
    return {
        "id": event.failure_id,
        "services": list(event.services),
        "env": event.env,
        "team": event.team,
        "started_at": event.started_at.isoformat(),
        "finished_at": event.finished_at.isoformat() if event.finished_at else None,
    }


def canonical(env: str | None) -> str | None:
    return "production" if env == "prod" else env


def assert_equal_figures(
    found: Sequence[tuple[Any, ...]], expected: Mapping[tuple[object, ...], Mapping[str, Any]], names: int = 4
) -> None:
    """Rows of metrics: the first columns name a row, the rest are figures."""
    by_name = {row[:names]: row[names:] for row in found}
    assert len(by_name) == len(found)
    assert by_name.keys() == expected.keys()
    for name, figures in expected.items():
        for (column, value), told in zip(figures.items(), by_name[name], strict=True):
            assert is_equal(told, value), (name, column, told, value)


def is_equal(told: object, value: object) -> bool:
    if isinstance(told, float) and isinstance(value, float):
        return math.isclose(told, value, rel_tol=1e-6, abs_tol=1e-9)
    return told == value


@pytest.mark.slow
@settings(PROFILE)
@given(world=worlds(), first=st.integers(-1, 3), length=st.integers(0, 12))
def test_core_and_every_metric_are_what_the_oracle_says(
    tmp_path_factory: pytest.TempPathFactory, repository: Repository, world: World, first: int, length: int
) -> None:
    home = TestHome(tmp_path_factory.mktemp("world") / "home")
    tell(home, world, repository)
    home.run()
    rules = Rules(
        selections=world.selections,
        zone=ZoneInfo(world.timezone),
        teams={"a": "x", "b": "y"},
        with_repository=frozenset("a"),
        ranges=repository.ranges,
        histories=repository.histories,
        authored=repository.authored,
    )
    told = [
        replace(
            event,
            env=canonical(event.env),
            commit_sha=repository.shas[int(event.commit_sha)] if event.commit_sha else None,
        )
        for event in world.deployments
    ]
    deployments, rejected = oracle.judged_deployments(told, rules)
    failures, rejected_failures = oracle.judged_failures(
        [replace(event, env=canonical(event.env)) for event in world.failures], rules
    )

    assert set(
        home.rows(
            "SELECT source, service, payload->>'deployment_id', payload->>'failure_id', reason "
            "FROM core.rejected_events"
        )
    ) == {
        *((*names, None, "same_second") for names in rejected),
        *((source, service, None, event_id, "same_second") for source, service, event_id in rejected_failures),
    }
    assert_equal_deployments(home, deployments)
    assert_equal_failed_changes(home, deployments)
    assert sorted(
        home.rows(
            "SELECT failure_id, service, env, team, is_selected, day, restored_day, time_to_restore_seconds "
            "FROM core.failures"
        ),
        key=repr,
    ) == sorted(
        (
            (
                row.told.failure_id,
                row.service,
                row.told.env,
                row.team,
                row.is_selected,
                row.day,
                row.restored_day,
                row.time_to_restore,
            )
            for row in failures
        ),
        key=repr,
    )
    outcomes = outcomes_of(home)
    assert_equal_figures(
        home.rows("SELECT * FROM metrics.daily"), oracle_metrics.daily(deployments, failures, rules, outcomes)
    )
    from_day = (world.start + timedelta(days=first)).date()
    to_day = from_day + timedelta(days=length)
    for grain in GRAINS:
        assert_equal_summaries(home, deployments, failures, rules, outcomes, grain, from_day, to_day)


def outcomes_of(home: TestHome) -> oracle_metrics.Outcomes:
    changes = home.rows(
        "SELECT deployment_id, recovery_seconds, remediation_id FROM core.failed_changes WHERE is_selected"
    )
    links = home.rows("SELECT deployment_id FROM core.failure_links WHERE is_selected AND deployment_id IS NOT NULL")
    return oracle_metrics.Outcomes(
        mended={row[0]: row[1] for row in changes},
        mending=frozenset(row[2] for row in changes),
        linked=frozenset(row[0] for row in links),
    )


def assert_equal_failed_changes(home: TestHome, deployments: Sequence[oracle.JudgedDeployment]) -> None:
    found = home.rows("SELECT * EXCLUDE (env, team, rule) FROM core.failed_changes ORDER BY ALL")
    assert found == sorted(
        (
            row.told.deployment_id,
            row.told.service,
            "rollback",
            row.mended_by.deployment_id,
            "rollback",
            (row.mended_by.finished_at - row.told.finished_at).total_seconds(),
            row.is_selected,
            row.day,
        )
        for row in deployments
        if row.mended_by is not None
    )


def assert_equal_deployments(home: TestHome, deployments: Sequence[oracle.JudgedDeployment]) -> None:
    found = home.rows(
        """
        SELECT deployment_id, service, env, team, day, is_selected, duplicate_of,
            CASE WHEN duplicate_of IS NULL THEN kind END, previous_deployment_id, lead_time_reason, lead_time_commits
        FROM core.deployments
        """
    )
    assert sorted(found, key=repr) == sorted(
        (
            (
                row.told.deployment_id,
                row.told.service,
                row.told.env,
                row.team,
                row.day,
                row.is_selected,
                row.duplicate_of,
                row.kind,
                row.previous,
                row.lead_time_reason,
                None if row.commits is None else len(row.commits),
            )
            for row in deployments
        ),
        key=repr,
    )
    means = dict(home.rows("SELECT deployment_id, lead_time_mean_seconds FROM core.deployments"))
    for row in deployments:
        assert is_equal(means[row.told.deployment_id], oracle_metrics.mean(row.lead_times)), row
    first = "SELECT deployment_id, commit_sha, lead_time_seconds FROM core.deployment_commits WHERE NOT is_redelivery"
    assert sorted(home.rows(first)) == sorted(
        (row.told.deployment_id, sha, seconds)
        for row in deployments
        for sha, seconds in zip(row.commits or (), row.lead_times, strict=True)
    )
    again = "SELECT deployment_id, commit_sha FROM core.deployment_commits WHERE is_redelivery"
    assert sorted(home.rows(again)) == sorted(
        (row.told.deployment_id, sha) for row in deployments for sha in row.redelivered
    )


def assert_equal_summaries(
    home: TestHome,
    deployments: Sequence[oracle.JudgedDeployment],
    failures: Sequence[oracle.JudgedFailure],
    rules: Rules,
    outcomes: oracle_metrics.Outcomes,
    grain: str,
    from_day: date,
    to_day: date,
) -> None:
    names = "period, service, env, team"
    assert_equal_figures(
        home.rows(f"SELECT {names}, * EXCLUDE ({names}) FROM metrics.summary(?, ?, ?)", grain, from_day, to_day),
        oracle_metrics.summary(deployments, failures, rules, outcomes, grain, from_day, to_day),
    )
    names = "period, env, member"
    for dimension in ("service", "team", "all"):
        assert_equal_figures(
            home.rows(
                f"SELECT {names}, * EXCLUDE ({names}) FROM metrics.summary_by(?, ?, ?, ?)",
                dimension,
                grain,
                from_day,
                to_day,
            ),
            oracle_metrics.summary_by(deployments, failures, rules, outcomes, dimension, grain, from_day, to_day),
            names=3,
        )
