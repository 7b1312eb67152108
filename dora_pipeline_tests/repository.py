"""The files of the repository, for tests that look at them: those that git tracks, and none that lies beside."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

from dora_pipeline.config import project_folder


@cache
def _names() -> tuple[str, ...] | None:
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "-z"]
    told = subprocess.run(command, cwd=project_folder(), capture_output=True, text=True)
    return tuple(name for name in told.stdout.split("\0") if name) if told.returncode == 0 else None


def tracked_files(below: Path | None = None) -> list[Path]:
    """The tracked files below a folder, or all; sorted. Skips the test, with the reason, outside of a checkout."""
    names = _names()
    if names is None:
        pytest.skip(f"{project_folder()} is no checkout of git, which would say what belongs to the project")
    paths = (project_folder() / name for name in names)
    return sorted(path for path in paths if path.is_file() and (below is None or path.is_relative_to(below)))
