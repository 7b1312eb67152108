"""What could not be read of a file: lines, items, or the rest of it. Bounded, so that a broken file stays cheap."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from dora_pipeline.identifiers import without_credentials

MOST_ROWS = 1_000
MOST_TEXT = 2_000


@dataclass(frozen=True)
class Fault:
    """A record that is rejected: where it stands, one word why, and what was told."""

    record: str
    reason: str
    told: object
    service: str | None = None
    occurred_at: datetime | None = None


@dataclass
class Faults:
    """The faults of a file in the order of their places; after the first MOST_ROWS they are only counted."""

    rows: list[Fault] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    records: int = 0

    def add(self, fault: Fault, records: int = 1) -> None:
        """Keeps or counts a fault. `records` is 0 for one that is no record, such as the end of a cut file."""
        self.records += records
        if len(self.rows) < MOST_ROWS:
            self.rows.append(fault)
        else:
            self.left_out[fault.reason] += 1

    def all(self) -> list[Fault]:
        """The kept faults, and one for the others of each reason."""
        return self.rows + [
            Fault(f"{reason}/others", reason, {"records": count}) for reason, count in sorted(self.left_out.items())
        ]


def missing_columns(missing: Iterable[str], found: Iterable[str]) -> Fault:
    """The fault of a table that cannot hold sightings."""
    return Fault("header", "column_missing", {"missing": list(missing), "found": list(found)})


def json_payload(told: object) -> str:
    """JSON text of a value, without credentials, its texts cut to MOST_TEXT characters."""
    return json.dumps(_shown(told), ensure_ascii=False, default=str)


def _shown(value: object) -> object:
    match value:
        case str():
            whole = value.encode("utf-8", "replace").decode()
            return without_credentials(whole[: MOST_TEXT * 2])[:MOST_TEXT]
        case dict():
            return {str(key)[:MOST_TEXT]: _shown(inner) for key, inner in value.items()}
        case list():
            return [_shown(inner) for inner in value]
        case float() if value != value or value in (float("inf"), float("-inf")):
            return str(value)
    return value
