"""Files that are there whole or not at all, whatever ends the program meanwhile; names and kinds of files.

What does not belong here: what the files hold.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

NO_REGULAR_FILE = "it is no regular file"
# The errors of a disk, or of a share of it, that is full.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def whole_file(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A new file for the block to write, which takes the place of `path` at its end and is on the disk then.

    Where the block fails, what was there stays. Only one process at a time may write a path: what a kill leaves beside
    it is written over by the next. Raises OSError.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file by `whole_file`, and make its folder; one that holds the content already stays untouched."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def regular_file(path: Path) -> BufferedReader:
    """A file, opened to be read. Raises OSError, also for what is no regular file: a pipe would never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, NO_REGULAR_FILE, str(path))
    return os.fdopen(descriptor, "rb")


def printable(name: str) -> str:
    """A name of a file on one line of any terminal: what cannot be shown, and bytes that are no UTF-8, are escaped."""
    # `surrogateescape` gives back the bytes that the system has for the name; other surrogates are none of a file.
    with contextlib.suppress(UnicodeEncodeError):
        name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in name)
