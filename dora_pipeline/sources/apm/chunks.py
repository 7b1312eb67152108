"""Chunks of records on their way from a file to the compaction, column by column."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from dora_pipeline.sources.apm.texts import (
    ArrowTexts,
    Flags,
    PolarsTexts,
    Texts,
    encoded_texts,
    first_texts,
    texts_of_any_type,
    texts_of_json,
    usable_text,
)

# The text fields of a sighting, by what they are called inside.
TEXTS = ("service", "env", "version", "team", "commit_sha", "repository")

# How each text field can be called in a file; the first of several that holds a value counts.
NAMES: Mapping[str, tuple[str, ...]] = {
    "service": ("service",),
    "env": ("env",),
    "version": ("version",),
    "team": ("team",),
    "commit_sha": ("git.commit.sha", "git_commit_sha"),
    "repository": ("git.repository_url", "git_repository_url"),
}
REQUIRED = ("timestamp", "service", "version")

# The field whose text may be told as a whole number.
_NUMBERED = "version"
# A wrong type in one of these loses the value only, not the sighting.
FORGIVEN = ("commit_sha", "repository")

CHUNK_RECORDS = 1 << 17
# Of records that Python holds one by one, and whose texts may be long.
FEW_RECORDS = 1 << 14


class NotPlain(Exception):
    """The file holds something besides well-formed sightings, so that it has to be read with more care."""


@dataclass(frozen=True)
class Chunk:
    """Records of a file, one per position.

    `times` are as told (text, numbers or timestamps), `texts` the text fields that any record may have, `hits` as told
    or None where no record has any. `problems` says of a record which of its fields is of a type that cannot be used.
    """

    times: pa.Array
    texts: Mapping[str, Texts]
    hits: pa.Array | None
    problems: pa.Array

    def __len__(self) -> int:
        return len(self.times)

    def texts_at(self, places: npt.NDArray[np.intp]) -> dict[str, pl.Series]:
        """All TEXTS of some records."""
        none = pl.Series([None], dtype=pl.String).new_from_index(0, len(places))
        return {name: self.texts[name].at(places) if name in self.texts else none for name in TEXTS}


# Reads a part of a file when it is called, so that several parts can be read at once.
Part = Callable[[], Iterable[Chunk]]


def chunk_of_categories(times: pa.Array, texts: Mapping[str, pl.Series], hits: pa.Array | None) -> Chunk:
    """A chunk whose texts are categories of Polars."""
    told = {name: PolarsTexts(column) for name, column in texts.items()}
    return Chunk(times, told, hits, _no_problems(times))


def chunk_of_json(times: pa.Array, texts: Mapping[str, pa.Array], hits: pa.Array | None) -> Chunk:
    """A chunk of strings, besides the version, which is written as JSON with its quotes.

    Raises NotPlain where another text looks like a JSON value of another type, since it may have been one.
    """
    problems = _no_problems(times)
    told: dict[str, Texts] = {}
    for name, array in texts.items():
        if name == _NUMBERED:
            told[name], is_lost = texts_of_json(array, whole_numbers=True)
            problems = _with(problems, is_lost, pc.binary_join_element_wise(name, array, " is "))
        elif name in FORGIVEN:
            told[name] = ArrowTexts(array)
        else:
            told[name] = column = encoded_texts(array)
            if column.may_be_json():
                raise NotPlain
    return Chunk(times, told, hits, problems)


def chunk_of_columns(times: pa.Array, texts: Mapping[str, Sequence[pa.Array]], hits: pa.Array | None) -> Chunk:
    """A chunk of columns of any types; of several columns for one text the first that holds a value counts."""
    problems = _no_problems(times)
    told = {}
    for name, arrays in texts.items():
        columns = []
        for array in arrays:
            column, is_lost = texts_of_any_type(array, whole_numbers=name == _NUMBERED)
            columns.append(column)
            if name not in FORGIVEN:
                problems = _with(problems, is_lost, pa.scalar(f"{name} is of type {array.type}"))
        if columns:
            told[name] = first_texts(columns)
    return Chunk(times, told, hits, problems)


def chunk_of_records(records: Sequence[Mapping[str, object]]) -> Chunk:
    """A chunk of JSON objects with the names of TEXTS besides `timestamp` and `hits`."""
    problems = [_problem(record) for record in records]
    told: dict[str, Texts] = {}
    for name in TEXTS:
        values = [usable_text(record.get(name), whole_numbers=name == _NUMBERED) for record in records]
        told[name] = ArrowTexts(pa.array(values, pa.string()))
    times = pa.array([_written(record.get("timestamp")) for record in records], pa.string())
    hits = pa.array([_written(record.get("hits")) for record in records], pa.string())
    return Chunk(times, told, hits, pa.array(problems, pa.string()))


def _no_problems(times: pa.Array) -> pa.Array:
    return pa.nulls(len(times), pa.string())


def _with(problems: pa.Array, is_lost: Flags, problem: pa.Array | pa.Scalar) -> pa.Array:
    return pc.coalesce(problems, pc.if_else(pa.array(is_lost), problem, None)) if is_lost.any() else problems


def _problem(record: Mapping[str, object]) -> str | None:
    for name in TEXTS:
        value = record.get(name)
        is_lost = value is not None and usable_text(value, whole_numbers=name == _NUMBERED) is None
        if is_lost and name not in FORGIVEN:
            return f"{name} is {json.dumps(value)}"
    return None


def _written(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
