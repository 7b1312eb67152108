"""The commits of a repository that touch the files of a service, by its source patterns.

What does not belong here: the grammar of patterns (`catalog/source_patterns.py`).
"""

import re
from collections.abc import Iterable, Sequence

from dora_pipeline.catalog.source_patterns import pattern_mistake, split_pattern
from dora_pipeline.errors import RepositoryError
from dora_pipeline.repositories.git import lines, run_query
from dora_pipeline.repositories.mirror import Mirror

_MAXIMUM_BRANCHES = 50
# The mode of a submodule in a tree.
_SUBMODULE = "160000"
# A wildcard that stands for itself.
_ESCAPED = re.compile(r"\[([*?\[])\]|\\([*?\[\]\\!])")


def has_files(mirror: Mirror, patterns: Sequence[str]) -> bool:
    """Whether a file of one of the newest 50 branches (tags, where there are none) matches the patterns.

    Raises RepositoryError where the mirror cannot be read.
    """
    nothing = run_query(mirror.path, ["hash-object", "-t", "tree", "--stdin"]).strip()
    paths = [*_pathspecs(patterns), *_folders_by_wildcard(patterns)]
    for kind in ("refs/heads", "refs/tags"):
        form = ["--sort=-creatordate", f"--count={_MAXIMUM_BRANCHES}", "--format=%(objectname)"]
        tips = run_query(mirror.path, ["for-each-ref", *form, kind]).split()
        for tip in tips:
            if run_query(mirror.path, ["diff-tree", "-r", "--name-only", nothing, tip, "--", *paths]):
                return True
        if tips:
            break
    return False


def touching_commits(mirror: Mirror, tips: Sequence[str], patterns: Sequence[str]) -> set[str]:
    """The SHAs of the commits, no merges, that the tips reach and that touch the patterns.

    A tip that begins with ^ leaves out what it reaches. `patterns` are those of `catalog/source_patterns.py`. One for
    all of a folder means a submodule of that name too: a commit that moves it counts.
    """
    arguments = ["rev-list", "--no-merges", "--full-history", "--stdin"]
    found = set(run_query(mirror.path, arguments, lines([*tips, "--", *_pathspecs(patterns)])).split())
    folders = _folders_by_wildcard(patterns)
    return found | _moved_submodules(mirror, tips, folders) if folders else found


def require_patterns(patterns: Iterable[str]) -> None:
    """Raises RepositoryError for a pattern with a mistake."""
    mistakes = list(filter(None, map(pattern_mistake, patterns)))
    if mistakes:
        raise RepositoryError(mistakes[0])


def _moved_submodules(mirror: Mirror, tips: Sequence[str], paths: list[str]) -> set[str]:
    """The commits that change which commit of another repository stands at one of the paths."""
    arguments = [
        "log",
        "--no-merges",
        "--full-history",
        "--raw",
        "--no-abbrev",
        "--no-renames",
        "--format=%H",
        "--stdin",
    ]
    found, sha = set(), ""
    for line in run_query(mirror.path, arguments, lines([*tips, "--", *paths])).splitlines():
        if not line.startswith(":"):
            sha = line or sha
        elif _SUBMODULE in line[1:].split()[:2]:
            found.add(sha)
    return found


def _pathspecs(patterns: Sequence[str]) -> list[str]:
    """The patterns in git's words; of those that only leave out, all other files remain."""
    found = [] if not patterns or any(not pattern.startswith("!") for pattern in patterns) else [":(top,glob)**"]
    for pattern in patterns:
        excluded, path = split_pattern(pattern)
        magic = ",exclude" if excluded else ""
        found.append(f":(top,glob{magic}){path}**" if path.endswith("/") else f":(top,glob{magic}){path}")
        literal = _literal(_folder(pattern))
        if literal:
            # Git takes a submodule for a folder only where a literal path ends in a slash.
            found.append(f":(top,literal{magic}){literal}/")
    return found


def _folders_by_wildcard(patterns: Sequence[str]) -> list[str]:
    """Pathspecs for the folders themselves, which submodules may be, where wildcards name them."""
    folders = (_folder(pattern) for pattern in patterns if not pattern.startswith("!"))
    return [f":(top,glob){folder}" for folder in folders if folder and not _literal(folder)]


def _folder(pattern: str) -> str:
    """The folder all of which the pattern means; empty where it means something else."""
    path = split_pattern(pattern)[1]
    for ending in ("/**/*", "/**", "/"):
        if path.endswith(ending):
            return path.removesuffix(ending)
    return ""


def _literal(folder: str) -> str:
    """The folder where no letter of it is a wildcard; else empty."""
    plain = _ESCAPED.sub(lambda match: match[1] or match[2], folder)
    return plain if not set("*?[\\") & set(_ESCAPED.sub("", folder)) else ""
