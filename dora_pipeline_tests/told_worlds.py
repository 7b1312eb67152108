"""How a user tells a random world to a home, stage by stage: settings, service definitions, selections and events."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests.full_homes import set_time
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.oracle import Deployment, Failure, Sighting
from dora_pipeline_tests.pulled_homes import Account
from dora_pipeline_tests.random_settings import APM, EVENT_API, PAGERDUTY
from dora_pipeline_tests.random_worlds import OTHER_REPOSITORY, REPOSITORY, Catalog, Unusable, World, event_names
from dora_pipeline_tests.vendors.pagerduty import incident, reference, written

# Each in a spelling of clients.
_URLS = {
    REPOSITORY: "git@Example.com:org/App.git",
    OTHER_REPOSITORY: f"https://ci:planted@{OTHER_REPOSITORY}.git",
}


def tell(
    home: TestHome,
    world: World,
    stage: int,
    remote: Path,
    choose: random.Random,
    engine: Mapping[str, str] | None = None,
    account: Account | None = None,
) -> None:
    """Set, select, send, show and drop what belongs to a stage, events in any order; `engine` is a setting of every
    stage, `account` that of PagerDuty.
    """
    now = world.stages[stage]
    settings = now.settings.written()
    if account is not None:
        settings["sources"].setdefault(PAGERDUTY, {})["api_url"] = account.vendor.url
        account.pagerduty.incidents.clear()
        account.add(*map(_incident, world.incidents[stage]))
    home.settings(
        **settings,
        repositories={REPOSITORY: str(remote)},
        # Commits that are missing are looked for however old their deployments are.
        reread="36500d",
        engine=dict(engine or {}),
    )
    home.home.services.mkdir(exist_ok=True)
    (home.home.services / "all.yaml").write_text(_definitions(world.catalogs[stage]))
    for selection in now.selections:
        home.select(selection.event_type, *selection.sources, at=selection.at)  # type: ignore[arg-type]
    deployments = [event for when, event in world.deployments if when == stage]
    unusable = [one for when, one in world.unusable if when == stage]
    sent = [_wire(event) for event in deployments if event.source == EVENT_API]
    sent += [_spoiled(one) for one in unusable if one.event.source == EVENT_API and not one.is_patch]
    known = {event.failure_id for when, event in world.failures if when < stage}
    failures = [event for when, event in world.failures if when == stage]
    sent_failures = [_failure_wire(event) for event in failures]
    sent_failures += [_spoiled(one) for one in unusable if isinstance(one.event, Failure) and not one.is_patch]
    choose.shuffle(sent)
    choose.shuffle(sent_failures)
    with EventStore.at(home.home) as store:
        _delete(store, world, stage, is_last=False)
        for kind, events in (("deployment", sent), ("failure", sent_failures)):
            store.append_many(kind, events, received_at=now.received_at)  # type: ignore[arg-type]
        for event in failures:
            # Only a PATCH opens one again.
            if event.failure_id in known:
                end = {"finished_at": event.finished_at.isoformat() if event.finished_at else None}
                assert store.update("failure", event.failure_id, end, received_at=now.received_at)
        for when, event_id, mark in world.marks:
            if when == stage:
                changes: dict[str, Any] = {"change_failure": mark.is_failed}
                if mark.remediation:
                    changes["remediation"] = dict(zip(("id", "type"), mark.remediation, strict=True))
                found = store.update("deployment", event_id, changes, received_at=now.received_at)
                assert (found is not None) == world.is_there(event_id, stage)
        for one in unusable:
            if one.is_patch:
                kind, event_id = (
                    ("failure" if isinstance(one.event, Failure) else "deployment"),
                    event_names(one.event)[0],
                )
                assert store.update(kind, event_id, one.spoiled, received_at=now.received_at)  # type: ignore[arg-type]
        _delete(store, world, stage, is_last=True)
    told = [_wire(event) for event in deployments if event.source == APM]
    told += [_spoiled(one) for one in unusable if one.event.source == APM]
    choose.shuffle(told)
    ready = [{"type": "dora_deployment", "id": one.pop("id").removeprefix("apm:"), "attributes": one} for one in told]
    set_time(home.drop_export(f"ready-{stage}.jsonl", ready), now.received_at)
    # A file of its own for each half of what was seen in a stage; one that told more before is replaced.
    for former in range(stage + 1):
        halves: list[list[dict[str, Any]]] = [[], []]
        is_new = former == stage
        for place, (when, gone, seen) in enumerate(world.sightings):
            if when == former and gone > stage:
                halves[place % 2].append(_sighting_wire(seen))
            is_new = is_new or (when == former and gone == stage)
        for half, sightings in enumerate(halves if is_new else []):
            choose.shuffle(sightings)
            set_time(home.drop_export(f"seen-{former}-{half}.jsonl", sightings), now.received_at)


def _spoiled(one: Unusable) -> dict[str, Any]:
    told = _wire(one.event) if isinstance(one.event, Deployment) else _failure_wire(one.event)
    return told | dict(one.spoiled)


def _delete(store: EventStore, world: World, stage: int, *, is_last: bool) -> None:
    for event_id in world.deleted(stage, is_last=is_last):
        for kind in ("deployment", "failure"):
            store.delete(kind, event_id, received_at=world.stages[stage].received_at)


def _incident(failure: Failure) -> dict[str, Any]:
    service = reference("service", f"P{failure.services[0]}", failure.services[0])
    number = int(failure.failure_id.removeprefix("pagerduty:Q"))
    ended_at = written(failure.finished_at) if failure.finished_at else None
    priority = failure.severity and {"id": "PRIORITY", "type": "priority_reference", "summary": failure.severity}
    return incident(number, written(failure.started_at), ended_at, service=service, priority=priority)


def _definitions(catalog: Catalog) -> str:
    link = {"name": "Source", "type": "repo", "url": f"https://{REPOSITORY}"}

    def sources(name: str) -> dict[str, Any]:
        patterns = {"source_patterns": list(catalog.with_repository[name])}
        return {"links": [link], "extensions": {"datadoghq.com/dora-metrics": patterns}}

    def tags(name: str) -> dict[str, Any]:
        languages = [tag for tag in catalog.tags[name] if tag.startswith("language:")]
        return {
            "tags": [tag for tag in catalog.tags[name] if tag not in languages],
            "languages": [tag.removeprefix("language:") for tag in languages],
        }

    definitions = [
        {"schema-version": "v2.2", "dd-service": name}
        | ({"team": catalog.teams[name]} if name in catalog.teams else {})
        | (sources(name) if name in catalog.with_repository else {})
        | (tags(name) if name in catalog.tags else {})
        for name in sorted(catalog.services)
    ]
    return "\n---\n".join(map(json.dumps, definitions))


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
    return told | _git(event.commit_sha and event.commit_sha.upper(), event.repository)


def _git(commit_sha: str | None, repository: str | None) -> dict[str, Any]:
    known = {"commit_sha": commit_sha, "repository_url": repository and _URLS[repository]}
    git = {name: value for name, value in known.items() if value}
    return {"git": git} if git else {}


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
        "severity": event.severity and f" {event.severity}",
        "custom_tags": list(event.tags),
        "started_at": event.started_at.isoformat(),
        "finished_at": event.finished_at.isoformat() if event.finished_at else None,
    }
    return told | _git(event.commit_sha, event.repository)
