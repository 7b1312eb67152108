"""Chunks of records on their way from a file to the compaction, column by column."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from dora_pipeline.sources.apm.comparable import COMPARABLE, USUAL
from dora_pipeline.sources.apm.faults import Place
from dora_pipeline.sources.apm.texts import Flags, Texts, first_texts, texts_of_any_type, usable_text

_Entry = TypeVar("_Entry")

# The text fields of a sighting, by what they are called inside.
TEXTS = ("service", "env", "version", "team", "commit_sha", "repository")

# How each text field can be called in a file; the first of several that is a text and not empty counts.
NAMES: Mapping[str, tuple[str, ...]] = {
    "service": ("service",),
    "env": ("env",),
    "version": ("version",),
    "team": ("team",),
    "commit_sha": ("git.commit.sha", "git_commit_sha"),
    "repository": ("git.repository_url", "git_repository_url"),
}
REQUIRED = ("timestamp", "service", "version")

# Texts of which there may be as many as sessions: to look each up among categories takes longer than to carry it.
VARIED = ("version",)

# The field whose text may be a whole number.
NUMBERED = "version"
# A wrong type in one of these loses the value only, not the sighting.
FORGIVEN = ("commit_sha", "repository")

CHUNK_RECORDS = 1 << 17
# Of records that Python holds one by one, and whose texts may be long.
FEW_RECORDS = 1 << 14


class NotPlain(Exception):
    """The file holds something besides well-formed sightings, so that it has to be read with more care."""


# Tells of a position in a chunk where its record stands, and the record as it came.
Origin = Callable[[int], tuple[Place, object]]

# Reads a part of a file when it is called, so that several parts can be read at once; gives chunks and what is none.
Part = Callable[[], Iterator["Chunk | Any"]]


@dataclass(frozen=True)
class Sighting:
    """A record of a sighting: its fields by the names of TEXTS, `timestamp` and `hits`, and the record as it came."""

    place: Place
    fields: Mapping[str, object]
    record: object


@dataclass(frozen=True)
class Chunk:
    """Records of a file, one per position.

    `times` are as they came (text, numbers or timestamps), `texts` the text fields that any record may have, `hits` too
    or None where no record has any. `problems` says of a record which of its fields is of a type that cannot be used.
    """

    times: pa.Array
    texts: Mapping[str, Texts]
    hits: pa.Array | None
    problems: pa.Array
    origin: Origin

    def __len__(self) -> int:
        return len(self.times)

    def texts_at(self, places: npt.NDArray[np.intp], names: Iterable[str] = TEXTS) -> dict[str, pl.Series]:
        """Texts of some records, as categories, but for those of VARIED."""
        none = pl.Series([None], dtype=pl.Categorical).new_from_index(0, len(places))
        given = {name: self.texts[name] for name in names if name in self.texts}
        found = {
            name: texts.at(places) if name in VARIED else texts.categories(places) for name, texts in given.items()
        }
        return {name: found.get(name, none) for name in names}

    def lacks(self, name: str) -> Flags:
        """Which records have no text of this name, or one of no use."""
        if name not in self.texts:
            return np.ones(len(self), np.bool_)
        return self.texts[name].where(lambda texts: COMPARABLE[name](texts).is_null(), USUAL.get(name))


def chunk_of_columns(
    times: pa.Array,
    texts: Mapping[str, Sequence[pa.Array]],
    hits: pa.Array | None,
    origin: Origin,
) -> Chunk:
    """A chunk of columns of any types; of several columns for one text the first that is not empty counts."""
    problems = pa.nulls(len(times), pa.string())
    found = {}
    for name, arrays in texts.items():
        columns = []
        for array in arrays:
            column, is_lost = texts_of_any_type(array, whole_numbers=name == NUMBERED)
            columns.append(column)
            if name not in FORGIVEN and is_lost.any():
                problem = pa.scalar(f"{name} is of type {array.type}")
                problems = pc.coalesce(problems, pc.if_else(pa.array(is_lost), problem, None))
        if columns:
            found[name] = first_texts(columns)
    return Chunk(times, found, hits, problems, origin)


def chunk_of_records(records: Sequence[Sighting]) -> Chunk:
    """A chunk of sightings."""
    fields = [record.fields for record in records]
    found: dict[str, Texts] = {}
    for name in TEXTS:
        values = [usable_text(each.get(name), whole_numbers=name == NUMBERED) for each in fields]
        found[name] = Texts(pa.array(values, pa.string()))
    times = pa.array([_written(each.get("timestamp")) for each in fields], pa.string())
    hits = pa.array([_written(each.get("hits")) for each in fields], pa.string())
    problems = pa.array([_problem(each) for each in fields], pa.string())
    return Chunk(times, found, hits, problems, lambda position: (records[position].place, records[position].record))


def gathered(entries: Iterable[Sighting | _Entry]) -> Iterator[Chunk | _Entry]:
    """Sightings in chunks, and all else between them as it is."""
    waiting: list[Sighting] = []
    for entry in entries:
        if not isinstance(entry, Sighting):
            yield entry
            continue
        waiting.append(entry)
        if len(waiting) == FEW_RECORDS:
            yield chunk_of_records(waiting)
            waiting = []
    if waiting:
        yield chunk_of_records(waiting)


def _problem(fields: Mapping[str, object]) -> str | None:
    for name in TEXTS:
        value = fields.get(name)
        is_lost = value is not None and usable_text(value, whole_numbers=name == NUMBERED) is None
        if is_lost and name not in FORGIVEN:
            return f"{name} is {json.dumps(value)}"
    return None


def _written(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
