"""What the intake's stores hold, in segments of the raw layer; and what several stores say of one event together.

A home may have had several stores, one after the other: one was lost and made anew, set back to an older backup, or
`DORA_INTAKE_URL` names another. What was read of each stays.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl

from dora_pipeline.config import Home
from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.intake.store import RAW_COLUMNS, EventStore, Withdrawals
from dora_pipeline.intake.store.event import Attributes, StoredType, amended, merged
from dora_pipeline.pipeline.session import Session
from dora_pipeline.sources.manifest import Manifest
from dora_pipeline.sources.raw import (
    FIRST_BRANCH,
    SENT_SCHEMA,
    RawRecord,
    Segment,
    read_segment,
    record_frame,
    segment_at,
    segments,
    write_segment,
)
from dora_pipeline.warehouse import inputs
from dora_pipeline.warehouse.inputs import Input

# More than a row group of DuckDB, which is written once: fewer rows go through the log first.
_BATCH = 125_000
_MARKS_AT_ONCE = 500

Found = tuple[RawRecord, Segment]


def input_of(home: Home, path: Path) -> Input:
    """A file of the home as it is now."""
    status = path.stat()
    return Input(path.relative_to(home.path).as_posix(), status.st_size, status.st_mtime_ns // 1000)


def fresh_segments(
    session: Session, event_type: StoredType, source: str, folder: Path
) -> Iterator[tuple[Input, pl.DataFrame]]:
    """Bring what the intake received since the last time into a segment, and give all segments that have not landed.

    Each comes with the newest states of its events, which have the columns of SENT_SCHEMA, and `input`: the segment
    that told the newest. Raises SourceUnavailable for segments that cannot be read, or are not as they were.
    """
    known = inputs.known_inputs(session.writer.connection, source)
    former = segments(folder)
    yield from _unread(session, event_type, source, [one for one in former if _name(session, one) not in known], former)
    if session.fetches:
        yield from _fetched(session, event_type, source, folder, former)
    there = {segment: input_of(session.home, segment.path) for segment in former}
    for segment, entry in there.items():
        if entry.name in known and entry.size != known[entry.name].size:
            raise SourceUnavailable(
                source,
                f"{segment.path}: was changed since it was read: it has {entry.size:,} bytes, not "
                f"{known[entry.name].size:,}; restore the file from a backup and run again",
            )


def _unread(
    session: Session, event_type: StoredType, source: str, fresh: Sequence[Segment], there: Sequence[Segment]
) -> Iterator[tuple[Input, pl.DataFrame]]:
    for done, (segment, found) in enumerate(_newest_states(event_type, source, fresh, there), start=1):
        names = pl.Series("input", [_name(session, newest) for _, newest in found], pl.String)
        yield (
            input_of(session.home, segment.path),
            record_frame([record for record, _ in found]).with_columns(names),
        )
        session.progress.step(f"read {source}", done, len(fresh))


def _fetched(
    session: Session, event_type: StoredType, source: str, folder: Path, former: Sequence[Segment]
) -> Iterator[tuple[Input, pl.DataFrame]]:
    """What the intake received since the last time; where several stores tell, what they tell together."""
    fetched: list[Segment] = []
    for segment, records in _fetch(session, event_type, source, folder):
        fetched.append(segment)
        if len({one.branch for one in (*former, segment)}) < 2:
            entry = input_of(session.home, segment.path)
            yield entry, records.with_columns(input=pl.lit(entry.name))
            session.progress.step(f"read {source}", len(fetched), len(fetched))
    if len({one.branch for one in (*former, *fetched)}) > 1:
        yield from _unread(session, event_type, source, fetched, [*former, *fetched])


def _name(session: Session, segment: Segment) -> str:
    return segment.path.relative_to(session.home.path).as_posix()


def first_unread(store: EventStore, event_type: StoredType, source: str, landed: Sequence[Segment]) -> int | None:
    """The first sequence of a store that no landed segment holds; None where all of it has landed.

    Of a home that an older program read, which knows no marks, the newest sequence is believed; a run looks closely.
    """
    last = max((segment.last for segment in landed), default=0)
    if any(segment.mark for segment in landed):
        last, _, _ = _place(store, event_type, source, landed)
    unread = store.changed_since(event_type, last, 1)
    return unread[0].sequence if unread else None


def _fetch(
    session: Session, event_type: StoredType, source: str, folder: Path
) -> Iterator[tuple[Segment, pl.DataFrame]]:
    """Segments of what the store holds since the last time, each when it is written, with its records (SENT_SCHEMA)."""
    known, lost = segments(folder), Manifest(session.home.raw).lost(source)
    gaps = {segment.branch for path in lost if path.parent == folder and (segment := segment_at(path))}
    with EventStore.at(session.home) as store:
        usable = [segment for segment in known if segment.branch not in gaps]
        first, branch, note = _place(store, event_type, source, usable)
        if not usable:
            note = "what was lost of it is read again from the intake's store"
        last, is_more = first, True
        # Less than was asked for is all that there was. What comes meanwhile is left to the next run, which otherwise
        # this one would become, for as long as events arrive.
        while is_more and (rows := store.rows_changed_since(event_type, last, _BATCH)):
            is_more = len(rows) == _BATCH
            withdrawals = store.withdrawals(event_type, first)
            # Asked for after the events: nothing that they hold is newer.
            mark = store.mark()
            if note and last == first and known:
                session.progress.note(f"{source}: {note}")
            records = _records(rows, withdrawals)
            segment = write_segment(folder, records, branch, mark)
            last = segment.last
            yield segment, records.select(pl.col(list(SENT_SCHEMA))).with_columns(pl.col("history").fill_null("{}"))


def _place(store: EventStore, event_type: StoredType, source: str, known: Sequence[Segment]) -> tuple[int, str, str]:
    """After which sequence to go on reading a store, in which branch, and what to say of it where that is a new one."""
    newest = {segment.branch: segment.last for segment in sorted(known, key=lambda segment: segment.last)}
    marked = [(one, one.mark) for one in sorted(known, key=lambda one: one.last, reverse=True) if one.mark]
    new_branch = uuid4().hex[:8]
    for start in range(0, len(marked), _MARKS_AT_ONCE):
        some = marked[start : start + _MARKS_AT_ONCE]
        held = store.held_marks([mark for _, mark in some])
        for segment, mark in some:
            if mark in held and newest[segment.branch] == segment.last:
                return segment.last, segment.branch, ""
            if mark in held:
                note = "the intake's store was set back to an earlier state; it is read again from there on"
                return segment.last, new_branch, f"{note}, and what was read before stays"
    unmarked = [segment for segment in known if segment.mark is None]
    if unmarked and not any(segment.branch == FIRST_BRANCH for segment, _ in marked):
        last = newest[FIRST_BRANCH]
        if _was_all_read(store, event_type, source, unmarked, last):
            return last, FIRST_BRANCH, ""
    note = "the intake's store is not the one that was read before; it is read from its beginning"
    return 0, new_branch, f"{note}, and what was read before stays"


def _was_all_read(
    store: EventStore, event_type: StoredType, source: str, unmarked: Sequence[Segment], last: int
) -> bool:
    """Whether segments without marks hold all that a store holds up to a sequence, as it stands there."""
    records = (record for segment in unmarked for record in read_segment(source, segment))
    # Hashes, for there may be millions.
    read = {hash((record.sequence, record.record_id, record.changed_at)) for record in records}
    after = 0
    while events := store.changed_since(event_type, after, _BATCH):
        for event in events:
            if event.sequence > last:
                return True
            if hash((event.sequence, event.event_id, event.changed_at)) not in read:
                return False
        after = events[-1].sequence
    return after == last


def _records(rows: Sequence[Sequence[Any]], withdrawals: Withdrawals) -> pl.DataFrame:
    """Rows of the store as the raw layer keeps them: SENT_SCHEMA, and `is_begun_anew`."""
    names = [{"event_id": "record_id"}.get(name, name) for name in RAW_COLUMNS]
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    stored = {pl.Datetime("us", "UTC"): pl.Int64(), pl.Boolean(): None}
    records = pl.DataFrame(columns, schema={name: stored.get(SENT_SCHEMA[name], SENT_SCHEMA[name]) for name in names})
    records = records.with_columns(
        *(pl.col(name).cast(SENT_SCHEMA[name]) for name in names),
        is_begun_anew=pl.col("record_id").is_in(list(withdrawals.deleted)),
    )
    is_reopened = records["record_id"].is_in(list(withdrawals.reopened))
    if not is_reopened.any():
        return records
    attributes = [
        json.dumps({"finished_at": None, **json.loads(text)}, separators=(",", ":")) if reopened else text
        for text, reopened in zip(records["attributes"], is_reopened, strict=True)
    ]
    return records.with_columns(attributes=pl.Series(attributes, dtype=pl.String))


def _newest_states(
    event_type: StoredType, source: str, fresh: Sequence[Segment], there: Sequence[Segment]
) -> Iterator[tuple[Segment, list[Found]]]:
    """The newest states of the events in each of some segments, with the segments that told the newest."""
    if len({segment.branch for segment in there}) < 2:
        for segment in fresh:
            yield segment, [(record, segment) for record in read_segment(source, segment)]
        return
    for group in _groups(source, fresh):
        ids = {record.record_id for records in group.values() for record in records}
        found: dict[str, list[Found]] = defaultdict(list)
        for segment in there:
            for record in read_segment(source, segment, ids):
                found[record.record_id].append((record, segment))
        for segment, records in group.items():
            yield (
                segment,
                [_united(event_type, found[record_id]) for record_id in {one.record_id: 0 for one in records}],
            )


def _groups(source: str, fresh: Sequence[Segment]) -> Iterator[Mapping[Segment, list[RawRecord]]]:
    """The records of segments, of as many at once as may be held in memory."""
    group: dict[Segment, list[RawRecord]] = {}
    for segment in fresh:
        group[segment] = read_segment(source, segment)
        if sum(map(len, group.values())) >= _BATCH:
            yield group
            group = {}
    if group:
        yield group


def _united(event_type: StoredType, found: Sequence[Found]) -> Found:
    """What the branches say of an event together: of each its newest state, and the newest of these field by field."""
    if event_type == "delivery":
        # A delivery is one message; another body under its id is no news of it.
        return min(found, key=lambda one: (one[0].received_at, one[1].path.name))
    branches: dict[str, list[Found]] = defaultdict(list)
    for record, segment in found:
        branches[segment.branch].append((record, segment))
    states = sorted(
        map(_newest, branches.values()), key=lambda one: (one[0].changed_at, one[0].sequence, one[1].branch)
    )
    if len(states) == 1:
        return states[0]
    attributes: Attributes = {}
    for record, _ in states:
        if record.is_deleted or record.is_begun_anew:
            attributes = {}
        # What a store tells together stands together: there, a remediation may have been told after the mark "stable".
        attributes = merged(amended(attributes, record.attributes), record.attributes)
    newest, segment = states[-1]
    received_at = min(record.received_at for record, _ in states)
    return replace(newest, received_at=received_at, attributes=attributes), segment


def _newest(found: Sequence[Found]) -> Found:
    """The newest state in a branch, with what was taken back there before it."""
    records = sorted(found, key=lambda one: one[0].sequence)
    newest, segment = records[-1]
    reopened = any(record.attributes.get("finished_at", ...) is None for record, _ in records)
    attributes = {"finished_at": None, **newest.attributes} if reopened else newest.attributes
    is_begun_anew = any(record.is_begun_anew for record, _ in records)
    return replace(newest, attributes=attributes, is_begun_anew=is_begun_anew), segment
