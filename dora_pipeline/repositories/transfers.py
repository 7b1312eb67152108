"""What git brings from a remote into a repository, and the files that it leaves there.

What does not belong here: which repository is a mirror of which remote (`mirror.py`).
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from dora_pipeline.errors import RepositoryError
from dora_pipeline.repositories.git import run_query, run_transfer
from dora_pipeline.repositories.remotes import Remote

# Branches that are gone from the remote go, else a branch `a` would bar `a/b` for ever; their commits stay.
_FETCH = ("fetch", "--quiet", "--prune", "--force", "--no-write-fetch-head", "--no-recurse-submodules", "--no-tags")


def fetch(repository: Path, remote: Remote, refspecs: Iterable[str], lock: int) -> None:
    """Fetches the refs; git holds the descriptor `lock` as long as it lives.

    Raises RepositoryError where git fails, and for shallow and partial clones, which lack commits.
    """
    arguments = [*_FETCH, "--end-of-options", remote.address, *refspecs]
    try:
        _, warnings = run_transfer(repository, arguments, remote.variables, (lock,))
    except RepositoryError:
        if remote.is_partial():
            raise RepositoryError(
                "it is a partial clone, which lacks objects; name the repository that it was cloned from"
            ) from None
        raise
    if "shallow roots are not allowed" in warnings or "shallow update not allowed" in warnings:
        raise RepositoryError("it is a shallow clone, which lacks commits; run `git fetch --unshallow` there")


def write_commit_graph(repository: Path) -> None:
    """Gives every commit a generation number, by which git leaves out what a commit reaches exactly, whatever the
    clocks say."""
    try:
        run_query(repository, ["commit-graph", "write", "--reachable", "--split", "--no-progress"])
    except RepositoryError:
        # Without it whole histories are read instead (`reading.py`), which is as right.
        remove(repository / "objects" / "info" / "commit-graphs")
        remove(repository / "objects" / "info" / "commit-graph")


def remote_object_format(repository: Path, remote: Remote, lock: int) -> str | None:
    """sha1 or sha256, by the SHA of any branch or tag of the remote; None where it has none."""
    answer, _ = run_transfer(
        repository, ["ls-remote", "--quiet", "--end-of-options", remote.address], remote.variables, (lock,)
    )
    return {40: "sha1", 64: "sha256"}.get(len(answer.partition("\t")[0]))


def remove(path: Path) -> None:
    """Takes away a folder, a file or a link, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(repository: Path) -> None:
    """Takes away the lock files and half packs of a killed fetch; called with the mirror's lock held."""
    patterns = ("*.lock", "refs/**/*.lock", "objects/**/*.lock", "objects/pack/tmp_*", "objects/??/tmp_obj_*")
    for pattern in patterns:
        for leftover in repository.glob(pattern):
            leftover.unlink(missing_ok=True)
