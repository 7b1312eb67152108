"""What could not be read of a file: lines, items, or the rest of it. Bounded, so that a broken file stays cheap."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dora_pipeline.identifiers import without_credentials

MOST_ROWS = 1_000
MOST_TEXT = 2_000
MOST_PAYLOAD = 20_000

# Where a record stands in its file, from 1: `(("line", 3), ("item", 2))`; empty for the file itself.
Place = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Fault:
    """A record that is rejected: its name in the file, one word why, and what people are shown of it."""

    record: str
    reason: str
    shown: Mapping[str, object]
    service: str | None = None
    env: str | None = None
    team: str | None = None
    occurred_at: datetime | None = None
    # More than one where it stands for others of its kind.
    records: int = 1


class Damaged(Exception):
    """The file as a whole cannot be trusted, so that nothing of it is taken; `fault` says why."""

    def __init__(self, error: object, reason: str = "file_unreadable", **shown: object) -> None:
        super().__init__(str(error))
        self.fault = fault_at((), reason, error=str(error), **shown)


@dataclass
class Faults:
    """The faults of a file in the order of their places; after the first MOST_ROWS they are only counted."""

    rows: list[Fault] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, fault: Fault) -> None:
        """Keep or count a fault."""
        if len(self.rows) < MOST_ROWS:
            self.rows.append(fault)
        else:
            self.left_out[fault.reason] += 1

    def join(self, later: "Faults") -> None:
        """Keep or count the faults of a later part."""
        for fault in later.rows:
            self.add(fault)
        self.left_out.update(later.left_out)

    def all(self) -> list[Fault]:
        """The kept faults, and one for the others of each reason."""
        return self.rows + [
            Fault(f"{reason}/others", reason, {}, records=count) for reason, count in sorted(self.left_out.items())
        ]

    def __len__(self) -> int:
        return len(self.rows) + self.left_out.total()


def fault_at(place: Place, reason: str, **shown: object) -> Fault:
    """The fault of a record that stands at a place."""
    return Fault(place_text(place), reason, dict(place) | shown)


def place_text(place: Place) -> str:
    """A place in words, as `line 3, item 2`; `file` for the file itself."""
    return ", ".join(f"{word} {number}" for word, number in place) or "file"


def missing_columns(place: Place, missing: Iterable[str], found: Iterable[str]) -> Fault:
    """The fault of a table that cannot hold sightings."""
    return fault_at(place, "column_missing", missing=list(missing), found=list(found))


def json_payload(shown: Mapping[str, object]) -> str:
    """JSON text of an object without credentials, its texts cut to MOST_TEXT characters.

    Where it has more than MOST_PAYLOAD characters all the same, its `record` is the first of them as text.
    """
    whole = _json(shown)
    if len(whole) <= MOST_PAYLOAD:
        return whole
    return _json({**shown, "record": _json(shown.get("record"))})


def _json(value: object) -> str:
    return json.dumps(_shown(value), ensure_ascii=False, default=str)


def _shown(value: object) -> object:
    match value:
        case str():
            whole = value.encode("utf-8", "replace").decode()
            return without_credentials(whole[: MOST_TEXT * 2])[:MOST_TEXT]
        case bytes():
            return _shown(value[: MOST_TEXT * 2].decode("utf-8", "replace"))
        case dict():
            return {str(_shown(str(key))): _shown(inner) for key, inner in value.items()}
        case list():
            return [_shown(inner) for inner in value]
        case float() if value != value or value in (float("inf"), float("-inf")):
            return str(value)
    return value
