"""Bare mirrors of repositories below `$DORA_HOME/git/`.

A mirror has the branches and tags of its remote. Commits stay when their branch is deleted or force-pushed, since
nothing is ever collected. What does not belong here: what is computed from commits (`ranges.py`).
"""

import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dora_pipeline.errors import RepositoryError
from dora_pipeline.repositories.git import TRANSFER_TIMEOUT, run_query, run_transfer
from dora_pipeline.repositories.remotes import Remote, remote_of

FULL_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ABBREVIATED_SHA = re.compile(r"[0-9a-f]{7,63}")
_SHAS_A_PROCESS = 500
_MAXIMUM_REQUESTS = 64
_LOCK_POLL = 0.2

# Branches that are gone from the remote go, else a branch `a` would bar `a/b` for ever; their commits stay.
_FETCH = ("fetch", "--quiet", "--prune", "--force", "--no-write-fetch-head", "--no-recurse-submodules", "--no-tags")
_REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")

# Nobody's `git gc`, ours or a user's, may take away commits that no branch reaches.
_KEEP_ALL = "[gc]\n\tauto = 0\n\tpruneExpire = never\n[maintenance]\n\tauto = false\n"


class Mirror:
    """A bare mirror of one repository, in a folder below `folder` that is named after `repository_id`."""

    def __init__(self, folder: Path, repository_id: str, url: str) -> None:
        name = folder_name(repository_id)
        self.repository_id = repository_id
        self.path = folder / f"{name}.git"
        self._part = folder / f"{name}.part"
        self._lock = folder / f"{name}.lock"
        self._folder = folder
        self._url = url

    @property
    def exists(self) -> bool:
        """Whether there is a whole mirror; its first fetch puts it in place at once when all is there."""
        return (self.path / "HEAD").is_file()

    def fetch(self) -> None:
        """Makes the mirror, or brings its branches and tags up to date from the URL of today's settings.

        Raises RepositoryError when the remote cannot be fetched; a mirror that was there stays as it is.
        """
        remote = self._remote()
        with self._held() as lock, self._explained(remote):
            if self.exists:
                _remove_leftovers(self.path)
                _fetch(self.path, remote, _REFSPECS, lock)
            else:
                self._make(remote, lock)

    def fetch_commits(self, shas: Collection[str]) -> None:
        """Asks the remote for commits that no branch or tag reaches; it may refuse any of them.

        Best effort: at most 64 requests, and what cannot be fetched is simply not there afterwards. Without a mirror
        nothing is asked.
        """
        remote = self._remote()
        wanted = sorted(sha for sha in self.missing(shas) if FULL_SHA.fullmatch(sha))
        if not wanted or not self.exists:
            return
        with self._held() as lock, self._explained(remote):
            waiting = list(_chunks(wanted))
            for _ in range(_MAXIMUM_REQUESTS):
                if not waiting:
                    return
                chunk = waiting.pop(0)
                try:
                    _fetch(self.path, remote, chunk, lock)
                except RepositoryError:
                    # One unknown commit fails the whole request: ask for each half.
                    middle = len(chunk) // 2
                    waiting += [half for half in (chunk[:middle], chunk[middle:]) if half and len(chunk) > 1]

    def missing(self, shas: Collection[str]) -> set[str]:
        """Those that are not commits of the mirror; all of them when there is no mirror."""
        return set(shas) - self.resolve(shas).keys()

    def resolve(self, shas: Collection[str]) -> dict[str, str]:
        """The full SHA for each given one, full or abbreviated to 7 or more digits.

        What is no commit of the mirror, or the beginning of several, is left out.
        """
        if not self.exists:
            return {}
        asked = {sha: sha.lower() for sha in shas}
        candidates = {sha for sha in asked.values() if FULL_SHA.fullmatch(sha)}
        abbreviated = sorted({sha for sha in asked.values() if _ABBREVIATED_SHA.fullmatch(sha)} - candidates)
        for chunk in _chunks(abbreviated):
            # Not `cat-file`, which takes an abbreviated SHA for a branch or tag of that name.
            arguments = ["rev-parse", *(f"--disambiguate={prefix}" for prefix in chunk)]
            candidates.update(run_query(self.path, arguments).split())
        commits = self._commits(candidates)
        found = {sha: sha for sha in commits} | _unambiguous(abbreviated, commits)
        return {sha: found[lowered] for sha, lowered in asked.items() if lowered in found}

    def _commits(self, shas: set[str]) -> list[str]:
        if not shas:
            return []
        query = "".join(f"{sha}\n" for sha in sorted(shas)).encode()
        answer = run_query(self.path, ["cat-file", "--buffer", "--batch-check=%(objectname) %(objecttype)"], query)
        lines = (line.split() for line in answer.splitlines())
        return sorted(words[0] for words in lines if words[1:] == ["commit"] and words[0] in shas)

    def _remote(self) -> Remote:
        try:
            return remote_of(self._url, self._folder.parent)
        except RepositoryError as error:
            raise RepositoryError(f"repositories.{self.repository_id}: {error}") from None

    def _make(self, remote: Remote, lock: int) -> None:
        shutil.rmtree(self._part, ignore_errors=True)
        try:
            run_query(
                self._part, ["init", "--quiet", "--bare", "--template=", _object_format(self._part, remote, lock)]
            )
            with (self._part / "config").open("a") as settings:
                settings.write(_KEEP_ALL)
            _fetch(self._part, remote, _REFSPECS, lock)
            shutil.rmtree(self.path, ignore_errors=True)
            self._part.rename(self.path)
        except BaseException:
            shutil.rmtree(self._part, ignore_errors=True)
            raise

    @contextmanager
    def _held(self) -> Iterator[int]:
        """The lock of this mirror. Git inherits it, so that it lasts as long as a fetch whose parent was killed."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            deadline = time.monotonic() + TRANSFER_TIMEOUT
            while not _taken(lock):
                if time.monotonic() > deadline:
                    raise RepositoryError(f"another process holds {self._lock}; wait for it, or end it")
                time.sleep(_LOCK_POLL)
            yield lock
        finally:
            os.close(lock)

    @contextmanager
    def _explained(self, remote: Remote) -> Iterator[None]:
        try:
            yield
        except RepositoryError as error:
            reason = str(error).replace(remote.address, str(remote))
            raise RepositoryError(
                f"{self.repository_id}: cannot be fetched from {remote}: {reason}. Check the address under "
                "`repositories` in dora.yaml, the network, and that this user may read the repository"
            ) from None
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> RepositoryError:
        return RepositoryError(
            f"{self.repository_id}: {error.filename or self._folder}: {error.strerror}; "
            "check the space, owner and mode of this folder"
        )


def folder_name(repository_id: str) -> str:
    """A name for file systems: readable, and with a digest that keeps similar identifiers apart."""
    readable = re.sub(r"[^a-z0-9._-]+", "-", repository_id.lower()).strip("-.")[-80:]
    return f"{readable}-{hashlib.sha256(repository_id.encode()).hexdigest()[:12]}".lstrip("-.")


def _fetch(repository: Path, remote: Remote, refspecs: Iterable[str], lock: int) -> None:
    arguments = [*_FETCH, "--end-of-options", remote.address, *refspecs]
    _, warnings = run_transfer(repository, arguments, remote.variables, (lock,))
    if "shallow roots are not allowed" in warnings or "shallow update not allowed" in warnings:
        raise RepositoryError("it is a shallow clone, which lacks commits; run `git fetch --unshallow` there")
    # With its generation numbers, git leaves out what a commit reaches exactly, whatever the clocks say.
    run_query(repository, ["commit-graph", "write", "--reachable", "--split", "--no-progress"])


def _object_format(repository: Path, remote: Remote, lock: int) -> str:
    arguments = ["ls-remote", "--quiet", "--end-of-options", remote.address, "HEAD"]
    answer, _ = run_transfer(repository, arguments, remote.variables, (lock,))
    is_sha256 = len(answer.partition("\t")[0]) == 64
    return f"--object-format={'sha256' if is_sha256 else 'sha1'}"


def _remove_leftovers(repository: Path) -> None:
    """Takes away the lock files and half packs of a killed fetch; called with the mirror's lock held."""
    for pattern in ("*.lock", "refs/**/*.lock", "objects/info/**/*.lock", "objects/pack/tmp_*", "objects/??/tmp_obj_*"):
        for leftover in repository.glob(pattern):
            leftover.unlink(missing_ok=True)


def _taken(lock: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _unambiguous(prefixes: Iterable[str], commits: list[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {prefix: [] for prefix in prefixes}
    lengths = {len(prefix) for prefix in found}
    for commit in commits:
        for length in lengths:
            found.get(commit[:length], []).append(commit)
    return {prefix: matches[0] for prefix, matches in found.items() if len(matches) == 1}


def _chunks(shas: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(shas), _SHAS_A_PROCESS):
        yield shas[start : start + _SHAS_A_PROCESS]
