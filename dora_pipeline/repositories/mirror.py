"""Bare mirrors of repositories below `$DORA_HOME/git/`.

A mirror has the branches and tags of its remote, and the heads of those pull and merge requests that were asked for.
Commits stay when their branch is deleted or force-pushed, since nothing is ever collected; heads of requests stay when
the remote drops them. A mirror that cannot be read is made again from the remote. What does not belong here: what is
computed from commits (`ranges.py`).
"""

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dora_pipeline.errors import RepositoryError
from dora_pipeline.repositories.git import TRANSFER_TIMEOUT, GitError, lines, run_query, run_transfer
from dora_pipeline.repositories.remotes import Remote, remote_of
from dora_pipeline.repositories.resolution import FULL_SHA, chunks, resolve
from dora_pipeline.repositories.transfers import (
    fetch,
    remote_object_format,
    remove,
    remove_leftovers,
    write_commit_graph,
)
from dora_pipeline.repositories.troubles import trouble_text, unreadable

_MAXIMUM_REQUESTS = 64
_LOCK_POLL = 0.2

_REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
# Where GitHub and GitLab show the heads of pull and merge requests, also of closed ones.
_HEADS_OF_REQUESTS = ("refs/pull/*/head", "refs/merge-requests/*/head")

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
        """Whether there is a whole mirror; its first fetch puts it in place at once when all is there.

        One that this user may not look at is there: git says what is wrong with it.
        """
        try:
            return (self.path / "HEAD").is_file()
        except OSError:
            return True

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
                remove_leftovers(self.path)
                try:
                    fetch(self.path, remote, _REFSPECS, lock)
                    write_commit_graph(self.path)
                except RepositoryError as error:
                    # A remote that does not answer at all raises here, and the mirror stays.
                    object_format = remote_object_format(self._part, remote, lock)
                    if object_format in (None, self._object_format()) and self._is_connected():
                        raise
                    self._make(remote, lock, unreadable(error.said) if isinstance(error, GitError) else str(error))
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

        Best effort: some 64 requests, and what cannot be fetched is simply not there afterwards. Without a mirror
        nothing is asked.
        """
        wanted = sorted(sha for sha in self.missing(shas) if FULL_SHA.fullmatch(sha))
        self._fetch_each(wanted)

    def heads_of_requests(self) -> dict[str, str]:
        """The heads of pull and merge requests that were fetched, by ref. Raises RepositoryError."""
        if not self.exists:
            return {}
        arguments = ["for-each-ref", "--format=%(refname) %(objectname)", *_HEADS_OF_REQUESTS]
        return dict(line.split() for line in run_query(self.path, arguments).splitlines())

    def offered_requests(self) -> dict[str, str]:
        """The heads of requests that the remote has, by ref. Raises RepositoryError where it cannot be asked."""
        remote = self._remote()
        with self._held() as lock, self._explained(remote):
            arguments = ["ls-remote", "--quiet", "--end-of-options", remote.address, *_HEADS_OF_REQUESTS]
            answer, _ = run_transfer(self.path, arguments, remote.variables, (lock,))
        return {ref: sha for sha, _, ref in (line.partition("\t") for line in answer.splitlines())}

    def fetch_requests(self, refs: Collection[str]) -> None:
        """Fetches heads of requests, many at a time, and keeps them under their own names; best effort as above."""
        self._fetch_each([f"+{ref}:{ref}" for ref in sorted(refs)])

    def missing(self, shas: Collection[str]) -> set[str]:
        """Those that are not commits of the mirror; all of them when there is no mirror."""
        return set(shas) - self.resolve(shas).keys()

    def resolve(self, shas: Collection[str]) -> dict[str, str]:
        """As `resolution.resolve`; nothing where there is no mirror."""
        return resolve(self.path, shas) if self.exists else {}

    def _fetch_each(self, refspecs: list[str]) -> None:
        remote = self._remote()
        if not refspecs or not self.exists:
            return
        with self._held() as lock, self._explained(remote):
            _by_halves(refspecs, lambda part: fetch(self.path, remote, part, lock))
            write_commit_graph(self.path)

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
        remove(self._part)
        try:
            object_format = remote_object_format(self._part, remote, lock)
            run_query(
                self._part, ["init", "--quiet", "--bare", "--template=", f"--object-format={object_format or 'sha1'}"]
            )
            with (self._part / "config").open("a") as settings:
                settings.write(_KEEP_ALL)
            fetch(self._part, remote, _REFSPECS, lock)
            self._bring_requests(lock)
            write_commit_graph(self._part)
            remove(self.path)
            self._part.rename(self.path)
        except BaseException:
            remove(self._part)
            raise
        if reason is not None:
            self._note(
                f"{self.repository_id}: its mirror could not be used and was made again from {remote}: "
                f"{reason.replace(remote.address, str(remote))}"
            )

    def _bring_requests(self, lock: int) -> None:
        """Brings the heads of requests that the old mirror has, as far as it can be read: the remote may have dropped
        them."""
        bundle = self._part / "requests.bundle"

        def bring(refs: list[str]) -> None:
            # Not a fetch from the old mirror, which fails where any branch of it is broken.
            run_query(self.path, ["bundle", "create", "--quiet", str(bundle), "--stdin"], lines(refs))
            fetch(self._part, Remote(str(bundle)), [f"+{ref}:{ref}" for ref in refs], lock)

        with suppress(RepositoryError):
            _by_halves(sorted(self.heads_of_requests()), bring)
        remove(bundle)

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
            reason = trouble_text(error.said) if isinstance(error, GitError) else str(error)
            raise RepositoryError(
                f"{self.repository_id}: cannot be fetched from {remote}: {reason.replace(remote.address, str(remote))}"
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


def _by_halves(names: list[str], do: Callable[[list[str]], None]) -> None:
    """Does it for many names at a time, and for each half where it fails: one bad name fails the whole.

    Best effort: ends after some 64 failures.
    """
    waiting: list[list[str]] = list(chunks(names))
    for _ in range(len(waiting) + _MAXIMUM_REQUESTS):
        if not waiting:
            break
        part = waiting.pop(0)
        try:
            do(part)
        except RepositoryError:
            middle = len(part) // 2
            waiting += [half for half in (part[:middle], part[middle:]) if half and len(part) > 1]


def _taken(lock: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
