"""The export files of a folder. What does not belong here: anything that looks into the records of a file."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dora_pipeline.errors import SourceUnavailable

SOURCE = "apm_deployment_tracking"

TEXT_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv")
COMPRESSIONS = (".gz", ".zst")
ENDINGS = (*TEXT_ENDINGS, ".parquet", *(text + packed for text in TEXT_ENDINGS for packed in COMPRESSIONS))

_BLOCK = 1 << 20


@dataclass(frozen=True)
class ExportFile:
    """An export as it lay in the folder: `name` is its posix path below the folder, `modified_at` UTC."""

    name: str
    path: Path
    size: int
    modified_at: datetime


def export_files(folder: Path) -> list[ExportFile]:
    """The exports below the folder, sorted by name; empty for a missing folder.

    A file counts by the ending of its name. Hidden files and folders, and the temporary files of editors and
    downloads (which carry another ending, or a leading `~`), do not count; nor do links that lead nowhere.
    Raises SourceUnavailable for a folder that may not be read.
    """
    files = []
    for path in _visible(folder):
        try:
            if path.name.lower().endswith(ENDINGS) and path.is_file():
                status = path.stat()
                modified_at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=status.st_mtime_ns // 1000)
                files.append(ExportFile(path.relative_to(folder).as_posix(), path, status.st_size, modified_at))
        except FileNotFoundError:
            continue
    return sorted(files, key=lambda file: file.name)


def _visible(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    here = folder.resolve()
    if not folder.is_dir() or here in above:
        return
    try:
        paths = list(folder.iterdir())
    except OSError as error:
        raise SourceUnavailable(
            SOURCE, f"the folder {folder} cannot be read: {error.strerror}; check its owner and mode"
        ) from error
    for path in paths:
        if path.name.startswith((".", "~")):
            continue
        if path.is_dir():
            yield from _visible(path, (*above, here))
        else:
            yield path


def copies(files: Sequence[ExportFile]) -> dict[str, str]:
    """For each file with the very same bytes as one before it (by name): its name, and that first file's name.

    Only files of equal size are compared. A file that cannot be read is nobody's copy; reading it tells why.
    """
    by_size: dict[int, list[ExportFile]] = defaultdict(list)
    for file in sorted(files, key=lambda file: file.name):
        by_size[file.size].append(file)
    found: dict[str, str] = {}
    for alike in by_size.values():
        originals: list[ExportFile] = []
        for file in alike:
            original = next((other for other in originals if _is_same(other.path, file.path)), None)
            if original is None:
                originals.append(file)
            else:
                found[file.name] = original.name
    return found


def _is_same(one: Path, other: Path) -> bool:
    try:
        return all(left == right for left, right in zip(_blocks(one), _blocks(other), strict=True))
    except (OSError, ValueError):
        return False


def _blocks(path: Path) -> Iterable[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block
