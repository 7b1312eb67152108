"""When an incident of a status page began, and when it was over."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dora_pipeline.timeline import OLDEST_INSTANT, InstantError, instant

# `postmortem` is a report on what is over; the others are those of maintenance that was put among the incidents.
_OVER = ("resolved", "postmortem", "completed")

Incident = Mapping[str, Any]


def readable_moment(fields: Incident, name: str) -> datetime | None:
    """A time in UTC; None where it is missing or cannot be read."""
    try:
        return instant(fields.get(name))
    except InstantError:
        return None


def written_start(incident: Incident) -> object:
    """The start as the page wrote it: `created_at` of a backdated incident is later; older pages have no other."""
    return incident.get("started_at") or incident.get("created_at")


def began_at(incident: Incident) -> datetime:
    """The instant (UTC) whose day the record belongs to: OLDEST_INSTANT where nothing says it."""
    return readable_moment({"start": written_start(incident)}, "start") or OLDEST_INSTANT


def is_over(incident: Incident) -> bool:
    """Whether it is resolved; monitoring is not, nor is a status that we do not know."""
    return incident.get("status") in _OVER


def written_end(incident: Incident) -> object:
    """The end as the page wrote it; None while it is open, or ended nobody knows when.

    One that is resolved without `resolved_at` ended with its last update that says so.
    """
    if not is_over(incident):
        return None
    return incident.get("resolved_at") or _announced_end(incident)


def _announced_end(incident: Incident) -> object:
    ends = []
    for update in updates_of(incident):
        written = update.get("display_at") or update.get("created_at")
        moment = readable_moment({"end": written}, "end")
        if moment is not None and update.get("status") in ("resolved", "completed"):
            ends.append((moment, written))
    return max(ends, key=lambda end: end[0])[1] if ends else None


def updates_of(incident: Incident) -> list[Incident]:
    """What the page announced of an incident."""
    updates = incident.get("incident_updates")
    return [update for update in updates if isinstance(update, Mapping)] if isinstance(updates, list) else []
