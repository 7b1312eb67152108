from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import NullPool, create_engine

from dora_pipeline.intake.schema import metadata
from dora_pipeline.intake.store import EventStore

START = datetime(2024, 5, 6, tzinfo=UTC)
SECOND = 1_714_996_800


TEXTS = st.sampled_from([None, "", " ", "v1", "v2", "ü"])
GIT = st.fixed_dictionaries({}, optional={"commit_sha": TEXTS, "repository_url": TEXTS})
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
    """An event as the rules describe it, in the plainest words."""

    event_id: str
    born: int
    bodies: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    is_deleted: bool = False
    key: Any = None

    def take(self, telling: dict[str, Any]) -> None:
        for name, value in telling.items():
            if name == "git" and isinstance(value, dict):
                former = self.state.get("git")
                git = dict(former) if isinstance(former, dict) else {}
                for part, text in value.items():
                    if text and text.strip():
                        git[part] = text
                if git:
                    self.state["git"] = git
            elif value is None or value in ([], {}) or (isinstance(value, str) and value.strip() == ""):
                continue
            else:
                self.state[name] = value
        self.key = natural(self.state) or self.key


def natural(state: dict[str, Any]) -> tuple[str, str, int] | None:
    service, second = (state.get("service") or "").strip(), SECONDS.get(state.get("started_at"))
    return None if not service or second is None else (service, (state.get("env") or "").strip(), second)


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
        key = natural(telling) or ("body", repr(sorted(telling.items())))
        if event_id:
            matches = [event for event in self.known if event.event_id == event_id]
        else:
            alike = [event for event in self.known if event.key == key]
            matches = sorted(alike, key=lambda event: (event.is_deleted, event.born))[:1]
        if not matches:
            matches = [Known(stored_id, self.clock, key=None if event_id else key)]
            self.known.append(matches[0])
            assert event_id in (None, stored_id)
        event = matches[0]
        assert event.event_id == stored_id
        if event.is_deleted:
            event.is_deleted, event.state = False, {}
        event.take(telling)

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
            updated = self.store.update("deployment", event.event_id, changes, received_at=self.now())
            assert (updated is None) == event.is_deleted
            if updated:
                if "finished_at" in changes and changes["finished_at"] is None:
                    event.state.pop("finished_at", None)
                event.take(changes)
                if changes.get("change_failure") is False:
                    event.state.pop("remediation", None)

    @rule(number=st.integers(0, 5))
    def delete(self, number: int) -> None:
        for event in self.known[number : number + 1]:
            was_there = self.store.delete("deployment", event.event_id, received_at=self.now())
            assert was_there != event.is_deleted
            event.is_deleted = True

    @invariant()
    def the_store_holds_what_the_rules_say(self) -> None:
        stored = self.store.changed_since("deployment", 0)
        assert {event.event_id: (event.is_deleted, event.attributes) for event in stored} == {
            event.event_id: (event.is_deleted, event.state) for event in self.known
        }
        assert [event.sequence for event in stored] == sorted({event.sequence for event in stored})


SETTINGS = settings(
    max_examples=40,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def test_tellings_merge_as_the_rules_say(store_url: str) -> None:
    run_state_machine_as_test(lambda: MergingOfTellings(store_url), settings=SETTINGS)
