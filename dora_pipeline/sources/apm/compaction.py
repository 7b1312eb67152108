"""All chunks of a file made into sessions and groups of rejected records, several parts at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from dora_pipeline.sources.apm.chunks import TEXTS, Chunk, Part
from dora_pipeline.sources.apm.days import day_numbers
from dora_pipeline.sources.apm.instants import REASONS, Microseconds, instants
from dora_pipeline.sources.apm.sessions import SCHEMA, Cut, joined, sessions_of

THREADS = 2
MOST_ROWS_IN_PARTS = 1_000_000
MOST_HITS = 10**11

# Records that could not be used: those of one reason, service, env and day together, with one of them as it was told.
UNUSABLE_SCHEMA = {
    "reason": pl.String,
    "day": pl.Int64,
    **dict.fromkeys(TEXTS, pl.String),
    "time": pl.String,
    "hits": pl.String,
    "problem": pl.String,
    "first": pl.Int64,
    "records": pl.Int64,
}


@dataclass(frozen=True)
class Compacted:
    """What is left of a file: its sessions (`sessions.SCHEMA`, texts as told), its unusable records, their number."""

    sessions: pl.DataFrame
    unusable: pl.DataFrame
    records: int


def compacted(parts: Iterable[Part], modified_at: datetime, cut: Cut) -> Compacted:
    """The sessions and unusable records of all parts. An error in a part is raised here."""

    def piece(part: Part) -> list[Compacted]:
        return [_compacted_chunk(chunk, modified_at, cut) for chunk in part()]

    sessions, unusable, records = [pl.DataFrame(schema=SCHEMA)], [pl.DataFrame(schema=UNUSABLE_SCHEMA)], 0
    for pieces in _ahead(piece, parts):
        for done in pieces:
            sessions.append(done.sessions)
            unusable.append(done.unusable)
            records += done.records
        if sum(map(len, sessions[1:])) > MOST_ROWS_IN_PARTS:
            sessions = [joined(sessions, TEXTS, cut)]
        if sum(map(len, unusable[1:])) > MOST_ROWS_IN_PARTS:
            unusable = [grouped(pl.concat(unusable))]
    return Compacted(pl.concat(sessions), grouped(pl.concat(unusable)), records)


def _ahead(work: Callable[[Part], list[Compacted]], parts: Iterable[Part]) -> Iterator[list[Compacted]]:
    waiting: deque[Future[list[Compacted]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for part in parts:
            waiting.append(pool.submit(work, part))
            if len(waiting) > 2 * THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _compacted_chunk(chunk: Chunk, modified_at: datetime, cut: Cut) -> Compacted:
    at, reasons = instants(chunk.times, modified_at)
    hits, mistyped = None, chunk.problems.is_valid().to_numpy(zero_copy_only=False)
    if chunk.hits is not None and chunk.hits.null_count < len(chunk):
        hits, is_no_count = _hits(chunk.hits)
        mistyped = mistyped | is_no_count
    fine = (reasons == 0) & ~mistyped
    sessions = sessions_of(chunk, fine if hits is None else fine & (hits > 0), at, hits, cut)
    return Compacted(sessions, _unusable(chunk, ~fine, at, reasons, mistyped, cut), len(chunk))


def _hits(told: pa.Array) -> tuple[Microseconds, npt.NDArray[np.bool_]]:
    """Whole numbers of hits (fractions rounded, but to no less than 1), and what cannot be a number of hits."""
    numbers, is_told = _numbers(told)
    is_wrong = is_told & ~((numbers >= 0) & (numbers <= MOST_HITS))
    whole = np.where(is_wrong, 0, np.where(is_told, np.where(numbers > 0, np.maximum(np.rint(numbers), 1), 0), 1))
    return whole.astype(np.int64), is_wrong


def _numbers(told: pa.Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """What each value says as a number, NaN where it says none, and which values there are."""
    if pa.types.is_dictionary(told.type):
        told = told.dictionary_decode()
    if not (pa.types.is_integer(told.type) or pa.types.is_floating(told.type) or pa.types.is_decimal(told.type)):
        told = pc.utf8_trim_whitespace(_as_strings(told))
        told = pc.if_else(pc.equal(told, ""), None, told)
    try:
        numbers = told.cast(pa.float64())
    except pa.ArrowInvalid:
        numbers = pa.array([_number(text) for text in told.to_pylist()], pa.float64())
    return (
        numbers.fill_null(0).to_numpy(zero_copy_only=False),
        told.is_valid().to_numpy(zero_copy_only=False),
    )


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return float("nan")


def _unusable(
    chunk: Chunk,
    rows: npt.NDArray[np.bool_],
    at: Microseconds,
    reasons: npt.NDArray[np.uint8],
    mistyped: npt.NDArray[np.bool_],
    cut: Cut,
) -> pl.DataFrame:
    chosen = np.flatnonzero(rows)
    if not len(chosen):
        return pl.DataFrame(schema=UNUSABLE_SCHEMA)
    places = pa.array(chosen)
    words = np.where(mistyped, "field_type", np.array(REASONS)[reasons])[chosen]
    is_readable = np.isin(reasons[chosen], (0, REASONS.index("time_in_future")))
    first = at[chosen]
    days = np.zeros(len(chosen), np.int64)
    days[is_readable] = day_numbers(first[is_readable], cut.zone)
    frame = pl.DataFrame(
        {
            "reason": words,
            "day": days,
            **chunk.texts_at(chosen),
            "time": _as_text(chunk.times.take(places)),
            "hits": _as_text(None if chunk.hits is None else chunk.hits.take(places)),
            "problem": _as_text(chunk.problems.take(places)),
            "first": first,
            "records": np.ones(len(chosen), np.int64),
        }
    )
    return grouped(frame.with_columns(pl.when(pl.Series(is_readable)).then(pl.col("day", "first"))))


def _as_text(told: pa.Array | None) -> pl.Series:
    return pl.Series([None], dtype=pl.String) if told is None else pl.Series(_as_strings(told), dtype=pl.String)


def _as_strings(told: pa.Array) -> pa.Array:
    try:
        return told.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([None if value is None else str(value) for value in told.to_pylist()], pa.string())


def grouped(unusable: pl.DataFrame) -> pl.DataFrame:
    """One row for each reason, service, env and day; of its examples the first in the order of their fields."""
    keys = ["reason", "day", "service", "env"]
    example = ["time", "version", "team", "commit_sha", "repository", "hits", "problem"]
    return (
        unusable.group_by(keys)
        .agg(
            *(pl.col(name).sort_by(example).first() for name in example), pl.col("first").min(), pl.col("records").sum()
        )
        .select(*UNUSABLE_SCHEMA)
    )
