"""Backups of a home: one .tar.gz with all that cannot be made again.

In it: settings, selections, services, exports, the raw layer, the intake's store, and Dagster's history where asked.
Not in it: the warehouse, `work/` and `git/`, which a run makes again; secrets, which are in no file of the home.
"""

import contextlib
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from dora_pipeline.config import Home
from dora_pipeline.files import printable, whole_file
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.intake.store.database import named_store
from dora_pipeline.pipeline.archives import BackupError, StoredFile, add, add_manifest, extracted
from dora_pipeline.pipeline.backup_files import backup_files
from dora_pipeline.pipeline.progress import Progress
from dora_pipeline.settings import read_settings
from dora_pipeline.warehouse.writer import held_lock

_STORE = "intake/events.sqlite3"
_UNFINISHED = ".restoring"
_MOST_NAMED = 20


@dataclass
class BackupReport:
    """The files of a backup, and what else the user has to keep."""

    files: list[StoredFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def back_up(home: Home, target: Path, progress: Progress, dagster_home: Path | None = None) -> BackupReport:
    """Write a backup of a home to a file that is not there yet: whole, or not at all.

    Runs wait meanwhile, so that the raw layer stands still; the intake goes on, and what it receives after the copy of
    its store is in the next backup. `dagster_home` adds what Dagster keeps in SQLite there.
    Raises BackupError where the file exists, lies in the home or cannot be written.
    """
    settings = read_settings(home)
    target = target.expanduser().absolute()
    if target.exists():
        raise BackupError(f"{target}: exists already; name another file")
    if target.resolve().is_relative_to(home.path.resolve()):
        raise BackupError(f"{target}: lies in the home and would be lost with it; name a file elsewhere")
    if not home.path.is_dir():
        raise BackupError(f"{home.path}: there is no such folder; set DORA_HOME to the home that is meant")
    report = BackupReport(notes=_notes(home, dagster_home))
    with (
        held_lock(home, settings, "dora backup", progress.note),
        _written_whole(target) as handle,
        tarfile.open(fileobj=handle, mode="w:gz", compresslevel=6) as archive,
    ):
        found = backup_files(home, settings)
        databases = list(_databases(home, dagster_home))
        total = len(found.files) + len(databases)
        for done, (name, path) in enumerate(sorted(found.files.items())):
            progress.step("back up", done, total)
            report.files.append(add(archive, name, path))
        report.notes += found.left_out[:_MOST_NAMED]
        if len(found.left_out) > _MOST_NAMED:
            report.notes.append(f"{len(found.left_out) - _MOST_NAMED} others are not in the backup, for such reasons")
        if dagster_home is not None and (dagster_home / "dagster.yaml").exists():
            report.files.append(add(archive, "dagster/dagster.yaml", dagster_home / "dagster.yaml"))
        for done, (name, path) in enumerate(databases, start=len(found.files)):
            progress.step("back up", done, total)
            with _copied(path, target.parent) as copy:
                report.files.append(add(archive, name, copy))
        progress.step("back up", total, total)
        add_manifest(archive, report.files)
    return report


def restore(home: Home, source: Path, progress: Progress) -> BackupReport:
    """Restore a backup into an empty home. Nothing is put in place before all of it is read and its checksums hold.

    Raises BackupError for a home that is not empty, and for a file that is cut, changed or no backup.
    """
    unfinished = home.path / _UNFINISHED
    placed: list[Path] = []
    try:
        held = [path for path in home.path.iterdir() if path != unfinished] if home.path.exists() else []
        if held:
            raise BackupError(
                f"{home.path}: is not empty ({printable(held[0].name)}); name an empty folder in DORA_HOME, or move "
                "what is there away"
            )
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        files = extracted(source, unfinished, progress)
        # The selections come last: a home that lacks them does not run, so half a restore cannot pass for a whole one.
        entries = sorted(unfinished.iterdir(), key=lambda path: (path.name == home.selection_log.name, path.name))
        for path in entries:
            placed.append(path.rename(home.path / path.name))
        unfinished.rmdir()
    except OSError as error:
        for path in placed:
            with contextlib.suppress(OSError):
                path.rename(unfinished / path.name)
        place = printable(str(error.filename or home.path))
        raise BackupError(f"{place}: {error.strerror}; the backup was not restored") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return BackupReport(files, _notes(home, None))


def _notes(home: Home, dagster_home: Path | None) -> list[str]:
    notes = []
    named = named_store()
    if named:
        tool = "sqlite3's .backup" if named.startswith("sqlite") else "pg_dump"
        notes.append(
            f"DORA_INTAKE_URL names a store outside the home: back it up with {tool}, after the home, so that it holds "
            "no less than the raw layer"
        )
    for path in (home.settings_file, *sorted(home.services.rglob("*.y*ml"))):
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if without_credentials(text) != text:
            name = printable(path.relative_to(home.path).as_posix())
            notes.append(f"{name} holds credentials in a URL, and so does the backup: keep it like a secret")
    if dagster_home is not None and not (dagster_home / "history").exists():
        notes.append(f"{dagster_home}: no history in SQLite; back up Dagster's database with pg_dump where it has one")
    return notes


def _databases(home: Home, dagster_home: Path | None) -> Iterator[tuple[str, Path]]:
    """The SQLite databases by their names in the backup."""
    if (home.path / _STORE).exists():
        yield _STORE, home.path / _STORE
    if dagster_home is not None:
        for path in sorted(dagster_home.rglob("*.db")):
            yield f"dagster/{path.relative_to(dagster_home).as_posix()}", path


@contextlib.contextmanager
def _copied(path: Path, beside: Path) -> Iterator[Path]:
    """A copy of an SQLite database at one moment, while others write to it; for the block, in the folder `beside`."""
    with tempfile.TemporaryDirectory(prefix=".dora-backup-", dir=beside) as folder:
        copy = Path(folder) / path.name
        try:
            with (
                contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as source,
                contextlib.closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
                # The copy is one file, without a journal beside it.
                target.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error as error:
            raise BackupError(f"{path}: cannot be copied: {error}") from error
        yield copy


@contextlib.contextmanager
def _written_whole(target: Path) -> Iterator[BinaryIO]:
    try:
        with whole_file(target, 0o600) as handle:
            yield handle
    except OSError as error:
        raise BackupError(f"{error.filename or target}: {error.strerror}; no backup was written") from error
