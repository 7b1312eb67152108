"""Which deployment each failure must be linked to, worked out slowly and plainly from the rows of core."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.oracle import is_same_commit

_TAG = "deployment_id:"


@dataclass(frozen=True)
class Deployed:
    """A row of core.deployments."""

    deployment_id: str
    service: str
    env: str | None
    version: str | None
    commit_sha: str | None
    team: str | None
    finished_at: datetime
    kind: str
    duplicate_of: str | None
    is_selected: bool


@dataclass(frozen=True)
class Failed:
    """A row of core.failures; `named` are the values of its own tags `deployment_id:`."""

    failure_id: str
    service: str | None
    env: str | None
    version: str | None
    commit_sha: str | None
    team: str | None
    started_at: datetime
    named: tuple[str, ...]


@dataclass(frozen=True)
class Rules:
    """The settings, and the services of the catalog."""

    catalog: Collection[str]
    window: timedelta = timedelta(days=7)
    slack: timedelta = timedelta(minutes=5)


# deployment_id, rule, reason, distance_seconds, runner_up_id, runner_up_rule
Link = tuple[str | None, str | None, str | None, float | None, str | None, str | None]


def link(failure: Failed, deployments: Sequence[Deployed], rules: Rules) -> Link:
    """The link of a failure."""
    counted = [one for one in deployments if one.is_selected and one.duplicate_of is None]
    found = _first(failure, counted, deployments, rules)
    if found is None:
        return None, None, _reason(failure, counted, deployments, rules), None, None, None
    winner, rule = found
    left = [one for one in counted if one is not winner]
    runner_up = _first(failure, left, deployments, rules)
    distance = (failure.started_at - winner.finished_at).total_seconds()
    other = (None, None) if runner_up is None else (runner_up[0].deployment_id, runner_up[1])
    return winner.deployment_id, rule, None, distance, *other


def possible(failure: Failed, deployments: Sequence[Deployed], rules: Rules) -> set[str]:
    """What a failure that names no env would be linked to if it named one; none where it names the deployment."""
    envs = {one.env for one in deployments if one.env is not None}
    if failure.env is not None or link(failure, deployments, rules)[1] == "deployment_id":
        return set()
    found = {link(replace(failure, env=env), deployments, rules)[0] for env in envs}
    return {deployment_id for deployment_id in found if deployment_id is not None}


def _first(
    failure: Failed, counted: Sequence[Deployed], everything: Sequence[Deployed], rules: Rules
) -> tuple[Deployed, str] | None:
    named = {one.duplicate_of or one.deployment_id for one in everything if _names(one) & {*failure.named}}
    before = _before(failure, counted, rules)
    near = [one for one in before if failure.started_at - one.finished_at <= rules.window]
    found: list[tuple[str, list[Deployed]]] = [
        ("deployment_id", [one for one in counted if one.deployment_id in named])
    ]
    if failure.service is None:
        found.append(("team", near))
    else:
        found.append(("commit", [one for one in before if is_same_commit(one.commit_sha, failure.commit_sha)]))
        found.append(("version", [one for one in before if failure.version and one.version == failure.version]))
        found.append(("latest", near))
    for rule, candidates in found:
        if candidates:
            return max(candidates, key=lambda one: (one.finished_at, one.deployment_id)), rule
    return None


def _names(deployment: Deployed) -> set[str]:
    return {deployment.deployment_id, deployment.deployment_id.removeprefix("apm:")}


def _before(failure: Failed, counted: Sequence[Deployed], rules: Rules) -> list[Deployed]:
    return [
        one
        for one in counted
        if (one.team == failure.team if failure.service is None else one.service == failure.service)
        and (failure.env is None or one.env == failure.env)
        and (failure.service or failure.team)
        and one.finished_at <= failure.started_at + (timedelta(0) if one.kind == "rollback" else rules.slack)
    ]


def _reason(failure: Failed, counted: Sequence[Deployed], everything: Sequence[Deployed], rules: Rules) -> str:
    if failure.service is None:
        if failure.team is None or failure.team not in {one.team for one in everything}:
            return "no_service"
    elif failure.service not in {*rules.catalog, *(one.service for one in everything)}:
        return "unknown_service"
    return "too_long_ago" if _before(failure, counted, rules) else "no_deployment"


def expected_links(home: TestHome, rules: Rules) -> dict[tuple[str, str | None], Link]:
    """The link of each row of core.failures, by failure and service."""
    deployments = [
        Deployed(*row)
        for row in home.rows(
            "SELECT deployment_id, service, env, version, commit_sha, team, finished_at, kind, duplicate_of, "
            "is_selected FROM core.deployments"
        )
    ]
    failures = [
        Failed(*row[:-1], tuple(tag.removeprefix(_TAG).strip() for tag in row[-1] if tag.startswith(_TAG)))
        for row in home.rows(
            "SELECT failure_id, service, env, version, commit_sha, team, started_at, custom_tags FROM core.failures"
        )
    ]
    return {(failure.failure_id, failure.service): link(failure, deployments, rules) for failure in failures}


def found_links(home: TestHome) -> dict[tuple[str, str | None], Link]:
    """The rows of core.failure_links, by failure and service."""
    rows = home.rows(
        "SELECT failure_id, service, deployment_id, rule, reason, distance_seconds, runner_up_id, runner_up_rule "
        "FROM core.failure_links"
    )
    found: dict[tuple[str, str | None], Link] = {(row[0], row[1]): (*row[2:],) for row in rows}  # type: ignore[misc]
    assert len(found) == len(rows)
    return found
