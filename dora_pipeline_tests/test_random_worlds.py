"""Random worlds against the oracles: every row of core and metrics, in stages, and made anew.

Each seed is a world under settings of its own. DORA_TEST_SEED says which one is the first, DORA_TEST_SERVICES how many
services each has, and DORA_TEST_EXAMPLES how many times the usual number are tried, one seed after the other.
"""

import math
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, fields, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import pytest

from dora_pipeline.pipeline.check_results import check_results
from dora_pipeline.settings import read_settings
from dora_pipeline.tables import TABLES
from dora_pipeline.warehouse.reader import open_reader
from dora_pipeline_tests import oracle, oracle_changes, oracle_commits, oracle_links, oracle_metrics
from dora_pipeline_tests.examples import examples
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.oracle import JudgedDeployment, JudgedFailure
from dora_pipeline_tests.pulled_homes import TOKEN, Account
from dora_pipeline_tests.random_repositories import push, random_repository
from dora_pipeline_tests.random_settings import PAGERDUTY, RULES, random_stages, starts
from dora_pipeline_tests.random_worlds import REPOSITORY, World, random_world
from dora_pipeline_tests.told_worlds import tell
from dora_pipeline_tests.vendors.pagerduty import FakePagerDuty
from dora_pipeline_tests.vendors.server import FakeVendor

Row = tuple[Any, ...]
DIMENSIONS = (
    "service",
    "team",
    "repository",
    "source",
    "severity",
    "all",
    "tag:size",
    "tag:tier",
    "tag:language",
    "tag:none",
)


class Expected:
    """What the oracles say of a world after a stage."""

    def __init__(self, world: World, stage: int, gone: Mapping[str, datetime]) -> None:
        settings, catalog = world.stages[stage].settings, world.catalogs[stage]
        self.rules = oracle.Rules(
            world.selections(stage),
            settings.zone,
            catalog.teams,
            settings.merge_window,
            settings.link_window,
            catalog.tags,
            dict.fromkeys(catalog.with_repository, REPOSITORY),
            frozenset({REPOSITORY}),
        )
        self.told = world.told_deployments(stage, self.rules)
        self.deployments, rejected = oracle.judged_deployments(self.told, self.rules)
        self.failures, rejected_failures = oracle.judged_failures(world.told_failures(stage, gone), self.rules)
        self.collided = {names[2] for names in (*rejected, *rejected_failures)}
        self.rejected: list[Row] = [(*one[:3], "same_second", one[3]) for one in (*rejected, *rejected_failures)]
        self.rejected += world.rejected(stage, self.rules)
        marks = oracle_changes.Marks.of(self.deployments, {names[2] for names in rejected})
        repository = world.repositories[stage]
        if settings.squash_merges == "landed":
            # No commit stands for others where there are no pull requests.
            repository = replace(repository, requests={})
        for history in oracle.histories(self.deployments):
            service = history[0].told.service
            patterns = catalog.with_repository.get(service, ())
            oracle_commits.look_up_commits(history, {REPOSITORY: repository}, patterns)
            oracle_changes.judge_changes(history, repository, settings.rules, marks)
        rules = oracle_links.Rules(catalog.services, settings.link_window, settings.link_slack)
        deployed = [_deployed(row) for row in self.deployments]
        self.links = {
            (row.told.failure_id, row.service): oracle_links.link(_failed(row), deployed, rules)
            for row in self.failures
        }
        selected = [row for row in self.failures if row.is_selected]
        self.counted_links = {key: self.links[key] for key in ((row.told.failure_id, row.service) for row in selected)}
        possible = {
            (row.told.failure_id, row.service): oracle_links.possible(_failed(row), deployed, rules)
            for row in selected
            if row.told.env is None
        }
        links = self.counted_links.items()
        sure = {link[0] for key, link in links if key not in possible or link[1] == "deployment_id"}
        counted = [row for row in self.deployments if row.is_selected and row.failed]
        self.outcomes = oracle_metrics.Outcomes(
            mended={row.told.deployment_id: row.failed.recovery for row in counted if row.failed},
            mending=frozenset(
                row.failed.remediation_id or "" for row in counted if row.failed and row.failed.recovery is not None
            ),
            linked=frozenset(link[0] for link in self.counted_links.values() if link[0]),
            unsure=frozenset(id_ for ids in possible.values() for id_ in ids if id_ not in sure),
        )
        self.daily = oracle_metrics.daily(self.deployments, self.failures, self.rules, self.outcomes)
        # Before them failures are not known.
        self.linked_days = {day for (day, *_), row in self.daily.items() if row["linked_failures"] is not None}

    def explained(self, service: str, env: str | None, first: date, last: date) -> list[Row]:
        """The figures, each with the ids of the events that it is made of."""
        found: list[Row] = []
        for row in self.deployments:
            is_asked = row.told.service == service and env in (None, row.told.env) and first <= row.day <= last
            if not (is_asked and row.is_selected and row.duplicate_of is None):
                continue
            event_id = row.told.deployment_id
            numbers = {
                "deployments": 1,
                "lead_time_deployments": int(bool(row.lead_times)),
                "lead_time_commits": len(row.lead_times),
                "failed_changes": int(row.failed is not None),
                "recoveries": int(row.failed is not None and row.failed.recovery is not None),
                "rework_deployments": int(event_id in self.outcomes.mending),
                "linked_failures": int(event_id in self.outcomes.linked and row.day in self.linked_days),
            }
            found += [(figure, event_id) for figure, number in numbers.items() for _ in range(number)]
        for failure in self.failures:
            if failure.service == service and env in (None, failure.told.env) and failure.is_selected:
                restored_day = None if failure.time_to_restore is None else failure.restored_day
                days = {"failures": failure.day, "restores": restored_day}
                found += [
                    (figure, failure.told.failure_id) for figure, day in days.items() if day and first <= day <= last
                ]
        return found

    def outcome(self, row: JudgedDeployment) -> Row:
        """The row of metrics.deployment_outcomes."""
        links = self.counted_links.items()
        linked = sorted({failure for (failure, _), link in links if link[0] == row.told.deployment_id})
        failed = row.failed
        names = (failed.way, failed.rule, failed.remediation_id, failed.recovery) if failed else (None,) * 4
        views = {(True, True): "both", (True, False): "change_only", (False, True): "failure_only"}
        agreement = views.get((failed is not None, bool(linked)), "none")
        return row.told.deployment_id, failed is not None, *names, len(linked), linked, agreement


def _deployed(row: JudgedDeployment) -> oracle_links.Deployed:
    told = row.told
    return oracle_links.Deployed(
        told.deployment_id,
        told.service,
        told.env,
        told.version,
        told.commit_sha,
        row.team,
        told.finished_at,
        row.kind or "standard",
        row.duplicate_of,
        row.is_selected,
    )


def _failed(row: JudgedFailure) -> oracle_links.Failed:
    told, tag = row.told, "deployment_id:"
    named = tuple(text.removeprefix(tag) for text in told.tags if text.startswith(tag))
    names = (told.failure_id, row.service, told.env, told.version, told.commit_sha, row.team, told.started_at)
    return oracle_links.Failed(*names, named)


def assert_same(found: Iterable[Row], expected: Iterable[Row]) -> None:
    """Equal rows in whatever order; numbers that are not whole may differ in the last digits."""
    rows, others = sorted(found, key=repr), sorted(expected, key=repr)
    differing = [
        (row, other)
        for row, other in zip_longest(rows, others, fillvalue=())
        if len(row) != len(other) or not all(map(_is_same, row, other))
    ]
    assert not differing, differing[0]


def _is_same(value: object, other: object) -> bool:
    if isinstance(value, float) and isinstance(other, float):
        return math.isclose(value, other, rel_tol=1e-6, abs_tol=1e-9)
    return value == other


def assert_core_is(home: TestHome, expected: Expected) -> None:
    """Every row of core that tells of events."""
    event_id = "COALESCE(payload->>'deployment_id', payload->>'failure_id', payload->>'id', payload->'record'->>'id')"
    rejected = home.rows(f"SELECT source, service, {event_id}, reason, day FROM core.rejected_events")
    assert_same(rejected, expected.rejected)
    assert_same(
        home.rows(
            """
            SELECT deployment_id, service, env, team, repository_id, LIST_SORT(custom_tags), day, is_selected,
                duplicate_of, CASE WHEN duplicate_of IS NULL THEN kind END, previous_deployment_id, lead_time_reason,
                lead_time_commits, lead_time_mean_seconds
            FROM core.deployments
            """
        ),
        [
            (
                row.told.deployment_id,
                row.told.service,
                row.told.env,
                row.team,
                row.repository,
                sorted(row.tags),
                row.day,
                row.is_selected,
                row.duplicate_of,
                row.kind,
                row.previous,
                row.lead_time_reason,
                None if row.brought is None else len(row.lead_times),
                oracle_metrics.mean(row.lead_times),
            )
            for row in expected.deployments
        ],
    )
    assert_same(
        home.rows(
            "SELECT deployment_id, commit_sha, landed_as_sha, is_redelivery, lead_time_seconds, is_selected "
            "FROM core.deployment_commits"
        ),
        [
            (row.told.deployment_id, one.sha, one.landed_as, one.is_redelivery, one.lead_time, row.is_selected)
            for row in expected.deployments
            for one in row.brought or ()
        ],
    )
    assert_same(
        home.rows(
            "SELECT failure_id, service, env, team, repository_id, LIST_SORT(custom_tags), severity, is_selected, day, "
            "restored_day, time_to_restore_seconds FROM core.failures"
        ),
        [
            (
                row.told.failure_id,
                row.service,
                row.told.env,
                row.team,
                row.repository,
                sorted(row.tags),
                row.told.severity,
                row.is_selected,
                row.day,
                row.restored_day,
                row.time_to_restore,
            )
            for row in expected.failures
        ],
    )
    assert_same(
        home.rows("SELECT * FROM core.failed_changes"),
        [
            (
                row.told.deployment_id,
                row.told.service,
                row.told.env,
                row.team,
                row.failed.way,
                row.failed.rule,
                row.failed.remediation_id,
                row.failed.remediation_type,
                row.failed.recovery,
                row.is_selected,
                row.day,
            )
            for row in expected.deployments
            if row.failed
        ],
    )
    found = oracle_links.found_links(home)
    assert_same([(*key, *link) for key, link in found.items()], [(*key, *link) for key, link in expected.links.items()])


def assert_metrics_are(home: TestHome, expected: Expected) -> None:
    """Every row of metrics.daily and of metrics.deployment_outcomes."""
    assert_same(home.rows("FROM metrics.daily"), _rows(expected.daily))
    outcomes = home.rows("SELECT * EXCLUDE (service, env, team, finished_at, day) FROM metrics.deployment_outcomes")
    counted = [row for row in expected.deployments if row.is_selected and row.duplicate_of is None]
    assert_same(outcomes, map(expected.outcome, counted))


def assert_no_check_fails(home: TestHome) -> None:
    """What is right is called so."""
    with open_reader(home.home) as connection:
        for table in TABLES:
            results = check_results(connection, table, read_settings(home.home))
            assert [result for result in results if not result.passed and not result.is_warning] == []


def spans(world: World) -> Sequence[tuple[str, date, date]]:
    """By day over a change of the clocks, weeks and months that are cut, the end of an ISO year, and whole years."""
    first, second, last = (at.date() for at in starts(world.stages[0].settings.timezone))
    year = (date(first.year, 1, 1), date(first.year, 12, 31))
    return (
        ("day", first, first + timedelta(days=5)),
        ("week", second - timedelta(days=1), second + timedelta(days=12)),
        ("week", last - timedelta(days=2), last + timedelta(days=10)),
        ("month", first.replace(day=1), second + timedelta(days=2)),
        ("quarter", *year),
        ("year", *year),
    )


def assert_summaries_are(home: TestHome, expected: Expected, world: World, choose: random.Random) -> None:
    """Every row of the summaries over one of the spans."""
    events = (expected.deployments, expected.failures, expected.rules, expected.outcomes)
    span = choose.choice(spans(world))
    names = "period, service, env, team"
    found = home.rows(f"SELECT {names}, * EXCLUDE ({names}) FROM metrics.summary(?, ?, ?)", *span)
    assert_same(found, _rows(oracle_metrics.summary(*events, *span)))
    for dimension in choose.sample(DIMENSIONS, 4):
        names = "period, env, member"
        query = f"SELECT {names}, * EXCLUDE ({names}) FROM metrics.summary_by(?, ?, ?, ?)"
        assert_same(home.rows(query, dimension, *span), _rows(oracle_metrics.summary_by(*events, dimension, *span)))


def assert_explained(home: TestHome, expected: Expected, world: World, choose: random.Random) -> None:
    """The events of each figure, of some services and envs in some days; what is left out has a reason."""
    services = sorted({row.told.service for row in expected.deployments})
    envs = sorted({row.told.env for row in expected.deployments if row.told.env})
    _, first, last = spans(world)[0]
    for service in choose.sample(services, min(len(services), 4)):
        env = choose.choice([*envs, None])
        days = choose.choice([(date(2010, 1, 1), date(2026, 1, 1)), (first, last)])
        rows = home.rows(
            "SELECT figure, event_id, reason, is_counted FROM metrics.explain(?, ?, ?, ?)", *days, service, env
        )
        assert all(is_counted == (reason is None) for *_, reason, is_counted in rows)
        found = [(figure, event_id) for figure, event_id, _, is_counted in rows if is_counted]
        assert_same(found, expected.explained(service, env, *days))
        # What a source told that was never selected is not read.
        told = [row for row in expected.told if expected.rules.first_selected_at(row.source) is not None]
        told = [row for row in told if row.service == service and (env is None or row.env == env)]
        zone = expected.rules.zone
        ids = {row.deployment_id for row in told if days[0] <= row.finished_at.astimezone(zone).date() <= days[1]}
        listed = [event_id for figure, event_id, *_ in rows if figure == "deployments" and event_id is not None]
        assert sorted(listed) == sorted(ids - expected.collided)


def _rows(figures: Mapping[tuple[object, ...], Mapping[str, Any]]) -> list[Row]:
    return [(*names, *values.values()) for names, values in figures.items()]


def ways(world: World, expected: Expected) -> set[Any]:
    """What the world shows: ways, kinds, rules and reasons, and settings that change."""
    failed = [row.failed for row in expected.deployments if row.failed]
    links: Sequence[oracle_links.Link] = list(expected.links.values())
    rolled_back = [row for row in expected.deployments if row.kind == "rollback" and row.failed]
    settings = [stage.settings for stage in world.stages]
    return {
        *(one.way for one in failed),
        *(one.rule for one in failed),
        *(f"rollback that failed by {row.failed.way}" for row in rolled_back if row.failed),
        *(link[1] or link[2] for link in links),
        *(row.lead_time_reason for row in expected.deployments),
        *(row.kind for row in expected.deployments),
        *(one.landed_as is not None for row in expected.deployments for one in row.brought or ()),
        *(f"SHA of {len(row.told.commit_sha or '')}" for row in expected.deployments if row.commit),
        *("restore of three services" for row in expected.failures if row.told.services[2:] and row.restored_day),
        *(row[3] for row in expected.rejected),
        *(tag for row in expected.failures for tag in row.tags if tag.startswith("record:")),
        *(f"{row[0]} that is spoiled" for row in expected.rejected if row[0] == PAGERDUTY),
        *("never selected" for row in expected.told if expected.rules.first_selected_at(row.source) is None),
        *(one.squash_merges for one in settings),
        *(f"new {field.name}" for one, new in pairwise(settings) for field in fields(one) if _differ(one, new, field)),
        *(f"{name} again" for name in world.told_again()),
        *("PATCH of nothing" for when, event_id, _ in world.marks if not world.is_there(event_id, when)),
        *("new catalog" for one, new in pairwise(world.catalogs) if one != new),
    }


def _differ(one: object, other: object, field: Field[Any]) -> bool:
    return bool(getattr(one, field.name) != getattr(other, field.name))


# The first of seeds that together show all there is.
_USUAL_SEED, _USUAL_SERVICES, _HOMES = 51, 15, 4
_SEED = int(os.environ.get("DORA_TEST_SEED", _USUAL_SEED))
_SERVICES = int(os.environ.get("DORA_TEST_SERVICES", _USUAL_SERVICES))


def world_of(seed: int, services: int, whole: Path) -> tuple[World, random.Random]:
    """A world, whose repository is written, and what goes on choosing."""
    choose = random.Random(seed)
    stages = random_stages(choose)
    return random_world(choose, services, random_repository(choose, whole), stages), choose


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(_SEED, _SEED + examples(_HOMES)))
def test_every_row_of_a_world_is_what_the_oracles_say_in_stages_and_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    whole, remote = tmp_path / "whole.git", tmp_path / "app.git"
    world, choose = world_of(seed, _SERVICES, whole)
    home = TestHome(tmp_path / "home")
    monkeypatch.setenv("PAGERDUTY_API_TOKEN", TOKEN)
    gone: dict[str, datetime] = {}
    with FakeVendor() as vendor:
        account = Account(vendor, FakePagerDuty(vendor, TOKEN))
        for stage in range(len(world.stages)):
            push(whole, world.repositories[stage], remote)
            tell(home, world, stage, remote, choose, account=account)
            began_at = datetime.now(UTC)
            if choose.random() < 0.2:
                _, *days = spans(world)[0]
                home.run(*map(str, days))
            home.run()
            gone |= found_gone(home, gone, began_at)
            expected = Expected(world, stage, gone)
            assert_core_is(home, expected)
            assert_metrics_are(home, expected)
            assert_no_check_fails(home)
    assert_summaries_are(home, expected, world, choose)
    assert_explained(home, expected, world, choose)
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before


def found_gone(home: TestHome, known: Mapping[str, datetime], since: datetime) -> dict[str, datetime]:
    """When the runs since a moment found incidents to be gone, which they alone can say."""
    query = "SELECT failure_id, finished_at FROM core.failures WHERE LIST_CONTAINS(custom_tags, 'record:gone')"
    found = {name: at for name, at in home.rows(query) if at != known.get(name)}
    assert all(since <= at <= datetime.now(UTC) for at in found.values())
    return found


def test_the_first_worlds_show_every_way_and_reason(tmp_path: Path) -> None:
    found: set[Any] = set()
    for seed in range(_USUAL_SEED, _USUAL_SEED + _HOMES):
        world, _ = world_of(seed, _USUAL_SERVICES, tmp_path / f"{seed}.git")
        found |= ways(world, Expected(world, len(world.stages) - 1, {}))
    rules = {rule["name"] for rule in RULES}
    links = {"deployment_id", "commit", "version", "latest", "team"}
    unlinked = {"no_service", "unknown_service", "no_deployment", "too_long_ago"}
    reasons = {"duplicate", "first_deployment", "no_commit", "previous_too_old", "no_repository", "no_commits"}
    reasons |= {"redelivered", "commit_missing", "previous_commit_missing", "repository_not_configured"}
    shas = {f"SHA of {number}" for number in (7, 9, 12, 40)}
    changes = {"mark", "rollback", "revert", "rule", "redeploy", "rollback that failed by rollback", True, False}
    settings = {"expand", "landed", "new catalog", "never selected"}
    others = {"restore of three services", "same_second", "finished_before_started", "time_in_future"}
    others |= {"time_unreadable", "field_type", "record:gone", "pagerduty that is spoiled"}
    again = {"deployment again", "failure again", "PATCH of nothing"}
    # A world in which a rule finds nothing tells nothing of it.
    assert rules | links | unlinked | reasons | shas | changes | settings | others | again <= found
