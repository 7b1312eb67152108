"""Bare mirrors of repositories below `$DORA_HOME/git/`.

A mirror has the branches and tags of its remote. Commits stay when their branch is deleted or force-pushed, since
nothing is ever collected. A mirror that cannot be read is made again from the remote. What does not belong here: what
is computed from commits (`ranges.py`).
"""

import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
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


def _say_nothing(message: str) -> None:
    """For those who need no word of a mirror that is made again."""


class Mirror:
    """A bare mirror of one repository, in a folder below `folder` that is named after `repository_id`.

    `note` gets a line for people when the mirror is made again.
    """

    def __init__(self, folder: Path, repository_id: str, url: str, note: Callable[[str], None] = _say_nothing) -> None:
        name = folder_name(repository_id)
        self.repository_id = repository_id
        self.path = folder / f"{name}.git"
        self._part = folder / f"{name}.part"
        self._lock = folder / f"{name}.lock"
        self._folder = folder
        self._url = url
        self._note = note

    @property
    def exists(self) -> bool:
        """Whether there is a whole mirror; its first fetch puts it in place at once when all is there."""
        return (self.path / "HEAD").is_file()

    @property
    def has_commit_graph(self) -> bool:
        """Whether git knows generation numbers, without which it may not leave out all that a commit reaches."""
        information = self.path / "objects" / "info"
        return (information / "commit-graph").exists() or (information / "commit-graphs").exists()

    def fetch(self) -> None:
        """Makes the mirror, or brings its branches and tags up to date from the URL of today's settings.

        It is made again where it cannot be read, and where the remote has another object format (SHA-1, SHA-256) now.
        Raises RepositoryError when the remote cannot be fetched; a mirror that was there stays as it is.
        """
        remote = self._remote()
        with self._held() as lock, self._explained(remote):
            if self.exists:
                _remove_leftovers(self.path)
                try:
                    _fetch(self.path, remote, _REFSPECS, lock)
                except RepositoryError as error:
                    # A remote that does not answer at all raises here, and the mirror stays.
                    object_format = _object_format(self._part, remote, lock)
                    if object_format in (None, self._object_format()) and self._is_connected():
                        raise
                    self._make(remote, lock, str(error))
            else:
                self._make(remote, lock, f"{self.path} is no repository" if self.path.exists() else None)

    def make_again(self, reason: str) -> None:
        """Makes the mirror from the remote in place of the one that is there, for the reason.

        Raises RepositoryError when the remote cannot be fetched; a mirror that was there stays as it is.
        """
        remote = self._remote()
        with self._held() as lock, self._explained(remote):
            self._make(remote, lock, reason)

    def check(self) -> None:
        """Raises RepositoryError where a commit that a branch or tag reaches cannot be read."""
        # The graph of commits would answer for those that are not there any more.
        run_query(self.path, ["-c", "core.commitGraph=false", "rev-list", "--all", "--quiet"])

    def refs(self) -> list[str]:
        """The names of the branches and tags, as people write them: main, release/1.0, v1."""
        if not self.exists:
            return []
        names = run_query(self.path, ["for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags"]).splitlines()
        return [name.split("/", 2)[2] for name in names]

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
        """The full SHA of the commit for each given one, full or abbreviated to 7 or more digits.

        An annotated tag stands for its commit. What is no commit of the mirror, or the beginning of several, is left
        out. Raises RepositoryError for a mirror that cannot be read.
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
        found = {**_unambiguous(abbreviated, commits), **commits}
        return {sha: found[lowered] for sha, lowered in asked.items() if lowered in found}

    def _commits(self, shas: set[str]) -> dict[str, str]:
        """The commit for each of the objects that is one, or a tag of one."""
        if not shas:
            return {}
        query = "".join(f"{sha}^{{commit}} {sha}\n" for sha in sorted(shas)).encode()
        answer = run_query(
            self.path, ["cat-file", "--buffer", "--batch-check=%(objecttype) %(objectname) %(rest)"], query
        )
        lines = (line.split() for line in answer.splitlines())
        return {words[2]: words[1] for words in lines if words[0] == "commit" and len(words) == 3}

    def _object_format(self) -> str | None:
        with suppress(RepositoryError):
            return run_query(self.path, ["rev-parse", "--show-object-format"]).strip()
        return None

    def _is_connected(self) -> bool:
        """Whether all that branches and tags reach can be read: commits, folders and files."""
        with suppress(RepositoryError):
            run_query(self.path, ["-c", "core.commitGraph=false", "rev-list", "--objects", "--all", "--quiet"])
            return True
        return False

    def _remote(self) -> Remote:
        try:
            return remote_of(self._url, self._folder.parent)
        except RepositoryError as error:
            raise RepositoryError(f"repositories.{self.repository_id}: {error}") from None

    def _make(self, remote: Remote, lock: int, reason: str | None) -> None:
        """Makes the mirror, and puts it in place at once when all is there; `reason` is why it is made again."""
        _remove(self._part)
        try:
            object_format = _object_format(self._part, remote, lock)
            run_query(
                self._part, ["init", "--quiet", "--bare", "--template=", f"--object-format={object_format or 'sha1'}"]
            )
            with (self._part / "config").open("a") as settings:
                settings.write(_KEEP_ALL)
            _fetch(self._part, remote, _REFSPECS, lock)
            _remove(self.path)
            self._part.rename(self.path)
        except BaseException:
            _remove(self._part)
            raise
        if reason is not None:
            self._note(
                f"{self.repository_id}: its mirror could not be used and was made again from {remote}: "
                f"{reason.replace(remote.address, str(remote))}"
            )

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
    _write_commit_graph(repository)


def _write_commit_graph(repository: Path) -> None:
    """Gives every commit a generation number, by which git leaves out what a commit reaches exactly, whatever the
    clocks say."""
    try:
        run_query(repository, ["commit-graph", "write", "--reachable", "--split", "--no-progress"])
    except RepositoryError:
        # Without it whole histories are read instead (`ranges.py`), which is as right.
        _remove(repository / "objects" / "info" / "commit-graphs")
        _remove(repository / "objects" / "info" / "commit-graph")


def _object_format(repository: Path, remote: Remote, lock: int) -> str | None:
    """sha1 or sha256, by the SHA of any branch or tag of the remote; None where it has none."""
    answer, _ = run_transfer(
        repository, ["ls-remote", "--quiet", "--end-of-options", remote.address], remote.variables, (lock,)
    )
    return {40: "sha1", 64: "sha256"}.get(len(answer.partition("\t")[0]))


def _remove(path: Path) -> None:
    """Takes away a folder, a file or a link, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_leftovers(repository: Path) -> None:
    """Takes away the lock files and half packs of a killed fetch; called with the mirror's lock held."""
    patterns = ("*.lock", "refs/**/*.lock", "objects/**/*.lock", "objects/pack/tmp_*", "objects/??/tmp_obj_*")
    for pattern in patterns:
        for leftover in repository.glob(pattern):
            leftover.unlink(missing_ok=True)


def _taken(lock: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _unambiguous(prefixes: Iterable[str], commits: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, set[str]] = {prefix: set() for prefix in prefixes}
    lengths = {len(prefix) for prefix in found}
    for sha, commit in commits.items():
        for length in lengths:
            found.get(sha[:length], set()).add(commit)
    return {prefix: matches.pop() for prefix, matches in found.items() if len(matches) == 1}


def _chunks(shas: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(shas), _SHAS_A_PROCESS):
        yield shas[start : start + _SHAS_A_PROCESS]
