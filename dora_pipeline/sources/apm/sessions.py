"""Sightings compacted to sessions: spans in which a version was never unseen for longer than the quiet gap.

Sessions of parts can be joined to sessions of the whole in any order, without loss: neighbouring sightings of a part
are never further apart than the gap, so nor are they once others stand between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from dora_pipeline.sources.apm.chunks import TEXTS, Chunk
from dora_pipeline.sources.apm.instants import Microseconds, day_numbers
from dora_pipeline.sources.apm.texts import Codes, Flags
from dora_pipeline.timeline import microseconds

# Sessions of a part: microseconds since 1970, the sum of hits, the number of records, days since 1970.
SCHEMA = {
    **dict.fromkeys(TEXTS, pl.Categorical),
    "first": pl.Int64,
    "last": pl.Int64,
    "sightings": pl.Int64,
    "records": pl.Int64,
    "day": pl.Int64,
}
_DAY = 86_400 * 10**6
_LONGEST_DAY = 4 * _DAY
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
    ranks = {f"rank of {name}": _ranks(sessions[name]) for name in keys}
    ordered = sessions.with_columns(**ranks).sort(*ranks, "first", "last")
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in (*ranks, "day")).fill_null(False)
    group = same.not_().cum_sum()
    # The group and the time within its day in one number: the latest sighting so far is then a plain running maximum.
    in_day = group * _LONGEST_DAY - pl.col("day") * _DAY + _DAY
    since = pl.col("first") + in_day - (pl.col("last") + in_day).cum_max().shift()
    is_start = (same.not_() | (since > microseconds(cut.gap))).fill_null(True)
    # Polars groups and joins by what it knows to be sorted many times faster.
    frame = ordered.with_columns(is_start.cum_sum().set_sorted().alias("session"))
    found = frame.group_by("session", maintain_order=True).agg(
        pl.col(*keys, "first", "day").first(), pl.col("last").max(), pl.col("sightings", "records").sum()
    )
    for name in (name for name in TEXTS if name not in keys):
        filled = frame.select("session", "first", name).drop_nulls().sort("session", "first", name)
        first = filled.group_by("session", maintain_order=True).agg(pl.col(name).first())
        found = found.join(first, on="session", how="left", maintain_order="left")
    return found.select(*SCHEMA)


def _ranks(texts: pl.Series) -> pl.Series:
    """The place of each text among the different ones in their order; none comes first."""
    different = texts.unique()
    ordered = different.gather(different.cast(pl.String).arg_sort())
    return texts.replace_strict(ordered, pl.int_range(len(ordered), eager=True))
