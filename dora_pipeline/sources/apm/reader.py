"""One export file read: what it tells of versions and deployments, and what of it cannot be used.

Nothing here depends on the clock: the same file gives the same frames again.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.files import printable, regular_file
from dora_pipeline.sources.apm import csv_rows, json_texts
from dora_pipeline.sources.apm.activity import activity, comparable_unusable
from dora_pipeline.sources.apm.chunks import FEW_RECORDS, Chunk, NotPlain, Part, chunk_of_records
from dora_pipeline.sources.apm.compaction import Compacted, compacted
from dora_pipeline.sources.apm.csv_rows import Header, has_quotes, header, plain_rows, row_entries
from dora_pipeline.sources.apm.deployments import Row, deployment, deployment_frame
from dora_pipeline.sources.apm.documents import Sighting, Told
from dora_pipeline.sources.apm.faults import Fault, Faults
from dora_pipeline.sources.apm.files import COMPRESSIONS, SOURCE, ExportFile
from dora_pipeline.sources.apm.json_texts import document_entries, json_layout, line_entries, plain_parts
from dora_pipeline.sources.apm.lines import encoding_fault, line_blocks, numbered_lines
from dora_pipeline.sources.apm.parquet_rows import parquet_parts
from dora_pipeline.sources.apm.rejects import rejected_frame
from dora_pipeline.sources.apm.sessions import Cut
from dora_pipeline.sources.apm.unpacking import unpacked


@dataclass(frozen=True)
class ExportReading:
    """What a file told.

    `activity`, `deployments` and `rejected` have the columns of `landing.version_activity`, `landing.deployments` and
    `landing.rejected_events` without `input`. `records` counts the records looked at, good and bad. `is_complete` is
    False where the file changed while it was read, so that it has to be read again.
    """

    activity: pl.DataFrame
    deployments: pl.DataFrame
    rejected: pl.DataFrame
    records: int
    is_complete: bool


def read_export(file: ExportFile, settings: Settings) -> ExportReading:
    """Reads a file, at most twice when it changes meanwhile; what is wrong inside of it is in `rejected`.

    Raises SourceUnavailable where the file cannot be opened or read.
    """
    try:
        reading, is_complete = _reading_unless_changed(file, settings)
        if not is_complete:
            reading, is_complete = _reading_unless_changed(file, settings)
        return replace(reading, is_complete=is_complete)
    except OSError as error:
        raise SourceUnavailable(
            SOURCE,
            f"{printable(file.name)} cannot be read: {error.strerror or error}; check that {printable(str(file.path))} "
            "is there, its owner and mode, and that there is space for temporary files, then run again",
        ) from error


def _reading_unless_changed(file: ExportFile, settings: Settings) -> tuple[ExportReading, bool]:
    before = _state(file.path)
    with TemporaryDirectory(prefix="dora-apm-") as folder:
        reading = _Reader(file, settings, Path(folder)).reading()
    return reading, _state(file.path) == before


def _state(path: Path) -> tuple[int, int]:
    with regular_file(path) as stream:
        status = os.fstat(stream.fileno())
    return status.st_size, status.st_mtime_ns


class _Reader:
    """A file on its way to a reading: the faults and deployments found so far."""

    def __init__(self, file: ExportFile, settings: Settings, folder: Path) -> None:
        self._file, self._settings, self._folder = file, settings, folder
        self._cut = Cut(settings.sources.apm_deployment_tracking.quiet_gap, settings.zone)
        self._faults = Faults()
        self._rows: list[Row] = []
        self._told = 0

    def reading(self) -> ExportReading:
        found = self._found(self._text())
        sessions, unusable = activity(found.sessions, self._settings, self._cut)
        unusable = comparable_unusable(pl.concat([found.unusable, unusable]), self._settings)
        return ExportReading(
            activity=sessions,
            deployments=deployment_frame(self._rows),
            rejected=rejected_frame(self._faults.all(), unusable, self._file.modified_at, self._settings),
            records=found.records + self._faults.records + self._told,
            is_complete=True,
        )

    def _text(self) -> Path:
        """The file under a name without wildcards, unpacked where it is compressed."""
        path = self._folder / "export"
        if self._file.path.suffix.lower() in COMPRESSIONS:
            if fault := unpacked(self._file.path, path):
                self._faults.add(fault, records=0)
        else:
            path.symlink_to(self._file.path.absolute())
        return path

    def _found(self, path: Path) -> Compacted:
        kind = _kind(self._file.path)
        if kind == "parquet":
            return self._compacted(parquet_parts(path, self._faults) if self._file.size else ())
        with path.open("rb") as stream:
            fault = encoding_fault(stream)
        if fault is not None:
            self._faults.add(fault, records=0)
            return self._compacted(())
        if kind == "csv":
            return self._csv(path)
        return self._json_text(path, json_layout(path) if kind == "json" else "newline_delimited")

    def _compacted(self, parts: Iterable[Part]) -> Compacted:
        return compacted(parts, self._file.modified_at, self._cut)

    def _json_text(self, path: Path, layout: str) -> Compacted:
        if layout != "document":
            with suppress(NotPlain):
                return self._compacted(plain_parts(path, layout))
        with path.open("rb") as stream:
            if layout == "newline_delimited":
                return self._compacted(self._line_parts(stream))
            return self._compacted(self._parts(document_entries(stream)))

    def _line_parts(self, stream: BinaryIO) -> Iterator[Part]:
        for block in line_blocks(stream):
            try:
                chunks = json_texts.plain_block(block, self._folder / "block")
            except NotPlain:
                yield from self._parts(line_entries(block))
            else:
                yield partial(iter, chunks)

    def _csv(self, path: Path) -> Compacted:
        with path.open("rb") as stream:
            head = header(stream)
        if isinstance(head, Fault):
            self._faults.add(head, records=0)
        if not isinstance(head, Header):
            return self._compacted(())
        with suppress(NotPlain):
            return self._compacted(plain_rows(path, head))
        with path.open("rb") as stream:
            return self._compacted(self._row_parts(stream, head, has_quotes(path)))

    def _row_parts(self, stream: BinaryIO, head: Header, is_quoted: bool) -> Iterator[Part]:
        if is_quoted:
            lines = (line for line in numbered_lines(stream) if line[0] > head.line)
            yield from self._parts(row_entries(lines, head))
            return
        for block in line_blocks(stream):
            rows = [line for line in block if line[0] > head.line]
            try:
                chunks = csv_rows.plain_block(rows, head, self._folder / "block")
            except NotPlain:
                yield from self._parts(row_entries(rows, head))
            else:
                yield partial(iter, chunks)

    def _parts(self, told: Iterable[Sighting | Told | Fault]) -> Iterator[Part]:
        sightings = self._sightings(told)
        while chunk := list(islice(sightings, FEW_RECORDS)):
            yield partial(_chunks, chunk)

    def _sightings(self, told: Iterable[Sighting | Told | Fault]) -> Iterator[Sighting]:
        for entry in told:
            if isinstance(entry, Told):
                self._told += 1
                row = deployment(entry, self._file.modified_at, self._settings)
                if isinstance(row, Fault):
                    self._faults.add(row, records=0)
                else:
                    self._rows.append(row)
            elif isinstance(entry, Fault):
                self._faults.add(entry)
            else:
                yield entry


def _chunks(records: Sequence[Sighting]) -> list[Chunk]:
    return [chunk_of_records(records)]


def _kind(path: Path) -> str:
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return name.suffix.lower().removeprefix(".")
