"""An event as the store keeps it, and what one more telling makes of it: its identity and its fields.

Pure rules, those of `Identity, updates, collisions`. What does not belong here: the database, and judging whether an
event is usable (the normalizers of `sources/` do that later).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, Self

from dora_pipeline.identifiers import without_credentials
from dora_pipeline.timeline import InstantError, instant

EventType = Literal["deployment", "failure", "delivery"]
Attributes = dict[str, Any]

LONGEST_ID = 256
DEEPEST_JSON = 100


@dataclass(frozen=True)
class Telling:
    """What is told: the event's own id, if it has one, and the moment of receipt, if that is not now."""

    event_type: EventType
    event_id: str | None
    body: Attributes
    received_at: datetime | None = None

    @classmethod
    def of(
        cls,
        event_type: EventType,
        attributes: Mapping[str, Any],
        event_id: str | None = None,
        received_at: datetime | None = None,
    ) -> Self:
        """A telling that the store can keep. Raises ValueError for what is not JSON and for a naive time."""
        own_id = usable_id(event_id) or usable_id(attributes.get("id"))
        moment = None if received_at is None else instant(received_at)
        return cls(event_type, own_id, storable(attributes), moment)


@dataclass(frozen=True)
class StoredEvent:
    """One event with everything told about it so far.

    `sequence` grows with every change of any event of the store and is unique; `received_at` and `changed_at` (UTC,
    microseconds) are the first and the newest telling; `attributes` are in the words of Datadog's wire, without `id`.
    Those of a delivery are `env` and, as it came, the `event` of PagerDuty's webhook.
    """

    sequence: int
    event_type: EventType
    event_id: str
    received_at: datetime
    changed_at: datetime
    is_deleted: bool
    attributes: Attributes


def json_text(value: object) -> str:
    """One text for equal values: sorted keys, ASCII only, whole numbers of any size exact.

    Raises ValueError for NaN and infinities, which JSON does not have.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def storable(telling: Mapping[str, Any]) -> Attributes:
    """A copy of a telling without the credentials of its URLs.

    Raises ValueError for what is not JSON, and for JSON that is nested more than 100 deep.
    """
    _check_depth(telling)
    text = json.dumps(dict(telling), separators=(",", ":"), allow_nan=False)
    copy: Attributes = json.loads(without_credentials(text))
    return copy


def _check_depth(telling: Mapping[str, Any]) -> None:
    level: list[object] = [telling]
    for _ in range(DEEPEST_JSON):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return
    raise ValueError(f"the JSON is nested too deeply; {DEEPEST_JSON} levels are kept")


def _parts(whole: object) -> Iterable[object]:
    parts: Iterable[object] = ()
    if isinstance(whole, Mapping):
        parts = whole.values()
    elif isinstance(whole, list | tuple):
        parts = whole
    return [part for part in parts if isinstance(part, Mapping | list | tuple)]


def usable_id(value: object) -> str | None:
    """The id that a value holds: 1 to 256 printable characters after trimming; None for all else."""
    text = value.strip() if isinstance(value, str) else ""
    return text if 0 < len(text) <= LONGEST_ID and text.isprintable() else None


def merged(state: Attributes, telling: Attributes) -> Attributes:
    """The state after a telling: the newest telling wins field by field where it carries a value.

    null, blank text and empty lists and objects carry none. `git` merges by its own fields; every other value replaces
    the former as a whole.
    """
    told = {name: value for name, value in telling.items() if name != "id"}
    former, git = state.get("git"), told.get("git")
    if isinstance(git, dict):
        told["git"] = _overlaid(former if isinstance(former, dict) else {}, git)
    return _overlaid(state, told)


def _overlaid(state: Attributes, telling: Attributes) -> Attributes:
    return state | {name: value for name, value in telling.items() if _carries_value(value)}


def _carries_value(value: object) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    return value is not None and value != [] and value != {}


def amended(state: Attributes, changes: Attributes) -> Attributes:
    """The state after changes by the event's id: as `merged`, but an explicit None clears `finished_at`.

    A deployment that is marked stable (`change_failure` false) has no remediation.
    """
    attributes = merged(state, changes)
    if changes.get("finished_at", ...) is None:
        attributes.pop("finished_at", None)
    if changes.get("change_failure") is False:
        attributes.pop("remediation", None)
    return attributes


def event_moment(attributes: Attributes, name: Literal["started_at", "finished_at"]) -> datetime | None:
    """The instant (UTC) that a field tells; None where it is missing or cannot be read."""
    try:
        return instant(attributes.get(name))
    except InstantError:
        return None


def natural_key(event_type: EventType, attributes: Attributes) -> str | None:
    """A digest of (services, env, second of started_at); None where one of them cannot be read, and for deliveries.

    For a failure of a team without a service the team takes the place of the services.
    """
    if event_type == "delivery":
        return None
    services = _names(attributes.get("services") or attributes.get("service"))
    team = _names(attributes.get("team")) if event_type == "failure" and services == [] else []
    env = _names(attributes.get("env"))
    if services is None or team is None or env is None or not (services or team):
        return None
    started_at = event_moment(attributes, "started_at")
    return _digest(["key", services, team, env, int(started_at.timestamp())]) if started_at else None


def body_key(attributes: Attributes) -> str:
    """A digest of the whole body, for events without id and natural key: its retry is no second event."""
    return _digest(["body", attributes])


def _names(value: object) -> list[str] | None:
    values: list[object] = value if isinstance(value, list) else [] if value is None else [value]
    names = [name.strip() for name in values if isinstance(name, str)]
    return sorted(set(names) - {""}) if len(names) == len(values) else None


def _digest(value: object) -> str:
    return sha256(json_text(value).encode("ascii")).hexdigest()
