from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import NullPool, create_engine

from dora_pipeline.intake.store import EventStore
from dora_pipeline.intake.store.event_tables import metadata
from dora_pipeline_tests.examples import examples

START = datetime(2024, 5, 7, tzinfo=UTC)
SECOND = 1_714_996_800


TEXTS = st.sampled_from([None, "", " ", "v1", "v2", "ü"])
SHAS = st.sampled_from([None, " ", "a" * 40, "aaaaaaa", "b" * 40])
GIT = st.fixed_dictionaries({}, optional={"commit_sha": SHAS, "repository_url": TEXTS})
TIMES = st.sampled_from([None, SECOND, SECOND * 1000, SECOND + 1, (SECOND + 1) * 10**9, "soon"])
TELLINGS = st.fixed_dictionaries(
    {},
    optional={
        "service": st.sampled_from(["a", " a", "b", "", None]),
        "env": st.sampled_from(["p", "p ", None]),
        "started_at": TIMES,
        "finished_at": TIMES,
        "version": TEXTS,
        "custom_tags": st.sampled_from([None, [], ["x:y"], ["z"]]),
        "git": st.one_of(st.none(), st.just("main"), GIT),
        "change_failure": st.sampled_from([None, True, False]),
        "remediation": st.sampled_from([None, {}, {"id": "x"}, {"type": "rollback"}]),
    },
)
SECONDS = {SECOND: 0, SECOND * 1000: 0, SECOND + 1: 1, (SECOND + 1) * 10**9: 1}
IDS = st.sampled_from([None, None, "one", "two"])


@dataclass
class Known:
    """An event as the rules describe it, in the plainest words. `names` are its ids, its own one last."""

    names: list[str]
    is_named: bool
    born: int
    state: dict[str, Any]
    body: dict[str, Any] | None
    is_deleted: bool = False


def taken(state: dict[str, Any], telling: dict[str, Any]) -> dict[str, Any]:
    after = dict(state)
    for name, value in telling.items():
        if name == "git" and isinstance(value, dict):
            former = after.get("git")
            git = dict(former) if isinstance(former, dict) else {}
            for part, text in value.items():
                if text and text.strip():
                    git[part] = text
            if git:
                after["git"] = git
        elif not (value is None or value in ([], {}) or (isinstance(value, str) and value.strip() == "")):
            after[name] = value
    return after


def cannot_be(telling: dict[str, Any], state: dict[str, Any]) -> bool:
    start, end = SECONDS.get(state.get("started_at")), SECONDS.get(state.get("finished_at"))
    is_backwards = start is not None and end is not None and end < start
    return is_backwards or "soon" in (telling.get("started_at"), telling.get("finished_at"))


def natural(state: dict[str, Any]) -> tuple[str, str, int] | None:
    service, second = (state.get("service") or "").strip(), SECONDS.get(state.get("started_at"))
    return None if not service or second is None else (service, (state.get("env") or "").strip(), second)


def are_two(one: dict[str, Any], other: dict[str, Any]) -> bool:
    versions = {(told.get("version") or "").strip() for told in (one, other)} - {""}
    gits = [told.get("git") for told in (one, other)]
    shas = [((git.get("commit_sha") if isinstance(git, dict) else "") or "").strip() for git in gits]
    return len(versions) == 2 or ("" not in shas and not (shas[0].startswith(shas[1]) or shas[1].startswith(shas[0])))


class MergingOfTellings(RuleBasedStateMachine):
    def __init__(self, url: str) -> None:
        super().__init__()
        engine = create_engine(url, poolclass=NullPool)
        metadata.drop_all(engine)
        self.store = EventStore(url)
        self.known: list[Known] = []
        self.clock = 0

    def teardown(self) -> None:
        self.store.close()

    def now(self) -> datetime:
        self.clock += 1
        return START + timedelta(seconds=self.clock)

    def expect(self, event_id: str | None, telling: dict[str, Any], stored_id: str) -> None:
        key = natural(telling)
        named = [event for event in self.known if event_id in event.names]
        if key is None:
            alike = [event for event in self.known if not event_id and event.body == telling]
        else:
            alike = [event for event in self.known if natural(event.state) == key]
        if event_id:
            alike = [event for event in alike if not event.is_named and not event.is_deleted]
        alike = [
            event
            for event in alike
            if event.is_named == bool(event_id)
            or cannot_be(event.state, event.state)
            or not are_two(event.state, telling)
        ]
        alike.sort(key=lambda event: (event.is_deleted, event.is_named, event.born))
        matches = named or alike
        if not matches:
            body = None if event_id or key else telling
            self.known.append(Known([stored_id], bool(event_id), self.clock, taken({}, telling), body))
            assert event_id in (None, stored_id)
            return
        event = matches[0]
        before = {} if event.is_deleted or cannot_be(event.state, event.state) else event.state
        after = taken(before, telling)
        if not cannot_be(telling, after):
            event.is_deleted, event.state = False, after
            if natural(after):
                event.body = None
            if event_id and not event.is_named:
                event.names.append(event_id)
                event.is_named = True
            assert event.names[-1] == stored_id
        assert stored_id in (event_id, event.names[-1])

    @rule(event_id=IDS, telling=TELLINGS)
    def tell(self, event_id: str | None, telling: dict[str, Any]) -> None:
        event = self.store.append("deployment", telling, event_id=event_id, received_at=self.now())
        self.expect(event_id, telling, event.event_id)

    @rule(told=st.lists(st.tuples(IDS, TELLINGS), max_size=4))
    def tell_many(self, told: list[tuple[str | None, dict[str, Any]]]) -> None:
        bodies = [telling | ({"id": event_id} if event_id else {}) for event_id, telling in told]
        events = self.store.append_many("deployment", bodies, received_at=self.now())
        for event, (event_id, telling) in zip(events, told, strict=True):
            # Of events told in one moment the first of the list was received first.
            self.clock += 1
            self.expect(event_id, telling, event.event_id)

    @rule(number=st.integers(0, 5), changes=TELLINGS)
    def update(self, number: int, changes: dict[str, Any]) -> None:
        for event in self.known[number : number + 1]:
            updated = self.store.update("deployment", event.names[0], changes, received_at=self.now())
            assert (updated is None) == event.is_deleted
            if updated:
                after = taken(event.state, changes)
                if "finished_at" in changes and changes["finished_at"] is None:
                    after.pop("finished_at", None)
                if changes.get("change_failure") is False:
                    after.pop("remediation", None)
                if not cannot_be(changes, after) or cannot_be(event.state, event.state):
                    event.state = after
                    if natural(after):
                        event.body = None

    @rule(number=st.integers(0, 5))
    def delete(self, number: int) -> None:
        for event in self.known[number : number + 1]:
            was_there = self.store.delete("deployment", event.names[0], received_at=self.now())
            assert was_there != event.is_deleted
            event.is_deleted = True

    @invariant()
    def the_store_holds_what_the_rules_say(self) -> None:
        told = self.store.changed_since("deployment", 0)
        stored = [event for event in told if event.refusal is None]
        assert {event.event_id: (event.is_deleted, event.attributes) for event in stored} == {
            event.names[-1]: (event.is_deleted, event.state) for event in self.known
        }
        assert [event.sequence for event in stored] == sorted({event.sequence for event in stored})


SETTINGS = settings(
    max_examples=examples(10),
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def test_tellings_merge_as_the_rules_say(store_url: str) -> None:
    run_state_machine_as_test(lambda: MergingOfTellings(store_url), settings=SETTINGS)
