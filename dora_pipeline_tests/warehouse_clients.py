"""Clients of the published warehouse that do what they should not: they open it to write, and stay or are killed."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_SCRIPT = """
import os
import sys
import duckdb
path, user = sys.argv[1], sys.argv[2]
if user:
    os.setgroups([])
    os.setgid(int(user))
    os.setuid(int(user))
connection = None
print(duckdb.__version__, flush=True)
for line in sys.stdin:
    action, _, rest = line.strip().partition(" ")
    try:
        if action == "open":
            connection = duckdb.connect(path, read_only=rest == "read-only")
        elif action == "attach":
            connection = duckdb.connect()
            connection.execute(f"ATTACH '{path}' AS w {rest}")
            connection.execute("USE w")
        elif action == "close":
            connection.close()
        else:
            print(connection.execute(line).fetchall(), flush=True)
            continue
        print("done", flush=True)
    except Exception as error:
        print(" ".join(str(error).split()), flush=True)
"""
# Not root, and the owner of nothing.
NOBODY = 65534


class WarehouseClient:
    """A DuckDB client in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.version = self._line()

    def say(self, text: str) -> str:
        """`open`, `open read-only`, `attach`, `attach (READ_ONLY)`, `close` or a statement; its answer or error."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        return self._line()

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._process.kill()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def warehouse_client(
    warehouse: Path, *, duckdb_folder: Path | None = None, user: int | None = None, before: Sequence[str] = ()
) -> Iterator[WarehouseClient]:
    """A client of the installed DuckDB, or of the one in a folder; as this user or as another one.

    `before` is a command that starts it with less than it would have.
    """
    named: Mapping[str, str] = {"PYTHONPATH": str(duckdb_folder)} if duckdb_folder else {}
    command = [*before, sys.executable, "-c", _SCRIPT, str(warehouse), "" if user is None else str(user)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **named}
    ) as process:
        try:
            yield WarehouseClient(process)
        finally:
            process.kill()


def make_writable(warehouse: Path) -> None:
    """Let this user's clients write the file, as those of root can anyway."""
    if os.geteuid() != 0:
        warehouse.chmod(0o644)
