"""When an incident of Datadog's started, when it was restored, and how long it was in the state `active`.

The rules are those of Datadog's DORA Metrics: time to restore is the whole time in `active`, shown only while the
incident is stable, resolved or completed; once it was active again after being resolved, stable is not enough.
Only answers of the search hold `field_analytics`, with the spans of each state; the list and single incidents do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dora_pipeline.sources.event_rules import Unusable
from dora_pipeline.timeline import InstantError, instant

_RESOLVED = ("resolved", "completed")
_SHOWN = ("stable", *_RESOLVED)

Attributes = Mapping[str, object]


@dataclass(frozen=True)
class Restore:
    """The end (UTC) of the last time in `active`, and the seconds in `active` altogether."""

    finished_at: datetime
    seconds: float


@dataclass(frozen=True)
class _Span:
    start: datetime
    end: datetime | None


def state_of(attributes: Attributes) -> str | None:
    """The state; older answers have it among the fields only."""
    state = attributes.get("state") or _object(_object(attributes, "fields"), "state").get("value")
    return state if isinstance(state, str) else None


def start_of_incident(attributes: Attributes) -> datetime | None:
    """The first moment in `active`, else when it was declared, detected or created; None where nothing says.

    An imported incident was created long after it was declared. Raises Unusable for a time that cannot be read.
    """
    active = _spans(attributes).get("active")
    if active:
        return active[0].start
    return next(
        (moment for name in ("declared", "detected", "created") if (moment := incident_moment(attributes, name))), None
    )


def restore_of_incident(attributes: Attributes) -> Restore | None:
    """How it was restored; None while it is not, or while that is hidden.

    The seconds are those in which any span of `active` lasts, so that a span that comes twice counts once. An
    incident that was never seen active has the time from its start to its resolve. Raises Unusable.
    """
    spans = _spans(attributes)
    state = state_of(attributes)
    if state not in _SHOWN or (state == "stable" and _is_active_after_resolve(spans)):
        return None
    active = spans.get("active")
    if not active:
        return _restore_without_activity(attributes, spans)
    ended = [(span.start, _end(span, spans, attributes)) for span in active]
    finishes = [end for _, end in ended if end is not None]
    if len(finishes) < len(ended):
        return None
    seconds = _union([(start, end) for start, end in ended if end is not None]).total_seconds()
    return Restore(max(finishes), seconds)


def incident_moment(attributes: Attributes, name: str) -> datetime | None:
    """A time of the incident in UTC; None where it is missing. Raises Unusable for one that cannot be read."""
    value = attributes.get(name)
    return None if value is None or value == "" else _instant(value)


def _restore_without_activity(attributes: Attributes, spans: Mapping[str, Sequence[_Span]]) -> Restore | None:
    # An incident that was created as a resolved one has no `resolved`.
    reached = next((spans[state][-1].start for state in (*_RESOLVED, "stable") if spans.get(state)), None)
    finished_at = incident_moment(attributes, "resolved") or reached
    started_at = start_of_incident(attributes)
    if finished_at is None or started_at is None:
        return None
    return Restore(finished_at, (finished_at - started_at).total_seconds())


def _is_active_after_resolve(spans: Mapping[str, Sequence[_Span]]) -> bool:
    resolves = [span.start for state in _RESOLVED for span in spans.get(state, ())]
    active = spans.get("active", ())
    return bool(resolves and active) and active[-1].start >= max(resolves)


def _end(span: _Span, spans: Mapping[str, Sequence[_Span]], attributes: Attributes) -> datetime | None:
    """The end of a span; of one that still looks open, the start of what followed."""
    if span.end is not None:
        return span.end
    others = [other.start for state, some in spans.items() if state != "active" for other in some]
    followed = min((start for start in others if start >= span.start), default=None)
    resolved = incident_moment(attributes, "resolved")
    return followed or (resolved if resolved is not None and resolved >= span.start else None)


def _union(spans: Sequence[tuple[datetime, datetime]]) -> timedelta:
    total, reached = timedelta(0), min(start for start, _ in spans)
    for start, end in sorted(spans):
        total += max(end - max(start, reached), timedelta(0))
        reached = max(end, reached)
    return total


def _spans(attributes: Attributes) -> dict[str, list[_Span]]:
    states = _object(_object(attributes, "field_analytics"), "state")
    return {
        state: sorted((_span(one) for one in _list(_object(states, state), "spans")), key=lambda span: span.start)
        for state in states
    }


def _span(fields: object) -> _Span:
    if not isinstance(fields, Mapping):
        raise Unusable("field_type")
    start, end = _instant(fields.get("start")), fields.get("end")
    span = _Span(start, None if end is None else _instant(end))
    if span.end is not None and span.end < span.start:
        raise Unusable("finished_before_started")
    return span


def _instant(value: object) -> datetime:
    try:
        return instant(value)
    except InstantError as error:
        raise Unusable(error.reason) from error


def _object(fields: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = fields.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise Unusable("field_type")
    return value or {}


def _list(fields: Mapping[str, object], name: str) -> list[object]:
    value = fields.get(name)
    if value is not None and not isinstance(value, list):
        raise Unusable("field_type")
    return value or []
