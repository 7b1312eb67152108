"""What is known of one event, as plain values, and how it is said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dora_pipeline.identifiers import EventType

Row = Mapping[str, Any]

WAYS = {
    "mark": "it was marked so",
    "rollback": "a rollback left it behind",
    "revert": "a later deployment reverted a commit of it",
    "rule": "a rule of the settings says so",
}
LINK_RULES = {
    "deployment_id": "a tag of the failure names it",
    "commit": "the failure names its commit",
    "version": "the failure names its version",
    "latest": "the latest before the failure",
    "team": "the latest of the team before the failure",
}


@dataclass(frozen=True)
class EventDetails:
    """The rows of each table of the page of an event, by the table's name; `event_type` names the event's own."""

    event_type: EventType
    event_id: str
    tables: Mapping[str, Sequence[Row]]

    @property
    def event(self) -> Row:
        """The event; of a failure the row of its first service."""
        return self.tables[self.event_type][0]

    def part(self, table: str, part: str) -> list[Row]:
        """The rows of one part of a table."""
        return [row for row in self.tables[table] if row["part"] == part]
