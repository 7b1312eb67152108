"""Process groups that end with this process, also where it is killed.

What does not belong here: starting them.
"""

import atexit
import contextlib
import subprocess
import threading

# Reads `+ group` and `- group`; when the writer is gone, however it ended, it ends the groups that are left.
_WATCH = """
groups=
while read -r sign group; do
    left=
    for known in $groups; do [ "$known" = "$group" ] || left="$left $known"; done
    groups=$left
    [ "$sign" = - ] || groups="$groups $group"
done
for group in $groups; do kill -s KILL -- "-$group"; done
"""


class _Watcher:
    """A process that ends the process groups which this process leaves behind, even where it is killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it where it does not run. Raises OSError."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", _WATCH],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    bufsize=0,
                    start_new_session=True,
                )

    def add(self, group: int) -> None:
        """From now on the group is ended with this process."""
        self._write(f"+ {group}\n")

    def remove(self, group: int) -> None:
        """The group has ended."""
        self._write(f"- {group}\n")

    def end(self) -> None:
        """Lets it end."""
        with self._lock:
            if self._process is not None:
                self._process.communicate()

    def _write(self, line: str) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.write(line.encode())


WATCHER = _Watcher()
atexit.register(WATCHER.end)
