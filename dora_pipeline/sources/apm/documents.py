"""JSON values of an export, known by their shape.

A sighting is an object of its own. Datadog's answers hold many: pages of spans, answers to metric queries by env,
version and service (v1 `series`, v2 `timeseries`), and lists of DORA deployments. Any of them may stand in an array.
What does not belong here: whether the fields of a record can be used.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dora_pipeline.sources.apm.chunks import FORGIVEN, NAMES, Sighting
from dora_pipeline.sources.apm.faults import Fault, Place, fault_at

_UNKNOWN_SHAPE = "shape_unknown"
# What Datadog shows in place of a tag that the points of a group do not have.
_NO_TAG = "N/A"


@dataclass(frozen=True)
class ReadyEvent:
    """A ready deployment event as it came, and where."""

    place: Place
    item: Mapping[str, object]


def entries(value: Any, place: Place) -> Iterator[Sighting | ReadyEvent | Fault]:
    """The sightings and deployment events of a value."""
    match value:
        case list():
            for number, item in enumerate(value, start=1):
                yield from entries(item, (*place, ("item", number)))
        case {"timestamp": _} | {"service": _} | {"version": _}:
            yield _sighting(value, place)
        case {"data": list(items)}:
            for number, item in enumerate(items, start=1):
                yield from _item(item, (*place, ("item", number)))
        case {"data": {"attributes": {"series": list(), "times": list(), "values": list()} as answer}}:
            yield from _timeseries(answer, place)
        case {"data": dict(item)}:
            yield from _item(item, place)
        case {"series": list(series)}:
            yield from _series(series, place)
        case {"type": str(), "attributes": dict()}:
            yield from _item(value, place)
        case {"errors": list()}:
            yield fault_at(place, _UNKNOWN_SHAPE, record=value)
        case dict():
            yield _sighting(value, place)
        case _:
            yield fault_at(place, "line_unreadable", record=value)


def _item(item: Any, place: Place) -> Iterator[Sighting | ReadyEvent | Fault]:
    match item:
        case {"type": "span" | "spans", "attributes": dict(attributes)}:
            yield Sighting(place, _span(attributes), item)
        case {"type": "dora_deployment", "attributes": dict()}:
            yield ReadyEvent(place, item)
        case _:
            yield fault_at(place, _UNKNOWN_SHAPE, record=item)


def _sighting(record: Mapping[str, object], place: Place) -> Sighting:
    fields: dict[str, object] = {"timestamp": record.get("timestamp"), "hits": record.get("hits")}
    return Sighting(place, fields | {name: _first(record, name) for name in NAMES}, record)


def _span(attributes: Mapping[str, object]) -> Mapping[str, object]:
    custom = attributes.get("custom")
    tags = _tags(attributes.get("tags"))
    places = (attributes, custom if isinstance(custom, dict) else {}, tags)
    fields: dict[str, object] = {"timestamp": attributes.get("start_timestamp"), "hits": None}
    for name in NAMES:
        fields[name] = next((value for place in places if (value := _first(place, name)) is not None), None)
    return fields


def _timeseries(answer: Mapping[str, object], place: Place) -> Iterator[Sighting | Fault]:
    series, times, values = (answer[name] for name in ("series", "times", "values"))
    if not (isinstance(series, list) and isinstance(times, list) and isinstance(values, list)):
        return
    for number, group in enumerate(series):
        points = values[number] if number < len(values) else None
        here = (*place, ("series", number + 1))
        if not isinstance(group, dict) or not isinstance(points, list) or len(points) != len(times):
            yield fault_at(here, _UNKNOWN_SHAPE, record=group)
        else:
            tags = group.get("group_tags")
            yield from _points(_tags(tags), zip(times, points, strict=True), here, tags)


def _series(series: Sequence[Any], place: Place) -> Iterator[Sighting | Fault]:
    for number, group in enumerate(series, start=1):
        here = (*place, ("series", number))
        match group:
            case {"pointlist": list(points)} if all(isinstance(point, list) and len(point) == 2 for point in points):
                scope = group.get("scope")
                tags = _tags(group.get("tag_set")) or _tags(scope.split(",") if isinstance(scope, str) else None)
                yield from _points(tags, points, here, group.get("tag_set") or scope)
            case _:
                yield fault_at(here, _UNKNOWN_SHAPE, record=group)


def _points(
    tags: Mapping[str, object], points: Iterable[Sequence[object]], place: Place, shown: object
) -> Iterator[Sighting]:
    shared = {name: _first(tags, name) for name in NAMES}
    for number, (time, value) in enumerate(points, start=1):
        is_none = value is None or (isinstance(value, int | float) and value <= 0)
        fields = {"timestamp": time, "hits": 0 if is_none else value, **shared}
        yield Sighting((*place, ("point", number)), fields, {"tags": shown, "time": time, "value": value})


def _tags(tags: object) -> dict[str, object]:
    found: dict[str, object] = {}
    for tag in tags if isinstance(tags, list) else []:
        key, separator, value = str(tag).partition(":")
        if separator and value != _NO_TAG:
            found.setdefault(key.strip(), value)
    return found


def _first(fields: Mapping[str, object], name: str) -> object:
    """The value of a text field; where it has several names, the first that is a text which is not empty."""
    if name not in FORGIVEN:
        return fields.get(name)
    values = (value for key in NAMES[name] for value in _at(fields, key.split(".")))
    return next((value for value in values if isinstance(value, str) and value), None)


def _at(fields: object, path: Sequence[str]) -> Iterator[object]:
    """The values at a path of keys, of which several may stand as one dotted key: git: {commit.sha: …}."""
    if not path:
        yield fields
    elif isinstance(fields, dict):
        for size in range(len(path), 0, -1):
            yield from _at(fields.get(".".join(path[:size])), path[size:])
