"""Putting a whole copy of the working database where people query it.

Readers hold the published file open for as long as they like: a publication replaces the name, never the content.
"""

import contextlib
import errno
import os
import shutil
from pathlib import Path

from dora_pipeline.config import Home
from dora_pipeline.errors import WarehouseError
from dora_pipeline.files import sync_folder

_MARGIN = 64 * 1024 * 1024
_TEMPORARY = "warehouse.duckdb.publishing-"


def working_file(home: Home) -> Path:
    """The database that the writer works on."""
    return home.work / "warehouse.duckdb"


def is_published(home: Home) -> bool:
    """Whether the published file is a copy of the working database as it is now."""
    try:
        working, published = working_file(home).stat(), home.warehouse.stat()
    except FileNotFoundError:
        return False
    return (working.st_size, working.st_mtime_ns) == (published.st_size, published.st_mtime_ns)


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
        os.replace(temporary, home.warehouse)
        sync_folder(home.path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error.strerror)
        raise WarehouseError(
            f"{home.warehouse}: not published: {reason}; what was published stays. Mend that and run `dora run` again"
        ) from error


def remove_remains(home: Home) -> None:
    """Remove the half copies of publications that were killed. Only the holder of the lock may call this."""
    for path in home.path.glob(f"{_TEMPORARY}*"):
        path.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    # shutil.copyfile copies inside the kernel; the times are copied so that `is_published` can compare them.
    shutil.copyfile(source, target)
    shutil.copystat(source, target)
    with target.open("rb+") as handle:
        os.fsync(handle.fileno())


def _megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:,.0f} MiB"
