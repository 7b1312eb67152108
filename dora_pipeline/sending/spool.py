"""A file of events that could not be sent yet, one JSON object a line.

Every change puts a whole new file in place of the old one under a lock, so that neither a kill nor a full disk leaves
half a line, and programs that write at the same time lose nothing. It holds no key.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dora_pipeline.errors import DoraError
from dora_pipeline.files import whole_file
from dora_pipeline.sending.sent_events import Event


class SpoolError(DoraError):
    """The file cannot be read or written, or stays locked."""


class Spool:
    """The events in a file, which is there only while it holds any; `name` is how the user calls it.

    Every method may raise SpoolError.
    """

    def __init__(self, path: Path, lock_seconds: float = 10.0) -> None:
        self._path = path.resolve()
        self.name = str(path)
        self._lock_seconds = lock_seconds

    def add(self, event: Event) -> None:
        """Put the event at the end; it is on the disk when this returns."""
        with self._locked():
            self._write([*self._lines(), event.line])

    def lines(self) -> list[bytes]:
        """The lines of the file in their order, without blank ones; none where there is no file."""
        with self._explained("read"):
            return self._lines()

    def remove(self, lines: Collection[bytes]) -> None:
        """Take these lines out; those that were added meanwhile stay."""
        with self._locked():
            held = self._lines()
            kept = [line for line in held if line not in lines]
            if not kept:
                self._path.unlink(missing_ok=True)
            elif len(kept) < len(held):
                self._write(kept)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._explained("written"):
            try:
                with FileLock(self._path.with_name(f".{self._path.name}.lock"), timeout=self._lock_seconds):
                    yield
            except Timeout:
                raise SpoolError(
                    f"{self._path}: another process has held it for {self._lock_seconds:g} s; try again later"
                ) from None

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolError(
                f"{self._path}: cannot be {action}: {error.strerror}; check folder, owner, mode and free space"
            ) from None

    def _lines(self) -> list[bytes]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return []
        return [line for line in content.splitlines() if line.strip()]

    def _write(self, lines: Sequence[bytes]) -> None:
        with whole_file(self._path, 0o600) as file:
            file.write(b"".join(line + b"\n" for line in lines))
