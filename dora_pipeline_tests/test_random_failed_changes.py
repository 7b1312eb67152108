"""Failed changes of random deployments, told in random order, against the slow and obvious way to find them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests.homes import TestHome

START = datetime(2024, 5, 6, tzinfo=UTC)
RULES = [
    {"name": "urgent", "field": "custom_tag", "matches": "^urgent:", "fails": "previous"},
    {"name": "hotfix", "field": "version", "matches": "hotfix", "fails": "previous"},
    {"name": "broken", "field": "custom_tag", "matches": "^broken:", "fails": "itself"},
]
VERSIONS = ("1", "2", "3", "4-hotfix", "5-hotfix", "6", None)
TAGS = ([], [], [], [], ["urgent:yes"], ["broken:yes"])


@dataclass
class Deployed:
    deployment_id: str
    service: str
    finished_at: datetime
    version: str | None
    tags: Sequence[str]
    is_failed: bool | None = None
    remediation_id: str | None = None
    kind: str = "standard"
    failed: list[tuple[str, str | None, str | None, str | None]] = field(default_factory=list)

    def fail(self, way: str, rule: str | None, remediation_id: str | None, remediation_type: str | None) -> None:
        self.failed.append((way, rule, remediation_id, remediation_type))


def chosen(seed: random.Random, services: int) -> dict[str, list[Deployed]]:
    """Deployments by service, in the order in which they went live."""
    chains: dict[str, list[Deployed]] = {}
    for number in range(services):
        service = f"s{number:02}"
        days = sorted(seed.sample(range(20), seed.randint(2, 9)))
        chains[service] = [
            Deployed(
                f"{service} {place}",
                service,
                START + timedelta(hours=12 * day),
                seed.choice(VERSIONS),
                seed.choice(TAGS),
            )
            for place, day in enumerate(days)
        ]
    ids = [one.deployment_id for chain in chains.values() for one in chain]
    for chain in chains.values():
        for one in chain:
            if seed.random() < 0.2:
                one.is_failed = seed.random() < 0.6
            if one.is_failed and seed.random() < 0.6:
                near = [other.deployment_id for other in chain]
                one.remediation_id = seed.choice([*near, *near, seed.choice(ids), "unknown"])
    return chains


def judge(chain: Sequence[Deployed], named: set[str | None]) -> None:
    """Kinds, and what failed, of one chain; `named` are the remediations that marks name."""
    rolled_back: dict[int, int] = {}
    left_behind: list[str | None] = []
    for place, one in enumerate(chain):
        earlier = [other.version for other in chain[:place]]
        if one.version is None or not earlier or earlier[-1] is None:
            continue
        if earlier[-1] == one.version:
            one.kind = "redeploy"
        elif one.version in earlier and one.version not in left_behind:
            one.kind = "rollback"
            rolled_back[place] = max(other for other in range(place) if earlier[other] == one.version) + 1
            left_behind = earlier[rolled_back[place] :]
    mends = {other for other, one in enumerate(chain) if one.deployment_id in named}
    open_to_all = [one.is_failed is None or (one.is_failed and one.remediation_id is None) for one in chain]
    found: dict[int, tuple[str, str | None, int | None]] = {}
    for place, failed in rolled_back.items():
        if open_to_all[failed] and failed not in found:
            found[failed] = ("rollback", None, place)
            mends.add(place)
    for place in range(len(chain)):
        rule = first_rule(chain, place, "previous")
        before = place - 1
        if rule is None or place in rolled_back or before < 0 or before in mends:
            continue
        if open_to_all[before] and before not in found:
            found[before] = ("rule", rule, place)
            mends.add(place)
    for place, one in enumerate(chain):
        rule = first_rule(chain, place, "itself")
        if rule is not None and open_to_all[place] and place not in found:
            found[place] = ("rule", rule, None)
        way, name, mended_by = found.get(place, (None, None, None))
        remediation = None if mended_by is None else chain[mended_by].deployment_id
        kind = None if mended_by is None else "rollback" if way == "rollback" else "rollforward"
        if one.is_failed and one.remediation_id is not None:
            one.fail("mark", None, one.remediation_id, "rollforward")
        elif one.is_failed:
            one.fail("mark", None, remediation, kind)
        elif way is not None:
            one.fail(way, name, remediation, kind)


def first_rule(chain: Sequence[Deployed], place: int, fails: str) -> str | None:
    one = chain[place]
    for rule in RULES:
        name = rule["name"]
        is_new = one.version is not None and all(other.version != one.version for other in chain[:place])
        matches = is_new and "hotfix" in (one.version or "") if name == "hotfix" else f"{name}:yes" in one.tags
        if rule["fails"] == fails and matches:
            return name
    return None


def wire(one: Deployed) -> Mapping[str, object]:
    at = one.finished_at.isoformat()
    names = {"id": one.deployment_id, "service": one.service, "env": "prod", "version": one.version}
    return {**names, "custom_tags": one.tags, "started_at": at, "finished_at": at}


def test_failed_changes_are_what_the_oracle_says_however_they_are_told(tmp_path: Path) -> None:
    seed = random.Random(11)
    chains = chosen(seed, 100)
    every = [one for chain in chains.values() for one in chain]
    home = TestHome(tmp_path / "home")
    home.select_events()
    home.settings(change_failure_rules=RULES)
    told = [(seed.randrange(2), one) for one in every]
    marked = [(seed.randint(batch, 1), one) for batch, one in told if one.is_failed is not None]
    for batch in range(2):
        with EventStore.at(home.home) as store:
            sent = [one for when, one in told if when == batch]
            seed.shuffle(sent)
            received = datetime(2025, 1, 1 + batch, tzinfo=UTC)
            store.append_many("deployment", [dict(wire(one)) for one in sent], received_at=received)
            for when, one in marked:
                if when == batch:
                    mended = {"id": one.remediation_id, "type": "rollforward"} if one.remediation_id else None
                    changes = {"change_failure": one.is_failed} | ({"remediation": mended} if mended else {})
                    store.update("deployment", one.deployment_id, changes, received_at=received)
        home.run()

    for chain in chains.values():
        judge(chain, {one.remediation_id for one in every})
    assert dict(home.rows("SELECT deployment_id, kind FROM core.deployments")) == {
        one.deployment_id: one.kind for one in every
    }
    by_id = {one.deployment_id: one for one in every}
    found = home.rows(
        "SELECT deployment_id, way, rule, remediation_id, remediation_type, recovery_seconds FROM core.failed_changes"
    )
    assert {row[0]: row[1:] for row in found} == {
        one.deployment_id: (*failed, seconds(one, by_id.get(failed[2] or ""))) for one in every for failed in one.failed
    }
    assert len(found) == sum(len(one.failed) for one in every) > 100


def seconds(one: Deployed, other: Deployed | None) -> float | None:
    return None if other is None else (other.finished_at - one.finished_at).total_seconds()
