"""One export file read: what it tells of versions and deployments, and what of it cannot be used.

Nothing here depends on the clock: the same file gives the same frames again.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.files import printable, regular_file
from dora_pipeline.sources.apm.activity import activity, comparable_unusable
from dora_pipeline.sources.apm.chunks import NotPlain, Part
from dora_pipeline.sources.apm.compaction import Compacted, compacted
from dora_pipeline.sources.apm.csv_rows import header, quoted_row_parts, row_parts
from dora_pipeline.sources.apm.deployments import Row, deployment_frame, deployment_record
from dora_pipeline.sources.apm.export_files import COMPRESSIONS, ExportFile
from dora_pipeline.sources.apm.faults import Damaged, Fault
from dora_pipeline.sources.apm.json_texts import document_parts, is_a_line_each, line_parts, plain_parts
from dora_pipeline.sources.apm.lines import check_encoding
from dora_pipeline.sources.apm.parquet_rows import layout, parquet_parts
from dora_pipeline.sources.apm.rejects import rejected_frame
from dora_pipeline.sources.apm.sessions import Cut
from dora_pipeline.sources.apm.settings import SOURCE, apm_settings
from dora_pipeline.sources.apm.unpacking import unpack


@dataclass(frozen=True)
class ExportReading:
    """What a file holds.

    `activity` and `rejected` have the columns of `landing.version_activity` and `landing.rejected_events` without
    `input`, `deployments` those of SENT_SCHEMA (`raw.py`). `records` counts the records looked at, good and bad.
    `is_complete` is False where the file changed while it was read, so that it has to be read again. `is_damaged` where
    nothing of it can be trusted: it tells nothing, and `rejected` says why.
    """

    activity: pl.DataFrame
    deployments: pl.DataFrame
    rejected: pl.DataFrame
    records: int
    is_complete: bool
    is_damaged: bool


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
    """A file on its way to a reading."""

    def __init__(self, file: ExportFile, settings: Settings, folder: Path) -> None:
        self._file, self._settings, self._folder = file, settings, folder
        self._cut = Cut(apm_settings(settings).quiet_gap, settings.zone)

    def reading(self) -> ExportReading:
        try:
            return self._reading(self._found(self._text()))
        except Damaged as damage:
            return replace(self._reading(_only(damage.fault)), is_damaged=True)

    def _reading(self, found: Compacted) -> ExportReading:
        rows: list[Row] = []
        faults = found.faults
        for event in found.ready_events:
            row = deployment_record(event, self._file.modified_at, self._settings)
            if isinstance(row, Fault):
                faults.add(row)
            else:
                rows.append(row)
        unusable = comparable_unusable(pl.concat(found.unusable), self._settings)
        return ExportReading(
            activity=activity(pl.concat(found.sessions, rechunk=True), self._settings, self._cut),
            deployments=deployment_frame(rows),
            rejected=rejected_frame(self._file.name, faults.all(), unusable, self._file.modified_at, self._settings),
            records=found.records,
            is_complete=True,
            is_damaged=False,
        )

    def _text(self) -> Path:
        """The file under a name without wildcards, unpacked where it is compressed."""
        path = self._folder / "export"
        if self._file.path.suffix.lower() in COMPRESSIONS:
            unpack(self._file.path, path)
        else:
            path.symlink_to(self._file.path.absolute())
        return path

    def _found(self, path: Path) -> Compacted:
        kind = _kind(self._file.path)
        if kind == "parquet":
            return self._parquet(path) if self._file.size else Compacted()
        with path.open("rb") as stream:
            check_encoding(stream)
            if kind == "csv":
                return self._csv(path)
            if kind == "json" and not is_a_line_each(path):
                return self._compacted(document_parts(stream))
            with suppress(NotPlain):
                return self._compacted(plain_parts(path))
            return self._compacted(line_parts(stream, self._folder))

    def _compacted(self, parts: Iterable[Part]) -> Compacted:
        return compacted(parts, self._file.modified_at, self._cut)

    def _parquet(self, path: Path) -> Compacted:
        found = layout(path)
        return _only(found) if isinstance(found, Fault) else self._compacted(parquet_parts(path, found))

    def _csv(self, path: Path) -> Compacted:
        with suppress(NotPlain), path.open("rb") as stream:
            head = header(stream)
            if head is None:
                return Compacted()
            if isinstance(head, Fault):
                return _only(head)
            return self._compacted(row_parts(stream, head, path))
        with path.open("rb") as stream:
            head = header(stream)
            assert not isinstance(head, Fault | None)
            return self._compacted(quoted_row_parts(stream, head))


def _only(fault: Fault) -> Compacted:
    found = Compacted()
    found.faults.add(fault)
    return found


def _kind(path: Path) -> str:
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return name.suffix.lower().removeprefix(".")
