"""Random repositories: a main branch with squash merges, merges, plain commits and reverts, and pull requests."""

import hashlib
import random
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dora_pipeline_tests.git_histories import git
from dora_pipeline_tests.oracle_commits import Commit, Repository

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


def random_repository(choose: random.Random, path: Path) -> Repository:
    """Writes a main branch with squash merges, merges, plain commits and reverts, and the heads of pull requests.

    A request may begin on another one, may take main in, and may itself squash another one. A release branch picks
    squash commits with their numbers.
    """
    git(path, "init", "--quiet", "--bare", "--template=", "--initial-branch=main")
    commits: dict[str, Commit] = {}
    # The number of the commit that wrote each file last.
    contents: dict[str, dict[str, int]] = {}

    def commit(*parents: str, subject: str, files: frozenset[str], reverted: str | None = None) -> str:
        message = subject + (f"\n\nThis reverts commit {reverted}." if reverted else "")
        committed = len(commits) * 7_200
        authored = committed - choose.choice([0, 60, 90_000]) + 90_000
        content: dict[str, int] = {}
        for parent in reversed(parents):
            content |= contents[parent]
        content |= dict.fromkeys(files, len(commits))
        lines = [f"tree {_write_files(path, content)}", *(f"parent {parent}" for parent in parents)]
        for who, seconds in (("author", authored), ("committer", committed + 90_000)):
            lines.append(f"{who} A <a@example.invalid> {int(NEW_YEAR.timestamp()) + seconds} +0000")
        sha = _write(path, b"commit", "\n".join([*lines, "", message]).encode())
        authored_at = NEW_YEAR + timedelta(seconds=authored)
        commits[sha] = Commit(sha, parents, subject, (reverted,) if reverted else (), authored_at, files)
        contents[sha] = content
        return sha

    def some_files() -> frozenset[str]:
        return frozenset(choose.sample(["a/x", "b/x", "c/x"], choose.choice([0, 1, 1, 2])))

    def squash(parent: str, tip: str, subject: str) -> str:
        """A commit that changes some of what the tip changed that the parent does not have."""
        held = _history(commits, tip) - _history(commits, parent)
        files = sorted(frozenset().union(*(commits[sha].files for sha in held)))
        return commit(parent, subject=subject, files=frozenset(choose.sample(files, choose.randint(0, len(files)))))

    main, tips, requests = [commit(subject="root", files=frozenset({"a/x", "b/x", "c/x"}))], [], {}
    for number in range(1, 31):
        subject, reverted = _message(choose, commits, number)
        way = choose.choice(["plain", "squash", "squash", "merge", "unknown request"])
        if way == "plain":
            main.append(commit(main[-1], subject=subject, files=some_files(), reverted=reverted))
            continue
        tip = commit(choose.choice([*main[-4:], *tips[-2:]]), subject=f"begin {number}", files=some_files())
        if choose.random() < 0.4:
            tip = commit(tip, main[-1], subject=f"take main {number}", files=frozenset())
        tip = commit(tip, subject=subject, files=some_files(), reverted=reverted) if choose.random() < 0.5 else tip
        if choose.random() < 0.3:
            part = commit(tip, subject=f"part of {number}", files=some_files())
            requests[100 + number] = commit(part, subject=f"end of {number}", files=some_files())
            tip = squash(tip, requests[100 + number], f"parts (#{100 + number})")
        tips.append(tip)
        if way == "merge":
            main.append(commit(main[-1], tip, subject=f"merge {number}", files=frozenset()))
            continue
        main.append(squash(main[-1], tip, f"{subject} (#{number})"))
        if way == "squash":
            requests[number] = tip
    release = [main[8]]
    for sha in main[10:]:
        if choose.random() < 0.3:
            release.append(commit(release[-1], subject=commits[sha].subject, files=commits[sha].files))
    repository = Repository(commits, main, release, requests)
    _write_refs(path, repository)
    return repository


def part_of(repository: Repository, landed: int) -> Repository:
    """As it was when the main branch had so many commits: with the requests till then, and no release branch."""
    main = repository.main[:landed]
    # The request of a number landed at that place of the branch, or as a part of the one that did.
    requests = {number: tip for number, tip in repository.requests.items() if number % 100 < landed}
    known = frozenset().union(*(repository.histories[tip] for tip in (main[-1], *requests.values())))
    commits = {sha: commit for sha, commit in repository.commits.items() if sha in known}
    return Repository(commits, main, [], requests)


def push(path: Path, repository: Repository, remote: Path) -> None:
    """Bring what a repository has, which stands with more at the path, to the remote, which is made where it is not."""
    if not remote.exists():
        git(remote, "init", "--quiet", "--bare", "--template=", "--initial-branch=main")
    git(path, "push", "--quiet", str(remote), *(f"{sha}:refs/{ref}" for ref, sha in _refs(repository).items()))


def _refs(repository: Repository) -> dict[str, str]:
    refs = {f"pull/{number}/head": tip for number, tip in repository.requests.items()}
    branches = {"main": repository.main, "release": repository.release}
    return refs | {f"heads/{name}": branch[-1] for name, branch in branches.items() if branch}


def _write_refs(path: Path, repository: Repository) -> None:
    lines = [f"create refs/{ref} {sha}\n" for ref, sha in _refs(repository).items()]
    git(path, "update-ref", "--stdin", stdin="".join(lines))


def _history(commits: dict[str, Commit], head: str) -> set[str]:
    found, waiting = set(), [head]
    while waiting:
        sha = waiting.pop()
        if sha not in found:
            found.add(sha)
            waiting += commits[sha].parents
    return found


def _message(choose: random.Random, commits: dict[str, Commit], number: int) -> tuple[str, str | None]:
    """A subject, and the SHA that the message says it reverts."""
    other = choose.choice(list(commits.values())[-12:])
    sha = other.sha[: choose.choice([7, 12, 40])]
    kinds: list[tuple[str, str | None]] = [
        (f"work {number}", None),
        (f"{choose.choice(['hotfix', 'Hotfix'])} {number}", None),
        (f"Take back {number}", sha),
        (f'Revert "{other.subject}"', None),
        (f'Revert "{other.subject}"', sha),
        (f'Reapply "{other.subject}"', sha),
    ]
    return choose.choices(kinds, [5, 1, 2, 1, 2, 1])[0]


def _write_files(path: Path, contents: dict[str, int]) -> str:
    """Writes a tree of files in folders, each of which holds a number; its SHA."""
    root = b""
    for name, number in sorted(contents.items()):
        folder, _, file = name.partition("/")
        blob = _write(path, b"blob", str(number).encode())
        tree = _write(path, b"tree", f"100644 {file}\0".encode() + bytes.fromhex(blob))
        root += f"40000 {folder}\0".encode() + bytes.fromhex(tree)
    return _write(path, b"tree", root)


def _write(path: Path, kind: bytes, content: bytes) -> str:
    """Writes an object of git; its SHA."""
    whole = kind + b" %d\0" % len(content) + content
    sha = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
    file = path / "objects" / sha[:2] / sha[2:]
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(zlib.compress(whole))
    return sha
