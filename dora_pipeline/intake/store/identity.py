"""Which event a message is about, where its id does not say so: services, env and second of `started_at`.

Pure rules, those of `Identity, updates, collisions`. What does not belong here: the database.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from dora_pipeline.identifiers import version_of
from dora_pipeline.intake.store.event import Attributes, StoredType, event_moment, json_text

# The beginning of a SHA, of this length or more, is that commit.
_SHORTEST_SHA = 7
# What an id looks like that the store gives to an event without one: a random UUID without dashes.
GIVEN_ID = "[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}"


@dataclass(frozen=True)
class NaturalKey:
    """What an event without an id is known by: a digest of (services, second of started_at), and the env as sent.

    The env stands by itself, since only settings know which names of it are one.
    """

    digest: str
    env: tuple[str, ...]


def natural_key(event_type: StoredType, attributes: Attributes) -> NaturalKey | None:
    """The key of an event; None where a part of it cannot be read, and for deliveries.

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
    if started_at is None:
        return None
    return NaturalKey(_digest(["second", services, team, int(started_at.timestamp())]), tuple(env))


def canonical_key(
    event_type: StoredType, attributes: Attributes, environment: Callable[[str | None], str | None]
) -> str | None:
    """A digest of the natural key, with the env under its canonical name; None where there is no such key."""
    key = natural_key(event_type, attributes)
    # Half of the digest is sure enough, and costs half the space.
    return None if key is None else _digest(["event", key.digest, [environment(name) for name in key.env]])[:32]


def body_key(attributes: Attributes) -> str:
    """A digest of the whole body, for events without id and natural key: its retry is no second event."""
    return _digest(["body", attributes])


def refusal_key(event_id: str | None, attributes: Attributes) -> str:
    """A digest of a message that cannot be used, and of the event that it names: its retry is no second one."""
    return _digest(["refused", event_id, attributes])


def differ(one: Attributes, other: Attributes) -> bool:
    """Whether two deployments have different versions or commits. What is not known differs from nothing."""
    versions = [version_of(text) for text in (_text(one, "version"), _text(other, "version"))]
    if None not in versions and versions[0] != versions[1]:
        return True
    shas = sorted((_commit(one), _commit(other)), key=len)
    return len(shas[0]) >= _SHORTEST_SHA and not shas[1].startswith(shas[0])


def _commit(attributes: Attributes) -> str:
    git = attributes.get("git")
    return _text(git, "commit_sha").lower() if isinstance(git, dict) else ""


def _text(attributes: Attributes, name: str) -> str:
    value = attributes.get(name)
    return value.strip() if isinstance(value, str) else ""


def _names(value: object) -> list[str] | None:
    values: list[object] = value if isinstance(value, list) else [] if value is None else [value]
    names = [name.strip() for name in values if isinstance(name, str)]
    return sorted(set(names) - {""}) if len(names) == len(values) else None


def _digest(value: object) -> str:
    return sha256(json_text(value).encode("ascii")).hexdigest()
