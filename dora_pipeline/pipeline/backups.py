"""Backups of a home: one .tar.gz with all that cannot be made again, and a manifest with checksums at its end.

In it: settings, selections, services, exports, the raw layer, the intake's store, and Dagster's history where asked.
Not in it: the warehouse, `work/` and `git/`, which a run makes again; secrets, which are in no file of the home.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from dora_pipeline.config import Home, read_settings
from dora_pipeline.errors import DoraError
from dora_pipeline.files import whole_file
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.intake.database import named_store
from dora_pipeline.pipeline.progress import Progress
from dora_pipeline.warehouse.writer import held_lock

_FORMAT = 1
_MANIFEST = "manifest.json"
_STORE = "intake/events.sqlite3"
_UNFINISHED = ".restoring"
_PIECE = 1024 * 1024


class BackupError(DoraError):
    """A backup could not be written, or is not one that can be restored."""


@dataclass(frozen=True)
class StoredFile:
    """A file of a backup: its path in the home, bytes, SHA-256, and last change in nanoseconds since 1970."""

    path: str
    size: int
    sha256: str
    modified_ns: int


@dataclass
class BackupReport:
    """The files of a backup, and what else the user has to keep."""

    files: list[StoredFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Digested(io.RawIOBase):
    """A file that is digested while it is read."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        told = self._handle.read(size)
        self.digest.update(told)
        return told


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
    report = BackupReport(notes=_notes(home, dagster_home))
    exports = home.exports(settings)
    named = [home.settings_file, home.selection_log, home.services, home.raw]
    if exports.resolve().is_relative_to(home.path.resolve()):
        # Without `..`, so that every name in the archive lies in the home.
        named.append(Path(os.path.normpath(exports)))
    else:
        report.notes.append(f"the exports in {exports} are outside the home and not in the backup")
    with (
        held_lock(home, settings, "dora backup", progress.note),
        _written_whole(target) as handle,
        tarfile.open(fileobj=handle, mode="w:gz", compresslevel=6) as archive,
    ):
        paths = _files(home, named)
        for done, path in enumerate(paths):
            progress.step("back up", done, len(paths))
            report.files.append(_add(archive, path.relative_to(home.path).as_posix(), path))
        progress.step("back up", len(paths), len(paths))
        if dagster_home is not None and (dagster_home / "dagster.yaml").exists():
            report.files.append(_add(archive, "dagster/dagster.yaml", dagster_home / "dagster.yaml"))
        for name, path in _databases(home, dagster_home):
            with _copied(path, target.parent) as copy:
                report.files.append(_add(archive, name, copy))
        _add_manifest(archive, report.files)
    return report


def restore(home: Home, source: Path, progress: Progress) -> BackupReport:
    """Restore a backup into an empty home. Nothing is put in place before all of it is read and its checksums hold.

    Raises BackupError for a home that is not empty, and for a file that is cut, changed or no backup.
    """
    unfinished = home.path / _UNFINISHED
    held = [path for path in home.path.iterdir() if path != unfinished] if home.path.exists() else []
    if held:
        raise BackupError(
            f"{home.path}: is not empty ({held[0].name}); name an empty folder in DORA_HOME, or move what is there away"
        )
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        files = _extracted(source, unfinished, progress)
        # The selections come last: a home that lacks them does not run, so half a restore cannot pass for a whole one.
        entries = sorted(unfinished.iterdir(), key=lambda path: (path.name == home.selection_log.name, path.name))
        for path in entries:
            path.rename(home.path / path.name)
        unfinished.rmdir()
    except OSError as error:
        raise BackupError(f"{error.filename or home.path}: {error.strerror}; the backup was not restored") from error
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
    for path in (home.settings_file, *sorted(home.services.rglob("*.yaml"))):
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if without_credentials(text) != text:
            name = path.relative_to(home.path).as_posix()
            notes.append(f"{name} holds credentials in a URL, and so does the backup: keep it like a secret")
    if dagster_home is not None and not (dagster_home / "history").exists():
        notes.append(f"{dagster_home}: no history in SQLite; back up Dagster's database with pg_dump where it has one")
    return notes


def _files(home: Home, named: Sequence[Path]) -> list[Path]:
    found: set[Path] = set()
    for path in named:
        if path.is_file():
            found.add(path)
        elif path.is_relative_to(home.path):
            found |= {inside for inside in path.rglob("*") if inside.is_file()}
    # An exports folder that is the home itself holds these too.
    made_again = (home.work, home.git, home.intake, home.warehouse, home.path / "dagster")
    return sorted(path for path in found if not any(path.is_relative_to(folder) for folder in made_again))


def _databases(home: Home, dagster_home: Path | None) -> Iterator[tuple[str, Path]]:
    """The SQLite databases by their names in the backup."""
    if (home.path / _STORE).exists():
        yield _STORE, home.path / _STORE
    if dagster_home is not None:
        for path in sorted(dagster_home.rglob("*.db")):
            yield f"dagster/{path.relative_to(dagster_home).as_posix()}", path


def _add(archive: tarfile.TarFile, name: str, path: Path) -> StoredFile:
    with path.open("rb") as handle:
        status = os.fstat(handle.fileno())
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = status.st_size, int(status.st_mtime), 0o600
        content = _Digested(handle)
        try:
            archive.addfile(info, content)
        except OSError as error:
            if error.errno is not None:
                raise
            raise BackupError(f"{path}: changed while it was read; run `dora backup` again") from error
    return StoredFile(name, status.st_size, content.digest.hexdigest(), status.st_mtime_ns)


def _add_manifest(archive: tarfile.TarFile, files: Sequence[StoredFile]) -> None:
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    told = {"format": _FORMAT, "program": version("dora-pipeline"), "made_at": made_at, "files": files}
    content = json.dumps(told, default=asdict, indent=1).encode()
    info = tarfile.TarInfo(_MANIFEST)
    info.size, info.mode = len(content), 0o600
    archive.addfile(info, io.BytesIO(content))


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


def _extracted(source: Path, folder: Path, progress: Progress) -> list[StoredFile]:
    found: dict[str, tuple[int, str]] = {}
    manifest: bytes | None = None
    try:
        with gzip.open(source) as handle, tarfile.open(fileobj=handle, mode="r|") as archive:
            for done, member in enumerate(archive):
                content = archive.extractfile(member) if member.isreg() and _is_inside(member.name) else None
                if content is None or manifest is not None or member.name in found:
                    raise BackupError(f"{source}: {member.name!r} has no place in a backup; nothing was restored")
                if member.name == _MANIFEST:
                    manifest = content.read()
                else:
                    found[member.name] = _write(folder / member.name, content)
                progress.step("restore", done, done + 1)
            # The checksum of the whole file stands at its end.
            while handle.read(_PIECE):
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BackupError(f"{source}: is cut, changed or no backup ({error}); nothing was restored") from error
    except FileNotFoundError:
        raise BackupError(f"{source}: there is no such file") from None
    if manifest is None:
        raise BackupError(f"{source}: is cut or no backup: its manifest is missing; nothing was restored")
    files = _told_files(source, manifest)
    told = {file.path: (file.size, file.sha256) for file in files}
    wrong = sorted(name for name in told.keys() | found.keys() if told.get(name) != found.get(name))
    if wrong:
        raise BackupError(
            f"{source}: {len(wrong)} files are not as they were, such as {wrong[0]}; nothing was restored"
        )
    for file in files:
        os.utime(folder / file.path, ns=(file.modified_ns, file.modified_ns))
    return files


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.as_posix() == name and "\\" not in name


def _write(path: Path, content: IO[bytes]) -> tuple[int, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as handle:
        while piece := content.read(_PIECE):
            digest.update(piece)
            size += handle.write(piece)
        handle.flush()
        os.fsync(handle.fileno())
    return size, digest.hexdigest()


def _told_files(source: Path, manifest: bytes) -> list[StoredFile]:
    try:
        told = json.loads(manifest)
        if told["format"] != _FORMAT:
            raise BackupError(
                f"{source}: made by dora {told['program']} in format {told['format']}, this one reads {_FORMAT}; "
                "use the newer program"
            )
        return [StoredFile(**file) for file in told["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{source}: its manifest cannot be read; nothing was restored") from error
