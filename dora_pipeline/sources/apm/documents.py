"""JSON values of an export, told apart by their shape.

A sighting is an object of its own. Datadog's answers hold many: pages of spans, answers to metric queries by env,
version and service (v1 `series`, v2 `timeseries`), and lists of DORA deployments. Any of them may stand in an array.
What does not belong here: whether the fields of a record can be used.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dora_pipeline.sources.apm.chunks import NAMES
from dora_pipeline.sources.apm.faults import Fault

_UNKNOWN_SHAPE = "shape_unknown"
# What Datadog shows in place of a tag that the points of a group do not have.
_NO_TAG = "N/A"


@dataclass(frozen=True)
class Told:
    """A ready deployment event as told, and where."""

    place: str
    item: Mapping[str, object]


Sighting = Mapping[str, object]


def entries(value: Any, place: str) -> Iterator[Sighting | Told | Fault]:
    """The sightings (under the names of `chunks.TEXTS`, `timestamp` and `hits`) and deployment events of a value."""
    match value:
        case list():
            for number, item in enumerate(value, start=1):
                yield from entries(item, f"{place}, item {number}")
        case {"timestamp": _} | {"service": _} | {"version": _}:
            yield _sighting(value)
        case {"data": list(items)}:
            for number, item in enumerate(items, start=1):
                yield from _item(item, f"{place}, item {number}")
        case {"data": {"attributes": {"series": list(), "times": list(), "values": list()} as answer}}:
            yield from _timeseries(answer, place)
        case {"data": dict(item)}:
            yield from _item(item, place)
        case {"series": list(series)}:
            yield from _series(series, place)
        case {"type": str(), "attributes": dict()}:
            yield from _item(value, place)
        case {"errors": list()}:
            yield Fault(place, _UNKNOWN_SHAPE, value)
        case dict():
            yield _sighting(value)
        case _:
            yield Fault(place, "line_unreadable", value)


def _item(item: Any, place: str) -> Iterator[Sighting | Told | Fault]:
    match item:
        case {"type": "span" | "spans", "attributes": dict(attributes)}:
            yield _span(attributes)
        case {"type": "dora_deployment", "attributes": dict()}:
            yield Told(place, item)
        case _:
            yield Fault(place, _UNKNOWN_SHAPE, item)


def _sighting(record: Mapping[str, object]) -> Sighting:
    told: dict[str, object] = {"timestamp": record.get("timestamp"), "hits": record.get("hits")}
    return told | {name: _first(record, names) for name, names in NAMES.items()}


def _span(attributes: Mapping[str, object]) -> Sighting:
    custom = attributes.get("custom")
    tags = _tags(attributes.get("tags"))
    places = (attributes, custom if isinstance(custom, dict) else {}, tags)
    told: dict[str, object] = {"timestamp": attributes.get("start_timestamp"), "hits": None}
    for name, names in NAMES.items():
        told[name] = next((value for fields in places if (value := _first(fields, names)) is not None), None)
    return told


def _timeseries(answer: Mapping[str, object], place: str) -> Iterator[Sighting | Fault]:
    series, times, values = (answer[name] for name in ("series", "times", "values"))
    if not (isinstance(series, list) and isinstance(times, list) and isinstance(values, list)):
        return
    for number, group in enumerate(series):
        points = values[number] if number < len(values) else None
        if not isinstance(group, dict) or not isinstance(points, list) or len(points) != len(times):
            yield Fault(f"{place}, series {number + 1}", _UNKNOWN_SHAPE, group)
        else:
            yield from _points(_tags(group.get("group_tags")), times, points)


def _series(series: Sequence[Any], place: str) -> Iterator[Sighting | Fault]:
    for number, group in enumerate(series, start=1):
        match group:
            case {"pointlist": list(points)} if all(isinstance(point, list) and len(point) == 2 for point in points):
                scope = group.get("scope")
                tags = _tags(group.get("tag_set")) or _tags(scope.split(",") if isinstance(scope, str) else None)
                yield from _points(tags, [point[0] for point in points], [point[1] for point in points])
            case _:
                yield Fault(f"{place}, series {number}", _UNKNOWN_SHAPE, group)


def _points(tags: Mapping[str, object], times: Sequence[object], values: Sequence[object]) -> Iterator[Sighting]:
    shared = {name: _first(tags, names) for name, names in NAMES.items()}
    for time, value in zip(times, values, strict=True):
        is_none = value is None or (isinstance(value, int | float) and value <= 0)
        yield {"timestamp": time, "hits": 0 if is_none else value, **shared}


def _tags(tags: object) -> dict[str, object]:
    found: dict[str, object] = {}
    for tag in tags if isinstance(tags, list) else []:
        key, separator, value = str(tag).partition(":")
        if separator and value != _NO_TAG:
            found.setdefault(key.strip(), value)
    return found


def _first(fields: Mapping[str, object], names: Sequence[str]) -> object:
    for name in names:
        value = fields.get(name)
        if value is None and "." in name:
            value = _nested(fields, name.split("."))
        if value is not None:
            return value
    return None


def _nested(fields: object, path: Sequence[str]) -> object:
    """The value at a path of keys, of which several may stand as one dotted key: git: {commit.sha: …}."""
    if not path:
        return fields
    if not isinstance(fields, dict):
        return None
    for size in range(1, len(path) + 1):
        value = _nested(fields.get(".".join(path[:size])), path[size:])
        if value is not None:
            return value
    return None
