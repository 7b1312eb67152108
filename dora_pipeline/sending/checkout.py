"""The commit that is checked out, as `git` itself finds it from a folder. Nothing here contacts a server."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dora_pipeline.errors import RepositoryError
from dora_pipeline.identifiers import repository_id, without_credentials

_SECONDS = 60


class NoCheckout(RepositoryError):
    """The folder is in no repository, or git is not there."""


@dataclass(frozen=True)
class LocatedCommit:
    """A commit and where its repository lives."""

    repository_url: str
    commit_sha: str


def commit_of(folder: Path, repository_url: str | None = None, commit_sha: str | None = None) -> LocatedCommit:
    """The commit at HEAD and the remote's address, without credentials, of the checkout that holds the folder.

    What is given goes before what the checkout says. Where only one of the two is given the other is taken from the
    checkout if it is one of the same repository, or holds that commit: an event with half of its git would have no
    change lead time, and one with a mixture of two repositories a wrong one.
    Raises NoCheckout where there is none, RepositoryError where it does not have what is missing.
    """
    if repository_url and repository_id(repository_url) is None:
        raise RepositoryError(
            f"{without_credentials(repository_url)} names no repository; write it as https://host/path"
        )
    if repository_url and commit_sha:
        return LocatedCommit(without_credentials(repository_url), commit_sha)
    _git(folder, "rev-parse", "--git-dir")
    if repository_url:
        _check_repository(folder, repository_url)
    elif commit_sha:
        _check_commit(folder, commit_sha)
    return LocatedCommit(
        without_credentials(repository_url) if repository_url else _remote_address(folder),
        commit_sha or _head(folder),
    )


def _check_repository(folder: Path, repository_url: str) -> None:
    here = _remote_address(folder)
    if repository_id(here) != repository_id(repository_url):
        raise RepositoryError(
            f"{folder} is a checkout of {here}, not of {without_credentials(repository_url)}: "
            "its commit is not taken; give --git-commit-sha too"
        )


def _check_commit(folder: Path, commit_sha: str) -> None:
    try:
        _git(folder, "cat-file", "-e", f"{commit_sha}^{{commit}}")
    except NoCheckout:
        raise
    except RepositoryError:
        raise RepositoryError(
            f"the checkout {folder} has no commit {commit_sha}: its address is not taken; give --git-repository-url too"
        ) from None


def _head(folder: Path) -> str:
    return _git(folder, "rev-parse", "--verify", "HEAD^{commit}")


def _remote_address(folder: Path) -> str:
    try:
        # The remote of the current branch, else origin, with the user's `insteadOf`.
        address = _git(folder, "ls-remote", "--get-url")
    except RepositoryError:
        address = ""
    # Without a usable remote git fails, or prints the name of the remote.
    if repository_id(address) is None:
        raise RepositoryError(
            f"the checkout {folder} has no remote with an address; give both --git-repository-url and "
            "--git-commit-sha, or --skip-git to leave the commit out"
        )
    return without_credentials(address)


def _git(folder: Path, *arguments: str) -> str:
    try:
        ended = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
        )
    except OSError as error:
        raise NoCheckout(
            f"git cannot be started ({error.strerror}); install git, give both --git-repository-url and "
            "--git-commit-sha, or --skip-git to leave the commit out"
        ) from None
    except subprocess.TimeoutExpired:
        raise RepositoryError(f"git {arguments[0]} took longer than {_SECONDS} s in {folder}") from None
    if ended.returncode == 0:
        return ended.stdout.decode("utf-8", "replace").strip()
    said = without_credentials(" ".join(ended.stderr.decode("utf-8", "replace").split()))[:300]
    if "not a git repository" in said:
        raise NoCheckout(
            f"{folder} is in no git repository; run this in the checkout, give both --git-repository-url and "
            "--git-commit-sha, or --skip-git to leave the commit out"
        )
    raise RepositoryError(f"git cannot tell the commit of {folder} ({said}); --skip-git leaves it out")
