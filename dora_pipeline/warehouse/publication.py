"""Putting a whole copy of the working database where people query it, and keeping it as it was put there.

Readers hold the published file open for as long as they like: a publication replaces the name, never the content.
Nobody writes the published file. Its mode says so to everyone but root; what a client of root leaves beside it, DuckDB
would replay onto whatever file has the name then, so it is removed before and after a publication, and before each
reading of this program.
"""

import contextlib
import fcntl
import json
import os
import shutil
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from dora_pipeline.config import Home
from dora_pipeline.errors import WarehouseError
from dora_pipeline.files import NO_SPACE, sync_folder, whole_file

_MARGIN = 64 * 1024 * 1024
_TEMPORARY = "warehouse.duckdb.publishing-"
_READABLE = 0o444
# What DuckDB looks for beside a file of this name, whichever file it was written for. 1.x knows the first one only.
_COMPANIONS = (".wal", ".wal.checkpoint", ".wal.recovery")
_SECONDS_OF_A_SPILL = 86_400
# FICLONE of linux/fs.h, which the module fcntl does not name.
_CLONE = 0x40049409


def working_file(home: Home) -> Path:
    """The database that the writer works on."""
    return home.work / "warehouse.duckdb"


def companions(database: Path) -> Sequence[Path]:
    """What lies beside a database, and DuckDB would replay onto it or stumble over."""
    beside = (database.with_name(database.name + suffix) for suffix in _COMPANIONS)
    return [path for path in beside if os.path.lexists(path)]


def remove_companions(database: Path) -> Sequence[Path]:
    """Remove what lies beside a database to which it does not belong, and return what that was.

    Raises WarehouseError where it cannot be removed.
    """
    found = companions(database)
    for path in found:
        try:
            _remove(path)
        except OSError as error:
            raise WarehouseError(
                f"{path}: cannot be removed: {error.strerror}. A client that opened {database.name} to write left it, "
                "and DuckDB shows its changes to whoever reads the file; remove it as the owner of the folder, and "
                "open the file read-only"
            ) from error
    return found


def is_published(home: Home) -> bool:
    """Whether people see the working database as it is now, in a file that is as its publication left it."""
    return not companions(home.warehouse) and _states(home) == _known_states(home) != {}


def was_changed(home: Home) -> bool:
    """Whether something else has written the published file since its publication."""
    known, now = (states.get("published") for states in (_known_states(home), _states(home)))
    if known is None or now is None:
        return False
    # A copied home has other inodes, and is no reason for a word.
    return any(known.get(name) != now[name] for name in ("size", "modified_ns"))


def publish(home: Home) -> None:
    """Copy the closed working database beside the published one, and rename it into place.

    Raises WarehouseError where there is no space; what was published before then stays as it is.
    """
    remove_remains(home)
    working = working_file(home)
    size = working.stat().st_size
    free = shutil.disk_usage(home.path).free
    if free < size + _MARGIN:
        raise WarehouseError(
            f"{home.warehouse}: not published: {_megabytes(size)} needed and {_megabytes(_MARGIN)} to spare, "
            f"{_megabytes(free)} free; the warehouse stays as it was. Make space and run `dora run` again"
        )
    temporary = home.path / f"{_TEMPORARY}{os.getpid()}"
    try:
        _copy(working, temporary)
        remove_companions(home.warehouse)
        os.replace(temporary, home.warehouse)
        states = _states(home)
        # A client that had the former file open may have written meanwhile.
        remove_companions(home.warehouse)
        sync_folder(home.path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = "the disk is full" if error.errno in NO_SPACE else str(error.strerror)
        raise WarehouseError(
            f"{home.warehouse}: not published: {reason}; what was published stays. Mend that and run `dora run` again"
        ) from error
    # Without it the next look publishes again, which harms nothing.
    with contextlib.suppress(OSError), whole_file(_state_file(home)) as file:
        file.write(json.dumps(states).encode())


def remove_remains(home: Home) -> None:
    """Remove the half copies of publications that were killed, and what killed readers have spilled.

    Only the holder of the lock may call this.
    """
    for path in home.path.glob(f"{_TEMPORARY}*"):
        _remove(path)
    spill = home.warehouse.with_name(home.warehouse.name + ".tmp")
    # It takes space and does no other harm, and may be another user's.
    with contextlib.suppress(OSError):
        paths = [spill, *(spill.iterdir() if spill.is_dir() else ())]
        # Nobody reads another one's, but a query ends in an error when its own goes.
        if max(path.lstat().st_mtime for path in paths) < time.time() - _SECONDS_OF_A_SPILL:
            _remove(spill)


def _states(home: Home) -> dict[str, dict[str, int]]:
    """What shows whether the published file and the working database have changed; empty where one is missing."""
    try:
        return {"published": _state(home.warehouse), "working": _state(working_file(home))}
    except FileNotFoundError:
        return {}


def _known_states(home: Home) -> dict[str, dict[str, int]]:
    """The states after the last publication, empty where it is not known."""
    try:
        known = json.loads(_state_file(home).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _state(path: Path) -> dict[str, int]:
    status = path.stat()
    return {
        "inode": status.st_ino,
        "size": status.st_size,
        "modified_ns": status.st_mtime_ns,
        # The one time that nobody can set.
        "changed_ns": status.st_ctime_ns,
        "mode": stat.S_IMODE(status.st_mode),
    }


def _state_file(home: Home) -> Path:
    return home.work / "published.json"


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as written:
        if not _is_cloned(read.fileno(), written.fileno()):
            # Copies inside the kernel.
            shutil.copyfile(source, target)
        os.fchmod(written.fileno(), _READABLE)
        os.fsync(written.fileno())


def _is_cloned(source: int, target: int) -> bool:
    """Whether a file shares the blocks of another one now, as XFS, Btrfs and some others can."""
    try:
        fcntl.ioctl(target, _CLONE, source)
    except OSError:
        return False
    return True


def _remove(path: Path) -> None:
    """Remove a file or a folder, unless another process does so at the same time."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:,.0f} MiB"
