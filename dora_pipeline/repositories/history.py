"""A git repository from a table of commits: the same graph and times, with placeholders for all else.

What does not belong here: mirrors of repositories that exist elsewhere (`mirror.py`).
"""

import csv
import gzip
import shutil
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from dora_pipeline.errors import RepositoryError
from dora_pipeline.repositories.git import run_query

_COLUMNS = ("sha", "parents", "author_time", "commit_time")
_FILES = 8

Row = Mapping[str, str]


def rebuild_history(commits: Path, repository: Path) -> None:
    """Makes a bare repository from a CSV file (gzip where it ends in .gz) of real commits, one a row.

    Columns: sha, parents (separated by spaces; unknown ones are left out), author_time, commit_time (RFC 3339).
    The SHAs of the result differ from the table's and are the same on every machine. Every commit that is no merge
    writes its original SHA into one of src/part0.txt to src/part7.txt. Branch `main` is the newest head.
    Raises RepositoryError when the table cannot be used, the repository exists, or git fails.
    """
    if repository.exists():
        raise RepositoryError(f"{repository} exists; remove it to make it again from {commits}")
    rows = _parents_first(_rows(commits), commits)
    part = repository.with_name(f"{repository.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        run_query(part, ["init", "--quiet", "--bare", "--template=", "--object-format=sha1", "--initial-branch=main"])
        try:
            stream = b"".join(_import_stream(rows))
        except ValueError as error:
            raise RepositoryError(f"{commits}: a time is not RFC 3339: {error}") from error
        run_query(part, ["fast-import", "--quiet", "--force"], stream)
        part.rename(repository)
    except OSError as error:
        raise RepositoryError(f"{error.filename or repository}: {error.strerror}; check the space and owner") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _rows(path: Path) -> list[Row]:
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as handle:
            rows: list[Row] = list(csv.DictReader(handle))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise RepositoryError(f"{path}: cannot be read as a table of commits: {error}") from error
    if not rows:
        raise RepositoryError(f"{path}: holds no commits; a table of commits has the columns {', '.join(_COLUMNS)}")
    seen: set[str] = set()
    for line, row in enumerate(rows, start=2):
        wrong = [name for name in _COLUMNS if row.get(name) is None]
        if wrong:
            raise RepositoryError(f"{path}, line {line}: the column {wrong[0]} is missing")
        if row["sha"] in seen:
            raise RepositoryError(f"{path}, line {line}: the commit {row['sha']} stands twice")
        seen.add(row["sha"])
    return rows


def _parents_first(rows: list[Row], path: Path) -> list[Row]:
    """The rows in an order that decides the contents and so the SHAs: depth first, from the last row on."""
    by_sha = {row["sha"]: row for row in rows}
    ordered: dict[str, Row] = {}
    begun: set[str] = set()
    for row in reversed(rows):
        stack = [row["sha"]]
        while stack:
            sha = stack[-1]
            waiting = [parent for parent in _parents(by_sha[sha], by_sha) if parent not in ordered]
            if sha in ordered or not waiting:
                ordered.setdefault(sha, by_sha[sha])
                stack.pop()
                continue
            begun.add(sha)
            if not begun.isdisjoint(waiting):
                raise RepositoryError(f"{path}: the commit {sha} is among its own ancestors")
            stack += waiting
    return list(ordered.values())


def _parents(row: Row, known: Mapping[str, object]) -> list[str]:
    return [parent for parent in row["parents"].split() if parent in known]


def _import_stream(rows: list[Row]) -> Iterator[bytes]:
    marks: dict[str, int] = {}
    heads: dict[str, Row] = {}
    for mark, row in enumerate(rows, start=1):
        parents = _parents(row, marks)
        lines = [] if parents else ["reset refs/heads/main", ""]
        lines += [
            "commit refs/heads/main",
            f"mark :{mark}",
            f"author A <a@example.invalid> {_second(row['author_time'])} +0000",
            f"committer A <a@example.invalid> {_second(row['commit_time'])} +0000",
            "data 0",
        ]
        lines += [f"{'merge' if place else 'from'} :{marks[parent]}" for place, parent in enumerate(parents)]
        if len(parents) < 2:
            size = len(row["sha"].encode())
            lines += [f"M 100644 inline src/part{mark % _FILES}.txt", f"data {size}", row["sha"]]
        yield "\n".join([*lines, "", ""]).encode()
        marks[row["sha"]] = mark
        heads[row["sha"]] = row
        for parent in parents:
            heads.pop(parent, None)
    newest = max(heads.values(), key=lambda head: _second(head["commit_time"]))
    for place, sha in enumerate([newest["sha"], *(sha for sha in heads if sha != newest["sha"])]):
        branch = f"head-{place}" if place else "main"
        yield f"reset refs/heads/{branch}\nfrom :{marks[sha]}\n\n".encode()


def _second(moment: str) -> int:
    parsed = datetime.fromisoformat(moment)
    if parsed.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return int(parsed.timestamp())
