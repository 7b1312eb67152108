"""Which files of a home are in a backup: what a run reads. What is left out has a name and a reason."""

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dora_pipeline.config import Home, Settings
from dora_pipeline.files import NO_REGULAR_FILE, printable
from dora_pipeline.sources.apm.export_files import listing
from dora_pipeline.sources.apm.settings import apm_settings, export_folder, link_targets

# What a run makes again, by its first part in the home; of `intake/` the store is copied by itself.
_MADE_AGAIN = ("work", "git", "intake", "dagster", "warehouse.duckdb")


@dataclass
class BackupFiles:
    """The files by their names in the backup, and what is not in it: name and reason in a line each."""

    files: dict[str, Path] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def backup_files(home: Home, settings: Settings) -> BackupFiles:
    """What goes into a backup, but for databases.

    Links are followed where a run follows them, and what they lead to is kept under the name of the link.
    """
    walk = _Walk(home)
    for path in (home.settings_file, home.selection_log):
        walk.add(path.name, path, "all")
    walk.add(home.services.name, home.services, "files")
    walk.add(home.raw.name, home.raw, "all")
    _add_exports(walk, home, settings)
    return walk.found


def _add_exports(walk: "_Walk", home: Home, settings: Settings) -> None:
    exports = export_folder(home, settings)
    if not exports.resolve().is_relative_to(home.path.resolve()):
        walk.found.left_out.append(f"the exports in {exports} are outside the home and not in the backup")
        return
    # Without `..`, so that every name in the archive lies in the home.
    folder = Path(os.path.normpath(exports))
    is_plain = folder.is_relative_to(home.path) and folder.resolve() == exports.resolve()
    if not is_plain:
        folder = home.path / exports.resolve().relative_to(home.path.resolve())
    name = folder.relative_to(home.path).as_posix()
    path = apm_settings(settings).path
    if not is_plain or Path(path).is_absolute():
        walk.found.left_out.append(
            f"sources.apm_deployment_tracking.path is {path}: in a restored home the exports are in {name}, name that"
        )
    if _is_made_again(name):
        walk.leave_out(name, "what lies there is made again by a run; keep exports in a folder of their own")
    walk.add(name, folder, "none")
    found = listing(folder, link_targets(home, settings))
    for file in found.files:
        walk.take(f"{name}/{file.name}", file.path)
    for inner, file_path in list(walk.found.files.items()):
        # A run names such an export and goes on.
        if inner.startswith(f"{name}/") and not os.access(file_path, os.R_OK):
            del walk.found.files[inner]
            walk.leave_out(inner, "it cannot be read; check its owner and mode")
    for left_out in found.left_out:
        if left_out.path.is_symlink():
            walk.leave_out(f"{name}/{left_out.name}", left_out.reason)


class _Walk:
    def __init__(self, home: Home) -> None:
        self.found = BackupFiles()
        self._home = home

    def add(self, name: str, path: Path, links: Literal["all", "files", "none"], above: Collection[Path] = ()) -> None:
        """Add a file, or all files below a folder, if it is there. `links` says which links inside are followed."""
        if not os.path.lexists(path) or _is_made_again(name):
            return
        try:
            real = Path(os.path.realpath(path, strict=True))
            mode = real.stat().st_mode
            inside = sorted(os.listdir(real)) if stat.S_ISDIR(mode) else []
        except OSError as error:
            self.leave_out(name, f"it cannot be looked at: {error.strerror}")
            return
        if real in above:
            self.leave_out(name, "it is a link to a folder that it lies in")
        elif stat.S_ISREG(mode):
            self.take(name, path)
        elif not stat.S_ISDIR(mode):
            self.leave_out(name, NO_REGULAR_FILE)
        for entry in inside if real not in above else ():
            inner = path / entry
            inner_name = f"{name}/{entry}" if name != "." else entry
            if inner.is_symlink() and links != "all" and (links == "none" or inner.is_dir()):
                if links == "files":
                    self.leave_out(inner_name, "it is a link to a folder, which no run follows")
                continue
            self.add(inner_name, inner, links, (*above, real))

    def take(self, name: str, path: Path) -> None:
        """Add a file; one under the same name is the same."""
        if not _is_made_again(name):
            self.found.files[name.removeprefix("./")] = path

    def leave_out(self, name: str, reason: str) -> None:
        """Name what is not in the backup."""
        self.found.left_out.append(f"{printable(name)} is not in the backup: {reason}")


def _is_made_again(name: str) -> bool:
    first = name.removeprefix("./").partition("/")[0]
    return first in _MADE_AGAIN or first.startswith("warehouse.duckdb.")
