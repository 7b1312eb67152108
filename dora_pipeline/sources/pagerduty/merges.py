"""Incidents that were merged into others: one failure, from the earliest start."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dora_pipeline.sources.pagerduty.times import is_resolved


def merge_target(incident: Mapping[str, Any]) -> str | None:
    """The id of the incident that this one was merged into; None for an incident of its own."""
    reason = incident.get("resolve_reason") if is_resolved(incident) else None
    # Older answers hold free text.
    if not isinstance(reason, dict) or reason.get("type") != "merge_resolve_reason":
        return None
    target = reason.get("incident")
    target_id = target.get("id") if isinstance(target, dict) else None
    return target_id if isinstance(target_id, str) else None


class Merges:
    """Which incidents went into which, for some incidents by id."""

    def __init__(self, incidents: Mapping[str, Mapping[str, Any]], starts: Mapping[str, datetime]) -> None:
        self._targets = {
            name: target for name, incident in incidents.items() if (target := merge_target(incident)) is not None
        }
        self._known = incidents.keys()
        self._earliest: dict[str, datetime] = {}
        for name, start in starts.items():
            owner = self.owner(name)
            self._earliest[owner] = min(start, self._earliest.get(owner, start))

    def owner(self, name: str) -> str:
        """The incident that stands for this one: itself, or the end of its merges."""
        passed = {name}
        while (target := self._targets.get(name)) is not None:
            if target in passed:
                return min(passed)
            passed.add(target)
            name = target
        return name

    def is_counted_elsewhere(self, name: str) -> bool:
        """Whether another of these incidents stands for it."""
        owner = self.owner(name)
        return owner != name and owner in self._known

    def is_orphan(self, name: str) -> bool:
        """Whether it was merged into an incident that is not among these."""
        return self.owner(name) not in self._known

    def earliest_start(self, name: str) -> datetime | None:
        """The first start of the incident and of all that were merged into it; None where none can be read."""
        return self._earliest.get(name)
