"""What the raw layer holds: `raw/manifest.json`, so that a file that is not there any more is noticed.

A file is written first and listed afterwards. One that is there and not listed, as a kill or an older program leaves
it, is listed then. What does not belong here: whether the files can be read.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.files import whole_file

_NAME = "manifest.json"


class Manifest:
    """The files below `raw/` by source, and those that the operator went on without.

    Every method raises SourceUnavailable for a manifest that cannot be read.
    """

    def __init__(self, raw: Path) -> None:
        self._raw = raw
        self._path = raw / _NAME

    def missing(self, source: str) -> list[Path]:
        """The listed files of a source that are not there."""
        return sorted(self._raw / name for name in self._read(source)["files"] - self._present(source))

    def lost(self, source: str) -> list[Path]:
        """The files of a source that the operator went on without."""
        return sorted(self._raw / name for name in self._read(source)["lost"])

    def add_present(self, source: str) -> None:
        """List what is there of a source."""
        listed, present = self._read(source), self._present(source)
        self._write(source, listed["files"] | present, listed["lost"] - present)

    def give_up(self, source: str, paths: Iterable[Path]) -> None:
        """Go on without files of a source that are not there."""
        listed = self._read(source)
        names = {path.relative_to(self._raw).as_posix() for path in paths}
        self._write(source, listed["files"] - names, listed["lost"] | names)

    def _present(self, source: str) -> set[str]:
        found = (path for ending in ("*.jsonl.gz", "*.json") for path in (self._raw / source).rglob(ending))
        return {path.relative_to(self._raw).as_posix() for path in found if not path.name.startswith(".")}

    def _read(self, source: str) -> dict[str, set[str]]:
        lists = self._lists(source)
        return {
            kind: {name for name in lists.get(kind, []) if name.startswith(f"{source}/")} for kind in ("files", "lost")
        }

    def _lists(self, source: str) -> dict[str, list[str]]:
        try:
            lists = json.loads(self._path.read_text(encoding="utf-8"))
            return {kind: [str(name) for name in lists[kind]] for kind in ("files", "lost")}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SourceUnavailable(
                source,
                f"{self._path}: cannot be read ({error}); restore it from a backup, or delete it to take the files "
                f"in {self._raw} for all that there were",
            ) from error

    def _write(self, source: str, files: set[str], lost: set[str]) -> None:
        before = self._lists(source)
        after = {}
        for kind, names in (("files", files), ("lost", lost)):
            others = {name for name in before.get(kind, []) if not name.startswith(f"{source}/")}
            after[kind] = sorted(others | names)
        if after != before and any(after.values()):
            with whole_file(self._path) as file:
                file.write(json.dumps(after, indent=1).encode())
