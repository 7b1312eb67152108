"""Random events with and without ids, by random doors in random runs, against `oracle_identity`."""

import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests import oracle_identity
from dora_pipeline_tests.examples import examples
from dora_pipeline_tests.full_homes import rebuilt
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.oracle_identity import Record
from dora_pipeline_tests.pulled_homes import NOON
from dora_pipeline_tests.vendors.datadog import API_KEY, APP_KEY, FakeDatadog

DEPLOYMENT_API, FAILURE_API, APM = "deployment_event_api", "failure_event_api", "apm_deployment_tracking"
ALIASES = {"production": ["prod", "live"]}
FIRST = NOON - timedelta(days=4)
# Two moments of one second, one of the next day.
STARTS = {"x": FIRST, "y": FIRST + timedelta(milliseconds=400), "z": FIRST + timedelta(days=1)}
COMMITS = ("ab" * 20, "ab" * 4, "cd" * 20)


@dataclass(frozen=True)
class Step:
    """What a user does: `door` is sent, listed, or the name of an export; or a run."""

    source: str
    door: str
    own_id: str | None
    values: dict[str, Any]
    is_bad: bool


@st.composite
def steps(draw: st.DrawFn) -> Step | str:
    if draw(st.integers(0, 3)) == 0:
        return "run"
    source = draw(st.sampled_from([DEPLOYMENT_API, FAILURE_API, APM]))
    door = draw(st.sampled_from(["a.json", "b.json", "c.json"] if source == APM else ["sent", "sent", "listed"]))
    own_id = draw(st.sampled_from(["x", "y", "z"] if door == "listed" else [None, None, "x", "y", "z"]))
    # Of deployments of two sources that end at once the ids tell the order, and the intake makes them up at random.
    started_at = STARTS[own_id or draw(st.sampled_from("xyz"))] + timedelta(milliseconds=10 * (source == APM))
    is_failure = source == FAILURE_API
    spans = [timedelta(seconds=1), timedelta(hours=26)]
    span = draw(st.sampled_from([None, *spans] if is_failure else spans))
    values = {
        "services": draw(st.sampled_from([["a"], ["a"], ["a", "b"]])) if is_failure else ["a"],
        "env": draw(st.sampled_from(["prod", "prod", "live", "staging"])),
        "started_at": started_at,
        "finished_at": None if span is None else started_at + span,
        "version": draw(st.sampled_from([None, "1", "1", "2"])),
        "commit": draw(st.sampled_from([None, None, *COMMITS])),
        "team": draw(st.sampled_from([None, "t"])),
    }
    return Step(source, door, own_id, values, is_bad=door != "sent" and draw(st.integers(0, 5)) == 0)


def without_spoiled(told: Sequence[Step | str]) -> list[Step | str]:
    """The steps without bad versions of listed records that were good.

    Whether the good one stays depends on whether a run saw it, which `test_unusable_versions` is about.
    """
    good, kept = set(), []
    for step in told:
        if isinstance(step, Step) and step.door == "listed":
            name = (step.source, step.own_id)
            if step.is_bad and name in good:
                continue
            if not step.is_bad:
                good.add(name)
        kept.append(step)
    return kept


def attributes(step: Step) -> dict[str, Any]:
    """An event in the words of the wire."""
    told = dict(step.values)
    services, commit = told.pop("services"), told.pop("commit")
    told |= {"service": services[0]} if step.source != FAILURE_API else {"services": services}
    if step.source == FAILURE_API and step.door == "listed":
        told["service"] = told.pop("services")
    if step.is_bad:
        told["finished_at"] = told["started_at"] - timedelta(minutes=1)
    if commit:
        told["git"] = {"commit_sha": commit}
    wire = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in told.items()}
    return {name: value for name, value in wire.items() if value is not None}


class World:
    """A home with its vendor, and what was told in it."""

    def __init__(self, folder: Path, vendor: FakeDatadog) -> None:
        self.home, self.vendor = TestHome(folder), vendor
        self.made_up: dict[str, str] = {}
        self.sent: dict[str, list[tuple[str | None, str, datetime, dict[str, Any]]]] = {}
        self.listed: dict[tuple[str, str], Step] = {}
        self.exports: dict[str, tuple[datetime, list[Step]]] = {}
        pulled = {name: {"pull_from_datadog": True} for name in (DEPLOYMENT_API, FAILURE_API)}
        self.home.settings(environments=ALIASES, datadog={"api_url": vendor.url}, sources=pulled)
        self.home.select("deployment", DEPLOYMENT_API, APM, at=FIRST - timedelta(days=2))
        self.home.select("failure", FAILURE_API, at=FIRST - timedelta(days=2))

    def take(self, number: int, step: Step) -> None:
        """Do one step; the number tells when it was received."""
        received_at = NOON - timedelta(days=1) + timedelta(minutes=number)
        if step.door == "sent":
            kind = "failure" if step.source == FAILURE_API else "deployment"
            with EventStore.at(self.home.home) as store:
                told = store.append(kind, attributes(step), event_id=step.own_id, received_at=received_at)
            made_up = f"made-up-{number:02}"
            if re.fullmatch("[0-9a-f]{32}", told.event_id):
                self.made_up.setdefault(told.event_id, made_up)
            self.sent.setdefault(step.source, []).append((step.own_id, made_up, received_at, step.values))
        elif step.door == "listed":
            assert step.own_id is not None
            self.listed[step.source, step.own_id] = step
            name = "failures" if step.source == FAILURE_API else "deployments"
            self.vendor.events[name] = [
                {"id": own_id, "type": "any", "attributes": attributes(one)}
                for (source, own_id), one in self.listed.items()
                if source == step.source
            ]
        else:
            _, known = self.exports.get(step.door, (received_at, []))
            # Every second time a file is replaced.
            self.exports[step.door] = (received_at, [*(known if number % 2 else []), step])
            self._write(step.door)

    def _write(self, name: str) -> None:
        modified_at, told = self.exports[name]
        data = [
            {"type": "dora_deployment", "attributes": attributes(one)} | ({"id": one.own_id} if one.own_id else {})
            for one in told
        ]
        path = self.home.drop_export(name, [])
        path.write_text(json.dumps({"data": data}), encoding="utf-8")
        os.utime(path, (modified_at.timestamp(), modified_at.timestamp()))

    def tables(self, tables: dict[str, list[str]]) -> dict[str, list[str]]:
        """Tables with the ids that the intake made up under names that are the same in every home."""

        def renamed(row: str) -> str:
            return re.sub("[0-9a-f]{32}", lambda match: self.made_up.get(match[0], match[0]), row)

        return {name: sorted(map(renamed, rows)) for name, rows in tables.items() if name != "metrics.freshness"}


def expected(world: World, source: str) -> tuple[list[tuple[Any, ...]], Counter[str]]:
    """Rows of core, and how often what is rejected, by the oracle."""

    def is_two(one: Any, other: Any) -> bool:
        return source != FAILURE_API and oracle_identity.differ(one, other)

    records = oracle_identity.stored(world.sent.get(source, []), is_two)
    bad = 0
    for (of, own_id), step in world.listed.items():
        if of == source:
            bad += step.is_bad
            receipt = (NOON + timedelta(days=9), "")
            records += [] if step.is_bad else [Record.of(own_id, True, step.values["started_at"], receipt, step.values)]
    for name, (modified_at, told) in world.exports.items() if source == APM else ():
        for place, step in enumerate(told):
            bad += step.is_bad
            receipt, at = (modified_at, f"{name} {place:03}"), step.values["started_at"]
            made_up = f"a/{_canonical(step.values['env'])}/{at.replace(microsecond=0).isoformat()}"
            if not step.is_bad:
                records.append(Record.of(f"apm:{step.own_id or made_up}", bool(step.own_id), at, receipt, step.values))
    stay, collide = oracle_identity.in_their_seconds(oracle_identity.united(records, _canonical, is_two))
    rows = [
        (
            event.name,
            service,
            _canonical(event.values["env"]),
            event.values.get("version"),
            event.values.get("commit"),
            event.values.get("team"),
            event.values["started_at"],
            event.values.get("finished_at"),
        )
        for event, service in stay
    ]
    rejected = Counter({"same_second": len(collide), "finished_before_started": bad})
    return sorted(rows, key=repr), +rejected


def _canonical(env: Any) -> str:
    return "production" if env in ALIASES["production"] else str(env)


def found(world: World, source: str) -> tuple[list[tuple[Any, ...]], Counter[str]]:
    """The same of a home."""
    table, name = ("failures", "failure_id") if source == FAILURE_API else ("deployments", "deployment_id")
    rows = world.home.rows(
        f"""
        SELECT {name}, service, env, version, commit_sha, team, started_at, finished_at FROM core.{table}
        WHERE source = ?
        """,
        source,
    )
    reasons = world.home.rows("SELECT reason, COUNT(*) FROM core.rejected_events WHERE source = ? GROUP BY 1", source)
    return sorted(((world.made_up.get(row[0], row[0]), *row[1:]) for row in rows), key=repr), Counter(dict(reasons))


# A failing example is shown as it is, since making it smaller takes minutes.
@settings(
    max_examples=examples(2),
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
@given(told=st.lists(steps(), min_size=4, max_size=16).map(without_spoiled))
def test_random_events_by_random_doors_in_random_runs_are_those_of_the_oracle(told: Sequence[Step | str]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch, FakeDatadog() as vendor:
        patch.setenv("DD_API_KEY", API_KEY)
        patch.setenv("DD_APP_KEY", APP_KEY)
        world, at_once = World(Path(folder) / "runs", vendor), World(Path(folder) / "once", vendor)
        for number, step in enumerate(told):
            if isinstance(step, str):
                world.home.run()
            else:
                world.take(number, step)
        for number, step in enumerate(told):
            if not isinstance(step, str):
                at_once.take(number, step)
        world.home.run()
        at_once.home.run()
        for source in (DEPLOYMENT_API, FAILURE_API, APM):
            assert found(world, source) == expected(world, source)
        tables = world.home.tables()
        assert world.tables(tables) == at_once.tables(at_once.home.tables())
        assert rebuilt(world.home) == tables
