"""The whole SHAs of commits, for whole and abbreviated ones, by what a repository has."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from dora_pipeline.repositories.git import run_query

FULL_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ABBREVIATED_SHA = re.compile(r"[0-9a-f]{7,63}")
_ARGUMENTS_A_PROCESS = 500


def resolve(repository: Path, shas: Collection[str]) -> dict[str, str]:
    """The full SHA of the commit for each given one, full or abbreviated to 7 or more digits.

    An annotated tag stands for its commit. What is no commit of the repository, or the beginning of several, is left
    out. Raises RepositoryError for a repository that cannot be read.
    """
    asked = {sha: sha.lower() for sha in shas}
    candidates = {sha for sha in asked.values() if FULL_SHA.fullmatch(sha)}
    abbreviated = sorted({sha for sha in asked.values() if _ABBREVIATED_SHA.fullmatch(sha)} - candidates)
    for chunk in chunks(abbreviated):
        # Not `cat-file`, which takes an abbreviated SHA for a branch or tag of that name.
        arguments = ["rev-parse", *(f"--disambiguate={prefix}" for prefix in chunk)]
        candidates.update(run_query(repository, arguments).split())
    commits = _commits(repository, candidates)
    found = {**_unambiguous(abbreviated, commits), **commits}
    return {sha: found[lowered] for sha, lowered in asked.items() if lowered in found}


def is_abbreviated(sha: str) -> bool:
    """Whether it is a SHA of 7 or more digits that is not whole."""
    lowered = sha.lower()
    return _ABBREVIATED_SHA.fullmatch(lowered) is not None and FULL_SHA.fullmatch(lowered) is None


def chunks(arguments: list[str]) -> Iterator[list[str]]:
    """The arguments, so many at a time as a command line surely takes."""
    for start in range(0, len(arguments), _ARGUMENTS_A_PROCESS):
        yield arguments[start : start + _ARGUMENTS_A_PROCESS]


def _commits(repository: Path, shas: set[str]) -> dict[str, str]:
    """The commit for each of the objects that is one, or a tag of one."""
    if not shas:
        return {}
    query = "".join(f"{sha}^{{commit}} {sha}\n" for sha in sorted(shas)).encode()
    answer = run_query(repository, ["cat-file", "--buffer", "--batch-check=%(objecttype) %(objectname) %(rest)"], query)
    lines = (line.split() for line in answer.splitlines())
    return {words[2]: words[1] for words in lines if words[0] == "commit" and len(words) == 3}


def _unambiguous(prefixes: Iterable[str], commits: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, set[str]] = {prefix: set() for prefix in prefixes}
    lengths = {len(prefix) for prefix in found}
    for sha, commit in commits.items():
        for length in lengths:
            found.get(sha[:length], set()).add(commit)
    return {prefix: matches.pop() for prefix, matches in found.items() if len(matches) == 1}
