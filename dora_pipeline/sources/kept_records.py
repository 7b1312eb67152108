"""What a day file keeps of a record: its newest version, the last that can be used, and what webhooks said of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

import polars as pl

from dora_pipeline.sources.raw import PULLED_SCHEMA
from dora_pipeline.sources.source import RecordState
from dora_pipeline.timeline import OLDEST_INSTANT

# When a record was fetched that was only ever delivered.
NEVER = OLDEST_INSTANT.isoformat()

# The bodies of deliveries by their ids.
Deliveries = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Version:
    """A record as it came at one time."""

    occurred_at: str
    fetched_at: str
    state: RecordState
    body: dict[str, Any]

    def is_like(self, other: Self) -> bool:
        """Whether both say the same, whenever they were fetched."""
        return replace(self, fetched_at=other.fetched_at) == other


@dataclass(frozen=True)
class KeptRecord:
    """A line of a day file; `usable` is the last version that can be used, where the newest one cannot."""

    newest: Version
    usable: Version | None = None
    deliveries: Deliveries = field(default_factory=dict)

    @classmethod
    def read(cls, line: str) -> tuple[str, Self]:
        """A record and its id. Raises ValueError, KeyError, TypeError or AttributeError for what is none."""
        item = json.loads(line)
        record_id, usable, deliveries = item.pop("record_id"), item.pop("usable", None), item.pop("deliveries", {})
        return record_id, cls(Version(**item), None if usable is None else Version(**usable), deliveries)

    def line(self, record_id: str) -> str:
        """The line of the file, which `read` reads."""
        item = {"record_id": record_id, **vars(self.newest)}
        if self.usable is not None:
            item["usable"] = vars(self.usable)
        if self.deliveries:
            item["deliveries"] = {name: self.deliveries[name] for name in sorted(self.deliveries)}
        return json.dumps(item, separators=(",", ":")) + "\n"

    @property
    def versions(self) -> list[Version]:
        """The versions that are kept, the newest first."""
        return [self.newest] if self.usable is None else [self.newest, self.usable]

    def closed(self, state: RecordState, fetched_at: str) -> "KeptRecord":
        """The record after its source was found not to show it any more."""
        usable = None if self.usable is None else replace(self.usable, state=state, fetched_at=fetched_at)
        return KeptRecord(replace(self.newest, state=state, fetched_at=fetched_at), usable)

    def adds_to(self, known: "KeptRecord") -> bool:
        """Whether it can change what is known of the record."""
        # An end that was in the future when it came may be past now.
        return (
            known.usable is not None
            or any(known._lacks(version) for version in self.versions)
            or {**known.deliveries, **self.deliveries} != known.deliveries
        )

    def says_the_same_as(self, other: "KeptRecord") -> bool:
        """Whether nothing differs but when the newest version was fetched."""
        return self.newest.is_like(other.newest) and replace(self, newest=other.newest) == other

    def _lacks(self, version: Version) -> bool:
        return version.fetched_at != NEVER and not any(version.is_like(own) for own in self.versions)


def pulled_frame(records: Mapping[str, tuple[Version, Deliveries]]) -> pl.DataFrame:
    """Versions of records, by id, with the columns of PULLED_SCHEMA."""
    rows = [
        (
            record_id,
            datetime.fromisoformat(version.occurred_at),
            datetime.fromisoformat(version.fetched_at),
            version.state,
            json.dumps({**version.body, "deliveries": list(deliveries.values())} if deliveries else version.body),
        )
        for record_id, (version, deliveries) in records.items()
    ]
    return pl.DataFrame(rows, schema=PULLED_SCHEMA, orient="row")
