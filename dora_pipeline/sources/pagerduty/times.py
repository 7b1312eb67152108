"""When an incident began and when it was over.

`updated_at` says neither, and `last_status_change_at` says the end only of an incident that is resolved: that of an
acknowledged one is the acknowledgement.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dora_pipeline.timeline import NEWEST_INSTANT, OLDEST_INSTANT, InstantError, instant, moment_of

_STATES = ("trigger", "acknowledge", "unacknowledge", "resolve")


def occurred_at(incident: Mapping[str, Any]) -> datetime:
    """The instant (UTC) whose day the record of an incident belongs to: OLDEST_INSTANT where nothing tells it."""
    created = incident.get("created_at")
    try:
        return instant(created)
    except InstantError as error:
        if error.reason != "time_without_zone":
            return OLDEST_INSTANT
    # It was asked for with `time_zone=UTC`. This decides the day of the record; the failure is rejected all the same.
    moment = moment_of(str(created), UTC)
    return moment if OLDEST_INSTANT <= moment < NEWEST_INSTANT else OLDEST_INSTANT


def is_resolved(incident: Mapping[str, Any]) -> bool:
    """Whether it is over; a status that we do not know is not."""
    return incident.get("status") == "resolved"


def lacks_end(incident: Mapping[str, Any]) -> bool:
    """Whether only its log can say when it was resolved."""
    return is_resolved(incident) and not (incident.get("resolved_at") or incident.get("last_status_change_at"))


def end_of(incident: Mapping[str, Any]) -> object:
    """The end as PagerDuty wrote it; None while the incident is open, again open, or ended nobody knows when."""
    if not is_resolved(incident):
        return None
    return incident.get("resolved_at") or incident.get("last_status_change_at") or _logged_end(incident)


def _logged_end(incident: Mapping[str, Any]) -> object:
    entries = incident.get("log_entries")
    changes = []
    for entry in entries if isinstance(entries, list) else []:
        kind = entry.get("type") if isinstance(entry, dict) else None
        if isinstance(kind, str) and kind.removesuffix("_log_entry") in _STATES:
            try:
                changes.append((instant(entry.get("created_at")), kind, entry["created_at"]))
            except InstantError:
                continue
    # Newest first on the wire, and `max` keeps the first of equals.
    newest = max(changes, key=lambda change: change[0], default=None)
    return newest[2] if newest is not None and newest[1] == "resolve_log_entry" else None
