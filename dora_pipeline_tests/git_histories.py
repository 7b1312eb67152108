"""Git repositories for tests, written with fast-import."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(repository: Path, *arguments: str, stdin: str = "") -> str:
    """What git prints; a failure of git fails the test."""
    run = subprocess.run(
        ["git", f"--git-dir={repository}", *arguments],
        input=stdin,
        env=_ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
    )
    return run.stdout.strip()


def dated_commit(repository: Path, parent: str, date: str) -> str:
    """Writes a commit of the parent's files with the text in place of both dates, as broken tools do; its SHA."""
    tree = git(repository, "rev-parse", f"{parent}^{{tree}}")
    person = f"A <a@example.invalid> {date}".rstrip()
    content = f"tree {tree}\nparent {parent}\nauthor {person}\ncommitter {person}\n\nbroken\n"
    return git(repository, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=content)


class History:
    """Commits to be written; a commit is known by its number, from 1."""

    def __init__(self) -> None:
        self._stream: list[str] = []
        self._count = 0

    def commit(
        self,
        *parents: int,
        committed: int = 0,
        authored: int | None = None,
        files: Mapping[str, str] | None = None,
        message: str | None = None,
    ) -> int:
        """Adds a commit; times are seconds after 2024-01-01 00:00 UTC; `files` are written over its first parent's.

        Without a message it says its number.
        """
        self._count += 1
        message = str(self._count) if message is None else message
        start = 1_704_067_200
        self._stream += [] if parents else ["reset refs/heads/work", ""]
        self._stream += [
            "commit refs/heads/work",
            f"mark :{self._count}",
            f"author A <a@example.invalid> {start + (committed if authored is None else authored)} +0000",
            f"committer A <a@example.invalid> {start + committed} +0000",
            f"data {len(message.encode())}",
            message,
            *(f"{'merge' if place else 'from'} :{parent}" for place, parent in enumerate(parents)),
        ]
        for path, content in (files or {}).items():
            self._stream += [f'M 100644 inline "{path}"', f"data {len(content)}", content]
        self._stream.append("")
        return self._count

    def write(self, repository: Path, branches: Mapping[str, int], *init: str) -> Sequence[str]:
        """Writes the repository, bare, and returns the SHAs by number; the one at 0 means nothing."""
        git(repository, "init", "--quiet", "--bare", "--template=", *init)
        for name, commit in branches.items():
            self._stream += [f"reset refs/heads/{name}", f"from :{commit}", ""]
        shas = repository / "shas"
        git(
            repository,
            "fast-import",
            "--quiet",
            "--force",
            f"--export-marks={shas}",
            stdin="\n".join(self._stream) + "\n",
        )
        if "work" not in branches:
            git(repository, "update-ref", "-d", "refs/heads/work")
        git(repository, "symbolic-ref", "HEAD", f"refs/heads/{next(iter(branches))}")
        marks = dict(line.split() for line in shas.read_text().splitlines())
        return ["", *(marks[f":{number}"] for number in range(1, self._count + 1))]
