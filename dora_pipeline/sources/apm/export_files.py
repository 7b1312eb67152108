"""The export files of a folder. What does not belong here: anything that looks into the records of a file."""

import errno
import hashlib
import os
import re
import stat
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.files import NO_REGULAR_FILE, printable, regular_file
from dora_pipeline.sources.apm.settings import SOURCE
from dora_pipeline.timeline import EPOCH

TEXT_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv")
COMPRESSIONS = (".gz", ".zst")
ENDINGS = (*TEXT_ENDINGS, ".parquet", *(text + packed for text in TEXT_ENDINGS for packed in COMPRESSIONS))

_by_name = attrgetter("name")
# By so many bytes most files of one size differ.
_BLOCK = 64 * 1024
# Hidden files, notes for people, checksums and marks of writers, and the temporary files of editors and downloads.
_NO_EXPORT = re.compile(
    r"[.~].*|.*~|README.*|Thumbs\.db|desktop\.ini|_SUCCESS|_(started|committed)_.*"
    r"|.*\.(tmp|temp|part|partial|filepart|download|crdownload|swp|bak|lock|crc|md5|sha1|sha256|sha512)",
    re.IGNORECASE,
)
# Files that the kernel makes up, some of them with secrets of this process.
_MADE_UP = (Path("/proc"), Path("/sys"), Path("/dev"))
_BAD_ENDING = f"its ending is none of {' '.join(TEXT_ENDINGS)}, these with {' '.join(COMPRESSIONS)}, .parquet"

_BAD_NAME = "its name is not UTF-8; rename it"
_LEADS_AWAY = "it is a link that leaves the folder; follow_links_to names folders that links may lead to"
_LEADS_NOWHERE = "it is a link that leads nowhere"


class ExportFile(NamedTuple):
    """An export as it lay in the folder: `name` is its posix path below the folder.

    Its last change is in microseconds since 1970: there may be many files, and each is compared in each run.
    """

    name: str
    location: str
    size: int
    modified_us: int

    @property
    def modified_at(self) -> datetime:
        """Its last change, in UTC."""
        return EPOCH + timedelta(microseconds=self.modified_us)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(self.location)


class KnownFile(NamedTuple):
    """An export as it was when it was read: size in bytes, last change (as above), and whose copy it was."""

    size: int
    modified_us: int
    original: str | None


@dataclass(frozen=True)
class LeftOutFile:
    """What is not read: its posix path below the folder, with what cannot be shown escaped, and why."""

    path: Path
    name: str
    reason: str


@dataclass
class Listing:
    """The exports below a folder, and what lies there beside them and is not read, both sorted by name."""

    files: list[ExportFile] = field(default_factory=list)
    left_out: list[LeftOutFile] = field(default_factory=list)


def export_files(folder: Path, link_targets: Sequence[Path] = ()) -> list[ExportFile]:
    """The files of the `listing`."""
    return listing(folder, link_targets).files


def listing(folder: Path, link_targets: Sequence[Path] = ()) -> Listing:
    """What lies below a folder; nothing for a missing one.

    A file counts by the ending of its name. What is surely no export, such as hidden files and README, is in neither
    list. A link is followed to regular files and folders below the folder itself and below `link_targets`; what two
    names lead to is listed once, under the name that is no link. Raises SourceUnavailable for a folder that may not be
    read.
    """
    try:
        is_there = folder.is_dir()
    except OSError as error:
        raise _unreadable(folder, error) from error
    if not is_there:
        return Listing()
    walk = _Walk(folder, link_targets)
    walk.walk()
    return Listing(sorted(walk.found.files, key=_by_name), sorted(walk.found.left_out, key=_by_name))


def _unreadable(folder: str | Path, error: OSError) -> SourceUnavailable:
    return SourceUnavailable(
        SOURCE,
        f"the folder {printable(str(folder))} cannot be read: {error.strerror}; check its owner and mode, and "
        "that its path is not too long",
    )


class _Walk:
    """Paths are texts: there may be many files, and each is looked at in each run."""

    def __init__(self, folder: Path, link_targets: Sequence[Path]) -> None:
        self.found = Listing()
        self._root = folder.resolve()
        self._targets = [target.resolve() for target in link_targets]
        # With each its name below the folder, which ends in a slash where it is not the folder itself.
        self._folders = deque([(str(folder), str(self._root), "")])
        self._links: deque[tuple[str, str]] = deque()
        self._seen: set[str] = set()

    def walk(self) -> None:
        # Links come last, so that what they lead to is known by its own name where it has one.
        while self._folders or self._links:
            if self._folders:
                self._look_into(*self._folders.popleft())
            else:
                self._follow(*self._links.popleft())

    def _look_into(self, folder: str, real: str, below: str) -> None:
        if real in self._seen:
            return
        self._seen.add(real)
        try:
            with os.scandir(folder) as entries:
                inside = os.path.join(real, "")
                for entry in sorted(entries, key=_by_name):
                    self._look_at(entry, inside + entry.name, below + entry.name)
        except OSError as error:
            raise _unreadable(folder, error) from error

    def _look_at(self, entry: os.DirEntry[str], real: str, name: str) -> None:
        if _NO_EXPORT.fullmatch(entry.name):
            return
        path = entry.path
        if not _is_utf8(entry.name):
            self._leave_out(path, name, _BAD_NAME)
        elif entry.is_symlink():
            self._links.append((path, name))
        elif entry.is_dir(follow_symlinks=False):
            self._folders.append((path, real, f"{name}/"))
        else:
            self._take(path, real, name)

    def _follow(self, link: str, name: str) -> None:
        try:
            real = Path(os.path.realpath(link, strict=True))
            is_folder = stat.S_ISDIR(real.stat().st_mode)
        except OSError as error:
            is_lost = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
            self._leave_out(link, name, _LEADS_NOWHERE if is_lost else f"it cannot be looked at: {error.strerror}")
            return
        if not self._is_allowed(real):
            self._leave_out(link, name, _LEADS_AWAY)
        elif is_folder:
            self._folders.append((link, str(real), f"{name}/"))
        else:
            self._take(link, str(real), name)

    def _is_allowed(self, real: Path) -> bool:
        if real.is_relative_to(self._root):
            return True
        is_named = any(real.is_relative_to(target) for target in self._targets)
        return is_named and not any(real.is_relative_to(folder) for folder in _MADE_UP)

    def _take(self, path: str, real: str, name: str) -> None:
        if real in self._seen:
            return
        self._seen.add(real)
        try:
            status = os.stat(path)
        except FileNotFoundError:
            # It was removed meanwhile.
            return
        if not stat.S_ISREG(status.st_mode):
            self._leave_out(path, name, NO_REGULAR_FILE)
        elif not name.lower().endswith(ENDINGS):
            self._leave_out(path, name, _BAD_ENDING)
        else:
            self.found.files.append(ExportFile(name, path, status.st_size, status.st_mtime_ns // 1000))

    def _leave_out(self, path: str, name: str, reason: str) -> None:
        self.found.left_out.append(LeftOutFile(Path(path), printable(name), reason))


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def copies(files: Sequence[ExportFile], known: Mapping[str, KnownFile] | None = None) -> dict[str, str]:
    """For each file with the very same bytes and ending as another that stands for both: its name, and the other's.

    The one that changed last stands for all, of those that changed together the first by name: what is told again is
    the newest. A file is read as its ending says, so under another one the same bytes tell something else, or nothing.
    Only files of equal size are compared, and of those only where one of them is not as it was when it was `known`, by
    name. A file that cannot be read is nobody's copy; reading it tells why.
    """
    by_size: dict[int, list[ExportFile]] = defaultdict(list)
    for file in sorted(sorted(files, key=_by_name), key=lambda file: file.modified_us, reverse=True):
        by_size[file.size].append(file)
    known_by_size: dict[int, dict[str, KnownFile]] = defaultdict(dict)
    for name, one in (known or {}).items():
        known_by_size[one.size][name] = one
    found: dict[str, str] = {}
    for size, alike in by_size.items():
        before = known_by_size[size]
        now = {file.name: file.modified_us for file in alike}
        kept = {name: one.original for name, one in before.items() if one.original is not None}
        is_known = now == {name: one.modified_us for name, one in before.items()}
        if is_known and all(_ending(name) == _ending(original) for name, original in kept.items()):
            found |= kept
            continue
        for same in _alike(alike):
            found |= {file.name: same[0].name for file in same[1:]}
    return found


def _alike(files: Sequence[ExportFile]) -> Iterator[Sequence[ExportFile]]:
    """The groups of files with the same bytes and ending, each in the order of the files."""
    for of_ending in _groups(files, lambda file: _ending(file.name)):
        for begun_alike in _groups(of_ending, lambda file: _digest(file.path, _BLOCK)):
            yield from _groups(begun_alike, lambda file: _digest(file.path))


def _ending(name: str) -> str | None:
    return next((ending for ending in ENDINGS if name.lower().endswith(ending)), None)


def _groups(
    files: Sequence[ExportFile], value_of: Callable[[ExportFile], bytes | str | None]
) -> Iterator[Sequence[ExportFile]]:
    """The files with one value, where they are several."""
    groups: dict[bytes | str, list[ExportFile]] = defaultdict(list)
    for file in files if len(files) > 1 else ():
        found = value_of(file)
        if found is not None:
            groups[found].append(file)
    yield from (group for group in groups.values() if len(group) > 1)


def _digest(path: Path, most: int | None = None) -> bytes | None:
    """The digest of a file or of its beginning; None where it cannot be read."""
    try:
        with regular_file(path) as stream:
            if most is not None:
                return hashlib.sha256(stream.read(most)).digest()
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError:
        return None
