"""The archive of a backup: a .tar.gz of regular files, and a manifest with their checksums at its end.

What does not belong here: which files of a home are in it, and where they are put.
"""

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from dora_pipeline.errors import DoraError
from dora_pipeline.files import printable, regular_file
from dora_pipeline.pipeline.progress import Progress

_FORMAT = 1
_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 1 << 30
_PIECE = _MEGABYTE = 1024 * 1024
# What damaged bytes make the libraries raise; the last three are tarfile's, of a damaged header.
_DAMAGES = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, LookupError, ArithmeticError)
# No backup holds these: a run would trust what it finds there.
_NEVER_RESTORED = ("work", "git", "warehouse.duckdb", "warehouse.duckdb.wal", ".restoring")


class BackupError(DoraError):
    """A backup could not be written, or is not one that can be restored."""


@dataclass(frozen=True)
class StoredFile:
    """A file of a backup: its path in the home, bytes, SHA-256, and last change in nanoseconds since 1970."""

    path: str
    size: int
    sha256: str
    modified_ns: int


class _Digested(io.RawIOBase):
    """A file that is digested while it is read."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._handle.read(size)
        self.digest.update(content)
        return content


def add(archive: tarfile.TarFile, name: str, path: Path) -> StoredFile:
    """Add a regular file under a name. Raises OSError where it cannot be read, BackupError where it shrinks."""
    with regular_file(path) as handle:
        status = os.fstat(handle.fileno())
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = status.st_size, int(status.st_mtime), 0o600
        content = _Digested(handle)
        try:
            archive.addfile(info, content)
        except OSError as error:
            if error.errno is not None:
                raise
            raise BackupError(f"{printable(str(path))}: changed while it was read; run `dora backup` again") from error
    return StoredFile(name, status.st_size, content.digest.hexdigest(), status.st_mtime_ns)


def add_manifest(archive: tarfile.TarFile, files: Sequence[StoredFile]) -> None:
    """Add the manifest, behind which there is nothing."""
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = {"format": _FORMAT, "program": version("dora-pipeline"), "made_at": made_at, "files": files}
    content = json.dumps(manifest, default=asdict, indent=1).encode()
    info = tarfile.TarInfo(_MANIFEST)
    info.size, info.mode = len(content), 0o600
    archive.addfile(info, io.BytesIO(content))


def extracted(source: Path, folder: Path, progress: Progress) -> list[StoredFile]:
    """The files of an archive, written below an empty folder.

    Raises BackupError for one that is cut, changed or no backup, and OSError where it cannot be read or written; what
    is in the folder then is good for nothing.
    """
    if not source.exists():
        raise BackupError(f"{source}: there is no such file")
    found: dict[str, tuple[int, str]] = {}
    manifest: bytes | None = None
    try:
        size = source.stat().st_size
        with (
            source.open("rb") as compressed,
            gzip.open(compressed) as handle,
            tarfile.open(fileobj=handle, mode="r|") as archive,
        ):

            def read_so_far() -> None:
                progress.step("restore (MB)", compressed.tell() // _MEGABYTE, max(size // _MEGABYTE, 1))

            for member in archive:
                content = archive.extractfile(member) if member.isreg() and _has_a_place(member.name) else None
                if content is None or manifest is not None or member.name in found:
                    raise BackupError(
                        f"{source}: '{printable(member.name)}' has no place in a backup; nothing was restored"
                    )
                if member.name == _MANIFEST:
                    if member.size > _LARGEST_MANIFEST:
                        raise _unreadable(source)
                    manifest = content.read()
                else:
                    found[member.name] = _write(folder / member.name, content, read_so_far)
                read_so_far()
            # The checksum of the whole file stands at its end.
            while handle.read(_PIECE):
                pass
    except _DAMAGES as error:
        reason = printable(str(error))
        raise BackupError(f"{source}: is cut, changed or no backup ({reason}); nothing was restored") from error
    if manifest is None:
        raise BackupError(f"{source}: is cut or no backup: its manifest is missing; nothing was restored")
    files = _listed_files(source, manifest)
    listed = {file.path: (file.size, file.sha256) for file in files}
    wrong = sorted(name for name in listed.keys() | found.keys() if listed.get(name) != found.get(name))
    if wrong:
        named = printable(wrong[0])
        raise BackupError(f"{source}: {len(wrong)} files are not as they were, such as {named}; nothing was restored")
    if len(files) != len(listed):
        raise _unreadable(source)
    for file in files:
        try:
            os.utime(folder / file.path, ns=(file.modified_ns, file.modified_ns))
        except OverflowError as error:
            raise _unreadable(source) from error
    return files


def _has_a_place(name: str) -> bool:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.as_posix() != name or "\0" in name:
        return False
    return bool(path.parts) and path.parts[0] not in _NEVER_RESTORED


def _write(path: Path, content: IO[bytes], each: Callable[[], None]) -> tuple[int, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as handle:
        while piece := content.read(_PIECE):
            digest.update(piece)
            size += handle.write(piece)
            each()
        handle.flush()
        os.fsync(handle.fileno())
    return size, digest.hexdigest()


def _unreadable(source: Path) -> BackupError:
    return BackupError(f"{source}: its manifest cannot be read; nothing was restored")


def _listed_files(source: Path, manifest: bytes) -> list[StoredFile]:
    try:
        content = json.loads(manifest)
        if content["format"] != _FORMAT:
            made_by = printable(f"dora {content['program']} in format {content['format']}")
            raise BackupError(f"{source}: made by {made_by}, this one reads {_FORMAT}; use the newer program")
        files = [StoredFile(**file) for file in content["files"]]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise _unreadable(source) from error
    for file in files:
        numbers = (file.size, file.modified_ns)
        if not isinstance(file.path, str) or any(type(number) is not int for number in numbers):
            raise _unreadable(source)
        if not isinstance(file.sha256, str) or not re.fullmatch("[0-9a-f]{64}", file.sha256):
            raise _unreadable(source)
    return files
