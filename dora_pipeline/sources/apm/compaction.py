"""All chunks of a file made into sessions and rejected records, several parts at a time."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from dora_pipeline.sources.apm.chunks import TEXTS, Chunk, Part
from dora_pipeline.sources.apm.documents import ReadyEvent
from dora_pipeline.sources.apm.faults import MOST_ROWS, Fault, Faults, json_payload, place_text
from dora_pipeline.sources.apm.instants import REASONS, Microseconds, day_numbers, in_range, instants
from dora_pipeline.sources.apm.sessions import SCHEMA, Cut, joined, sessions_of

THREADS = 2
MOST_ROWS_IN_PARTS = 2_000_000
MOST_HITS = 10**11

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")

# What can be wrong with a record; 0 means nothing.
_TROUBLES = (*REASONS, "field_type", "service_missing", "version_missing")

# Records that could not be used: the first MOST_ROWS of a file a row each; of the others those of one reason, service,
# env and day together, with the first of them as it came (`shown`, JSON), its `place` in words, and where that stands
# in the `order` of the file. `first` is the earliest of their times.
UNUSABLE_SCHEMA = {
    "reason": pl.String,
    "day": pl.Int64,
    "service": pl.Categorical,
    "env": pl.Categorical,
    "order": pl.String,
    "place": pl.String,
    "shown": pl.String,
    "first": pl.Int64,
    "records": pl.Int64,
}


@dataclass
class Compacted:
    """What is left of a file, or of a part of it.

    Sessions (`sessions.SCHEMA`, texts as they came), unusable records, what is no sighting, and the number of records.
    """

    sessions: list[pl.DataFrame] = field(default_factory=lambda: [pl.DataFrame(schema=SCHEMA)])
    unusable: list[pl.DataFrame] = field(default_factory=lambda: [pl.DataFrame(schema=UNUSABLE_SCHEMA)])
    faults: Faults = field(default_factory=Faults)
    ready_events: list[ReadyEvent] = field(default_factory=list)
    records: int = 0

    def join(self, later: "Compacted", cut: Cut) -> None:
        """Takes over what is left of a later part."""
        self.sessions += later.sessions
        self.unusable += later.unusable
        self.faults.join(later.faults)
        self.ready_events += later.ready_events
        self.records += later.records
        if _is_to_be_joined(self.sessions):
            self.sessions = [joined(self.sessions, TEXTS, cut)]
        if _is_to_be_joined(self.unusable):
            self.unusable = [grouped(pl.concat(self.unusable))]


def _is_to_be_joined(parts: Sequence[pl.DataFrame]) -> bool:
    """Whether as many rows wait as were joined before: where none become fewer, each is then joined few times."""
    joined_before, *others = map(len, parts)
    return sum(others) > max(MOST_ROWS_IN_PARTS, joined_before)


def compacted(parts: Iterable[Part], modified_at: datetime, cut: Cut) -> Compacted:
    """What is left of all parts. An error in a part is raised here."""

    def piece(part: Part) -> Compacted:
        found = Compacted()
        for entry in part():
            if isinstance(entry, Chunk):
                _add_chunk(found, entry, modified_at, cut)
                continue
            if isinstance(entry, Fault):
                found.faults.add(entry)
            else:
                found.ready_events.append(entry)
            found.records += 1
        return found

    whole = Compacted()
    for done in _ahead(piece, parts):
        whole.join(done, cut)
    return whole


def _ahead(work: Callable[[Part], Compacted], parts: Iterable[Part]) -> Iterator[Compacted]:
    rest = iter(parts)
    first = list(islice(rest, 2))
    if len(first) < 2:
        # Most files are small, and threads would take longer than they do.
        yield from map(work, first)
        return
    waiting: deque[Future[Compacted]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for part in chain(first, rest):
            waiting.append(pool.submit(work, part))
            if len(waiting) > 2 * THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _add_chunk(found: Compacted, chunk: Chunk, modified_at: datetime, cut: Cut) -> None:
    at, reasons = instants(chunk.times, modified_at)
    mistyped = chunk.problems.is_valid().to_numpy(zero_copy_only=False)
    hits = None
    if chunk.hits is not None and chunk.hits.null_count < len(chunk):
        hits, is_no_count = _hits(chunk.hits)
        mistyped = mistyped | is_no_count
    fine = (reasons == 0) & ~mistyped
    seen = fine if hits is None else fine & (hits > 0)
    trouble = np.where(mistyped, len(REASONS), reasons)
    for number, lacks in enumerate((chunk.lacks("service"), chunk.lacks("version")), start=len(REASONS) + 1):
        if lacks.any():
            trouble[seen & lacks & (trouble == 0)] = number
    found.sessions.append(sessions_of(chunk, seen & (trouble == 0), at, hits, cut))
    found.unusable.append(_unusable(chunk, trouble, at, cut))
    found.records += len(chunk)


def _hits(values: pa.Array) -> tuple[Microseconds, npt.NDArray[np.bool_]]:
    """Whole numbers of hits (fractions rounded, but to no less than 1), and what cannot be a number of hits."""
    numbers, is_filled = _numbers(values)
    is_wrong = is_filled & ~((numbers >= 0) & (numbers <= MOST_HITS))
    whole = np.where(is_wrong, 0, np.where(is_filled, np.where(numbers > 0, np.maximum(np.rint(numbers), 1), 0), 1))
    return whole.astype(np.int64), is_wrong


def _numbers(values: pa.Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """What each value says as a number, NaN where it says none, and which values there are."""
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return _numbers_of_texts(values)
    # What is no number of hits for its size may be rounded.
    values = values.cast(kind).cast(pa.float64(), safe=False)
    return values.fill_null(0).to_numpy(zero_copy_only=False), values.is_valid().to_numpy(zero_copy_only=False)


def _numbers_of_texts(values: pa.Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    if pa.types.is_nested(values.type):
        return np.full(len(values), np.nan), values.is_valid().to_numpy(zero_copy_only=False)
    column = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    values = [None if value is None else _number(str(value).strip()) for value in column.dictionary.to_pylist()]
    texts = pa.array(values, pa.float64()).take(column.indices)
    return texts.fill_null(0).to_numpy(zero_copy_only=False), texts.is_valid().to_numpy(zero_copy_only=False)


def _number(text: str) -> float | None:
    if not text:
        return None
    return float(text) if _NUMBER.fullmatch(text) else float("nan")


def _unusable(chunk: Chunk, trouble: npt.NDArray[np.integer], at: Microseconds, cut: Cut) -> pl.DataFrame:
    chosen = np.flatnonzero(trouble)
    if not len(chosen):
        return pl.DataFrame(schema=UNUSABLE_SCHEMA)
    reasons, first = np.array(_TROUBLES)[trouble[chosen]], at[chosen]
    # What is wrong with the others is their time.
    is_timed = ~np.isin(reasons, REASONS[: REASONS.index("time_in_future")]) & in_range(first)
    days = np.zeros(len(chosen), np.int64)
    days[is_timed] = day_numbers(first[is_timed], cut.zone)
    frame = pl.DataFrame(
        {
            "reason": reasons,
            "day": days,
            **chunk.texts_at(chosen, ("service", "env")),
            "position": chosen,
            "first": first,
            "records": np.ones(len(chosen), np.int64),
        }
    ).with_columns(pl.when(pl.Series(is_timed)).then(pl.col("day", "first")))
    others = frame[MOST_ROWS:].group_by(_GROUP).agg(pl.col("position", "first").min(), pl.col("records").sum())
    rows = pl.concat([frame[:MOST_ROWS], others], how="diagonal")
    origins = [_origin(chunk, position) for position in rows["position"]]
    return rows.with_columns(
        pl.Series(name, texts, pl.String)
        for name, texts in zip(("order", "place", "shown"), zip(*origins, strict=True), strict=True)
    ).select(*UNUSABLE_SCHEMA)


def _origin(chunk: Chunk, position: int) -> tuple[str, str, str]:
    place, record = chunk.origin(position)
    problem = chunk.problems[position].as_py()
    shown = dict(place) | {"record": record} | ({} if problem is None else {"problem": problem})
    return "/".join(f"{number:012}" for _, number in place), place_text(place), json_payload(shown)


_GROUP = ("reason", "day", "service", "env")


def grouped(unusable: pl.DataFrame) -> pl.DataFrame:
    """The first MOST_ROWS records, and one row for the others of each reason, service, env and day."""
    ordered = unusable.sort("order")
    is_apart = (pl.col("records") == 1) & ((pl.col("records") == 1).cum_sum() <= MOST_ROWS)
    others = ordered.filter(~is_apart).group_by(_GROUP, maintain_order=True)
    together = others.agg(pl.col("order", "place", "shown").first(), pl.col("first").min(), pl.col("records").sum())
    return pl.concat([ordered.filter(is_apart), together.select(*UNUSABLE_SCHEMA)])
