"""What a search asks of an event: values by their keys, with wildcards, joined by and, or and not; what fulfils it.

A condition answers in full in Python (`matches`), and coarsely in SQL (`prefilter`), so that most of the others
are never read. What does not belong here: the syntax of queries.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import islice
from time import monotonic, sleep
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, or_, select

from dora_pipeline.identifiers import repository_id
from dora_pipeline.intake.store import event_tables
from dora_pipeline.intake.store.database import SearchTooLong, limited
from dora_pipeline.intake.store.event import StoredEvent, StoredType, json_text, stored_event, usable_id

_TEXTS = {
    "service": ("service", "services"),
    "services": ("service", "services"),
    "env": ("env",),
    "team": ("team",),
    "version": ("version",),
    "severity": ("severity",),
    "name": ("name",),
}
_COMMIT = ("commit_sha", "git.commit_sha")
_REPOSITORY = ("repository_id", "git.repository_id", "git.repository_url")
_MOST_PREFILTERS = 8
_LONGEST_NEEDLE = 1_000
_ROWS_AT_ONCE = 100
# Between the rows that a search reads at once: a search that only computes would leave the writer little of a core.
_PAUSE_SECONDS = 0.001


class Condition(Protocol):
    """Something that an event fulfils or not."""

    def matches(self, event: StoredEvent) -> bool: ...

    def prefilter(self) -> ColumnElement[bool] | None:
        """SQL that is true for every event that matches; None where there is none that helps."""


class Wildcard(Enum):
    """`*` stands for any text, also none; `?` for one character."""

    MANY = "*"
    ONE = "?"


Pattern = tuple[str | Wildcard, ...]


@dataclass(frozen=True)
class Everything:
    """True of every event."""

    def matches(self, event: StoredEvent) -> bool:
        return True

    def prefilter(self) -> ColumnElement[bool] | None:
        return None


@dataclass(frozen=True)
class Term:
    """One of the values of a key is like the pattern. Values are trimmed and compared case-sensitively, but commits."""

    key: str
    pattern: Pattern

    def matches(self, event: StoredEvent) -> bool:
        return any(self._expression.fullmatch(value) for value in _values(event, self.key))

    def prefilter(self) -> ColumnElement[bool] | None:
        columns = event_tables.events.c
        texts = [piece for piece in self.pattern if isinstance(piece, str)]
        if self.key == "id":
            is_whole = len(self.pattern) == 1 and texts and usable_id(texts[0]) == texts[0]
            return or_(columns.event_id == texts[0], columns.former_id == texts[0]) if is_whole else None
        needle = max((json_text(text)[1:-1] for text in texts), key=len, default="")
        if self.key in _REPOSITORY or not 0 < len(needle) <= _LONGEST_NEEDLE:
            return None
        holds = columns.attributes.icontains if self.key in _COMMIT else columns.attributes.contains
        return holds(needle, autoescape=True)

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        pattern = self.pattern
        if self.key in _COMMIT or self.key in _REPOSITORY:
            pattern = tuple(piece.lower() if isinstance(piece, str) else piece for piece in pattern)
        if self.key in _REPOSITORY and isinstance(pattern[0], str) and len(pattern) == 1:
            pattern = (repository_id(pattern[0]) or pattern[0],)
        return _expression(pattern)


@dataclass(frozen=True)
class All:
    """Every part is true."""

    parts: tuple[Condition, ...]

    def matches(self, event: StoredEvent) -> bool:
        return all(part.matches(event) for part in self.parts)

    def prefilter(self) -> ColumnElement[bool] | None:
        parts = [part.prefilter() for part in self.parts[:_MOST_PREFILTERS]]
        known = [part for part in parts if part is not None]
        return and_(*known) if known else None


@dataclass(frozen=True)
class Either:
    """At least one part is true."""

    parts: tuple[Condition, ...]

    def matches(self, event: StoredEvent) -> bool:
        return any(part.matches(event) for part in self.parts)

    def prefilter(self) -> ColumnElement[bool] | None:
        if len(self.parts) > _MOST_PREFILTERS:
            return None
        parts = [part.prefilter() for part in self.parts]
        known = [part for part in parts if part is not None]
        return or_(*known) if len(known) == len(parts) else None


@dataclass(frozen=True)
class Not:
    """The part is false."""

    part: Condition

    def matches(self, event: StoredEvent) -> bool:
        return not self.part.matches(event)

    def prefilter(self) -> ColumnElement[bool] | None:
        return None


def _expression(pattern: Pattern) -> re.Pattern[str]:
    """A regular expression that never tries a `*` twice, so that it takes no exponential time."""
    runs = [""]
    for piece in pattern:
        if piece is Wildcard.MANY:
            runs.append("")
        else:
            runs[-1] += "." if piece is Wildcard.ONE else re.escape(str(piece))
    first, *rest = runs
    middle = "".join(f"(?>.*?{run})" for run in rest[:-1] if run)
    last = f".*{rest[-1]}" if rest else ""
    return re.compile(first + middle + last, re.DOTALL)


def _values(event: StoredEvent, key: str) -> list[str]:
    attributes = event.attributes
    if key in _TEXTS:
        return [text for name in _TEXTS[key] for text in _texts(attributes.get(name))]
    if key == "id":
        return [event.event_id, event.former_id] if event.former_id else [event.event_id]
    if key == "change_failure":
        value = attributes.get("change_failure")
        return [json_text(value)] if isinstance(value, bool) else []
    if key in _COMMIT or key in _REPOSITORY:
        value = attributes.get("git")
        git = value if isinstance(value, dict) else {}
        if key in _COMMIT:
            return [text.lower() for text in _texts(git.get("commit_sha"))]
        urls = _texts(git.get("repository_url")) + _texts(git.get("repository_id"))
        return [name for name in map(repository_id, urls) if name]
    tags = [tag.partition(":") for tag in _texts(attributes.get("custom_tags"))]
    return [value for name, colon, value in tags if colon and name == key.removeprefix("@")]


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    texts = [text.strip() for text in values if isinstance(text, str)]
    return [text for text in texts if text]


def matching(
    connection: Connection,
    event_type: StoredType,
    wanted: Condition,
    bounds: list[ColumnElement[bool]],
    order: list[ColumnElement[Any]],
    limit: int,
    end: float,
) -> list[StoredEvent]:
    """The first events within the bounds that fulfil the condition; neither deleted ones nor refused messages.

    Raises SearchTooLong after `end`, a moment of `time.monotonic`.
    """
    table = event_tables.events
    prefilter = wanted.prefilter()
    if prefilter is not None:
        bounds = [*bounds, prefilter]
    living = [table.c.event_type == event_type, table.c.is_deleted.is_(False), table.c.refusal.is_(None)]
    query = select(table).where(*living, *bounds).order_by(*order).execution_options(yield_per=_ROWS_AT_ONCE)
    with limited(connection, end), connection.execute(query) as result:
        candidates = map(stored_event, _within(end, result.mappings()))
        return list(islice(filter(wanted.matches, candidates), limit))


def _within(end: float, rows: Iterable[RowMapping]) -> Iterator[RowMapping]:
    """The rows, as long as there is time."""
    for place, row in enumerate(rows, start=1):
        if monotonic() > end:
            raise SearchTooLong
        yield row
        if place % _ROWS_AT_ONCE == 0:
            sleep(_PAUSE_SECONDS)
