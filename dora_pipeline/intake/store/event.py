"""An event as the store keeps it, and what one more message makes of its fields.

What does not belong here: which event is meant (`identity`), the database, and judging whether an event is whole
enough to be used (the normalizers of `sources/` do that later).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

from dora_pipeline.identifiers import COMMIT_SHA, version_of, without_credentials
from dora_pipeline.json_values import TooDeep, is_deeper, json_value
from dora_pipeline.timeline import FUTURE_TOLERANCE, InstantError, instant

StoredType = Literal["deployment", "failure", "delivery"]
Attributes = dict[str, Any]

LONGEST_ID = 256
DEEPEST_JSON = 100
# Made once: `json.dumps` makes one each time.
_SORTED = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_AS_SENT = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_TOO_DEEP = f"the JSON is nested too deeply; {DEEPEST_JSON} levels are kept"


@dataclass(frozen=True)
class SentEvent:
    """What is sent: the event's own id, if it has one, and the moment of receipt, if that is not now.

    `text` is the JSON of the body.
    """

    event_type: StoredType
    event_id: str | None
    body: Attributes
    text: str
    received_at: datetime | None = None

    @classmethod
    def of(
        cls,
        event_type: StoredType,
        attributes: Mapping[str, Any],
        event_id: str | None = None,
        received_at: datetime | None = None,
    ) -> Self:
        """A message that the store can keep. Raises ValueError for what is not JSON and for a naive time."""
        own_id = usable_id(event_id) or usable_id(attributes.get("id"))
        moment = None if received_at is None else instant(received_at)
        return cls(event_type, own_id, *_stored(attributes), moment)


@dataclass(frozen=True)
class History:
    """When what is known of an event was sent, in sequences of the store.

    `older` has the newest message of each field that the newest change did not bring, by the names of `flat`, and of
    each that was taken back; `deleted` is the last deletion. `times` has the receipt (ISO 8601, UTC) of each of these
    but the newest change, by the sequence as text; what older programs wrote has none.
    """

    older: Mapping[str, int] = field(default_factory=dict)
    deleted: int | None = None
    times: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredEvent:
    """One event with everything sent about it so far, or a message that could not be used.

    `sequence` grows with every change of any event of the store and is unique; `received_at` and `changed_at` (UTC,
    microseconds) are the first message, but for those before it that could not be used, and the newest; `attributes`
    are in the words of Datadog's wire, without `id`. Those of a delivery are `env` and, as it came, the `event` of
    PagerDuty's webhook. `is_named` is False while only the store gave it an id; that id stays in `former_id` once it
    has one of its own. A message that could not be used says why in `refusal`.
    """

    sequence: int
    event_type: StoredType
    event_id: str
    received_at: datetime
    changed_at: datetime
    is_deleted: bool
    attributes: Attributes
    is_named: bool = True
    former_id: str | None = None
    history: History = field(default_factory=History)
    refusal: str | None = None


def stored_event(row: Mapping[Any, Any]) -> StoredEvent:
    """The event of a row of the store's table of events, or of one with the same names."""
    return StoredEvent(
        sequence=row["sequence"],
        event_type=row["event_type"],
        event_id=row["event_id"],
        received_at=row["received_at"],
        changed_at=row["changed_at"],
        is_deleted=row["is_deleted"],
        attributes=json.loads(row["attributes"]),
        is_named=row["is_named"],
        former_id=row["former_id"],
        history=History(**json.loads(row["history"] or "{}")),
        refusal=row["refusal"],
    )


def json_text(value: object) -> str:
    """One text for equal values: sorted keys, ASCII only, whole numbers of any size exact.

    Raises ValueError for NaN and infinities, which JSON does not have.
    """
    return _SORTED(value)


def storable(message: Mapping[str, Any]) -> Attributes:
    """A copy of a message without the credentials of its URLs.

    Raises ValueError for what is not JSON, and for JSON that is nested more than 100 deep.
    """
    return _stored(message)[0]


def _stored(message: Mapping[str, Any]) -> tuple[Attributes, str]:
    """As `storable`, and the JSON of the copy."""
    try:
        sent = message_text(dict(message))
        text = without_credentials(sent)
        copy: Attributes = json_value(text)
    except (RecursionError, TooDeep):
        raise ValueError(_TOO_DEEP) from None
    if is_deeper(text, copy, DEEPEST_JSON):
        raise ValueError(_TOO_DEEP)
    # Without credentials two names may be one.
    return copy, text if text == sent else message_text(copy)


def message_text(message: Attributes) -> str:
    """The JSON of a message, in ASCII, its fields as they came. Raises ValueError as `json_text` does."""
    return _AS_SENT(message)


def usable_id(value: object) -> str | None:
    """The id that a value holds: 1 to 256 printable characters after trimming; None for all else."""
    text = value.strip() if isinstance(value, str) else ""
    return text if 0 < len(text) <= LONGEST_ID and text.isprintable() else None


def merged(state: Attributes, message: Attributes) -> Attributes:
    """The state after a message: the newest message wins field by field where it carries a value.

    null, blank text, empty lists and objects, and versions that say that there is none carry none. `git` merges by its
    own fields; every other value replaces the former as a whole.
    """
    sent = {name: value for name, value in message.items() if name != "id"}
    former, git = state.get("git"), sent.get("git")
    if isinstance(git, dict):
        sent["git"] = _overlaid(former if isinstance(former, dict) else {}, git)
    return _overlaid(state, sent)


def _overlaid(state: Attributes, message: Attributes) -> Attributes:
    return state | {name: value for name, value in message.items() if _carries_value(name, value)}


def _carries_value(name: str, value: object) -> bool:
    if isinstance(value, str):
        return bool(version_of(value) if name == "version" else value.strip())
    return value is not None and value != [] and value != {}


def flat(attributes: Attributes) -> Attributes:
    """The fields that merge by themselves: those of `git` under names such as `git.commit_sha`."""
    git = attributes.get("git")
    if not isinstance(git, dict):
        return attributes
    rest = {name: value for name, value in attributes.items() if name != "git"}
    return rest | {f"git.{name}": value for name, value in git.items()}


def nested(fields: Attributes) -> Attributes:
    """The attributes that `flat` made these fields of."""
    git = {name.removeprefix("git."): value for name, value in fields.items() if name.startswith("git.")}
    rest = {name: value for name, value in fields.items() if not name.startswith("git.")}
    return rest | {"git": git} if git else rest


def sequences_of(event: StoredEvent) -> dict[str, int]:
    """The newest message of each field of an event, by the names of `flat`; of each that was taken back, too."""
    return dict.fromkeys(flat(event.attributes), event.sequence) | dict(event.history.older)


def history_after(
    before: StoredEvent, known: Mapping[str, int], body: Attributes, attributes: Attributes, sequence: int
) -> History:
    """When the fields of an event were sent, after a change with this sequence; `known` is that of what still stood."""
    fields = flat(attributes)
    named = {
        *flat(merged({}, body)),
        *(name for name in known if name in flat(before.attributes) and name not in fields),
    }
    if body.get("finished_at", ...) is None and "finished_at" not in fields:
        named.add("finished_at")
    sequences = {**known, **dict.fromkeys(named, sequence)}
    older = {name: when for name, when in sequences.items() if when != sequence or name not in fields}
    deleted = [] if before.history.deleted is None else [before.history.deleted]
    former = {*older.values(), *deleted} - {sequence}
    times = {str(when): received_in(before, when).isoformat() for when in sorted(former)}
    return History(older, before.history.deleted, times)


def received_in(event: StoredEvent, sequence: int) -> datetime:
    """When the change of an event with this sequence was received; its first receipt where that is not known."""
    if sequence == event.sequence:
        return event.changed_at
    known = event.history.times.get(str(sequence))
    return event.received_at if known is None else datetime.fromisoformat(known)


def trouble(message: Attributes, state: Attributes, received_at: datetime) -> str | None:
    """Why a message, which would make `state` of an event, can never be used; None where it can.

    The word is that of `core.rejected_events`. What is only missing may still be sent.
    """
    moments = []
    for name in ("started_at", "finished_at"):
        if _carries_value(name, message.get(name)):
            try:
                moments.append(instant(message[name]))
            except InstantError as error:
                return error.reason
    git = message.get("git")
    sha = git.get("commit_sha") if isinstance(git, dict) else None
    if isinstance(sha, str) and sha.strip() and not re.fullmatch(COMMIT_SHA, sha.strip()):
        return "field_type"
    started_at, finished_at = event_moment(state, "started_at"), event_moment(state, "finished_at")
    if started_at and finished_at and finished_at < started_at:
        return "finished_before_started"
    return "time_in_future" if any(moment > received_at + FUTURE_TOLERANCE for moment in moments) else None


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
    """The instant (UTC) that a field holds; None where it is missing or cannot be read."""
    try:
        return instant(attributes.get(name))
    except InstantError:
        return None
