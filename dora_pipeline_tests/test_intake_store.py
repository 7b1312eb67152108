"""The rules of the event store, on any database: `systems/` runs the same tests on PostgreSQL."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, text

from dora_pipeline.intake.store import EventStore, StoredEvent

NOON = datetime(2024, 5, 6, 12, 0, 0, 123456, tzinfo=UTC)
SECOND = 1_714_996_800
SHA = "66adc9350f2cc9b250b69abddab733dd55e1a588"


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def deployment(**changes: Any) -> dict[str, Any]:
    return {"service": "shop", "env": "prod", "started_at": SECOND} | changes


def test_a_first_telling_makes_an_event(store: EventStore) -> None:
    event = store.append("deployment", deployment(version="v1"), event_id="deploy-1", received_at=NOON)
    assert event == StoredEvent(
        sequence=1,
        event_type="deployment",
        event_id="deploy-1",
        received_at=NOON,
        changed_at=NOON,
        is_deleted=False,
        attributes={"service": "shop", "env": "prod", "started_at": SECOND, "version": "v1"},
    )
    assert store.get("deployment", "deploy-1") == event
    assert store.get("failure", "deploy-1") is None
    assert store.get("deployment", "deploy-2") is None


def test_without_a_time_told_the_receipt_is_now(store: EventStore) -> None:
    before = datetime.now(UTC)
    event = store.append("deployment", deployment())
    assert before <= event.received_at == event.changed_at <= datetime.now(UTC)


def test_a_naive_time_of_receipt_is_refused(store: EventStore) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        store.append("deployment", deployment(), received_at=datetime(2024, 5, 6, 12))


def test_the_id_in_the_attributes_is_the_events_id(store: EventStore) -> None:
    event = store.append("deployment", deployment(id=" own-id "))
    assert event.event_id == "own-id"
    assert "id" not in event.attributes
    assert store.append("deployment", deployment(id="other"), event_id="own-id").event_id == "own-id"


@pytest.mark.parametrize("no_id", [None, "", "  ", 7, ["x"], "a\x00b", "\ud800", "x" * 257])
def test_an_id_that_is_no_printable_text_is_taken_as_none(store: EventStore, no_id: Any) -> None:
    event = store.append("deployment", deployment(id=no_id))
    assert len(event.event_id) == 32
    assert int(event.event_id, 16)
    assert store.append("deployment", deployment()).event_id == event.event_id


@pytest.mark.parametrize("odd", ["", "a\x00b", "\ud800", "x" * 257])
def test_an_impossible_id_is_unknown_everywhere(store: EventStore, odd: str) -> None:
    assert store.get("deployment", odd) is None
    assert store.update("deployment", odd, {"version": "v2"}) is None
    assert store.delete("deployment", odd) is False


@pytest.mark.parametrize(
    "again",
    [
        {"service": " shop ", "env": "prod\n", "started_at": SECOND},
        {"service": "shop", "env": "prod", "started_at": SECOND * 1000 + 999},
        {"service": "shop", "env": "prod", "started_at": SECOND * 10**9 + 999_999_999},
        {"service": "shop", "env": "prod", "started_at": "2024-05-06T12:00:00.5Z"},
        {"service": "shop", "env": "prod", "started_at": "2024-05-06T14:00:00+02:00"},
        {"services": ["shop"], "env": "prod", "started_at": str(SECOND)},
    ],
)
def test_service_env_and_second_make_the_same_event(store: EventStore, again: dict[str, Any]) -> None:
    first = store.append("deployment", deployment(), received_at=NOON)
    second = store.append("deployment", again | {"version": "v1"}, received_at=NOON + timedelta(hours=1))
    assert second.event_id == first.event_id
    assert second.received_at == NOON
    assert second.changed_at == NOON + timedelta(hours=1)
    assert second.sequence == 2


@pytest.mark.parametrize("other", [{"service": "Shop"}, {"env": "staging"}, {"env": None}, {"started_at": SECOND + 1}])
def test_another_service_env_or_second_is_another_event(store: EventStore, other: dict[str, Any]) -> None:
    first = store.append("deployment", deployment())
    assert store.append("deployment", deployment(**other)).event_id != first.event_id


def test_the_order_of_services_does_not_matter(store: EventStore) -> None:
    first = store.append("failure", {"services": ["b", " a "], "started_at": SECOND})
    second = store.append("failure", {"services": ["a", "b", ""], "started_at": SECOND, "finished_at": SECOND + 60})
    assert second.event_id == first.event_id
    assert store.append("failure", {"services": ["a"], "started_at": SECOND}).event_id != first.event_id


def test_a_deployment_and_a_failure_are_never_the_same_event(store: EventStore) -> None:
    one = store.append("deployment", deployment(), event_id="same")
    other = store.append("failure", deployment(), event_id="same")
    assert (one.sequence, other.sequence) == (1, 2)
    assert store.append("deployment", deployment()) == one
    assert store.append("failure", deployment()) == other


def test_a_resolved_failure_of_a_team_updates_its_start(store: EventStore) -> None:
    opened = store.append("failure", {"team": "web", "started_at": SECOND})
    resolved = store.append("failure", {"team": " web ", "started_at": SECOND, "finished_at": SECOND + 60})
    assert resolved.event_id == opened.event_id
    assert store.append("failure", {"team": "ops", "started_at": SECOND}).event_id != opened.event_id


def test_an_event_without_an_id_takes_the_one_that_comes_later_and_is_known_by_both(store: EventStore) -> None:
    unnamed = store.append("failure", {"services": ["b", "a"], "started_at": SECOND})
    end = {"services": ["a", " b "], "started_at": SECOND, "finished_at": SECOND + 60}
    named = store.append("failure", end, event_id="named")
    assert (named.event_id, named.former_id) == ("named", unnamed.event_id)
    for name in ("named", unnamed.event_id):
        found = store.get("failure", name)
        assert found is not None
        assert (found.event_id, found.former_id) == ("named", unnamed.event_id)
        assert [event.event_id for event in store.search("failure", query=f"id:{name}")] == ["named"]
        assert store.append("failure", {"name": name}, event_id=name).event_id == "named"
        updated = store.update("failure", name, {"severity": name})
        assert updated is not None
        assert (updated.event_id, updated.attributes["name"]) == ("named", name)
    assert store.append("failure", end | {"id": "another"}).event_id == "another"
    assert store.append("failure", end | {"team": "x"}).event_id == "named"
    assert store.delete("failure", unnamed.event_id)
    assert store.get("failure", "named") is None
    assert [event.event_id for event in store.changed_since("failure", 0)] == ["another", "named"]


@pytest.mark.parametrize(
    ("first", "later", "is_same"),
    [
        ({}, {"version": "v1"}, True),
        ({"version": "v1"}, {"version": " v1 "}, True),
        ({"version": "v1"}, {"version": "unknown"}, True),
        ({"version": "v1"}, {"version": "v2"}, False),
        ({"git": {"commit_sha": SHA}}, {"git": {"commit_sha": SHA[:7].upper()}}, True),
        ({"git": {"commit_sha": SHA[:7]}}, {"git": {"commit_sha": SHA}}, True),
        ({"version": "v1", "git": {"commit_sha": SHA}}, {"version": "v1", "git": {"commit_sha": "0" * 40}}, False),
    ],
)
@pytest.mark.parametrize("is_named_first", [True, False])
def test_a_deployment_is_the_same_with_and_without_id_where_version_and_commit_do_not_differ(
    store: EventStore, first: dict[str, Any], later: dict[str, Any], is_same: bool, is_named_first: bool
) -> None:
    ids = [{"id": "named"}, {}] if is_named_first else [{}, {"id": "named"}]
    store.append("deployment", deployment(**first, **ids[0]))
    store.append("deployment", deployment(**later, **ids[1]))
    assert len(store.changed_since("deployment", 0)) == (1 if is_same else 2)
    assert store.get("deployment", "named") is not None


def test_a_telling_without_id_updates_the_event_that_was_given_one(store: EventStore) -> None:
    store.append("deployment", deployment(id="named"))
    event = store.append("deployment", deployment(version="v1"))
    assert event.event_id == "named"
    assert event.attributes["version"] == "v1"


def test_of_several_events_in_one_second_the_one_received_first_is_updated(store: EventStore) -> None:
    store.append("deployment", deployment(), event_id="late", received_at=NOON + timedelta(seconds=9))
    store.append("deployment", deployment(), event_id="early", received_at=NOON)
    store.append("deployment", deployment(), event_id="alike", received_at=NOON)
    assert store.append("deployment", deployment(version="v1")).event_id == "early"


def test_a_named_event_that_moved_is_found_at_its_new_second(store: EventStore) -> None:
    store.append("deployment", deployment(), event_id="named")
    store.append("deployment", deployment(started_at=SECOND + 5), event_id="named")
    assert store.append("deployment", deployment(started_at=SECOND + 5)).event_id == "named"
    assert store.append("deployment", deployment()).event_id != "named"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"service": "shop"},
        {"service": "shop", "started_at": "yesterday"},
        {"service": "shop", "started_at": "2024-05-06T12:00:00"},
        {"service": 5, "started_at": SECOND},
        {"service": " ", "started_at": SECOND},
        {"service": "shop", "env": {"a": 1}, "started_at": SECOND},
        {"services": ["shop", None], "started_at": SECOND},
    ],
)
def test_an_unusable_body_is_kept_once(store: EventStore, body: dict[str, Any]) -> None:
    first = store.append("deployment", body)
    assert store.append("deployment", dict(reversed(body.items()))) == first
    assert store.append("deployment", body | {"version": "v1"}).event_id != first.event_id
    assert len(store.changed_since("deployment", 0)) == 2


@pytest.mark.parametrize("nothing", [None, "", "  ", [], {}])
def test_a_value_that_carries_nothing_leaves_the_former(store: EventStore, nothing: Any) -> None:
    first = store.append("deployment", deployment(id="a", version="v1", custom_tags=["a:b"], git={"commit_sha": SHA}))
    again = deployment(id="a", version=nothing, custom_tags=nothing, git={"commit_sha": nothing})
    assert store.append("deployment", again) == first
    assert store.append("deployment", {"id": "a", "git": nothing}) == first


def test_the_newest_telling_wins_field_by_field(store: EventStore) -> None:
    store.append("deployment", deployment(id="a", version="v1", team="web", custom_tags=["a:b", "c:d"]))
    event = store.append("deployment", {"id": "a", "version": "v2", "custom_tags": ["e:f"], "finished_at": SECOND + 9})
    assert event.attributes == {
        "service": "shop",
        "env": "prod",
        "started_at": SECOND,
        "version": "v2",
        "team": "web",
        "custom_tags": ["e:f"],
        "finished_at": SECOND + 9,
    }


def test_git_merges_by_its_fields_and_other_objects_are_replaced(store: EventStore) -> None:
    address = "https://github.com/org/app"
    store.append("deployment", deployment(id="a", git={"repository_url": address}, remediation={"id": "x", "v": 1}))
    event = store.append("deployment", {"id": "a", "git": {"commit_sha": SHA, "id": "g"}, "remediation": {"id": "y"}})
    assert event.attributes["git"] == {"repository_url": address, "commit_sha": SHA, "id": "g"}
    assert event.attributes["remediation"] == {"id": "y"}


def test_git_of_a_wrong_type_is_mended_by_the_next_telling(store: EventStore) -> None:
    assert store.append("deployment", {"id": "a", "git": "main"}).attributes["git"] == "main"
    assert store.append("deployment", {"id": "a", "git": {"commit_sha": SHA}}).attributes["git"] == {"commit_sha": SHA}


def test_false_and_zero_carry_a_value(store: EventStore) -> None:
    store.append("deployment", {"id": "a", "change_failure": True, "n": 1})
    event = store.append("deployment", {"id": "a", "change_failure": False, "n": 0})
    assert event.attributes == {"change_failure": False, "n": 0}
    assert store.append("deployment", {"id": "a", "n": False}).attributes["n"] is False


def test_only_an_update_clears_finished_at(store: EventStore) -> None:
    store.append("failure", {"id": "a", "services": ["shop"], "started_at": SECOND, "finished_at": SECOND + 9})
    told = store.append("failure", {"id": "a", "finished_at": None})
    assert told.attributes["finished_at"] == SECOND + 9
    updated = store.update("failure", "a", {"finished_at": None, "started_at": None})
    assert updated is not None
    assert updated.attributes == {"services": ["shop"], "started_at": SECOND}
    assert store.update("failure", "a", {"finished_at": None}) == updated


def test_an_update_merges_into_the_event_that_has_the_id(store: EventStore) -> None:
    store.append("deployment", deployment(), event_id="a", received_at=NOON)
    changes = {"change_failure": True, "remediation": {"id": "b", "type": "rollback"}}
    updated = store.update("deployment", "a", changes, received_at=NOON + timedelta(days=1))
    assert updated == store.get("deployment", "a")
    assert updated is not None
    assert updated.attributes == deployment(**changes)
    assert (updated.received_at, updated.changed_at) == (NOON, NOON + timedelta(days=1))
    assert store.update("deployment", "b", changes) is None
    assert store.update("failure", "a", changes) is None


def test_a_deployment_marked_stable_keeps_the_mark_and_loses_its_remediation(store: EventStore) -> None:
    store.append("deployment", deployment(), event_id="a")
    store.update("deployment", "a", {"change_failure": True, "remediation": {"id": "b", "type": "rollback"}})
    stable = store.update("deployment", "a", {"change_failure": False})
    assert stable is not None
    assert stable.attributes == deployment(change_failure=False)
    assert store.append("deployment", deployment()).attributes == deployment(change_failure=False)


def test_a_remediation_replaces_the_former_as_a_whole(store: EventStore) -> None:
    store.append("deployment", deployment(), event_id="a")
    store.update("deployment", "a", {"change_failure": True, "remediation": {"id": "b", "type": "rollback"}})
    kept = store.update("deployment", "a", {"change_failure": True})
    assert kept is not None
    assert kept.attributes["remediation"] == {"id": "b", "type": "rollback"}
    replaced = store.update("deployment", "a", {"change_failure": True, "remediation": {"version": "v2"}})
    assert replaced is not None
    assert replaced.attributes["remediation"] == {"version": "v2"}


DELIVERY = {"event": {"id": "", "data": {"priority": None, "teams": []}}, "id": 5, "note": ""}


def test_a_delivery_is_kept_whole(store: EventStore) -> None:
    delivery = store.append("delivery", DELIVERY, event_id="delivery-1")
    assert (delivery.event_type, delivery.event_id, delivery.attributes) == ("delivery", "delivery-1", DELIVERY)
    assert store.get("delivery", "delivery-1") == delivery
    assert store.changed_since("delivery", 0) == [delivery]


def test_of_the_deliveries_of_one_id_the_first_stays(store: EventStore) -> None:
    first = store.append("delivery", DELIVERY, event_id="delivery-1")
    assert store.append("delivery", DELIVERY, event_id="delivery-1") == first
    assert store.append("delivery", {"event": {"id": "x"}, "more": 1}, event_id="delivery-1") == first
    assert store.changed_since("delivery", 0) == [first]


def test_deliveries_of_one_service_and_second_are_two(store: EventStore) -> None:
    one = store.append("delivery", deployment(), event_id="one")
    other = store.append("delivery", deployment(), event_id="other")
    assert [event.event_id for event in store.changed_since("delivery", 0)] == ["one", "other"]
    assert one.attributes == other.attributes == deployment()


def test_a_deleted_delivery_told_again_is_what_is_told(store: EventStore) -> None:
    store.append("delivery", DELIVERY, event_id="a")
    store.delete("delivery", "a")
    assert store.append("delivery", {"event": {}}, event_id="a").attributes == {"event": {}}


def test_the_newest_finished_of_a_version_is_found(store: EventStore) -> None:
    wanted = {"service": " shop ", "env": "prod", "version": "v1\n"}
    told = [
        wanted | {"id": "early", "started_at": SECOND, "finished_at": SECOND + 10},
        wanted | {"id": "newest", "started_at": SECOND + 1, "finished_at": (SECOND + 30) * 1000},
        wanted | {"id": "late-start", "started_at": SECOND + 20, "finished_at": SECOND + 25},
        wanted | {"id": "open", "started_at": SECOND + 40},
        wanted | {"id": "other-env", "env": "Prod", "started_at": SECOND, "finished_at": SECOND + 99},
        wanted | {"id": "other-version", "version": "v11", "started_at": SECOND, "finished_at": SECOND + 99},
        wanted | {"id": "other-service", "service": "shop-2", "started_at": SECOND, "finished_at": SECOND + 99},
    ]
    store.append_many("deployment", told)
    found = store.newest_finished("shop", " prod", "v1 ")
    assert found is not None
    assert found.event_id == "newest"
    store.delete("deployment", "newest")
    found = store.newest_finished("shop", "prod", "v1")
    assert found is not None
    assert found.event_id == "late-start"
    assert store.newest_finished("shop", "prod", "v2") is None
    assert store.newest_finished("shop", "", "v1") is None


def test_of_deployments_finished_at_once_the_one_started_last_is_the_newest(store: EventStore) -> None:
    values = {"service": "50%_off", "env": "a\\b", "version": "ü", "finished_at": SECOND + 60}
    told = [
        values | {"id": "c", "started_at": SECOND + 1},
        values | {"id": "b", "started_at": SECOND + 2},
        values | {"id": "a", "started_at": SECOND + 1},
    ]
    store.append_many("deployment", told)
    newest = [store.newest_finished("50%_off", "a\\b", "ü")]
    store.delete("deployment", "b")
    newest.append(store.newest_finished("50%_off", "a\\b", "ü"))
    assert [event and event.event_id for event in newest] == ["b", "a"]


def test_a_ping_of_a_store_that_works_changes_nothing(store: EventStore) -> None:
    first = store.append("deployment", deployment())
    store.ping()
    assert store.changed_since("deployment", 0) == [first]
    assert store.append("failure", {"id": "f"}).sequence == 2


def test_a_deleted_event_stays_as_a_tombstone(store: EventStore) -> None:
    store.append("deployment", deployment(), event_id="a")
    assert store.delete("deployment", "a") is True
    assert store.delete("deployment", "a") is False
    assert store.delete("deployment", "unknown") is False
    assert store.get("deployment", "a") is None
    assert store.update("deployment", "a", {"version": "v1"}) is None
    (tombstone,) = store.changed_since("deployment", 1)
    assert (tombstone.event_id, tombstone.is_deleted, tombstone.sequence) == ("a", True, 2)
    assert tombstone.attributes == deployment()


def test_a_deleted_event_told_again_comes_back_with_what_is_told(store: EventStore) -> None:
    store.append("deployment", deployment(version="v1", team="web"), event_id="a")
    store.delete("deployment", "a")
    event = store.append("deployment", deployment(version="v1"))
    assert (event.event_id, event.is_deleted, event.sequence) == ("a", False, 3)
    assert event.attributes == deployment(version="v1")


def test_a_living_event_is_updated_before_a_deleted_one_of_the_same_second(store: EventStore) -> None:
    store.append("deployment", deployment(), event_id="gone")
    store.append("deployment", deployment(), event_id="here")
    store.delete("deployment", "gone")
    assert store.append("deployment", deployment(version="v1")).event_id == "here"


def test_a_retelling_that_adds_nothing_changes_nothing(store: EventStore, store_url: str) -> None:
    first = store.append("deployment", deployment(version="v1"), received_at=NOON)
    assert store.append("deployment", deployment(version="v1"), received_at=NOON + timedelta(days=1)) == first
    assert store.append("deployment", deployment(), received_at=NOON + timedelta(days=2)) == first
    assert store.changed_since("deployment", 1) == []
    assert rows(store_url, "SELECT count(*) FROM intake_tellings") == [(1,)]


def test_every_telling_that_changes_something_is_kept_as_it_came(store: EventStore, store_url: str) -> None:
    store.append("deployment", {"started_at": SECOND, "service": "shop", "env": "", "id": "a"}, received_at=NOON)
    store.append("deployment", {"id": "a", "version": "v1"}, received_at=NOON + timedelta(seconds=1))
    store.append("deployment", {"id": "a", "version": "v1"}, received_at=NOON + timedelta(seconds=2))
    store.update("deployment", "a", {"change_failure": True}, received_at=NOON + timedelta(seconds=3))
    store.delete("deployment", "a", received_at=NOON + timedelta(seconds=4))
    noon = SECOND * 1_000_000 + 123_456
    assert rows(store_url, "SELECT sequence, event_id, action, received_at, body FROM intake_tellings ORDER BY 1") == [
        (1, "a", "told", noon, f'{{"started_at":{SECOND},"service":"shop","env":"","id":"a"}}'),
        (2, "a", "told", noon + 1_000_000, '{"id":"a","version":"v1"}'),
        (3, "a", "updated", noon + 3_000_000, '{"change_failure":true}'),
        (4, "a", "deleted", noon + 4_000_000, "{}"),
    ]


def test_an_older_receipt_never_turns_changed_at_back(store: EventStore) -> None:
    store.append("deployment", {"id": "a", "version": "v1"}, received_at=NOON)
    event = store.append("deployment", {"id": "a", "version": "v2"}, received_at=NOON - timedelta(days=1))
    assert (event.received_at, event.changed_at, event.attributes["version"]) == (NOON, NOON, "v2")


@pytest.mark.parametrize("number", [1_769_678_752_000_000_001, 2**53 + 1, 2**63, -(10**40), 1.5])
def test_numbers_survive_exactly(store: EventStore, number: float) -> None:
    store.append("deployment", {"id": "a", "started_at": number})
    event = store.get("deployment", "a")
    assert event is not None
    assert event.attributes == {"started_at": number}


def test_any_text_survives(store: EventStore) -> None:
    attributes = {
        "service": "läden-🚢-商店" + "x" * 10_000,
        "env": "prod",
        "started_at": SECOND,
        "name": 'half \ud83d, zero \x00, line \u2028, "quotes" and \\',
    }
    first = store.append("deployment", attributes)
    assert first.attributes == attributes
    assert store.get("deployment", first.event_id) == first
    assert store.append("deployment", attributes) == first


def test_a_body_of_a_mebibyte_is_kept(store: EventStore) -> None:
    event = store.append("failure", {"services": ["shop"], "started_at": SECOND, "name": "x" * (1 << 20)})
    assert store.get("failure", event.event_id) == event


def test_what_is_not_json_is_refused_and_nothing_is_stored(store: EventStore) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.append_many("deployment", [deployment(), deployment(n=float("nan"))])
    assert store.changed_since("deployment", 0) == []


def test_json_that_is_nested_without_end_is_refused(store: EventStore) -> None:
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"a": nested}
    with pytest.raises(ValueError, match="nested too deeply"):
        store.append("deployment", nested)


def test_many_tellings_are_told_in_their_order(store: EventStore) -> None:
    store.append("deployment", deployment(), event_id="known")
    told = [
        {"id": "a", "version": "v1"},
        deployment(version="v2"),
        {"id": "a", "version": "v3"},
        deployment(started_at=SECOND + 1),
        deployment(started_at=SECOND + 1, version="v4"),
        {"id": "a", "version": "v3"},
        deployment(service="new", started_at=SECOND, id="b"),
        deployment(service="new", started_at=SECOND, version="v5"),
    ]
    events = store.append_many("deployment", told, received_at=NOON)
    assert [event.sequence for event in events] == [2, 3, 4, 5, 6, 4, 7, 8]
    assert [events[place].event_id for place in (0, 1, 2, 5, 6, 7)] == ["a", "known", "a", "a", "b", "b"]
    assert events[3].event_id == events[4].event_id
    assert [event.sequence for event in store.changed_since("deployment", 0)] == [3, 4, 6, 8]
    assert store.append_many("deployment", []) == []


def test_an_event_that_moves_within_a_batch_is_found_at_its_new_second_only(store: EventStore) -> None:
    moved = deployment(started_at=SECOND + 5)
    events = store.append_many("deployment", [deployment(id="a"), moved | {"id": "a"}, moved, deployment()])
    assert [event.event_id for event in events[:3]] == ["a", "a", "a"]
    assert events[3].event_id != "a"


def test_many_tellings_may_each_have_their_moment(store: EventStore) -> None:
    later = NOON + timedelta(days=1)
    told = [deployment(), deployment(version="v1")]
    first, second = store.append_many("deployment", told, received_at=[NOON, later])
    assert (first.received_at, first.changed_at) == (NOON, NOON)
    assert (second.received_at, second.changed_at) == (NOON, later)
    with pytest.raises(ValueError, match="shorter"):
        store.append_many("deployment", told, received_at=[NOON])


def test_thousands_of_tellings_come_in_one_transaction(store: EventStore) -> None:
    told = [deployment(started_at=SECOND + n % 2500, version=f"v{n // 2500}") for n in range(5000)]
    events = store.append_many("deployment", told)
    assert len({event.event_id for event in events}) == 2500
    assert [event.sequence for event in store.changed_since("deployment", 0)] == list(range(2501, 5001))
    assert store.append_many("deployment", told[2500:]) == events[2500:]


def test_changes_come_in_order_of_sequence_and_up_to_the_limit(store: EventStore) -> None:
    for name in ("a", "b", "c"):
        store.append("deployment", deployment(), event_id=name)
    store.append("failure", {"id": "f"})
    store.append("deployment", {"version": "v2"}, event_id="a")
    assert [(e.sequence, e.event_id) for e in store.changed_since("deployment", 0)] == [(2, "b"), (3, "c"), (5, "a")]
    assert [e.event_id for e in store.changed_since("deployment", 0, limit=2)] == ["b", "c"]
    assert [e.event_id for e in store.changed_since("deployment", 3)] == ["a"]
    assert [e.event_id for e in store.changed_since("failure", 0)] == ["f"]


def test_a_reopened_store_holds_what_it_held(store_url: str) -> None:
    with EventStore(store_url) as store:
        event = store.append("deployment", deployment(), received_at=NOON)
    with EventStore(store_url) as store:
        assert store.changed_since("deployment", 0) == [event]
        assert store.append("failure", {"id": "f"}).sequence == 2


ENV = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

ENDLESS_WRITER = """
import sys
from dora_pipeline.intake.store import EventStore
store = EventStore(sys.argv[1])
for number in range(1_000_000):
    print(store.append("deployment", {"service": "shop", "started_at": 1_714_996_800 + number}).event_id, flush=True)
"""


def test_everything_a_killed_writer_was_told_is_kept(store_url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS_WRITER, store_url], stdout=subprocess.PIPE, text=True, env=ENV
    ) as writer:
        assert writer.stdout is not None
        returned = [writer.stdout.readline() for _ in range(40)]
        writer.send_signal(signal.SIGKILL)
        # The last line may be cut.
        returned += writer.stdout.read().splitlines(keepends=True)
    with EventStore(store_url) as store:
        stored = {event.event_id for event in store.changed_since("deployment", 0)}
        assert {line.strip() for line in returned if line.endswith("\n")} <= stored
        assert rows(store_url, "SELECT count(*) FROM intake_tellings") == [(len(stored),)]
        assert store.append("deployment", {"id": "next"}).sequence == len(stored) + 1


_WRITERS, _EACH = 3, 40


def _write(store_url: str, writer: int) -> None:
    with EventStore(store_url) as store:
        for number in range(_EACH):
            store.append("deployment", deployment(service=f"own-{writer}", started_at=SECOND + number))
            shared = deployment(service="shared", started_at=SECOND + number)
            store.append("deployment", shared | {f"by_{writer}": number})


def test_processes_that_write_at_once_lose_nothing_and_double_nothing(store_url: str) -> None:
    spawning = multiprocessing.get_context("spawn")
    writers = [spawning.Process(target=_write, args=(store_url, writer)) for writer in range(_WRITERS)]
    for process in writers:
        process.start()
    seen: dict[str, int] = {}
    newest = 0
    with EventStore(store_url) as store:
        while True:
            is_last = not any(process.is_alive() for process in writers)
            for event in store.changed_since("deployment", newest):
                assert event.sequence > newest
                newest = event.sequence
                seen[event.event_id] = event.sequence
            if is_last:
                break
            writers[0].join(0.02)
        for process in writers:
            process.join()
        events = store.changed_since("deployment", 0)
    assert [process.exitcode for process in writers] == [0] * _WRITERS
    # A change that had come in below a sequence already read would be missing here.
    assert seen == {event.event_id: event.sequence for event in events}
    assert len(events) == _EACH * (_WRITERS + 1)
    own = {(e.attributes["service"], e.attributes["started_at"]) for e in events if e.attributes["service"] != "shared"}
    assert len(own) == _EACH * _WRITERS
    shared = [event.attributes for event in events if event.attributes["service"] == "shared"]
    for attributes in shared:
        number = attributes["started_at"] - SECOND
        assert attributes == deployment(service="shared", started_at=SECOND + number) | {
            f"by_{writer}": number for writer in range(_WRITERS)
        }
    told = 2 * _EACH * _WRITERS
    assert rows(store_url, "SELECT count(*), min(sequence), max(sequence) FROM intake_tellings") == [(told, 1, told)]
    bodies = [json.loads(body) for (body,) in rows(store_url, "SELECT body FROM intake_tellings")]
    assert sum(body["service"] == "shared" for body in bodies) == _EACH * _WRITERS
