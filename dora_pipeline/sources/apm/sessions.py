"""Sightings compacted to sessions: spans in which a version was never unseen for longer than the quiet gap.

Sessions of parts can be joined to sessions of the whole in any order, without loss: neighbouring sightings of a part
are never further apart than the gap, so nor are they once others stand between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from dora_pipeline.sources.apm.chunks import TEXTS, VARIED, Chunk
from dora_pipeline.sources.apm.instants import Microseconds, day_numbers
from dora_pipeline.sources.apm.texts import Codes, Flags
from dora_pipeline.timeline import microseconds

# Sessions of a part: microseconds since 1970, the sum of hits, the number of records, days since 1970.
SCHEMA = {
    **dict.fromkeys(TEXTS, pl.Categorical),
    **dict.fromkeys(VARIED, pl.String),
    "first": pl.Int64,
    "last": pl.Int64,
    "sightings": pl.Int64,
    "records": pl.Int64,
    "day": pl.Int64,
}
_DAY = 86_400 * 10**6
_LONGEST_DAY = 4 * _DAY
_GROUPS_AT_ONCE = 1 << 24
_MOST_NUMBERS = 1 << 62
IDENTITY = ("service", "env", "version")
PICKED = tuple(name for name in TEXTS if name not in IDENTITY)


@dataclass(frozen=True)
class Cut:
    """Where sessions end: before a silence longer than `gap`, and with each calendar day of `zone`."""

    gap: timedelta
    zone: ZoneInfo


def sessions_of(chunk: Chunk, fine: Flags, at: Microseconds, hits: Microseconds | None, cut: Cut) -> pl.DataFrame:
    """The sessions of the fine records of a chunk, per service, env and version as they came.

    The other texts are those of the first sighting. Where that has none of use, or several are the first, there are
    rows of no sightings and no records beside the session, which tell the texts of the sightings that count.
    """
    chosen = None if fine.all() else np.flatnonzero(fine)
    if not fine.any():
        return pl.DataFrame(schema=SCHEMA)
    keys = _merged([chunk.texts[name].codes() for name in IDENTITY if name in chunk.texts])
    keys = keys if chosen is None else [key[chosen] for key in keys]
    at = at if chosen is None else at[chosen]
    is_sorted = bool((at[1:] >= at[:-1]).all())
    order = np.lexsort(keys if is_sorted else (at, *keys))
    seen = at.take(order)
    days = day_numbers(seen, cut.zone)
    is_start = np.ones(len(seen), np.bool_)
    is_start[1:] = (seen[1:] - seen[:-1] > microseconds(cut.gap)) | (days[1:] != days[:-1])
    for key in keys:
        ordered = key[order]
        is_start[1:] |= ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(is_start)
    ends = np.append(starts[1:], len(seen)) - 1
    places = order if chosen is None else chosen[order]
    lacking = [chunk.lacks(name) for name in PICKED if name in chunk.texts]
    first_filled = [_first_filled(~flags[places] if flags.any() else None, seen, starts, ends) for flags in lacking]
    candidates = np.concatenate([starts, *first_filled])
    beside = np.unique(candidates[~is_start[candidates]])
    rows = np.append(starts, beside)
    records = np.append(ends - starts + 1, np.zeros_like(beside))
    counted = records if hits is None else np.append(np.add.reduceat(hits[places], starts), np.zeros_like(beside))
    return pl.DataFrame(
        {
            **chunk.texts_at(places[rows]),
            "first": seen[rows],
            "last": seen[np.append(ends, beside)],
            "sightings": counted,
            "records": records,
            "day": days[rows],
        },
        schema=SCHEMA,
    )


def _merged(columns: Sequence[Codes]) -> list[npt.NDArray[np.integer]]:
    """Numbers that tell the same records apart as those of the columns, in as few and as short arrays as there can be.

    NumPy sorts numbers of 16 bits by radix, many times faster than others.
    """
    merged: list[Codes] = []
    for column in sorted(columns, key=lambda column: column.size):
        if merged and merged[-1].size * column.size <= 1 << 16:
            last = merged.pop()
            numbers = last.numbers * np.uint16(column.size) + column.numbers.astype(np.uint16)
            merged.append(Codes(numbers, last.size * column.size))
        else:
            merged.append(Codes(column.numbers.astype(np.uint16 if column.size <= 1 << 16 else np.int64), column.size))
    return [column.numbers for column in merged]


def _first_filled(
    is_filled: Flags | None, seen: Microseconds, starts: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """The places of the earliest sightings of each session that have a text; several where they are of one moment."""
    first = starts
    if is_filled is not None:
        filled = np.append(np.flatnonzero(is_filled), len(seen))
        first = filled[np.searchsorted(filled, starts)]
        first = first[first <= ends]
    found = [first]
    while len(first):
        first = first[first < ends[np.searchsorted(ends, first)]]
        first = first[seen[first + 1] == seen[first]] + 1
        found.append(first if is_filled is None else first[is_filled[first]])
    return np.concatenate(found)


def joined(parts: Sequence[pl.DataFrame], keys: Sequence[str], cut: Cut) -> pl.DataFrame:
    """The sessions of several parts as sessions of the whole, per combination of `keys`, sorted by them and by time.

    A text that is not among the keys is that of the earliest session that has one; the smallest of several such.
    """
    sessions = pl.concat(parts)
    numbers = _combined([_ranks(sessions[name]) for name in keys])
    order = numbers.argsort()
    # Most stand alone, so that few are sorted by time.
    is_repeated = _are_repeated(numbers[order])
    repeated = sessions[order[is_repeated]]
    in_time = np.lexsort((repeated["last"].to_numpy(), repeated["first"].to_numpy(), numbers[order[is_repeated]]))
    order[is_repeated] = order[is_repeated][in_time]
    ordered, numbers = sessions[order], numbers[order]
    first, last, days = (ordered[name].to_numpy() for name in ("first", "last", "day"))
    is_start = np.ones(len(ordered), np.bool_)
    is_start[1:] = (numbers[1:] != numbers[:-1]) | (days[1:] != days[:-1])
    seen_until = _seen_until(last, days, is_start)
    is_start[1:] |= first[1:] - seen_until[:-1] > microseconds(cut.gap)
    starts = np.flatnonzero(is_start)
    if len(starts) == len(ordered):
        return ordered
    numbered = ordered.with_columns(session=np.cumsum(is_start) - 1)
    return ordered[starts].with_columns(
        pl.Series("last", np.maximum.reduceat(last, starts)),
        *(pl.Series(name, np.add.reduceat(ordered[name].to_numpy(), starts)) for name in ("sightings", "records")),
        *(ordered[name][_first_told(numbered, name, starts)] for name in TEXTS if name not in keys),
    )


def _seen_until(last: Microseconds, days: Microseconds, is_start: Flags) -> Microseconds:
    """The latest sighting so far in each group of sessions of one day, which begin at the starts."""
    found = np.empty_like(last)
    starts = np.append(np.flatnonzero(is_start), len(last))
    # More groups at once are no numbers of 64 bits.
    for begin, end in pairwise([*starts[:-1:_GROUPS_AT_ONCE], len(last)]):
        # The group and the time within its day in one number: that is a plain running maximum then.
        in_day = np.cumsum(is_start[begin:end]) * _LONGEST_DAY - days[begin:end] * _DAY + _DAY
        found[begin:end] = np.maximum.accumulate(last[begin:end] + in_day) - in_day
    return found


def _first_told(sessions: pl.DataFrame, name: str, starts: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The rows that tell the text of each `session`, which begin at `starts`."""
    rows = starts.copy()
    told = (
        sessions.select("session", "first", name, row=pl.int_range(pl.len()))
        .filter(_are_repeated(sessions["session"].to_numpy()))
        .drop_nulls(name)
        .sort("session", "first", name)
        .unique("session", keep="first")
    )
    rows[told["session"].to_numpy()] = told["row"].to_numpy()
    return rows


def _are_repeated(ordered: npt.NDArray[np.int64]) -> Flags:
    """Which of some numbers in order occur more than once."""
    found = np.zeros(len(ordered), np.bool_)
    found[1:] = ordered[1:] == ordered[:-1]
    found[:-1] |= found[1:]
    return found


def _combined(columns: Sequence[Codes]) -> npt.NDArray[np.int64]:
    """One number for each row, in the order of those of the columns."""
    numbers, size = np.zeros(len(columns[0].numbers), np.int64), 1
    for column in columns:
        if size * column.size > _MOST_NUMBERS:
            numbers = np.unique(numbers, return_inverse=True)[1]
            size = len(numbers)
        numbers = numbers * column.size + column.numbers
        size *= column.size
    return numbers


def _ranks(texts: pl.Series) -> Codes:
    """The place of each text among the different ones in their order; none comes first."""
    if texts.dtype == pl.String:
        order = texts.arg_sort()
        in_order = texts.gather(order)
        places = np.cumsum(in_order.ne_missing(in_order.shift()).to_numpy())
        table = np.empty(len(texts), np.int64)
        table[order.to_numpy()] = places
        return Codes(table, places.max(initial=0) + 1)
    categories = texts.to_physical().cast(pl.Int64).fill_null(-1).to_numpy() + 1
    table = np.full(categories.max(initial=0) + 1, -1, np.int64)
    table[categories] = np.arange(len(categories))
    rows = table[table >= 0]
    rows = rows[texts[rows].cast(pl.String).arg_sort().to_numpy()]
    table[categories[rows]] = np.arange(len(rows))
    return Codes(table[categories], len(rows))
