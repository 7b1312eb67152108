"""Which records are of one event, worked out slowly and plainly: by the intake's store, and then over all doors."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Values = Mapping[str, Any]
# When it was received, and what decides between two of one moment.
Receipt = tuple[datetime, str]


@dataclass(frozen=True)
class Record:
    """What one door holds of an event: `values` has each field with its receipt. Unnamed ones have a made-up name."""

    name: str
    is_named: bool
    received_at: datetime
    values: Mapping[str, tuple[Receipt, Any]]

    @classmethod
    def of(cls, name: str, is_named: bool, received_at: datetime, receipt: Receipt, values: Values) -> "Record":
        """A record that was received at once."""
        carried = {field: (receipt, value) for field, value in values.items() if value is not None}
        return cls(name, is_named, received_at, carried)


@dataclass(frozen=True)
class Event:
    """An event, from all of its records."""

    name: str
    received_at: datetime
    values: Values


def merged(records: Iterable[Record]) -> dict[str, Any]:
    """Of each field the value that was received last."""
    newest: dict[str, tuple[Receipt, Any]] = {}
    for record in records:
        for field, told in record.values.items():
            newest[field] = max(told, newest.get(field, told), key=lambda one: one[0])
    return {field: value for field, (_, value) in newest.items()}


def differ(one: Values, other: Values) -> bool:
    """Whether two deployments are two by version or commit; the beginning of a SHA, of 7 or more, is that commit."""
    versions = {values["version"] for values in (one, other) if "version" in values}
    commits = [values["commit"] for values in (one, other) if "commit" in values]
    if len(versions) > 1:
        return True
    return len(commits) == 2 and not (commits[0].startswith(commits[1]) or commits[1].startswith(commits[0]))


def stored(
    told: Iterable[tuple[str | None, str, datetime, Values]], is_two: Callable[[Values, Values], bool]
) -> list[Record]:
    """What the intake's store makes of what it is told, in order; it knows no aliases of environments.

    `told` has own id, the id that the store would make up, receipt and values.
    """
    events: list[Record] = []
    for number, (own, made_up, at, values) in enumerate(told):
        news = Record.of(own or made_up, own is not None, at, (at, f"{number:04}"), values)
        known = next((event for event in events if own is not None and event.name == own), None)
        if known is None:
            alike = [event for event in events if _key(merged([event]), str) == _key(merged([news]), str)]
            if own is not None:
                alike = [event for event in alike if not event.is_named]
            alike = [
                event
                for event in alike
                if event.is_named == news.is_named or not is_two(merged([event]), merged([news]))
            ]
            known = min(alike, key=lambda event: (event.is_named, event.received_at), default=None)
        if known is None:
            events.append(news)
            continue
        name = own if own is not None and not known.is_named else known.name
        events[events.index(known)] = Record(
            name, known.is_named or news.is_named, known.received_at, {**known.values, **news.values}
        )
    return events


def united(
    records: Sequence[Record], canonical: Callable[[Any], Any], is_two: Callable[[Values, Values], bool]
) -> list[Event]:
    """The events that records of one source are of, whichever door they came through."""
    by_name: dict[str, list[Record]] = {}
    for record in records:
        by_name.setdefault(record.name, []).append(record)
    by_key: dict[Any, list[list[Record]]] = {}
    for event in by_name.values():
        by_key.setdefault(_key(merged(event), canonical), []).append(event)
    found: list[list[Record]] = []
    for group in by_key.values():
        named = sorted(
            (event for event in group if event[0].is_named), key=lambda one: (_received_at(one), one[0].name)
        )
        unnamed = sorted(
            (one for event in group if not event[0].is_named for one in event), key=lambda one: one.received_at
        )
        mate = next((event for event in named if unnamed and not is_two(merged(unnamed), merged(event))), [])
        found += [event for event in named if event is not mate]
        found += [[*mate, *unnamed]] if unnamed else []
    return [Event(event[0].name, _received_at(event), merged(event)) for event in found]


def _received_at(event: Sequence[Record]) -> datetime:
    return min(record.received_at for record in event)


def _key(values: Values, canonical: Callable[[Any], Any]) -> Any:
    return tuple(values["services"]), canonical(values["env"]), values["started_at"].replace(microsecond=0)


def in_their_seconds(events: Iterable[Event]) -> tuple[list[tuple[Event, str]], list[tuple[Event, str]]]:
    """Events by service: those that stay, and those in a second of one that was received before."""
    taken: set[tuple[str, datetime]] = set()
    stay: list[tuple[Event, str]] = []
    collide: list[tuple[Event, str]] = []
    for event in sorted(events, key=lambda event: (event.received_at, event.name)):
        for service in event.values["services"]:
            second = (service, event.values["started_at"].replace(microsecond=0))
            (collide if second in taken else stay).append((event, service))
            taken.add(second)
    return stay, collide
